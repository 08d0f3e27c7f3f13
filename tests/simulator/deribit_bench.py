"""A simulated Deribit on a manual clock, asked over its wire without sockets."""

from __future__ import annotations

import hashlib
import hmac
import json
from decimal import Decimal
from functools import cache
from urllib.parse import urlencode

from cryptoquantix.core.clock import ManualClock
from cryptoquantix.simulator.deribit_venue import DeribitVenue
from cryptoquantix.simulator.generator import (
    generate,
    generated_instrument,
    prior_bars,
)
from cryptoquantix.simulator.record import Record
from cryptoquantix.simulator.tape import Tape
from cryptoquantix.simulator.wire.messages import Key, Request, Response
from cryptoquantix.simulator.world import World

START = 1_700_000_000 * 10**9
KEYS = [
    Key("k", "s", 1, "trade"),
    Key("r", "t", 1, "risk"),
    Key("o", "p", 1, "read"),
]


def sign(secret: str, *lines: str) -> str:
    payload = "".join(f"{line}\n" for line in lines)
    return hmac.new(secret.encode(), payload.encode(), hashlib.sha256).hexdigest()


def payload(frame: bytes):
    """The JSON of one unmasked text frame, its decimals as they were written."""
    size = frame[1]
    start = {126: 4, 127: 10}.get(size, 2)
    return json.loads(frame[start:], parse_float=Decimal)


@cache
def _prior(symbol: str):
    return prior_bars(generated_instrument(symbol), 7, end_ns=START)[-120:]


class DeribitBench:
    """A venue with a tape that plays when told to."""

    def __init__(self, *symbols: str, **options) -> None:
        self.clock = ManualClock(START, START)
        self.record = Record()
        self.venue = DeribitVenue(KEYS, self.record, seed="seed", **options)
        instruments = [generated_instrument(s) for s in symbols or ("BTCUSDT",)]
        tape = Tape(
            generate(instruments, 7, start_ns=START),
            start_ns=START,
            monotonic_ns=START,
            speed=1.0,
            paused=False,
        )
        self.world = World(self.clock, tape, self.record)
        for each in instruments:
            prior = _prior(each.listing.symbol)
            self.venue.add_instrument(
                each.listing, each.price_ticks, tape_ns=START, prior=prior
            )
        self.venue.open_account(Decimal(300_000), START)
        self.world.venues["deribit"] = self.venue
        self.nonce = 0

    @property
    def now(self) -> int:
        return self.clock.time_ns()

    @property
    def account(self):
        return self.venue.exchange.clearing.accounts[1]

    def run(self, seconds: float) -> None:
        for _ in range(int(seconds * 20)):
            self.clock.advance(50_000_000)
            self.world.play()
            self.world.timer()

    def market(self, symbol: str = "BTC-PERPETUAL"):
        return self.venue.exchange.markets[symbol]

    # HTTP.

    def header(self, method, target, body="", *, key="k", secret="s", **changed):
        self.nonce += 1
        stamp = changed.get("ts", str(self.now // 1_000_000))
        nonce = changed.get("nonce", str(self.nonce))
        signature = sign(secret, stamp, nonce, method, target, body)
        signature = changed.get("sig", signature)
        return f"deri-hmac-sha256 id={key},ts={stamp},sig={signature},nonce={nonce}"

    def http(self, method, target, body="", header="") -> tuple[Response, dict]:
        path, _, query = target.partition("?")
        headers = {"authorization": header} if header else {}
        request = Request(method, path, query, body.encode(), headers=headers)
        response = self.venue.respond(request, self.now)
        return response, json.loads(response.body, parse_float=Decimal)

    def ask(self, name: str, *, key="k", secret="s", **parameters):
        """The answer to a GET, signed where it is private."""
        target = f"/api/v2/{name}"
        if parameters:
            target += "?" + urlencode(parameters)
        header = ""
        if name.startswith("private/"):
            header = self.header("GET", target, key=key, secret=secret)
        response, answer = self.http("GET", target, header=header)
        assert response.status == (400 if "error" in answer else 200)
        return answer

    def result(self, name: str, **parameters):
        answer = self.ask(name, **parameters)
        assert "result" in answer, answer
        return answer["result"]

    def code(self, name: str, **parameters) -> int:
        return self.ask(name, **parameters)["error"]["code"]

    # WebSocket.

    def connect(self, *, login: bool = False):
        subscriber = self.venue.open_subscriber(
            Request("GET", "/ws/api/v2", "", b""), self.now
        )
        if login:
            self.say(
                subscriber,
                "public/auth",
                grant_type="client_credentials",
                client_id="k",
                client_secret="s",
            )
        return subscriber

    def say(self, subscriber, name: str, number: int = 1, **parameters):
        """The answer to a message; notifications before it stay queued."""
        message = {"jsonrpc": "2.0", "id": number, "method": name}
        message["params"] = parameters
        self.venue.receive(subscriber, json.dumps(message), self.now)
        return self.take_answer(subscriber, number)

    @staticmethod
    def take_answer(subscriber, number=1):
        for frame in subscriber.frames:
            if frame[0] != 0x81:
                continue
            found = payload(frame)
            if found.get("id") == number and "method" not in found:
                subscriber.frames.remove(frame)
                return found
        msg = "no answer"
        raise AssertionError(msg)

    @staticmethod
    def heard(subscriber, channel: str | None = None) -> list:
        """Notifications that wait, taken."""
        messages = [payload(f) for f in subscriber.frames if f[0] == 0x81]
        subscriber.frames.clear()
        told = [m["params"] for m in messages if m.get("method") == "subscription"]
        if channel is None:
            return told
        return [m["data"] for m in told if m["channel"] == channel]
