"""The feeds of three venues on the simulator and a real bus, and what they send."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal

import numpy as np

from cryptoquantix.bus.connection import connect
from cryptoquantix.bus.messages import (
    GapNotice,
    MarkMessage,
    MessageDecoder,
    QuoteMessage,
    TickBatch,
)
from cryptoquantix.core.clock import SystemClock
from cryptoquantix.core.instrument import InstrumentId, Venue
from cryptoquantix.live.feed_service import FeedService
from cryptoquantix.venues.market_rest import MarketRest
from cryptoquantix.venues.markets import select

INSTRUMENTS = {
    Venue.BINANCE: InstrumentId.parse("binance:BTCUSDT-PERP"),
    Venue.BYBIT: InstrumentId.parse("bybit:BTCUSDT-PERP"),
    Venue.DERIBIT: InstrumentId.parse("deribit:BTCUSD-PERP"),
}
VENUES = "binance,bybit,deribit"


def venue_trades(simulator, venue: Venue) -> list[tuple[int, str, str, bool]]:
    """
    The venue's own newest trades, read from its documented answer and nothing else.

    Each is its time in ms, price and size as written, and whether the seller was the
    aggressor; oldest first.
    """
    rest = simulator.line["venues"][venue.value]["rest"]
    path = {
        Venue.BINANCE: "/fapi/v1/aggTrades?symbol=BTCUSDT&limit=1000",
        Venue.BYBIT: "/v5/market/recent-trade?"
        "category=linear&symbol=BTCUSDT&limit=1000",
        Venue.DERIBIT: "/api/v2/public/get_last_trades_by_instrument?"
        "instrument_name=BTC-PERPETUAL&count=1000&sorting=asc",
    }[venue]
    with urllib.request.urlopen(rest + path, timeout=10) as answer:
        value = json.load(answer, parse_float=str, parse_int=str)
    if venue is Venue.BINANCE:
        return [(int(t["T"]), t["p"], t["q"], t["m"]) for t in value]
    if venue is Venue.BYBIT:
        rows = reversed(value["result"]["list"])
        return [
            (int(t["time"]), t["price"], t["size"], t["side"] == "Sell") for t in rows
        ]
    return [
        (int(t["timestamp"]), t["price"], t["amount"], t["direction"] == "sell")
        for t in value["result"]["trades"]
    ]


@dataclass
class Heard:
    """What one venue's feed published of its instrument."""

    batches: list[TickBatch] = field(default_factory=list)
    quotes: list[QuoteMessage] = field(default_factory=list)
    marks: list[MarkMessage] = field(default_factory=list)
    gaps: list[GapNotice] = field(default_factory=list)

    @property
    def ticks(self) -> list[tuple[int, int, int, bool, int]]:
        return [tick for batch in self.batches for tick in batch.ticks]

    def breaks(self) -> int:
        """How often a batch did not follow the one before it."""
        pairs = zip(self.batches, self.batches[1:], strict=False)
        return sum(after.follows != before.ticks[-1][4] for before, after in pairs)

    def written(self) -> list[tuple[int, str, str, bool]]:
        """The ticks as a venue would write them."""
        return [
            (
                time_ns // 10**6,
                price * Decimal(batch.tick_size),
                size * Decimal(batch.lot_size),
                is_maker,
            )
            for batch in self.batches
            for time_ns, price, size, is_maker, _ in batch.ticks
        ]


def assert_whole(simulator, venue: Venue, heard: Heard) -> None:
    """Nothing is missing, doubled or altered: the venue's own list is the judge."""
    assert heard.breaks() == 0
    ids = [tick[4] for tick in heard.ticks]
    assert ids == sorted(set(ids))
    own = [
        (time_ms, Decimal(price), Decimal(size), is_maker)
        for time_ms, price, size, is_maker in venue_trades(simulator, venue)
    ]
    mine = heard.written()
    # The list goes on behind what was heard, and begins later or earlier.
    end = len(own) - next(
        i for i, _ in enumerate(own) if own[len(own) - 1 - i] == mine[-1]
    )
    count = min(end, len(mine))
    pairs = zip(mine[-count:], own[end - count : end], strict=True)
    assert next((one for one in pairs if one[0] != one[1]), None) is None, venue
    assert count > 20


@asynccontextmanager
async def three_feeds(
    nats, simulator
) -> AsyncIterator[tuple[dict[Venue, FeedService], dict[Venue, Heard]]]:
    clock = SystemClock()
    heard = {venue: Heard() for venue in INSTRUMENTS}
    services = {}
    async with AsyncExitStack() as stack:
        client = await connect(nats.url, "feeds")
        stack.push_async_callback(client.close)
        listener = await connect(nats.url, "test")
        stack.push_async_callback(listener.close)
        for prefix, kind, name in (
            ("ticks", TickBatch, "batches"),
            ("quotes", QuoteMessage, "quotes"),
            ("marks", MarkMessage, "marks"),
            ("gaps", GapNotice, "gaps"),
        ):
            await listener.subscribe(f"{prefix}.>", cb=_keeper(heard, kind, name))
        await listener.flush()
        tasks = []
        for venue, instrument in INSTRUMENTS.items():
            address = simulator.line["venues"][venue.value]
            rest = await stack.enter_async_context(
                MarketRest(address["rest"], clock, venue)
            )
            wanted = list(select(await rest.instruments(), [instrument]).values())
            random = np.random.default_rng(len(services))
            service = FeedService(wanted, address["ws"], rest, client, clock, random)
            services[venue] = service
            tasks.append(asyncio.create_task(service.run()))
        try:
            yield services, heard
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=10)


def _keeper(heard, kind, name):
    decoder = MessageDecoder(kind)

    async def keep(message) -> None:
        value = decoder.decode(message.data)
        getattr(heard[Venue(value.venue)], name).append(value)

    return keep


async def until(condition, seconds=60):
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - a test's patience
            await asyncio.sleep(0.01)
