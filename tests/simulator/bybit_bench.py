"""A Bybit venue on a manual clock, asked over its wire; and one behind a socket."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from contextlib import asynccontextmanager, suppress
from decimal import Decimal
from fractions import Fraction
from functools import cache
from urllib.parse import urlencode

import ccxt.pro

from cryptoquantix.core.clock import ManualClock, SystemClock
from cryptoquantix.simulator.bybit_venue import BybitVenue
from cryptoquantix.simulator.generator import (
    generate,
    generated_instrument,
    prior_bars,
)
from cryptoquantix.simulator.record import Record
from cryptoquantix.simulator.server import VenueServer
from cryptoquantix.simulator.tape import Tape
from cryptoquantix.simulator.wire.messages import Key, Request
from cryptoquantix.simulator.world import World

MINUTE = 60 * 10**9
START = 28_333_333 * MINUTE  # in November 2023
KEYS = (Key("k", "s", 1, "trade"), Key("r", "t", 1, "risk"))
SYMBOLS = ("BTCUSDT", "ETHUSDT", "DOGEUSDT")


@cache
def day_before(symbol: str, start_ns: int):
    """The generated bars of the day before; as many as anyone here asks for."""
    return prior_bars(generated_instrument(symbol), 7, end_ns=start_ns)[-1500:]


def make_world(clock, *, is_paused=False, is_lenient=False, is_limited=False):
    """A world with a Bybit venue alone, and one account of 100 000 USDT."""
    instruments = [generated_instrument(s) for s in SYMBOLS]
    start_ns = clock.time_ns() // MINUTE * MINUTE
    tape = Tape(
        generate(instruments, 7, start_ns=start_ns),
        start_ns=start_ns,
        monotonic_ns=clock.monotonic_ns(),
        speed=1.0,
        paused=is_paused,
    )
    world = World(clock, tape, Record(None))
    venue = BybitVenue(
        KEYS, world.record, seed="seed", is_lenient=is_lenient, is_limited=is_limited
    )
    for instrument in instruments:
        listing = instrument.listing
        venue.add_instrument(
            listing,
            instrument.price_ticks,
            tape_ns=start_ns,
            prior=day_before(listing.symbol, start_ns),
        )
    venue.open_account(Decimal(100_000), clock.time_ns())
    world.venues["bybit"] = venue
    for symbol in SYMBOLS:  # a first print, so that funding times are known
        venue.shock(symbol, Fraction(1), clock.time_ns())
    return world


class Bench:
    """A world on a manual clock, asked over its wire."""

    def __init__(self, **options) -> None:
        self.clock = ManualClock(START, START)
        self.world = make_world(self.clock, **options)
        self.venue = self.world.venues["bybit"]
        self.account = self.venue.exchange.clearing.accounts[1]
        self.run(5)

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds * 10)):
            self.clock.advance(100_000_000)
            self.world.play()
            self.world.timer()

    def rest(self, seconds: float = 1) -> None:
        """Let time pass while the tape stands still from now on."""
        self.world.tape.set_paused(self.clock.monotonic_ns(), paused=True)
        self.run(seconds)

    def market(self, symbol="BTCUSDT"):
        return self.venue.exchange.markets[symbol]

    def price(self, symbol="BTCUSDT") -> Decimal:
        return Decimal(self.venue.prices_json()[symbol])

    def respond(self, method, path, parameters=None, **changes):
        """The response to a signed request; ``changes`` spoil it."""
        query, body = "", b""
        if method == "GET":
            query = urlencode(parameters or {})
        else:
            body = json.dumps(parameters or {}).encode()
        stamp = str(changes.pop("stamp", self.clock.time_ns() // 1_000_000))
        window = changes.pop("window", "5000")
        key, secret = changes.pop("key", "k"), changes.pop("secret", "s")
        text = f"{stamp}{key}{window}".encode() + (query.encode() or body)
        sign = hmac.new(secret.encode(), text, hashlib.sha256).hexdigest()
        headers = {
            "x-bapi-api-key": key,
            "x-bapi-timestamp": stamp,
            "x-bapi-recv-window": window,
            "x-bapi-sign": sign,
        } | changes.pop("headers", {})
        request = Request(method, path, query, body, headers=headers, address="a")
        request = request._replace(**changes)
        return self.venue.respond(request, self.clock.time_ns())

    def ask(self, method, path, parameters=None, **changes) -> dict:
        """The whole answer, whatever its code."""
        return json.loads(self.respond(method, path, parameters, **changes).body)

    def get(self, path, **parameters) -> dict:
        """What a query that succeeds answers."""
        return self._good(self.ask("GET", path, parameters))

    def post(self, path, **parameters) -> dict:
        """What a command that succeeds answers."""
        return self._good(self.ask("POST", path, parameters))

    def refused(self, path, **parameters) -> int:
        """The code a command is refused with."""
        return self.ask("POST", path, parameters)["retCode"]

    @staticmethod
    def _good(answer) -> dict:
        assert answer["retCode"] == 0, answer
        return answer["result"]

    def order(self, **changes) -> dict:
        """Create an order; a small market buy unless changed."""
        parameters = {
            "category": "linear",
            "symbol": "BTCUSDT",
            "side": "Buy",
            "orderType": "Market",
            "qty": "0.1",
        } | changes
        return self.post("/v5/order/create", **parameters)

    def shown(self, order_id: str) -> dict:
        """An order as realtime shows it by id."""
        parameters = {"category": "linear", "orderId": order_id}
        [row] = self.get("/v5/order/realtime", **parameters)["list"]
        return row

    def position(self, symbol="BTCUSDT") -> dict:
        """The position of a symbol in one-way mode."""
        parameters = {"category": "linear", "symbol": symbol}
        [row] = self.get("/v5/position/list", **parameters)["list"]
        return row

    # WebSocket.

    def connect(self, path="/v5/private"):
        request = Request("GET", path, "", b"", address="a")
        return self.venue.open_subscriber(request, self.clock.time_ns())

    def tell(self, subscriber, message) -> list[dict]:
        """Send one message and return what came back at once."""
        text = message if isinstance(message, str | bytes) else json.dumps(message)
        self.venue.receive(subscriber, text, self.clock.time_ns())
        return self.heard(subscriber)

    def heard(self, subscriber, topic=None) -> list[dict]:
        """What waits for a subscriber, of one topic or all; it waits no longer."""
        messages = [payload(f) for f in subscriber.frames]
        subscriber.frames.clear()
        return [m for m in messages if topic in {None, m.get("topic")}]

    def authenticate(self, subscriber, secret="s", ahead_ms=10_000):
        expires = self.clock.time_ns() // 1_000_000 + ahead_ms
        text = f"GET/realtime{expires}".encode()
        sign = hmac.new(secret.encode(), text, hashlib.sha256).hexdigest()
        args = ["k", str(expires), sign]
        return self.tell(subscriber, {"op": "auth", "args": args})

    def listen(self, *topics):
        """A private subscriber of ``topics``."""
        subscriber = self.connect()
        assert self.authenticate(subscriber)[0]["success"]
        said = self.tell(subscriber, {"op": "subscribe", "args": list(topics)})
        assert said[0]["success"], said
        return subscriber

    def follow(self, *topics):
        """A public subscriber of ``topics``."""
        subscriber = self.connect("/v5/public/linear")
        text = json.dumps({"op": "subscribe", "args": list(topics)})
        self.venue.receive(subscriber, text, self.clock.time_ns())
        assert payload(subscriber.frames.pop(0))["success"]
        return subscriber


def payload(frame: bytes) -> dict:
    size = frame[1]
    start = 2 if size < 126 else 4 if size == 126 else 10
    return json.loads(frame[start:])


# Behind a socket, for ccxt.


class Served:
    """A world in this process behind a socket."""

    def __init__(self, world: World, server: VenueServer, port: int) -> None:
        self.world = world
        self.venue = world.venues["bybit"]
        self.server = server
        self.rest = f"http://127.0.0.1:{port}"
        self.ws = f"ws://127.0.0.1:{port}"

    @property
    def account(self):
        return self.venue.exchange.clearing.accounts[1]

    def books(self) -> dict:
        return self.venue.account_json(1)

    def market(self, symbol="BTCUSDT"):
        return self.venue.exchange.markets[symbol]

    async def beat(self) -> None:
        while True:
            self.world.play()
            self.world.timer()
            self.server.flush()
            await asyncio.sleep(0.01)


@asynccontextmanager
async def serve(**options):
    """Serve a world on a free port of this machine until the block ends."""
    clock = SystemClock()
    world = make_world(clock, **options)
    server = VenueServer(world.venues["bybit"], clock)
    port = await server.start("127.0.0.1", 0)
    served = Served(world, server, port)
    beat = asyncio.create_task(served.beat())
    try:
        yield served
    finally:
        beat.cancel()
        with suppress(asyncio.CancelledError):
            await beat
        await server.stop()


def bybit_urls(rest: str, ws: str) -> dict:
    """The whole tree of addresses, so that no call can leave this machine."""
    public = {k: f"{ws}/v5/public/{k}" for k in ("spot", "inverse", "option", "linear")}
    private = {
        "spot": {"unified": f"{ws}/v5/private", "nonUnified": f"{ws}/spot/private/v3"},
        "contract": f"{ws}/v5/private",
        "usdc": f"{ws}/trade/option/usdc/private/v1",
        "trade": f"{ws}/v5/trade",
    }
    names = ("spot", "futures", "v2", "public", "private")
    return dict.fromkeys(names, rest) | {"ws": {"public": public, "private": private}}


def bybit_client(rest: str, ws: str, **options):
    """Ccxt's own client, with the settings that avoid needless calls."""
    client = ccxt.pro.bybit(
        {
            "apiKey": "k",
            "secret": "s",
            "enableRateLimit": False,
            "urls": {"api": bybit_urls(rest, ws)},
            "has": {"fetchCurrencies": False},
            "options": {
                "fetchMarkets": {"types": ["linear"]},
                "defaultType": "swap",
                "enableUnifiedMargin": False,
                "enableUnifiedAccount": True,
                "unifiedMarginStatus": 6,
                "watchPositions": {
                    "fetchPositionsSnapshot": False,
                    "awaitPositionsSnapshot": False,
                },
                **options,
            },
        }
    )
    assert_local(client.urls["api"], rest.removeprefix("http"))
    return client


def assert_local(tree, place: str) -> None:
    for leaf in tree.values():
        if isinstance(leaf, dict):
            assert_local(leaf, place)
        else:
            assert place in leaf, leaf
