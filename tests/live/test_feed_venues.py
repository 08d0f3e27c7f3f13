"""What users of other systems complain of, done to the feeds of all three venues."""

import asyncio
from itertools import pairwise

import pytest

from cryptoquantix.bus.connection import connect
from cryptoquantix.bus.messages import MessageDecoder, TickBatch
from cryptoquantix.bus.subjects import ticks
from cryptoquantix.core.instrument import Venue
from cryptoquantix.live import feed_service
from cryptoquantix.venues import socket as market_socket
from live.feed_rig import INSTRUMENTS, VENUES, assert_whole, three_feeds, until
from processes import start_nats, start_simulator

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """One simulator of three venues and one bus, for all tests of this file."""
    folder = tmp_path_factory.mktemp("world")
    options = ["--venues", VENUES, "--generate", "11", "--instruments", "BTCUSDT"]
    options += ["--speed", "15", "--no-rate-limits"]
    with start_nats(folder) as nats, start_simulator(folder, *options) as simulator:
        yield nats, simulator
        simulator.process.poll()


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(market_socket, "_IDLE_SECONDS", 0.8)
    monkeypatch.setattr(market_socket, "_PONG_SECONDS", 0.8)
    monkeypatch.setattr(feed_service, "SILENCE_NS", 1_000_000_000)
    monkeypatch.setattr(feed_service, "_PROBE_SECONDS", 0.2)


async def flowing(services, heard, more=21):
    """
    Wait until each feed has published ``more`` prints than now, and a quote.

    As many as are to be compared at the end, however few there were before.
    """
    counts = {venue: len(one.ticks) for venue, one in heard.items()}
    quotes = {venue: len(one.quotes) for venue, one in heard.items()}
    await until(
        lambda: all(
            len(one.ticks) >= counts[venue] + more
            and len(one.quotes) > quotes[venue]
            and services[venue].status().connected
            for venue, one in heard.items()
        ),
        30,
    )


def assert_all_whole(simulator, heard):
    for venue, one in heard.items():
        assert_whole(simulator, venue, one)


async def test_trades_quotes_and_marks_of_three_venues_are_what_the_venues_say(world):
    nats, simulator = world
    async with three_feeds(nats, simulator) as (services, heard):
        await flowing(services, heard, 30)
        await until(lambda: all(len(one.marks) > 1 for one in heard.values()))
        assert_all_whole(simulator, heard)
        for venue, one in heard.items():
            status = services[venue].status()
            [stream] = status.streams
            assert stream.is_trade_proven
            assert stream.is_quote_proven
            assert (status.gaps, status.messages_refused) == (0, 0)
            # Both clocks are this machine's: the measured difference is an error.
            assert abs(status.clock_offset_ns) <= status.clock_error_ns < 10**9
            assert one.quotes[-1].bid_price_ticks < one.quotes[-1].ask_price_ticks
            assert float(one.marks[-1].mark_price) > 0
            assert float(one.marks[-1].funding_rate) < 1
        assert heard[Venue.BINANCE].marks[-1].next_funding_ns > 0


@pytest.mark.parametrize("code", [1000, 1001, 1006, 1008, 1011, 1012])
async def test_a_connection_closed_with_any_code_costs_no_print(world, code):
    """binance-trading-bot#486, pybit#13: never recovers, reconnects without data."""
    nats, simulator = world
    async with three_feeds(nats, simulator) as (services, heard):
        await flowing(services, heard, 5)
        fault = {"kind": "disconnect", "venue": "*", "code": code}
        simulator.admin("/faults", fault)
        await until(
            lambda: all(one.status().reconnects >= 2 for one in services.values())
        )
        await flowing(services, heard)
        assert_all_whole(simulator, heard)
        assert all(one.status().streams[0].is_quote_proven for one in services.values())


async def test_a_reset_costs_no_print_and_both_sockets_come_back(world):
    """vnpy_binance#56: only the trade socket was dialed again."""
    nats, simulator = world
    async with three_feeds(nats, simulator) as (services, heard):
        await flowing(services, heard, 5)
        simulator.admin("/faults", {"kind": "reset", "venue": "*"})
        await until(
            lambda: all(
                socket.reconnects
                for service in services.values()
                for socket in service.sockets
            )
        )
        await flowing(services, heard)
        assert_all_whole(simulator, heard)


async def test_a_socket_that_is_up_and_says_nothing_is_given_up(world):
    """nt#1533: connected, and dead. Neither data nor pongs, and then both again."""
    nats, simulator = world
    async with three_feeds(nats, simulator) as (services, heard):
        await flowing(services, heard, 5)
        fault = {"kind": "half-open", "venue": "*", "seconds": 2.5}
        simulator.admin("/faults", fault)
        await until(
            lambda: all(one.status().reconnects >= 1 for one in services.values())
        )
        await flowing(services, heard)
        assert_all_whole(simulator, heard)


async def test_a_frozen_feed_is_told_from_a_quiet_market_and_renewed(world):
    """node-binance-api#86: tickers die silently. Pongs go on, trades go on, no data."""
    nats, simulator = world
    async with three_feeds(nats, simulator) as (services, heard):
        await flowing(services, heard, 5)
        fault = {"kind": "frozen-feed", "venue": "*", "seconds": 4}
        simulator.admin("/faults", fault)
        await until(
            lambda: all(one.status().reconnects >= 1 for one in services.values())
        )
        await flowing(services, heard)
        assert_all_whole(simulator, heard)
    async with three_feeds(nats, simulator) as (services, heard):
        await flowing(services, heard, 5)
        simulator.admin("/tape", {"paused": True})
        try:
            await asyncio.sleep(2.5)
            for one in services.values():
                assert one.status().reconnects == 0, "a quiet market is no dead socket"
        finally:
            simulator.admin("/tape", {"paused": False})
        await flowing(services, heard)


async def test_unanswered_pings_end_a_session_even_while_data_flow_at_bybit(world):
    """Where pings are due all the time, their answers are too."""
    nats, simulator = world
    async with three_feeds(nats, simulator) as (services, heard):
        await flowing(services, heard, 5)
        fault = {"kind": "no-pong", "venue": "bybit", "seconds": 3}
        simulator.admin("/faults", fault)
        await until(lambda: services[Venue.BYBIT].status().reconnects >= 1)
        await flowing(services, heard)
        assert_all_whole(simulator, heard)


async def test_an_error_frame_and_an_unknown_channel_end_nothing(world):
    """ccxt: one error frame of Deribit ends the receive loop for good."""
    nats, simulator = world
    async with three_feeds(nats, simulator) as (services, heard):
        await flowing(services, heard, 5)
        for kind in ("error-frame", "unknown-channel"):
            simulator.admin("/faults", {"kind": kind, "venue": "*"})
        await until(
            lambda: all(one.status().messages_refused for one in services.values())
        )
        await flowing(services, heard)
        assert_all_whole(simulator, heard)
        assert all(one.status().reconnects == 0 for one in services.values())


async def test_a_slow_consumer_loses_its_own_prints_sees_that_and_holds_up_nobody(
    world,
):
    nats, simulator = world
    seen, errors = [], []
    decoder = MessageDecoder(TickBatch)

    async def slowly(message):
        seen.append(decoder.decode(message.data))
        await asyncio.sleep(0.4)

    async def on_error(error):
        errors.append(error)

    async with three_feeds(nats, simulator) as (services, heard):
        slow = await connect(nats.url, "slow")
        slow._error_cb = on_error
        subject = ticks(INSTRUMENTS[Venue.BINANCE])
        await slow.subscribe(subject, cb=slowly, pending_msgs_limit=2)
        await slow.flush()
        await flowing(services, heard, 60)
        await until(lambda: len(seen) >= 5)
        await slow.close()
        assert_all_whole(simulator, heard)
        assert any("slow consumer" in str(error) for error in errors)
        lost = [b.follows > a.ticks[-1][4] for a, b in pairwise(seen)]
        assert any(lost)
