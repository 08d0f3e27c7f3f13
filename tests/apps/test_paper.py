"""A paper account: what the real market does is what the simulator fills against."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from cryptoquantix.apps.init import Mode
from cryptoquantix.apps.init import run as write_init
from cryptoquantix.apps.paper import market_address, prepared
from cryptoquantix.apps.services import simulator_spec
from cryptoquantix.apps.settings import Settings, load_settings
from cryptoquantix.core.clock import SystemClock
from cryptoquantix.core.errors import SettingsError, VenueError
from cryptoquantix.core.instrument import Venue
from cryptoquantix.core.order import Increase, OrderState, OrderType, Side
from cryptoquantix.venues.backoff import Backoff
from cryptoquantix.venues.market_rest import MarketRest
from cryptoquantix.venues.markets import DECODERS, STREAMS
from cryptoquantix.venues.socket import MarketSocket
from paper_rig import (
    INSTRUMENTS,
    VENUES,
    Heard,
    free_port,
    paper_account,
    port,
    write_settings,
)
from processes import SimulatorProcess, start_simulator, wait_for

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    with paper_account(tmp_path_factory.mktemp("paper")) as both:
        yield both


@asynccontextmanager
async def listening(side: SimulatorProcess, venue: str) -> AsyncIterator[Heard]:
    """What our own feed hears of one venue of a simulator, from now to the end."""
    heard, clock, id_ = Heard(), SystemClock(), INSTRUMENTS[venue]
    line = side.line["venues"][venue]
    async with MarketRest(line["rest"], clock, Venue(venue)) as rest:
        instrument = (await rest.instruments())[id_.symbol]
    decoder = DECODERS[Venue(venue)]([instrument], heard, clock)
    dialect = STREAMS[Venue(venue)]
    sockets = [
        MarketSocket(plan, dialect, decoder, Backoff(np.random.default_rng(1)), clock)
        for plan in dialect.sockets(line["ws"], [id_.symbol])
    ]
    tasks = [asyncio.create_task(one.run()) for one in sockets]
    try:
        yield heard
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def until(condition, seconds: float = 60.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - the condition is the other side's
            await asyncio.sleep(0.05)


async def permitted(both, venue: str, order: Increase):
    account = port(both.paper, venue)
    await account.open()
    try:
        return await account.place_increase(order, lambda: None)
    finally:
        await account.close()


async def quoted(side, venue: str):
    """One instrument and its best quote, as an account there sees it."""
    account, id_ = port(side, venue), INSTRUMENTS[venue]
    await account.open()
    try:
        quote = (await account.quotes([id_]))[id_]
        return account.instruments()[id_], quote
    finally:
        await account.close()


def filled(both, client_order_id: str) -> list[dict]:
    fills = both.paper.log("fill")
    return [f for f in fills if f["client_id"] == client_order_id]


def first_amiss(some: list, all_of: list) -> str:
    """Say which of ``some`` is not in ``all_of``, or not in that order; else ''."""
    at = -1
    for number, one in enumerate(some):
        try:
            at = all_of.index(one, at + 1)
        except ValueError:
            seen = [i for i, other in enumerate(all_of) if other == one]
            return (
                f"{one}, number {number}, is at {seen} and {some[number - 1]} at {at}"
            )
    return ""


async def test_trades_and_quotes_pass_through_as_they_are_and_in_order(both):
    def has_heard(heard: Heard, trades: int, quotes: int) -> bool:
        found = len(heard.trades) > trades and len(heard.quotes) > quotes
        return found and bool(heard.marks)

    async with AsyncExitStack() as stack:
        # Who listens at the venues comes first and leaves last: it misses nothing.
        enter = stack.enter_async_context
        real = {v: await enter(listening(both.real, v)) for v in VENUES}
        await until(lambda: all(has_heard(real[v], 2, 2) for v in VENUES))
        async with AsyncExitStack() as inner:
            enter = inner.enter_async_context
            paper = {v: await enter(listening(both.paper, v)) for v in VENUES}
            await until(lambda: all(has_heard(paper[v], 12, 12) for v in VENUES))
        await until(lambda: all(paper[v].trades[-1] in real[v].trades for v in VENUES))
        await until(lambda: all(paper[v].quotes[-3] in real[v].quotes for v in VENUES))
    for venue in VENUES:
        trades, expected = paper[venue].trades, real[venue].trades
        first = expected.index(trades[0])
        assert trades == expected[first : first + len(trades)], venue
        # The first are of the moment of subscribing, the last may be on their way.
        quotes = paper[venue].quotes[2:-2]
        assert not first_amiss(quotes, real[venue].quotes), venue


async def test_steps_are_the_venues_own(both):
    for venue in VENUES:
        clock, id_ = SystemClock(), INSTRUMENTS[venue]
        found = []
        for side in (both.real, both.paper):
            rest_url = side.line["venues"][venue]["rest"]
            async with MarketRest(rest_url, clock, Venue(venue)) as rest:
                found.append((await rest.instruments())[id_.symbol])
        assert found[0] == found[1]


async def test_klines_of_before_the_start_are_the_venues(both):
    clock = SystemClock()
    minute_ns = 60 * 10**9
    end_ns = clock.time_ns() // minute_ns * minute_ns - 5 * minute_ns
    bars = []
    for side in (both.real, both.paper):
        rest_url = side.line["venues"]["binance"]["rest"]
        async with MarketRest(rest_url, clock, Venue.BINANCE) as rest:
            bars.append(await rest.bars("BTCUSDT", 60, end_ns - 60 * minute_ns, end_ns))
    assert len(bars[0]) == 60
    assert bars[0] == bars[1]


@pytest.mark.parametrize("venue", VENUES)
async def test_a_market_order_pays_the_real_spread(both, venue):
    both.real.admin("/tape", {"paused": True})
    try:
        await asyncio.sleep(0.5)  # what was told is on its way
        instrument, real = await quoted(both.real, venue)
        _, shown = await quoted(both.paper, venue)
        assert shown == real
        orders = {
            side: Increase(f"m{side}{venue}", INSTRUMENTS[venue], side, 5)
            for side in Side
        }
        for order in orders.values():
            await permitted(both, venue, order)
    finally:
        both.real.admin("/tape", {"paused": False})
    for side, price in ((Side.BUY, real.ask), (Side.SELL, real.bid)):
        fills = filled(both, orders[side].client_order_id)
        assert sum(Decimal(f["size"]) for f in fills) == 5 * instrument.lot_size
        assert {Decimal(f["price"]) for f in fills} == {price}


@pytest.mark.parametrize("venue", VENUES)
async def test_a_resting_order_fills_when_the_real_market_trades_through_it(
    both, venue
):
    instrument, quote = await quoted(both.paper, venue)
    price = quote.bid * Decimal("0.998")
    ticks = int(price / instrument.tick_size)
    order = Increase(
        f"r{venue}",
        INSTRUMENTS[venue],
        Side.BUY,
        5,
        OrderType.LIMIT,
        price_ticks=ticks,
    )
    placed = await permitted(both, venue, order)
    assert placed.state is OrderState.WORKING
    symbol = INSTRUMENTS[venue].symbol
    move = {"venue": venue, "symbol": symbol, "factor": "0.995"}
    both.real.admin("/price", move)
    fills = wait_for(lambda: filled(both, f"r{venue}"))
    assert {Decimal(f["price"]) for f in fills} == {ticks * instrument.tick_size}
    assert all(f["is_maker"] for f in fills)
    assert sum(Decimal(f["size"]) for f in fills) == 5 * instrument.lot_size


async def test_an_outage_halts_the_market_and_it_goes_on_afterwards(both):
    quiet = {}
    outage = {"kind": "refuse", "seconds": 600}
    try:
        for venue in VENUES:
            both.real.admin("/outage", outage | {"venue": venue})
        wait_for(lambda: all(v["halted"] for v in both.mirror().values()))
        for venue in VENUES:
            quiet[venue] = both.paper.admin("/state")["prices"][venue]
            order = Increase(f"o{venue}", INSTRUMENTS[venue], Side.BUY, 4)
            with pytest.raises(VenueError):
                await permitted(both, venue, order)
        found = both.paper.admin("/state")["prices"]
        assert {v: found[v] for v in VENUES} == quiet
        records = both.paper.log("market")
        halts = [r for r in records if r["state"] == "halted" and r["why"]]
        assert {r["venue"] for r in halts} == set(VENUES)
    finally:
        for venue in VENUES:
            both.real.admin("/outage", outage | {"venue": venue, "seconds": 0})
    both.wait_open()
    for venue in VENUES:
        order = Increase(f"p{venue}", INSTRUMENTS[venue], Side.BUY, 4)
        await permitted(both, venue, order)
    for venue in VENUES:
        wait_for(lambda name=venue: filled(both, f"p{name}"))
    assert not [f for f in both.paper.log("fill") if f["client_id"].startswith("o")]


def test_a_tape_cannot_be_driven_and_the_state_tells_of_the_mirror(both):
    state = both.paper.admin("/state")
    assert not state["tape"]["finished"]
    for name in VENUES:
        venue = state["mirror"]["venues"][name]
        assert venue["source"] == both.real.line["venues"][name]["ws"]
        assert -1_000 < venue["latency_ms"] < 5_000


def simulate(config, *args):
    command = [sys.executable, "-m", "cryptoquantix", "simulate", "--source", "venue"]
    return subprocess.run(
        [*command, "--config", str(config), "--json", *args],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_wrong_address_is_one_sentence(tmp_path):
    nowhere = f"127.0.0.1:{free_port()}"
    config = tmp_path / "paper.toml"
    sources = {"binance": {"rest": f"http://{nowhere}", "ws": f"ws://{nowhere}"}}
    write_settings(config, sources, {"binance": free_port()})
    done = simulate(config)
    assert done.returncode != 0
    assert not done.stdout
    assert len(done.stderr.strip().splitlines()) == 1
    assert f"cannot reach binance at http://{nowhere}" in done.stderr


def test_what_belongs_to_a_tape_is_refused(tmp_path):
    config = tmp_path / "paper.toml"
    source = {"binance": {"rest": "http://127.0.0.1:1", "ws": "ws://127.0.0.1:1"}}
    write_settings(config, source, {"binance": free_port()})
    done = simulate(config, "--speed", "10")
    assert done.returncode != 0
    assert "--speed is of a tape" in done.stderr
    done = simulate(config, "--balance", "5")
    assert done.returncode != 0
    assert "--balance is not for --source venue: the settings say it" in done.stderr


def test_orders_can_go_to_no_real_venue(tmp_path):
    config = tmp_path / "paper.toml"
    config.write_text(
        """
[simulator]
source = "venue"
[feeds]
instruments = ["binance:BTCUSDT-PERP"]
[venues.binance]
rest = "https://fapi.binance.com"
ws = "ws://127.0.0.1:8600"
"""
    )
    config.chmod(0o600)
    with pytest.raises(SettingsError, match="trades on this machine alone"):
        load_settings(config)


def test_market_data_come_from_the_official_public_addresses_unless_set():
    settings = Settings()
    hosts = {name: market_address(settings, name) for name in VENUES}
    assert (hosts["binance"].rest, hosts["binance"].ws) == (
        "https://fapi.binance.com",
        "wss://fstream.binance.com",
    )
    assert (hosts["bybit"].rest, hosts["bybit"].ws) == (
        "https://api.bybit.com",
        "wss://stream.bybit.com",
    )
    assert (hosts["deribit"].rest, hosts["deribit"].ws) == (
        "https://www.deribit.com",
        "wss://www.deribit.com",
    )


def test_an_account_is_kept_over_a_restart_and_other_instruments_are_refused(tmp_path):
    names = ("--venues", "binance", "--instruments", "BTCUSDT,ETHUSDT")
    with start_simulator(tmp_path, *names) as real:
        config, state = tmp_path / "paper.toml", str(tmp_path / "state")
        port_number = {"binance": free_port()}
        write_settings(config, real.line["venues"], port_number)
        options = ("--source", "venue", "--config", str(config), "--state", state)
        with start_simulator(tmp_path, *options) as paper:
            assert paper.venue["key"] == "binance-key"
            paper.admin("/account", {"venue": "binance", "deposit": "12.5"})
        with start_simulator(tmp_path, *options) as paper:
            kept = paper.admin("/account?venue=binance")
            assert Decimal(kept["wallet"]) == Decimal("100012.5")
        text = config.read_text().replace(
            '["binance:BTCUSDT-PERP"]',
            '["binance:BTCUSDT-PERP","binance:ETHUSDT-PERP"]',
        )
        config.write_text(text)
        done = simulate(config, "--state", state)
        assert done.returncode != 0
        assert "was saved with other instruments" in done.stderr


def test_what_init_writes_is_a_paper_account_with_keys_of_its_own(tmp_path):
    path = tmp_path / "cryptoquantix.toml"
    write_init(path, simulator_json=None, is_forced=False, mode=Mode.PAPER)
    settings = load_settings(path)
    venue = settings.venues["binance"]
    keys = {venue.key, venue.secret, venue.risk.key, venue.risk.secret}
    assert len({key.get_secret_value() for key in keys}) == 4
    assert market_address(settings, "binance").rest == "https://fapi.binance.com"
    with pytest.raises(SettingsError, match="leave --simulator-json out"):
        write_init(path, simulator_json="-", is_forced=True, mode=Mode.PAPER)


def test_up_runs_the_simulator_which_alone_knows_every_key(tmp_path):
    path = tmp_path / "cryptoquantix.toml"
    write_init(path, simulator_json=None, is_forced=False, mode=Mode.PAPER)
    spec = simulator_spec(load_settings(path), path)
    assert spec is not None
    assert "--source" in spec.command
    hidden = [name for name in spec.environment if name.startswith("CQX_VENUES__")]
    assert not hidden
    assert spec.environment["CQX_RISK__TOKEN"] == ""
    assert simulator_spec(Settings(), None) is None


def test_the_example_is_a_paper_account_of_three_venues(tmp_path):
    path = tmp_path / "cryptoquantix.toml"
    path.write_text((ROOT / "examples" / "paper.toml").read_text())
    path.chmod(0o600)
    settings = load_settings(path)
    assert settings.simulator.source == "venue"
    for name in VENUES:
        assert market_address(settings, name) == market_address(Settings(), name)


def test_a_venue_of_which_nothing_is_fed_is_refused(tmp_path):
    path = tmp_path / "cryptoquantix.toml"
    text = (ROOT / "examples" / "paper.toml").read_text()
    path.write_text(text.replace("bybit:ETHUSDT", "binance:ETHUSDT"))
    path.chmod(0o600)
    with pytest.raises(SettingsError, match="nothing of bybit is fed"):
        prepared(load_settings(path), SystemClock())
