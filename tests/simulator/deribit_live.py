"""A simulated Deribit on a real port in the test's own loop, and ccxt pointed at it."""

from __future__ import annotations

import asyncio
import contextlib
from decimal import Decimal
from functools import cache

import ccxt.pro

from cryptoquantix.core.clock import SystemClock
from cryptoquantix.simulator.deribit_venue import DeribitVenue
from cryptoquantix.simulator.faults import Fault, FaultBoard, Kind
from cryptoquantix.simulator.generator import (
    generate,
    generated_instrument,
    prior_bars,
)
from cryptoquantix.simulator.record import Record
from cryptoquantix.simulator.server import VenueServer
from cryptoquantix.simulator.tape import Tape
from cryptoquantix.simulator.world import World
from simulator.deribit_bench import KEYS

BTC, LINEAR = "BTC/USD:BTC", "BTC/USDC:USDC"
ETH = "ETH/USD:ETH"


def number(value) -> Decimal:
    return Decimal(str(value))


@cache
def _prior(symbol: str, minute: int):
    end_ns = minute * 60_000_000_000
    return prior_bars(generated_instrument(symbol), 7, end_ns=end_ns)[-200:]


class LiveDeribit:
    """The venue, its books at hand, behind a socket; its tape plays when told to."""

    def __init__(self, *, is_paused: bool = True, **options) -> None:
        self.clock = SystemClock()
        self.record = Record()
        options = {"is_limited": False} | options
        self.venue = DeribitVenue(KEYS, self.record, seed="seed", **options)
        instruments = [generated_instrument(s) for s in ("BTCUSDT", "ETHUSDT")]
        start_ns = self.clock.time_ns()
        tape = Tape(
            generate(instruments, 7, start_ns=start_ns),
            start_ns=start_ns,
            monotonic_ns=self.clock.monotonic_ns(),
            speed=10.0,
            paused=is_paused,
        )
        self.world = World(self.clock, tape, self.record)
        for each in instruments:
            prior = _prior(each.listing.symbol, start_ns // 60_000_000_000)
            self.venue.add_instrument(
                each.listing, each.price_ticks, tape_ns=start_ns, prior=prior
            )
        self.venue.open_account(Decimal(300_000), start_ns)
        self.world.venues["deribit"] = self.venue
        self.board = FaultBoard()
        self.server = VenueServer(self.venue, self.clock, self.board)
        self.port = 0

    @property
    def exchange(self):
        return self.venue.exchange

    @property
    def account(self):
        return self.exchange.clearing.accounts[1]

    def market(self, symbol: str = "BTC-PERPETUAL"):
        return self.exchange.markets[symbol]

    def held(self, symbol: str = "BTC-PERPETUAL"):
        return self.account.held(symbol)

    def urls(self) -> dict:
        host = f"127.0.0.1:{self.port}"
        return {"api": {"rest": f"http://{host}", "ws": f"ws://{host}/ws/api/v2"}}

    def client(self, kind=ccxt.pro.deribit, **options):
        """
        Ccxt as released; every address it knows is of this machine.

        Its nonce is the millisecond and good for one request: at the pace of this
        machine it needs its rate limiter, if only set to two milliseconds.
        """
        client = kind(
            {
                "apiKey": "k",
                "secret": "s",
                "enableRateLimit": True,
                "rateLimit": 2,
                "urls": self.urls(),
                "options": options,
            }
        )
        assert set(client.urls["api"]) == {"rest", "ws"}
        return client

    def pause(self) -> None:
        """Let prices stand still."""
        self.world.tape.set_paused(self.clock.monotonic_ns(), paused=True)

    def slow_login(self, milliseconds: int) -> None:
        """Answer logins late; what is sent meanwhile is heard before them."""
        fault = Fault(kind=Kind.SLOW_AUTH, venue="deribit", milliseconds=milliseconds)
        now_ns = self.clock.monotonic_ns()
        self.board.add(fault, now_ns)
        self.board.turn(now_ns)

    async def _pump(self) -> None:
        while True:
            self.world.play()
            self.world.timer()
            self.server.flush()
            await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def live_deribit(**options):
    """A running venue; its port is closed at the end."""
    live = LiveDeribit(**options)
    live.port = await live.server.start("127.0.0.1", 0)
    pump = asyncio.create_task(live._pump())
    try:
        yield live
    finally:
        pump.cancel()
        await live.server.stop()
