"""``cqx journal`` says what a person asks of it, in the form they ask for."""

from __future__ import annotations

import csv
import io
import json

import polars as pl
import pytest
from typer.testing import CliRunner

from cryptoquantix import cli
from cryptoquantix.core.errors import SettingsError
from cryptoquantix.core.order import Side
from cryptoquantix.journal.store import Journal
from live.test_round_trips import fill, flow, order


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


def test_without_a_journal_one_sentence_says_so(config):
    with pytest.raises(SettingsError, match="no journal at"):
        ask(config, "trades")
