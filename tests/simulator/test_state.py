"""Books kept over a restart, whole or not at all."""

from __future__ import annotations

import pickle
import subprocess
import sys
from decimal import Decimal

import ccxt.pro
import pytest

from cryptoquantix.core.errors import SettingsError
from cryptoquantix.simulator import saved
from processes import end, start_simulator, wait_for
from simulator.bybit_bench import bybit_client
from simulator.ccxt_clients import ccxt_client

BTC = "BTC/USDT:USDT"
ETH = "ETH/USDT:USDT"


async def trade(simulator) -> None:
    client = ccxt_client(simulator)
    await client.load_markets()
    await client.create_order(BTC, "market", "buy", 0.25)
    await client.create_order(ETH, "market", "sell", 1.5)
    await client.create_order(BTC, "limit", "buy", 0.1, 55_000)
    stop = {"stopLossPrice": 50_000, "reduceOnly": True}
    await client.create_order(BTC, "market", "sell", 0.25, None, stop)
    await client.close()


async def test_books_are_equal_after_a_restart(tmp_path):
    state = tmp_path / "kept" / "state"
    args = ("--generate", "2", "--state", str(state), "--paused")
    with start_simulator(tmp_path, *args) as first:
        await trade(first)
        first.admin("/account", {"venue": "binance", "deposit": "12.34567891"})
        first.admin("/watch", {"venue": "binance", "threshold": "0.5"})
        books = first.admin("/account?venue=binance")
        prices = first.admin("/state")["prices"]
        watch = first.admin("/watch?venue=binance")
        line = first.line
        assert end(first.process) == 0
    assert state.stat().st_mode & 0o777 == 0o600
    assert [p.name for p in state.parent.iterdir()] == ["state"]
    with start_simulator(tmp_path, *args) as second:
        assert second.venue["key"] == line["venues"]["binance"]["key"]
        assert second.admin("/account?venue=binance") == books
        assert second.admin("/state")["prices"] == prices
        assert second.admin("/watch?venue=binance") == watch
        await go_on(second)


async def go_on(simulator) -> None:
    """The kept orders are real ones, and the kept history is there."""
    client = ccxt_client(simulator)
    await client.load_markets()
    (order,) = await client.fetch_open_orders(BTC)
    await client.cancel_order(order["id"], BTC)
    await client.cancel_all_orders(BTC, {"trigger": True})
    assert len(await client.fetch_my_trades(BTC)) >= 1
    before = Decimal(simulator.admin("/account?venue=binance")["equity"])
    await client.create_order(BTC, "market", "sell", 0.25, None, {"reduceOnly": True})
    await client.create_order(ETH, "market", "buy", 1.5, None, {"reduceOnly": True})
    books = simulator.admin("/account?venue=binance")
    assert books["positions"] == books["open_orders"] == books["algo_orders"] == []
    assert abs(Decimal(books["wallet"]) - before) < 20
    simulator.admin("/tape", {"paused": False, "speed": 100})
    played = simulator.admin("/state")["tape"]["time_ns"]
    wait_for(lambda: simulator.admin("/state")["tape"]["time_ns"] > played + 10**10)
    await client.close()


async def test_all_three_venues_go_on_after_a_restart(tmp_path):
    venues = ("--venues", "binance,bybit,deribit", "--generate", "2", "--paused")
    args = ("--state", str(tmp_path / "state"), *venues)
    with start_simulator(tmp_path, *args) as first:
        for client, symbol, size in clients(first):
            await client.load_markets()
            await client.create_order(symbol, "market", "buy", size)
            await client.create_order(symbol, "limit", "buy", size, 55_000)
            await client.close()
        books = {n: first.admin(f"/account?venue={n}") for n in first.line["venues"]}
    with start_simulator(tmp_path, *args) as second:
        for client, symbol, _ in clients(second):
            await client.load_markets()
            (order,) = await client.fetch_open_orders(symbol)
            assert len(await client.fetch_my_trades(symbol)) >= 1
            found = second.admin(f"/account?venue={client.id}")
            assert found == books[client.id]
            assert len(found["positions"]) == len(found["open_orders"]) == 1
            await client.cancel_order(order["id"], symbol)
            await client.close()


def clients(simulator):
    """Clients of Bybit and Deribit, what they trade and how much of it."""
    bybit, deribit = (simulator.line["venues"][n] for n in ("bybit", "deribit"))
    keys = {"apiKey": bybit["key"], "secret": bybit["secret"]}
    first = bybit_client(bybit["rest"], bybit["ws"])
    first.apiKey, first.secret = keys["apiKey"], keys["secret"]
    second = ccxt.pro.deribit(
        {
            "apiKey": deribit["key"],
            "secret": deribit["secret"],
            "enableRateLimit": False,
            "urls": {
                "api": {"rest": deribit["rest"], "ws": deribit["ws"] + "/ws/api/v2"}
            },
            "has": {"fetchCurrencies": False},
        }
    )
    yield first, BTC, 0.05
    yield second, "BTC/USD:BTC", 500


def refused(tmp_path, *args: str) -> str:
    command = [sys.executable, "-m", "cryptoquantix", "simulate", *args]
    done = subprocess.run(
        command, capture_output=True, timeout=30, text=True, check=False, cwd=tmp_path
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    return done.stderr


def test_other_instruments_are_refused_in_a_sentence(tmp_path):
    state = str(tmp_path / "state")
    with start_simulator(tmp_path, "--state", state, "--instruments", "BTCUSDT"):
        pass
    said = refused(tmp_path, "--state", state, "--instruments", "ETHUSDT")
    assert "BTCUSDT" in said
    assert "ETHUSDT" in said


@pytest.mark.parametrize("cut", [0, 10, 40, 200, -1])
def test_a_damaged_state_is_refused(tmp_path, cut):
    path = tmp_path / "state"
    saved.save(path, {"keys": {}, "some": list(range(1000))})
    assert saved.load(path)["some"][-1] == 999
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(SettingsError, match="damaged"):
        saved.load(path)


def test_one_changed_byte_is_noticed(tmp_path):
    path = tmp_path / "state"
    saved.save(path, {"wallet": 1_000_000})
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    with pytest.raises(SettingsError, match="damaged"):
        saved.load(path)


class Stranger:
    """Something that has no business in a state."""

    def __reduce__(self):
        return print, ("run by a state file",)


def test_a_state_makes_nothing_but_books(tmp_path, capsys, monkeypatch):
    path = tmp_path / "state"
    saved.save(path, {"evil": Stranger()})
    with pytest.raises(SettingsError, match="does not belong"):
        saved.load(path)
    assert capsys.readouterr().out == ""
    # The same bytes do run with the plain reader: the guard is what stops them.
    monkeypatch.setattr(saved, "_Reader", pickle.Unpickler)
    with pytest.raises(SettingsError):
        saved.load(tmp_path / "missing")
    saved.load(path)
    assert "run by a state file" in capsys.readouterr().out


def test_a_crash_while_saving_leaves_the_old_state(tmp_path, monkeypatch):
    path = tmp_path / "state"
    saved.save(path, {"n": 1})

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(saved.os, "fsync", full)
    with pytest.raises(SettingsError, match="No space left"):
        saved.save(path, {"n": 2})
    assert saved.load(path) == {"n": 1}
