"""``cqx journal`` says what a person asks of it, in the form they ask for."""

from __future__ import annotations

import csv
import io
import json

import polars as pl
import pytest
from msgspec.structs import replace
from typer.testing import CliRunner

from cryptoquantix import cli
from cryptoquantix.apps.journal import since_ns
from cryptoquantix.core.clock import NS_PER_DAY
from cryptoquantix.core.errors import SettingsError
from cryptoquantix.core.order import OrderState, OrderType, Side
from cryptoquantix.journal.records import OrderNote, Report
from cryptoquantix.journal.store import Journal
from journal.test_store import record
from live.test_round_trips import INVERSE, LINEAR, fill, flow, order


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "cryptoquantix.toml"
    path.write_text(f'directory = "{tmp_path}"\n')
    return path


@pytest.fixture
def journal(tmp_path, config):
    journal = Journal(tmp_path / "journal" / "journal.sqlite")
    for number, (name, side) in enumerate((("a", Side.BUY), ("b", Side.SELL))):
        one = order(name, side, 1000)
        journal.record_order(one)
        price = 100 + 20 * number
        journal.record_fills([fill(3 * number + 1, name, side, 1000, price, "0.1")])
    journal.record_flows([flow(2, "-0.5")])
    yield journal
    journal.close()


def ask(config, *args):
    done = CliRunner().invoke(cli.app, ["journal", *args, "--config", str(config)])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.stdout


@pytest.fixture(autouse=True)
def second_attempt(monkeypatch):
    """Two orders of one bar need two attempts; the helper knows of one."""
    import live.test_round_trips as made

    bars = iter(range(100))
    plain = made.record
    monkeypatch.setattr(
        made, "record", lambda *a, **k: plain(*a, bar_ns=next(bars), **k)
    )


def test_trades_carry_fees_funding_and_pnl_while_execution_has_the_journal(
    config, journal
):
    (trade,) = json.loads(ask(config, "trades", "--json"))["trades"]
    assert trade["closed"] == "1970-01-01T00:00:00.000Z"
    amounts = (trade["pnl"], trade["fees"], trade["funding"], trade["net"])
    assert amounts == ("20", "0.2", "-0.5", "19.3")
    assert "binance:BTCUSDT-PERP" in ask(config, "trades")


def test_equity_is_every_booking_and_ends_at_the_net(config, journal):
    rows = list(csv.DictReader(io.StringIO(ask(config, "equity", "--csv"))))
    assert rows[-1]["net"] == "19.3"
    assert {row["venue"] for row in rows} == {"binance"}


def test_orders_go_to_a_parquet_file(tmp_path, config, journal):
    path = tmp_path / "orders.parquet"
    assert "2 rows" in ask(config, "orders", "--parquet", str(path))
    frame = pl.read_parquet(path)
    assert frame["client_order_id"].to_list() == ["a", "b"]


def test_reports_are_told_of_all_or_of_one_instrument(config, journal):
    eth = "binance:ETHUSDT-PERP"
    told = [
        Report(1_000_000, "foreign order", "binance:BTCUSDT-PERP 77", "sell 5 lots"),
        Report(2_000_000, "foreign position", eth, "9 lots"),
        Report(3_000_000, "dead man's switch", "binance", "armed"),
    ]
    for one in told:
        journal.record_report(one)
    rows = json.loads(ask(config, "reports", "--json"))["reports"]
    assert [row["text"] for row in rows] == ["sell 5 lots", "9 lots", "armed"]
    assert rows[0]["time"] == "1970-01-01T00:00:00.001Z"
    for name, text in (("binance:BTCUSDT-PERP", "sell 5 lots"), (eth, "9 lots")):
        asked = ask(config, "reports", "--json", "--instrument", name)
        (row,) = json.loads(asked)["reports"]
        assert row["text"] == text
    assert "nothing found" in ask(config, "reports", "--since", "1d")


TIMES = {
    "trades": ("opened", "closed"),
    "orders": ("created", "updated"),
    "equity": ("time",),
    "reports": ("time",),
}


@pytest.mark.parametrize("name", TIMES)
def test_an_answer_without_rows_has_the_columns_and_kinds_of_any(
    tmp_path, config, name
):
    path, file = tmp_path / "journal" / "journal.sqlite", tmp_path / "empty.parquet"
    Journal(path).close()
    assert ask(config, name) == "nothing found\n"
    assert json.loads(ask(config, name, "--json")) == {name: []}
    header = ask(config, name, "--csv").strip().split(",")
    ask(config, name, "--parquet", str(file))
    empty = pl.read_parquet(file)
    assert empty.columns == header
    write_one_trade(path)
    ask(config, name, "--parquet", str(file))
    full = pl.read_parquet(file)
    assert full.schema == empty.schema
    assert {full.schema[time] for time in TIMES[name]} == {pl.Datetime("ns", "UTC")}
    assert len(full) > 0


def write_one_trade(path):
    journal = Journal(path)
    for name, side in (("a", Side.BUY), ("b", Side.SELL)):
        journal.record_order(order(name, side, 1000))
        journal.record_fills([fill(ord(name), name, side, 1000, 100, "0.1")])
    journal.record_report(Report(1, "foreign order", LINEAR, "sell 5 lots"))
    journal.close()


def test_a_parquet_file_has_each_time_to_the_nanosecond(tmp_path, config, journal):
    path = tmp_path / "equity.parquet"
    ask(config, "equity", "--parquet", str(path))
    frame = pl.read_parquet(path)
    assert frame["time"].cast(pl.Int64).to_list()[:2] == [1_000, 2_001]
    assert frame["net"].to_list()[0] == -0.1


@pytest.mark.parametrize(
    "forms",
    [("--csv", "--json"), ("--json", "--parquet", "x"), ("--parquet", "x", "--csv")],
)
def test_two_forms_of_one_answer_are_refused(tmp_path, monkeypatch, config, forms):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError, match="choose one"):
        ask(config, "trades", *forms)
    assert not (tmp_path / "x").exists()


def test_an_order_has_its_limit_what_it_cost_and_its_size_in_coins(tmp_path, config):
    journal = Journal(tmp_path / "journal" / "journal.sqlite")
    journal.record_order(
        record(
            "a",
            size_lots=300,
            type=OrderType.LIMIT,
            price_ticks=1_005,
            tick_size="0.10",
            instrument=LINEAR,
        )
    )
    ours = [
        fill(1, "a", Side.BUY, 100, 100, "0.01"),
        replace(fill(2, "a", Side.BUY, 50, 97, "0.001"), fee_currency="BNB"),
    ]
    journal.record_fills(ours)
    note = OrderNote("a", 9, "seen_working", OrderState.WORKING, "", 150, "77")
    journal.record_note(note)
    journal.record_order(
        record("b", bar_ns=61, size_lots=100, lot_size="10", instrument=INVERSE)
    )
    dollars = [
        fill(3, "b", Side.BUY, 25, 50_000, "0.00001", instrument=INVERSE),
        fill(4, "b", Side.BUY, 75, 25_000, "0.00002", instrument=INVERSE),
    ]
    journal.record_fills(dollars)
    journal.record_order(record("c", bar_ns=62, price_ticks=7, created_ns=101))
    journal.close()
    linear, inverse, before = json.loads(ask(config, "orders", "--json"))["orders"]
    names = ("size", "filled", "limit_price", "average_price")
    assert [linear[n] for n in names] == ["0.3", "0.15", "100.5", "99"]
    costs = ("fee", "currency", "fees_other")
    assert [linear[n] for n in costs] == ["0.01", "USDT", "0.001 BNB"]
    # 250 dollars at 50 000 and 750 at 25 000 are 0.035 coins.
    assert inverse["average_price"] == "28571.4285714286"
    assert (inverse["size"], inverse["limit_price"]) == ("1000", "")
    assert [inverse[n] for n in costs] == ["0.00003", "BTC", ""]
    # Of before tick sizes were kept, and not filled.
    assert [before[n] for n in (*names[2:], *costs)] == [""] * 5


def test_an_answer_is_of_what_was_asked_for(tmp_path, config, journal):
    later = NS_PER_DAY
    journal.record_order(
        record("c", bar_ns=9, size_lots=1, created_ns=later, instrument=INVERSE)
    )
    paid = replace(fill(8, "c", Side.BUY, 1, 100, "0.1", INVERSE), venue_time_ns=later)
    journal.record_fills([paid])
    journal.record_report(Report(later, "foreign order", f"{INVERSE} 7", "sell"))

    def count(*args):
        return [
            len(json.loads(ask(config, name, "--json", *args))[name]) for name in TIMES
        ]

    assert count() == [2, 3, 4, 1]
    assert count("--instrument", INVERSE) == [1, 1, 1, 1]
    assert count("--instrument", LINEAR) == [1, 2, 3, 0]
    # To the moment: what happened at it is in.
    assert count("--since", "1970-01-02") == [1, 1, 1, 1]
    assert count("--since", "1970-01-02T00:00:00.000001Z") == [1, 0, 0, 0]
    assert count("--since", "1h") == [1, 0, 0, 0], "a trade that is open is of now"
    with pytest.raises(SettingsError, match="journal has no bybit:BTCUSDT-PERP; its"):
        count("--instrument", "bybit:BTCUSDT-PERP")
    with pytest.raises(SettingsError, match="--since must be an age"):
        count("--since", "yesterday")


def test_since_is_an_age_or_a_time_in_utc():
    now_ns = 10 * NS_PER_DAY
    assert since_ns("36h", now_ns) == now_ns - NS_PER_DAY * 3 // 2
    assert since_ns("1970-01-03", now_ns) == 2 * NS_PER_DAY
    assert since_ns("1970-01-03T02:00+02:00", now_ns) == 2 * NS_PER_DAY


def test_without_a_journal_one_sentence_says_so(config):
    with pytest.raises(SettingsError, match="no journal at"):
        ask(config, "trades")
