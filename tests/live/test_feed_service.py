"""The feed against a venue that misbehaves and a bus that is slow or away."""

import asyncio
from contextlib import asynccontextmanager
from decimal import Decimal

import nats.errors
import numpy as np

import stand_in
from cryptoquantix.bus.connection import connect
from cryptoquantix.bus.messages import (
    FeedStatus,
    MessageDecoder,
    QuoteMessage,
    TickBatch,
)
from cryptoquantix.core.clock import SystemClock
from cryptoquantix.core.instrument import InstrumentId
from cryptoquantix.core.market import BestQuote, Tick
from cryptoquantix.live import feed_service
from cryptoquantix.live.bus_sink import BusSink
from cryptoquantix.live.feed_service import FeedService
from cryptoquantix.venues import socket as market_socket
from cryptoquantix.venues.market_rest import MarketRest
from cryptoquantix.venues.markets import select
from processes import start_nats
from stand_in import StandIn, book_ticker, mark_price

BTC = InstrumentId.parse("binance:BTCUSDT-PERP")


def tick(trade_id, time_ms=1_000_000):
    return Tick(time_ms * 10**6 + trade_id * 10**6, 1000, 5, False, trade_id)


class Heard:
    """What the bus carried."""

    def __init__(self):
        self.ids = []
        self.quotes = []
        self.statuses = []
        self._ticks = MessageDecoder(TickBatch)
        self._quotes = MessageDecoder(QuoteMessage)
        self._statuses = MessageDecoder(FeedStatus)

    async def on_ticks(self, message):
        batch = self._ticks.decode(message.data)
        self.ids += [one.trade_id for one in batch.iter_ticks()]

    async def on_quotes(self, message):
        self.quotes.append(self._quotes.decode(message.data))

    async def on_status(self, message):
        self.statuses.append(self._statuses.decode(message.data))

    async def until(self, condition, seconds=20):
        async with asyncio.timeout(seconds):
            while not condition(self):  # noqa: ASYNC110 - a test's patience
                await asyncio.sleep(0.01)


@asynccontextmanager
async def feeding(tmp_path, venue):
    clock = SystemClock()
    heard = Heard()
    with start_nats(tmp_path) as server:
        client = await connect(server.url, "feed")
        listener = await connect(server.url, "test")
        await listener.subscribe("ticks.>", cb=heard.on_ticks)
        await listener.subscribe("quotes.>", cb=heard.on_quotes)
        await listener.subscribe("feed.>", cb=heard.on_status)
        await listener.flush()
        async with venue, MarketRest(venue.rest, clock) as rest:
            instruments = select(await rest.instruments(), [BTC])
            service = FeedService(
                list(instruments.values()),
                venue.ws,
                rest,
                client,
                clock,
                np.random.default_rng(1),
            )
            task = asyncio.create_task(service.run())
            try:
                yield service, heard, server
            finally:
                task.cancel()
                await asyncio.wait([task], timeout=5)
                await client.close()
                await listener.close()
                assert task.done()


async def test_trades_and_quotes_reach_the_bus_and_the_status_says_so(tmp_path):
    venue = StandIn()
    async with feeding(tmp_path, venue) as (_, heard, _):
        await venue.subscribed(2)
        await venue.trade("BTCUSDT", *(tick(i) for i in range(1, 101)))
        await venue.send("btcusdt@bookTicker", book_ticker("BTCUSDT", 5))
        await heard.until(lambda h: h.ids == list(range(1, 101)) and h.quotes)
        assert heard.quotes[-1].bid_price_ticks == 999
        await heard.until(
            lambda h: h.statuses and h.statuses[-1].streams[0].trades == 100
        )


async def test_a_cut_connection_is_dialed_again_and_what_was_missed_is_fetched(
    tmp_path,
):
    venue = StandIn()
    async with feeding(tmp_path, venue) as (service, heard, _):
        await venue.subscribed(2)
        await venue.trade("BTCUSDT", tick(1), tick(2))
        await heard.until(lambda h: h.ids == [1, 2])
        await venue.cut()
        await venue.trade("BTCUSDT", tick(3), tick(4), silent=True)
        await venue.subscribed(4)
        await venue.trade("BTCUSDT", tick(5))
        await heard.until(lambda h: h.ids == [1, 2, 3, 4, 5])
        status = service.status()
        assert (status.gaps, status.streams[0].trades_missing) == (1, 0)
        assert status.streams[0].backfilled == 2
        assert status.reconnects == 2
        assert status.connected


async def test_a_venue_that_changes_an_instruments_steps_is_followed(
    tmp_path, monkeypatch
):
    """The prints in steps of the new size are refused at first, and fetched later."""
    monkeypatch.setattr(feed_service, "_STEPS_SECONDS", 0.1)
    venue = StandIn()
    async with feeding(tmp_path, venue) as (service, heard, _):
        await venue.subscribed(2)
        await venue.trade("BTCUSDT", tick(1), tick(2))
        await heard.until(lambda h: h.ids == [1, 2])
        monkeypatch.setattr(stand_in, "TICK_SIZE", Decimal("0.05"))
        odd = tick(3)._replace(price_ticks=2001)
        await venue.trade("BTCUSDT", odd)
        await heard.until(lambda h: service.status().messages_refused == 1)
        stream = service.decoder.streams["BTCUSDT"]
        await heard.until(lambda h: stream.instrument.tick_size == Decimal("0.05"))
        await venue.trade("BTCUSDT", tick(4)._replace(price_ticks=2003))
        await heard.until(lambda h: h.ids == [1, 2, 3, 4])
        assert service.status().streams[0].trades_missing == 0


async def test_a_venue_that_goes_away_and_comes_back_is_found_again(tmp_path):
    venue = StandIn()
    async with feeding(tmp_path, venue) as (service, heard, _):
        await venue.subscribed(2)
        await venue.__aexit__()
        await heard.until(lambda h: h.statuses and not h.statuses[-1].connected)
        await asyncio.sleep(0.5)
        await venue.__aenter__()
        await venue.subscribed(4)
        await venue.trade("BTCUSDT", tick(1))
        await heard.until(lambda h: h.ids == [1])
        assert service.status().reconnects >= 2


async def test_a_refused_subscription_is_no_connection_and_is_tried_again(tmp_path):
    venue = StandIn(refuse=True)
    async with feeding(tmp_path, venue) as (service, heard, _):
        await heard.until(lambda h: service.status().reconnects >= 2)
        assert not service.status().connected
        venue.refuse = False
        await venue.subscribed(2)
        await heard.until(lambda h: service.status().connected)


async def test_a_subscription_the_venue_forgot_is_renewed(tmp_path, monkeypatch):
    """Acknowledged, pongs come, trades happen, and nothing is streamed."""
    monkeypatch.setattr(feed_service, "SILENCE_NS", 200_000_000)
    monkeypatch.setattr(feed_service, "_PROBE_SECONDS", 0.05)
    venue = StandIn()
    venue.ticks["BTCUSDT"] = [tick(0)]
    async with feeding(tmp_path, venue) as (service, heard, _):
        await venue.subscribed(2)
        await asyncio.sleep(1)
        assert service.status().reconnects == 0, "trades before us are none of ours"
        await venue.trade("BTCUSDT", tick(1))
        await heard.until(lambda h: h.ids == [1])
        await venue.send("btcusdt@bookTicker", book_ticker("BTCUSDT", 5))
        await asyncio.sleep(1)
        assert service.status().reconnects == 0, "a quiet market is no dead socket"
        venue.deaf = True
        await venue.trade("BTCUSDT", tick(2))
        await venue.subscribed(3)
        venue.deaf = False
        await heard.until(lambda h: service.status().connected)
        await venue.trade("BTCUSDT", tick(3))
        await heard.until(lambda h: 3 in h.ids)


async def test_quotes_that_stand_still_while_trades_go_on_are_renewed(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(feed_service, "SILENCE_NS", 200_000_000)
    monkeypatch.setattr(feed_service, "_PROBE_SECONDS", 0.05)
    venue = StandIn()
    async with feeding(tmp_path, venue) as (service, _, _):
        await venue.subscribed(2)
        async with asyncio.timeout(10):
            trade_id = 0
            while service.status().reconnects == 0:
                trade_id += 1
                await venue.trade("BTCUSDT", tick(trade_id))
                await asyncio.sleep(0.02)
        assert service.status().streams[0].gaps == 0, "only the quotes' socket"


async def test_a_mark_that_stands_still_while_quotes_go_on_is_renewed(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(feed_service, "MARK_SILENCE_NS", 300_000_000)
    monkeypatch.setattr(feed_service, "_PROBE_SECONDS", 0.05)
    venue = StandIn()

    async def quote(number):
        await venue.send("btcusdt@bookTicker", book_ticker("BTCUSDT", number))
        await asyncio.sleep(0.02)

    async with feeding(tmp_path, venue) as (service, _, _):
        await venue.subscribed(2)
        await venue.send("btcusdt@markPrice@1s", mark_price("BTCUSDT", 5))
        await quote(1)
        async with asyncio.timeout(10):
            while not service.status().streams[0].is_mark_proven:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        (stream,) = service.status().streams
        assert stream.mark_age_ns >= 0
        await asyncio.sleep(0.5)
        assert service.status().reconnects == 0, "a book that stands still has no marks"
        async with asyncio.timeout(10):
            number = 1
            while service.status().reconnects == 0:
                number += 1
                await quote(number)
        assert not service.status().streams[0].is_mark_proven


async def test_a_socket_that_answers_no_ping_is_given_up(tmp_path, monkeypatch):
    """The peer's machine is gone: nothing arrives, and nothing is closed either."""
    monkeypatch.setattr(market_socket, "_IDLE_SECONDS", 0.2)
    monkeypatch.setattr(market_socket, "_PONG_SECONDS", 0.2)
    venue = StandIn()
    async with feeding(tmp_path, venue) as (service, _, _):
        await venue.subscribed(2)
        await asyncio.sleep(1)
        assert service.status().reconnects == 0, "pongs keep a quiet socket up"
        for _, socket, _ in venue.sockets:
            socket._req.transport.pause_reading()
        await venue.subscribed(4)
        assert service.status().reconnects == 2


async def test_a_bus_that_is_away_never_stops_the_feed(tmp_path):
    venue = StandIn()
    async with feeding(tmp_path, venue) as (service, heard, server):
        await venue.subscribed(2)
        await venue.trade("BTCUSDT", tick(1))
        await heard.until(lambda h: h.ids == [1])
        server.process.terminate()
        server.process.wait(5)
        for trade_id in range(2, 50):
            await venue.trade("BTCUSDT", tick(trade_id))
        await asyncio.sleep(0.2)
        assert service.decoder.streams["BTCUSDT"].trades == 49
        assert service.sink.batches_dropped == 0, "kept while the bus is away"
        with start_nats(tmp_path, server.port):
            # A consumer that comes back later than the feed misses what was kept, and
            # sees by the trade ids that it did.
            trade_id = 49
            async with asyncio.timeout(15):
                while heard.ids[-1] < 50:
                    trade_id += 1
                    await venue.trade("BTCUSDT", tick(trade_id))
                    await asyncio.sleep(0.05)
            assert service.status().reconnects == 0


class SlowClient:
    """A bus that takes nothing, as when its socket is full."""

    def __init__(self):
        self.published = []
        self.gate = asyncio.Event()

    async def publish(self, subject, payload):
        await self.gate.wait()
        self.published.append(payload)


class AbsentClient:
    async def publish(self, subject, payload):
        raise nats.errors.OutboundBufferLimitError


async def test_a_slow_bus_costs_batches_within_a_bound_and_counts_them(tmp_path):
    venue = StandIn()
    async with venue, MarketRest(venue.rest, SystemClock()) as rest:
        [btc] = select(await rest.instruments(), [BTC]).values()
    client = SlowClient()
    sink = BusSink(client, queue_max=10)
    task = asyncio.create_task(sink.run())
    await asyncio.sleep(0)
    for trade_id in range(100):
        sink.put_ticks(btc, [(0, 1, 1, True, trade_id)], 0, -1)
        sink.put_quote(btc, BestQuote(0, 1, 1, 2, 1), 0)
    assert len(sink._queue) == 10
    client.gate.set()
    await asyncio.sleep(0.05)
    decoder = MessageDecoder(TickBatch)
    heard = [batch for data in client.published if (batch := decoder.decode(data))]
    assert len(heard) + sink.batches_dropped == 100
    assert sink.batches_dropped >= 90
    task.cancel()


async def test_a_bus_that_refuses_costs_a_batch_and_never_the_feed():
    venue = StandIn()
    async with venue, MarketRest(venue.rest, SystemClock()) as rest:
        [btc] = select(await rest.instruments(), [BTC]).values()
    sink = BusSink(AbsentClient())
    task = asyncio.create_task(sink.run())
    sink.put_ticks(btc, [(0, 1, 1, True, 1)], 0, -1)
    await asyncio.sleep(0.05)
    assert sink.batches_dropped == 1
    assert not task.done()
    task.cancel()
