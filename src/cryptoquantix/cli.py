"""
``cqx``: arguments, nothing else.

Each command imports its composition root when it is called, so that one process
never loads what another needs (``cqx risk`` loads no polars).
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cryptoquantix.core.errors import CryptoquantixError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptoquantix.apps.journal import Question
    from cryptoquantix.apps.journal_forms import Answer
    from cryptoquantix.drills.drill import Outcome

app = typer.Typer(
    name="cqx",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="The open engine room for systematic crypto trading.",
)

Config = Annotated[
    Path | None,
    typer.Option("--config", help="Settings file (default: cryptoquantix.toml)."),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
CatalogRoot = Annotated[
    Path | None,
    typer.Option("--catalog", help="Catalog folder (default: the settings' one)."),
]

catalog_app = typer.Typer(no_args_is_help=True, help="What history is held.")
app.add_typer(catalog_app, name="catalog")
study_app = typer.Typer(no_args_is_help=True, help="Walk-forward research.")
app.add_typer(study_app, name="study")
risk_app = typer.Typer(
    invoke_without_command=True,
    help="Watch the account and stop everything at the drawdown limit, until stopped.",
)
app.add_typer(risk_app, name="risk")
alarms_app = typer.Typer(
    invoke_without_command=True,
    help="Deliver the risk daemon's alarms, and raise one when it falls silent.",
)
app.add_typer(alarms_app, name="alarms")
journal_app = typer.Typer(no_args_is_help=True, help="What execution's journal says.")
app.add_typer(journal_app, name="journal")


def main() -> None:
    """Run ``cqx``; an expected failure is one sentence on stderr and exit code 1."""
    # Services set their logs up; other commands speak for themselves.
    logging.getLogger("cryptoquantix").addHandler(logging.NullHandler())
    try:
        app()
    except CryptoquantixError as error:
        sys.stderr.write(f"cqx: {error}\n")
        raise SystemExit(1) from None


def _print(value: object, *, as_json: bool, text: str) -> None:
    """Print ``value`` as one JSON line, or ``text`` for a person."""
    try:
        _write(value, as_json=as_json, text=text)
    except BrokenPipeError:
        raise  # `... | head` has read enough: typer ends the command, saying nothing
    except OSError as error:
        with contextlib.suppress(OSError):
            sys.stdout.close()  # what is left in it would fail again at the exit
        msg = f"cannot write to standard output: {error.strerror or error}"
        raise SettingsError(msg) from None


def _write(value: object, *, as_json: bool, text: str) -> None:
    sys.stdout.write((json.dumps(value) if as_json else text) + "\n")
    sys.stdout.flush()


def _announce(value: object, *, as_json: bool, text: str) -> None:
    """Print what a service says of itself; a full disk or a gone reader ends none."""
    with contextlib.suppress(OSError):
        _write(value, as_json=as_json, text=text)


def _say(text: str) -> None:
    """Tell a person who runs a service a line, if there is one who listens."""
    with contextlib.suppress(OSError):
        sys.stderr.write(text + "\n")


@app.command()
def version() -> None:
    """Print the version and the build stamp of this installation."""
    from cryptoquantix.control.build import build_stamp

    _print(None, as_json=False, text=build_stamp())


@app.command()
def feed(venue: str, config: Config = None) -> None:
    """Publish one venue's trades and best quotes on the bus, until stopped."""
    from cryptoquantix.apps.feed import run

    run(venue, config)


@app.command()
def recorder(config: Config = None) -> None:
    """Write the bus's ticks to the catalog, until stopped."""
    from cryptoquantix.apps.recorder import run

    run(config)


@app.command()
def strategy(config: Config = None) -> None:
    """Turn ticks into bars and bars into targets, until stopped."""
    from cryptoquantix.apps.strategy import run

    run(config)


@risk_app.callback()
def risk(
    context: typer.Context,
    listen: Annotated[
        str | None,
        typer.Option(help="host:port, port 0 for a free one (default: risk.listen)."),
    ] = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Watch the account and stop everything at the drawdown limit, until stopped."""
    if context.invoked_subcommand is not None:
        return
    from cryptoquantix.apps.risk import run

    def ready(what: dict[str, str]) -> None:
        text = f"risk daemon {what['state']}, listening on {what['listening']}"
        _announce(what, as_json=as_json, text=text)

    run(config, listen, ready)


@risk_app.command("audit")
def risk_audit(
    verify: Annotated[
        bool,
        typer.Option("--verify", help="Check every hash; exit code 1 if one is wrong."),
    ] = False,
    limit: Annotated[
        int, typer.Option(min=1, max=1_000, help="How many entries to list.")
    ] = 50,
    store: Annotated[
        Path | None, typer.Option(help="The store (default: the settings' one).")
    ] = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """List the risk daemon's audit log, or check that nothing in it was changed."""
    from cryptoquantix.apps.risk_audit import (
        lines,
        listed,
        sentence,
        store_path,
        verified,
    )

    path = store_path(store, config)
    if not verify:
        entries = listed(path, limit)
        _print({"entries": entries}, as_json=as_json, text=lines(entries))
        return
    found = verified(path)
    _print(found, as_json=as_json, text=sentence(found))
    if not found["ok"]:
        raise SystemExit(1)


@alarms_app.callback()
def alarms(
    context: typer.Context,
    watch_only: Annotated[
        bool,
        typer.Option(
            "--watch-only", help="Only watch the daemon, from another machine."
        ),
    ] = False,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Deliver the risk daemon's alarms, and raise one when it falls silent."""
    if context.invoked_subcommand is not None:
        return
    from cryptoquantix.apps.alarms import run

    def ready(what: dict[str, Any]) -> None:
        verb = "watching" if what["watch_only"] else "alarms of"
        names = ", ".join(what["channels"]) or what["channel"]
        text = f"{verb} {what['daemon']} go to: {names}"
        _announce(what, as_json=as_json, text=text)

    run(config, is_watch_only=watch_only, on_ready=ready)


@alarms_app.command("test")
def alarms_test(config: Config = None, as_json: Json = False) -> None:
    """Send a test alarm through every channel; exit 1 if one does not take it."""
    from cryptoquantix.apps.alarms import test, test_text

    result = test(config)
    _print(result, as_json=as_json, text=test_text(result))
    if not result["ok"]:
        raise typer.Exit(1)


@alarms_app.command("ack")
def alarms_ack(
    who: Annotated[
        str | None, typer.Option("--who", help="Your name, for the record.")
    ] = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Say that a person has seen the critical alarms: they are not repeated."""
    from cryptoquantix.apps.acknowledge import acknowledge, text

    result = acknowledge(config, who)
    _print(result, as_json=as_json, text=text(result))


@app.command()
def demo(
    data: Annotated[
        Path | None,
        typer.Option(help="Archive files, or a folder of them (default: download)."),
    ] = None,
    out: Annotated[
        Path, typer.Option(help="Folder for all that the demo writes.")
    ] = Path("var/demo"),
    as_json: Json = False,
) -> None:
    """Show the whole path on this machine: research, trading, a crash, the kill."""
    from rich.console import Console

    from cryptoquantix.apps.demo import run, scorecard

    result = run(data, out)
    if as_json:
        _print(result.as_json(), as_json=True, text="")
    else:
        Console().print(scorecard(result))
    if not result.ok:
        raise typer.Exit(1)


@app.command()
def drill(
    name: Annotated[
        str, typer.Argument(help="flash-crash, slow-bleed, ... (see `list`), or all.")
    ],
    runs: Annotated[int, typer.Option(help="How many times.")] = 1,
    quick: Annotated[
        bool, typer.Option("--quick", help="Shorter waits, fewer rounds.")
    ] = False,
    venues: Annotated[
        str, typer.Option(help="Venues to simulate, separated by commas.")
    ] = "binance,bybit,deribit",
    admin: Annotated[
        str, typer.Option(help="Admin API of the simulator of a running deployment.")
    ] = "",
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Put the kill switch to the test, on fresh processes or a running deployment."""
    from cryptoquantix.apps.drill import DrillOptions, listed, listing, run, table
    from cryptoquantix.apps.drill_record import keep_results
    from cryptoquantix.apps.settings import load_settings
    from cryptoquantix.core.clock import SystemClock

    if name == "list":
        _print({"drills": listed()}, as_json=as_json, text=listing())
        return

    def report(number: int, outcome: Outcome) -> None:
        sys.stderr.write(f"run {number} of {runs}: {outcome.sentence()}\n")

    options = DrillOptions(
        is_quick=quick,
        venues=tuple(filter(None, venues.split(","))),
        admin=admin,
        config=config,
    )
    result = run(name, runs, report, options)
    where, why = keep_results(load_settings(config), result, SystemClock())
    if where:
        sys.stderr.write(f"kept in {where}{f': {why}' if why else ''}\n")
    _print(result, as_json=as_json, text=table(result))
    if not all(one["passed"] for one in result["drills"]):
        raise typer.Exit(1)


@app.command()
def parity(
    instrument: Annotated[
        str | None, typer.Option(help="Ticks of the catalog (default: generated).")
    ] = None,
    start: Annotated[str | None, typer.Option(help="First time, ISO 8601.")] = None,
    end: Annotated[str | None, typer.Option(help="End (exclusive), ISO 8601.")] = None,
    bars: Annotated[int, typer.Option(help="Bars of generated trades to play.")] = 240,
    seed: Annotated[int, typer.Option(help="Of generated trades.")] = 3,
    strategy: Annotated[
        str, typer.Option(help="A strategy, or the dotted name of a module.")
    ] = "trend_breakout",
    params: Annotated[
        str | None, typer.Option(help="The strategy's parameters, as a JSON object.")
    ] = None,
    catalog: CatalogRoot = None,
    directory: Annotated[Path, typer.Option(help="Folder of what is written.")] = Path(
        "var/parity"
    ),
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Trade one tape in research and live, in lock-step, and compare every trade."""
    from cryptoquantix.apps.parity import ParityOptions, run
    from cryptoquantix.apps.settings import load_settings

    options = ParityOptions(
        instrument=instrument,
        start=start,
        end=end,
        bars=bars,
        seed=seed,
        strategy=strategy,
        params=params,
        catalog=catalog or load_settings(config).catalog,
        directory=directory,
    )
    result = run(options, _say)
    _print(result.to_json(), as_json=as_json, text=result.text())
    if not result.is_ok:
        raise typer.Exit(1)


@app.command()
def ingest(
    paths: Annotated[
        list[Path], typer.Argument(help="Archive files, or folders of them.")
    ],
    venue: Annotated[str, typer.Option(help="binance.")] = "",
    kind: Annotated[
        str, typer.Option(help="trades, aggTrades, klines or fundingRate.")
    ] = "",
    instrument: Annotated[str, typer.Option(help="As binance:BTCUSDT-PERP.")] = "",
    symbol: Annotated[str, typer.Option(help="As BTCUSDT.")] = "",
    market: Annotated[str, typer.Option(help="um or spot.")] = "",
    interval: Annotated[str, typer.Option(help="Of klines: 1s to 1d.")] = "",
    catalog: CatalogRoot = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Add archive files to the catalog. Options say what names do not."""
    from cryptoquantix.apps.ingest import run, summary
    from cryptoquantix.data.archive import Answers

    answers = Answers(venue, kind, symbol, market, interval)
    values = run(paths, answers, instrument=instrument, catalog=catalog, config=config)
    _print(values, as_json=as_json, text=summary(values))


@app.command()
def download(
    symbol: Annotated[str, typer.Argument(help="As BTCUSDT.")],
    month: Annotated[str, typer.Argument(help="As 2024-01.")],
    market: Annotated[str, typer.Option(help="um or spot.")] = "um",
    kind: Annotated[
        str, typer.Option(help="klines, aggTrades, trades or fundingRate.")
    ] = "klines",
    interval: Annotated[str, typer.Option(help="Of klines: 1s to 1d.")] = "1m",
    folder: Annotated[
        Path | None, typer.Option(help="Where to (default: archive/ of the settings).")
    ] = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Download a month of Binance's public archive and verify its checksum."""
    from cryptoquantix.apps.download import run

    values = run(
        symbol,
        month,
        market=market,
        kind=kind,
        interval=interval,
        folder=folder,
        config=config,
    )
    _print(values, as_json=as_json, text="\n".join(values["files"]))


@catalog_app.command("ls")
def catalog_ls(
    catalog: CatalogRoot = None, config: Config = None, as_json: Json = False
) -> None:
    """List the datasets held, with their extent and source."""
    from cryptoquantix.apps.catalog import list_datasets, table

    values = list_datasets(catalog, config)
    _print(values, as_json=as_json, text=table(values))


@catalog_app.command("bars")
def catalog_bars(
    instrument: Annotated[str, typer.Argument(help="As binance:PEPEUSDT-SPOT.")],
    interval: Annotated[str, typer.Argument(help="1s to 1d.")] = "1m",
    catalog: CatalogRoot = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Build bars from the ticks held and store them."""
    from cryptoquantix.apps.catalog import line, store_bars

    values = store_bars(instrument, interval, catalog, config)
    _print(values, as_json=as_json, text="  ".join(line(values)))


@catalog_app.command("check")
def catalog_check(
    instrument: Annotated[
        str, typer.Argument(help="As binance:BTCUSDT-PERP (default: all).")
    ] = "",
    report_only: Annotated[
        bool, typer.Option("--report-only", help="Exit 0 whatever is found.")
    ] = False,
    catalog: CatalogRoot = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Report gaps, duplicates and disorder; exit 1 where there are any."""
    from cryptoquantix.apps.catalog import check_datasets, findings

    values = check_datasets(instrument, catalog, config)
    _print(values, as_json=as_json, text=findings(values))
    if not (values["clean"] or report_only):
        raise typer.Exit(1)


Who = Annotated[str | None, typer.Option("--who", help="Your name, for the record.")]
Reason = Annotated[str | None, typer.Option("--reason", help="Why, for the record.")]
Live = Annotated[
    bool, typer.Option("--live", help="Yes, at venues that trade real money.")
]


@app.command()
def status(config: Config = None, as_json: Json = False) -> None:
    """Show what the risk daemon knows; exit code 0 only if the guard is well."""
    from cryptoquantix.apps.operate import status as ask

    is_screen = sys.stdout.isatty()
    is_color = is_screen and not os.environ.get("NO_COLOR")
    width = max(60, shutil.get_terminal_size().columns) if is_screen else 120
    value, page, is_well = ask(config, is_color=is_color, width=width)
    _print(value, as_json=as_json, text=page)
    if not is_well:
        raise typer.Exit(1)


@app.command()
def halt(
    who: Who = None, reason: Reason = None, config: Config = None, as_json: Json = False
) -> None:
    """Stop now: cancel, close every position, verify flat, stay halted."""
    _order("halt", who, reason, config, as_json=as_json)


@app.command()
def flatten(
    who: Who = None, reason: Reason = None, config: Config = None, as_json: Json = False
) -> None:
    """Cancel every order, close every position, then stay LOCKED."""
    _order("flatten", who, reason, config, as_json=as_json)


@app.command()
def rearm(
    who: Who = None,
    reason: Reason = None,
    live: Live = False,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Accept today's equity as the new baseline and let positions open again."""
    _order("rearm", who, reason, config, as_json=as_json, is_live=live)


def _order(
    verb: str,
    who: str | None,
    reason: str | None,
    config: Path | None,
    *,
    as_json: bool,
    is_live: bool = False,
) -> None:
    from cryptoquantix.apps.operate import MEANING, order

    done = order(verb, config, who=who, reason=reason, is_live=is_live)
    text = f"{MEANING[verb]}\nThe daemon is now {done['state']}; follow `cqx status`."
    _print(done, as_json=as_json, text=text)


@app.command()
def up(
    config: Config = None,
    live: Live = False,
    leave_unguarded: Annotated[
        bool,
        typer.Option(
            "--leave-unguarded", help="On stop, end the risk daemon whatever is open."
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Run every service on this machine; one that ends is restarted alone."""
    from cryptoquantix.apps.up import line, run, started

    run(
        config,
        is_live=live,
        leave_unguarded=leave_unguarded,
        announce=lambda state: None if as_json else _say(line(state)),
        on_ready=lambda what: _announce(what, as_json=as_json, text=started(what)),
        say=_say,
    )


@app.command()
def logs(
    service: Annotated[
        list[str] | None, typer.Argument(help="Only these services (default: all).")
    ] = None,
    level: Annotated[str, typer.Option(help="The least level to show.")] = "debug",
    since: Annotated[
        str, typer.Option(help="Only what is younger: 90s, 10m, 2h, 1d.")
    ] = "",
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what comes.")
    ] = False,
    config: Config = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object a line.")
    ] = False,
) -> None:
    """Show the logs of all services as one, in order of time."""
    from cryptoquantix.apps.merged_log import LogLine, run

    def write(line: LogLine) -> None:
        _print(None, as_json=False, text=line.as_json() if as_json else line.shown())

    with contextlib.suppress(BrokenPipeError, KeyboardInterrupt):
        run(
            config,
            write,
            services=tuple(service or ()),
            level=level,
            since=since,
            is_following=follow,
        )


@app.command()
def init(
    file: Annotated[Path, typer.Argument(help="Where to write it.")] = Path(
        "cryptoquantix.toml"
    ),
    simulator_json: Annotated[
        str | None,
        typer.Option(
            "--simulator-json",
            help="File with the line of `cqx simulate --json` (-: standard input).",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite.")] = False,
    paper: Annotated[
        bool, typer.Option("--paper", help="A paper account of the real market.")
    ] = False,
    testnet: Annotated[
        bool, typer.Option("--testnet", help="The venues' testnets.")
    ] = False,
    live: Annotated[
        bool,
        typer.Option("--live", help="Real money; the keys are tried before."),
    ] = False,
    venues: Annotated[
        str, typer.Option(help="binance,bybit,deribit (default: the first).")
    ] = "",
    record: Annotated[
        bool, typer.Option("--record", help="Let `cqx up` record what is fed.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Write a commented settings file: for a simulator, or as the options say."""
    import getpass

    from cryptoquantix.apps.init import mode_of, run

    done = run(
        file,
        simulator_json=simulator_json,
        is_forced=force,
        mode=mode_of(paper=paper, testnet=testnet, live=live),
        venues=[one.strip() for one in venues.split(",") if one.strip()],
        is_recording=record,
        ask=getpass.getpass if sys.stdin.isatty() else None,
    )
    is_local = done["mode"] in {"simulator", "paper"}
    flag = "" if is_local else " --live"
    following = f"`cqx up{flag}`, then `cqx rearm{flag}`"
    if done["keys_missing"]:
        tables = sorted({name.rpartition(".")[0] for name in done["keys_missing"]})
        following = f"fill in the keys under {', '.join(tables)}, then {following}"
    text = f"wrote {done['written']}; next: {following}"
    _print(done, as_json=as_json, text=text)


@study_app.command("run")
def study_run(
    file: Annotated[Path, typer.Argument(help="The study's TOML file.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder of the results (default: var/studies/)."),
    ] = None,
    catalog: CatalogRoot = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Walk forward over a parameter grid and write summary, tables and report."""
    from cryptoquantix.apps.settings import load_settings
    from cryptoquantix.apps.study import run, text

    summary = run(file, load_settings(config), out, catalog)
    _print(summary, as_json=as_json, text=text(summary))


@study_app.command("report")
def study_report(
    folder: Annotated[Path, typer.Argument(help="A study's folder.")],
    as_json: Json = False,
) -> None:
    """Render a study's report anew from its tables."""
    from cryptoquantix.apps.study import report, text

    summary = report(folder)
    _print(summary, as_json=as_json, text=text(summary))


@app.command()
def simulate(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    binance_port: Annotated[int, typer.Option(help="Its port (0: any free).")] = 0,
    admin_port: Annotated[int, typer.Option(help="Admin API's port (0: any).")] = 0,
    tape: Annotated[
        str | None, typer.Option(help="Play this instrument of the catalog.")
    ] = None,
    catalog: CatalogRoot = None,
    start: Annotated[str | None, typer.Option(help="First time, ISO 8601.")] = None,
    end: Annotated[str | None, typer.Option(help="End (exclusive), ISO 8601.")] = None,
    speed: Annotated[float, typer.Option(help="Tape time over wall time.")] = 1.0,
    paused: Annotated[bool, typer.Option("--paused", help="Start paused.")] = False,
    generate: Annotated[
        int | None, typer.Option(help="Seed of generated prices (no tape: 1).")
    ] = None,
    instruments: Annotated[
        str, typer.Option(help="Symbols to generate, separated by commas.")
    ] = "BTCUSDT,ETHUSDT,SOLUSDT,XRPUSDT,DOGEUSDT",
    balance: Annotated[str, typer.Option(help="First deposit in USDT.")] = "100000",
    tick_size: Annotated[
        str | None, typer.Option(help="Price step of a tape (default: its data's).")
    ] = None,
    lot_size: Annotated[
        str | None, typer.Option(help="Size step of a tape (default: its data's).")
    ] = None,
    lenient: Annotated[
        bool, typer.Option("--lenient", help="Log unknown parameters, not refuse.")
    ] = False,
    no_rate_limits: Annotated[
        bool, typer.Option("--no-rate-limits", help="Count limits, refuse nothing.")
    ] = False,
    log: Annotated[Path | None, typer.Option(help="Also log to this file.")] = None,
    keys: Annotated[
        Path | None, typer.Option(help="JSON file of API keys (default: new ones).")
    ] = None,
    venues: Annotated[
        str, typer.Option(help="Venues to simulate, separated by commas.")
    ] = "binance,bybit,deribit",
    bybit_port: Annotated[int, typer.Option(help="Its port (0: any free).")] = 0,
    deribit_port: Annotated[int, typer.Option(help="Its port (0: any free).")] = 0,
    scenario: Annotated[
        str | None, typer.Option(help="Prices and faults by script: a name or a file.")
    ] = None,
    fault_seed: Annotated[int, typer.Option(help="Seed of what faults hit.")] = 0,
    faults_per_minute: Annotated[
        float, typer.Option(help="Faults planned by the seed, on average.")
    ] = 0.0,
    state: Annotated[
        Path | None, typer.Option(help="Keep books and keys in this file.")
    ] = None,
    tls_port: Annotated[
        int | None,
        typer.Option(help="TLS port with all venues' host names (0: any free)."),
    ] = None,
    tls_folder: Annotated[
        Path, typer.Option(help="Folder of the TLS port's certificates.")
    ] = Path("var/simulator-tls"),
    delay_ms: Annotated[
        str, typer.Option(help="How late WebSockets speak: LOW-HIGH, 0 for none.")
    ] = "1-5",
    symbols_count: Annotated[
        int, typer.Option(help="Generate so many instruments, named ones first.")
    ] = 0,
    lock_step: Annotated[
        bool, typer.Option("--lock-step", help="Play only what POST /tape asks for.")
    ] = False,
    fixed_spread: Annotated[
        int, typer.Option(help="Ticks between bid and ask, and a deep book (0: usual).")
    ] = 0,
    source: Annotated[
        str, typer.Option(help="generated, or venue: the real market (docs/paper.md).")
    ] = "generated",
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Simulate venues on this machine: their own REST and WebSocket, and faults."""
    from cryptoquantix.apps.settings import load_settings
    from cryptoquantix.apps.simulate import SimulateOptions, run

    settings = load_settings(config)
    options = SimulateOptions(
        host=host,
        binance_port=binance_port,
        admin_port=admin_port,
        tape=tape,
        catalog=catalog or settings.catalog,
        start=start,
        end=end,
        speed=speed,
        paused=paused,
        generate=generate,
        instruments=instruments,
        balance=balance,
        tick_size=tick_size,
        lot_size=lot_size,
        lenient=lenient,
        no_rate_limits=no_rate_limits,
        log=log,
        keys=keys,
        venues=venues,
        bybit_port=bybit_port,
        deribit_port=deribit_port,
        scenario=scenario,
        fault_seed=fault_seed,
        faults_per_minute=faults_per_minute,
        state=state,
        tls_port=tls_port,
        tls_folder=tls_folder,
        delay_ms=delay_ms,
        symbols_count=symbols_count,
        lock_step=lock_step,
        fixed_spread=fixed_spread,
        source=source,
    )
    run(options, as_json=as_json, settings=settings)


@app.command()
def execution(config: Config = None) -> None:
    """Turn targets into orders at the venues, with the daemon's permits."""
    from cryptoquantix.apps.execution import run

    run(config)


@app.command()
def mirror(config: Config = None) -> None:
    """Repeat execution's journal in PostgreSQL, until stopped."""
    from cryptoquantix.apps.mirror import run

    run(config)


Csv = Annotated[bool, typer.Option("--csv", help="Print CSV with a header.")]
Parquet = Annotated[
    Path | None, typer.Option("--parquet", help="Write a Parquet file instead.")
]


Since = Annotated[
    str,
    typer.Option(help="An age (90s, 10m, 2h, 1d) or an ISO date or time, UTC."),
]
OfInstrument = Annotated[
    str, typer.Option("--instrument", help="Of this one: binance:BTCUSDT-PERP.")
]


@journal_app.command("trades")
def journal_trades(
    since: Since = "",
    instrument: OfInstrument = "",
    config: Config = None,
    as_csv: Csv = False,
    parquet: Parquet = None,
    as_json: Json = False,
) -> None:
    """Show round trips of each strategy with fees, funding and PnL."""
    from cryptoquantix.apps.journal import Question, trades

    question = Question(config, since, instrument)
    _print_answer(trades, question, parquet, as_csv=as_csv, as_json=as_json)


@journal_app.command("orders")
def journal_orders(
    since: Since = "",
    instrument: OfInstrument = "",
    config: Config = None,
    as_csv: Csv = False,
    parquet: Parquet = None,
    as_json: Json = False,
) -> None:
    """Show every order as it stands, with its prices and fees."""
    from cryptoquantix.apps.journal import Question, orders

    question = Question(config, since, instrument)
    _print_answer(orders, question, parquet, as_csv=as_csv, as_json=as_json)


@journal_app.command("equity")
def journal_equity(
    since: Since = "",
    instrument: OfInstrument = "",
    config: Config = None,
    as_csv: Csv = False,
    parquet: Parquet = None,
    as_json: Json = False,
) -> None:
    """Show what each account earned by our fills and funding, booking by booking."""
    from cryptoquantix.apps.journal import Question, equity

    question = Question(config, since, instrument)
    _print_answer(equity, question, parquet, as_csv=as_csv, as_json=as_json)


@journal_app.command("reports")
def journal_reports(
    since: Since = "",
    instrument: OfInstrument = "",
    config: Config = None,
    as_csv: Csv = False,
    parquet: Parquet = None,
    as_json: Json = False,
) -> None:
    """Show what execution reported: foreign orders, fills, positions, refusals."""
    from cryptoquantix.apps.journal import Question, reports

    question = Question(config, since, instrument)
    _print_answer(reports, question, parquet, as_csv=as_csv, as_json=as_json)


@journal_app.command("upgrade")
def journal_upgrade(config: Config = None) -> None:
    """Bring the journal to this build's version; execution must not be running."""
    from cryptoquantix.apps.journal import upgrade

    _print(None, as_json=False, text=upgrade(config))


def _print_answer(
    ask: Callable[[Question], Answer],
    question: Question,
    parquet: Path | None,
    *,
    as_csv: bool,
    as_json: bool,
) -> None:
    if as_csv + as_json + (parquet is not None) > 1:
        msg = "--csv, --parquet and --json are three forms of one answer: choose one"
        raise SettingsError(msg)
    answer = ask(question)
    if as_json:
        _print({answer.name: answer.shown()}, as_json=True, text="")
    elif parquet is not None:
        _print(None, as_json=False, text=answer.write_parquet(parquet))
    else:
        text = answer.csv() if as_csv else answer.table()
        _print(None, as_json=False, text=text)


@app.callback()
def _root() -> None:
    """Keep ``cqx COMMAND`` the shape of the command line, however many there are."""
