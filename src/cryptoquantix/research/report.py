"""
A study's folder as one HTML page that needs no network; it computes no statistics.

What failed is shown as large as what worked: the verdict is the first sentence, the
in-sample figures never stand without the out-of-sample ones beside them.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from plotly.offline import get_plotlyjs

from cryptoquantix.research.figures import Figure, figures
from cryptoquantix.research.outputs import StudyFolder
from cryptoquantix.research.report_style import STYLE

_NS = 1_000_000_000
# A Sharpe ratio of two days is noise with two decimals.
_SHARPE_DAYS_MIN = 10


def render(folder: StudyFolder) -> str:
    """Return the page of a study."""
    summary = folder.summary
    plots = figures(folder)
    body = "\n".join(
        (
            _head(summary),
            _banners(summary),
            _verdict(summary),
            _cards(summary),
            _plot(plots["equity"]),
            _comparison(summary),
            _section("Folds", _FOLDS_NOTE, _fold_table(folder)),
            _plot(plots["folds"]),
            _section("Parameters", _parameters_note(summary), ""),
            *(_plot(plots[name]) for name in ("plateau", "cells") if name in plots),
            _section("How it was done", "", _assumptions(summary)),
            _footer(summary),
        )
    )
    title = html.escape(f"{summary['strategy']} on {summary['instrument']}")
    return (
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>{title}</title><style>{STYLE}</style>"
        f"<script>{get_plotlyjs()}</script></head>"
        f"<body><main>{body}</main></body></html>\n"
    )


def verdict(summary: dict[str, Any]) -> str:
    """Return the study's one sentence, for a page and for a terminal."""
    tested = summary["out_of_sample"]
    earned = tested["return"]
    done = "lost" if earned < 0 else "made"
    text = (
        f"Out of sample the walk-forward {done} {_percent(abs(earned))} in "
        f"{tested['days']} days, with a Sharpe ratio of {_number(tested['sharpe'])} "
        f"and a deepest drawdown of {_percent(tested['drawdown'])}. "
    )
    return text + _evidence(tested)


def _evidence(tested: dict[str, Any]) -> str:
    if tested["trades"] == 0:
        return "It never traded: there is nothing to judge."
    luck = tested["deflated_sharpe"]
    if luck is None:
        return "The series is too short or too flat to judge."
    if tested["sharpe"] <= 0:
        return "That is no edge."
    if luck < 0.95:
        return (
            f"The deflated Sharpe ratio is {_percent(luck)}: luck explains it well "
            "enough."
        )
    return f"The deflated Sharpe ratio is {_percent(luck)}: more than luck shows."


_FOLDS_NOTE = (
    "Each fold chose its parameters on its train window and traded them in the test "
    "window that follows. Test figures are those of the stitched account: lots, "
    "minimum sizes, fees, slippage and the cost of switching parameters included."
)


def _head(summary: dict[str, Any]) -> str:
    span = f"{_day(summary['first_ns'])} to {_day(summary['last_ns'] - 1)}"
    return (
        "<header><p class='kicker'>cryptoquantix · walk-forward study</p>"
        f"<h1>{html.escape(summary['strategy'])} "
        f"<span>on {html.escape(summary['instrument'])}</span></h1>"
        f"<p class='sub'>{summary['bars']:,} bars of {summary['interval']}, "
        f"{span} UTC · {summary['cells']} parameter sets · {summary['folds']} folds · "
        f"source: {html.escape(summary['source'])}</p></header>"
    )


def _banners(summary: dict[str, Any]) -> str:
    notes: list[str] = []
    if summary["generated"]:
        notes.append(
            "<b>GENERATED DATA.</b> These prices were made by a random generator and "
            "never traded anywhere. Nothing here says anything about a market."
        )
    if summary["funding"] == "none":
        notes.append(
            '<b>FUNDING: NONE.</b> The study says <code>funding = "none"</code>: what '
            "a perpetual pays and receives for being held is not in any figure here."
        )
    if summary["bars_missing"]:
        notes.append(
            f"<b>GAPS.</b> {summary['bars_missing']:,} bars are missing in "
            f"{summary['holes']} holes; they were not filled in."
        )
    if summary["out_of_sample"]["liquidations"]:
        count = int(summary["out_of_sample"]["liquidations"])
        notes.append(f"<b>LIQUIDATED</b> {count} times out of sample.")
    return "".join(f"<div class='banner'>{note}</div>" for note in notes)


def _verdict(summary: dict[str, Any]) -> str:
    return f"<p class='verdict'>{html.escape(verdict(summary))}</p>"


def _cards(summary: dict[str, Any]) -> str:
    tested, held = summary["out_of_sample"], summary["buy_and_hold"]
    profitable = f"{summary['folds_profitable']} of {summary['folds']}"
    cards = (
        ("Return", _percent(tested["return"], sign=True), tested["return"],
         f"buy and hold {_percent(held['return'], sign=True)}"),
        ("Sharpe ratio", _number(tested["sharpe"]), tested["sharpe"],
         f"buy and hold {_number(held['sharpe'])}"),
        ("Max drawdown", _percent(tested["drawdown"]), None,
         f"buy and hold {_percent(held['drawdown'])}"),
        ("Deflated Sharpe", _percent(tested["deflated_sharpe"]), None,
         f"after {summary['trials']} trials"),
        ("Folds that made money", profitable, None, f"{int(tested['trades'])} trades"),
    )  # fmt: skip
    return (
        "<section class='cards'>"
        + "".join(
            f"<div class='card'><p>{label}</p><strong class='{_tone(tone)}'>{value}"
            f"</strong><small>{note}</small></div>"
            for label, value, tone, note in cards
        )
        + "</section><p class='note'>Out of sample, after all costs.</p>"
    )


def _comparison(summary: dict[str, Any]) -> str:
    """Return in-sample and out-of-sample side by side."""
    best, tested = summary["in_sample_best"], summary["out_of_sample"]
    rows = (
        ("Days", *(f"{s['days']}" for s in (best, tested))),
        ("Return", *(_percent(s["return"], sign=True) for s in (best, tested))),
        ("Sharpe ratio (365)", *(_number(s["sharpe"]) for s in (best, tested))),
        ("Max drawdown", *(_percent(s["drawdown"]) for s in (best, tested))),
        ("Volatility a year", *(_percent(s["volatility"]) for s in (best, tested))),
        ("Probabilistic Sharpe, true Sharpe above 0",
         *(_percent(s["probabilistic_sharpe"]) for s in (best, tested))),
        (f"Deflated Sharpe, {summary['trials']} trials",
         *(_percent(s["deflated_sharpe"]) for s in (best, tested))),
        ("Days needed to be 95 % sure",
         *(_count(s["track_record_min_days"]) for s in (best, tested))),
        ("Beta to the instrument", *(_number(s["beta"]) for s in (best, tested))),
        ("Trades", *(_count(s["trades"]) for s in (best, tested))),
        ("Turnover, times equity", *(_number(s["turnover"]) for s in (best, tested))),
        ("Fees, of equity", *(_percent(s["fees"]) for s in (best, tested))),
        ("Funding received, of equity",
         *(_funding(summary, s["funding"]) for s in (best, tested))),
    )  # fmt: skip
    names = ("", "In sample: the best of all cells, chosen with hindsight",
             "Out of sample: walk-forward")  # fmt: skip
    note = (
        "The left column is what a backtest would advertise. The right one is what "
        "choosing without hindsight gave, on fewer days. The gap between them is the "
        "price of choosing."
    )
    return _section("In sample against out of sample", note, _table(names, rows))


def _fold_table(folder: StudyFolder) -> str:
    axes = list(folder.summary["grid"])
    names = ("Fold", "Train from", "Test from", *axes, "Train Sharpe", "Test return",
             "Test Sharpe", "Test drawdown", "Trades", "Beat of cells")  # fmt: skip
    rows = [
        (
            str(row["fold"] + 1),
            f"{row['train_start']:%Y-%m-%d}",
            f"{row['test_start']:%Y-%m-%d}",
            *(f"{row[axis]:g}" for axis in axes),
            _toned(_number(row["train_sharpe"]), row["train_sharpe"]),
            _toned(_percent(row["test_return"], sign=True), row["test_return"]),
            _test_sharpe(folder.summary, row["test_sharpe"]),
            _percent(row["test_drawdown"]),
            _count(row["test_trades"]),
            _percent(row["beat_share"]),
        )
        for row in folder.folds.iter_rows(named=True)
    ]
    return _table(names, rows)


def _test_sharpe(summary: dict[str, Any], value: float) -> str:
    """Return a fold's Sharpe ratio, or a dash where its days are too few for one."""
    if summary["walk_forward"]["test_days"] < _SHARPE_DAYS_MIN:
        return "–"
    return _toned(_number(value), value)


def _parameters_note(summary: dict[str, Any]) -> str:
    selection = summary["selection"]
    rank = selection["rank_correlation"]
    said = "cannot be measured" if rank is None else f"is {rank:+.2f}"
    return (
        f"{selection['cells_profitable']} of {summary['cells']} parameter sets made "
        f"money over all days; {selection['cells_traded']} traded at all. The rank "
        f"correlation between train score and test Sharpe over all sets {said} on "
        "average over the folds (0: choosing tells nothing, below 0: it misleads). "
        f"The best of {summary['trials']} sets without any skill would be expected to "
        f"show a Sharpe ratio of {_number(summary['luck_sharpe'])}; the best showed "
        f"{_number(summary['in_sample_best']['sharpe'])}. These plots are in sample, "
        "over all days."
    )


def _fills(fills: dict[str, Any], slippage: float) -> str:
    where = "the next bar's open"
    if fills["model"] == "ticks":
        where = (
            f"the first trade of a taker of that side {fills['latency_ms']} ms later "
            f"({fills['missing']:,} prices had none and are the bar's open)"
        )
    return f"decided at a bar's close, filled at {where}, {slippage:.4%} worse"


def _assumptions(summary: dict[str, Any]) -> str:
    costs, walk = summary["costs"], summary["walk_forward"]
    funding = {
        "none": "none: left out, as the study asks",
        "spot": "spot: there is none",
        "catalog": "charged at the venue's funding times, at the bar's close",
    }[summary["funding"]]
    kind = "anchored" if walk["anchored"] else "rolling"
    plateau = "averaged with grid neighbors" if walk["plateau"] else "alone"
    fixed = ", ".join(f"{k} = {v:g}" for k, v in summary["parameters"].items())
    trades_next = ", ".join(
        f"{name} = {value:g}" for name, value in summary["parameters_last"].items()
    )
    deviation = _number(summary["trial_sharpe_deviation"])
    rows = (
        ("Source of the data", html.escape(summary["source"])),
        ("Generated", "YES" if summary["generated"] else "no"),
        ("Missing bars", f"{summary['bars_missing']:,} in {summary['holes']} holes"),
        ("Fills", _fills(summary["fills"], costs["slippage"])),
        ("Fee", f"{costs['fee_rate']:.4%} of notional, each way"),
        ("Funding", funding),
        ("Lots", (f"{costs['lot_size']:g} base units, at least "
                 f"{costs['notional_min']:g} quote an order; the cells have none")),
        ("No-trade band", f"{costs['no_trade_band']:.2%} of equity"),
        ("Liquidation", f"at a maintenance margin of {costs['maintenance_rate']:.2%}"),
        ("Account", f"{costs['equity']:,.0f} quote at the start"),
        ("Walk-forward", (f"{kind}: train {walk['train_days']} days, embargo "
                         f"{walk['embargo_days']}, test {walk['test_days']}; "
                         f"{summary['days_untested']} of {summary['days']} days are "
                         "never tested")),
        ("Chosen by", f"train {walk['select'].replace('_', ' ')}, {plateau}"),
        ("Trials", (f"{summary['trials']}, every cell counted as independent; the "
                    f"deviation of their Sharpe ratios is {deviation}")),
        ("Fixed parameters", html.escape(fixed) or "none"),
        ("The next choice", html.escape(trades_next)),
    )  # fmt: skip
    return _table(("", ""), rows, css="facts")


def _footer(summary: dict[str, Any]) -> str:
    return (
        "<footer>Sharpe ratios are annualized over 365 days of daily returns (UTC, "
        "stamped at the close); drawdowns are on equity marked at bar closes. "
        "Probabilistic and deflated Sharpe ratios after Bailey and López de Prado "
        f"(2012, 2014). Computed in {summary['seconds']:.1f} s. A backtest, even a "
        "walk-forward one, is not a promise.</footer>"
    )


def _section(title: str, note: str, inner: str) -> str:
    lead = f"<p>{html.escape(note)}</p>" if note else ""
    return f"<section><h2>{title}</h2>{lead}{inner}</section>"


def _plot(figure: Figure) -> str:
    lead = f"<h2>{html.escape(figure.title)}</h2><p>{html.escape(figure.note)}</p>"
    return f"<section class='plot'>{lead}{figure.html}</section>"


def _table(
    names: Iterable[str], rows: Iterable[Iterable[str]], css: str = "figures"
) -> str:
    head = "".join(f"<th>{html.escape(name)}</th>" for name in names)
    body = "".join(
        "<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows
    )
    top = f"<thead><tr>{head}</tr></thead>" if css == "figures" else ""
    table = f"<table class='{css}'>{top}<tbody>{body}</tbody></table>"
    return f"<div class='scroll'>{table}</div>"


def _tone(value: float | None) -> str:
    if value is None or value == 0:
        return ""
    return "up" if value > 0 else "down"


def _toned(text: str, value: float | None) -> str:
    return f"<span class='{_tone(value)}'>{text}</span>"


def _percent(value: float | None, *, sign: bool = False) -> str:
    if value is None or math.isnan(value):
        return "–"
    text = f"{value:+.1%}" if sign else f"{value:.1%}"
    return text.replace("-", "\N{MINUS SIGN}").replace("%", " %")


def _number(value: float | None) -> str:
    if value is None or math.isnan(value):
        return "–"
    return f"{value:.2f}".replace("-", "\N{MINUS SIGN}")


def _count(value: float | None) -> str:
    if value is None or math.isnan(value):
        return "never"
    return f"{value:,.0f}"


def _funding(summary: dict[str, Any], value: float) -> str:
    return "not counted" if summary["funding"] == "none" else _percent(value, sign=True)


def _day(time_ns: int) -> str:
    return f"{datetime.fromtimestamp(time_ns / _NS, UTC):%Y-%m-%d}"
