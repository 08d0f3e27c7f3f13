"""The same script on a manual clock, without sockets: the same bytes everywhere."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from random import Random

import msgspec

from cryptoquantix.core.clock import ManualClock
from cryptoquantix.core.order import Side, TimeInForce
from cryptoquantix.simulator.accounts import Leg
from cryptoquantix.simulator.build import Options, build_world, generated_plan
from cryptoquantix.simulator.generator import generated_instrument
from cryptoquantix.simulator.listing import to_units
from cryptoquantix.simulator.orders import AlgoRequest, OrderRequest
from cryptoquantix.simulator.refusals import CommandRefusedError
from cryptoquantix.simulator.venue import SimulatedVenue
from cryptoquantix.simulator.wire.messages import Request, Subscriber
from cryptoquantix.simulator.world import World

START = 1_700_000_000 * 10**9
TENTH = 100_000_000
VENUES = ("binance", "bybit", "deribit")
KEYS = {"key": "k", "secret": "s", "risk": {"key": "r", "secret": "t"}}
CHANNELS = {
    "binance": (
        "/stream",
        {
            "method": "SUBSCRIBE",
            "params": ["btcusdt@aggTrade", "btcusdt@depth@100ms", "ethusdt@bookTicker"],
            "id": 1,
        },
    ),
    "bybit": (
        "/v5/public/linear",
        {
            "op": "subscribe",
            "args": ["publicTrade.BTCUSDT", "orderbook.50.BTCUSDT", "tickers.ETHUSDT"],
        },
    ),
    "deribit": (
        "/ws/api/v2",
        {
            "jsonrpc": "2.0",
            "method": "public/subscribe",
            "params": {
                "channels": ["trades.BTC-PERPETUAL.100ms", "book.BTC-PERPETUAL.100ms"]
            },
            "id": 1,
        },
    ),
}


@dataclass
class Script:
    """Random but seeded commands to the three venues of one world."""

    world: World
    random: Random
    number: int = 0

    def request(self, symbol: str, leg: Leg, size: int, **extra) -> OrderRequest:
        self.number += 1
        side = self.random.choice((Side.BUY, Side.SELL))
        return OrderRequest(symbol, side, size, f"s{self.number}", leg=leg, **extra)

    def step(self, venue: SimulatedVenue, now: int) -> None:
        random, exchange = self.random, venue.exchange
        symbol = random.choice(list(exchange.markets))
        market = exchange.markets[symbol]
        value = market.listing.value_units(market.mark_ticks, 10**6)
        worth = to_units(Decimal(100_000 if market.listing.quote != "USD" else 1))
        size = max(1, 10**6 * worth // value)
        leg = random.choice(exchange.clearing.accounts[1].legs(symbol))
        price = market.price_ticks * random.randint(9_980, 10_020) // 10_000
        chosen = random.randrange(7)
        if chosen == 0:
            exchange.place(1, self.request(symbol, leg, size), now)
        elif chosen < 4:
            exchange.place(
                1,
                self.request(
                    symbol,
                    leg,
                    size,
                    price_ticks=price,
                    time_in_force=random.choice(tuple(TimeInForce)),
                ),
                now,
            )
        elif chosen == 4:
            trigger = market.price_ticks * 101 // 100
            order = self.request(symbol, leg, size)
            exchange.place_algo(1, AlgoRequest(order, trigger, True), now)
        elif chosen == 5:
            exchange.external_fill(
                1, self.request(symbol, leg, size), market.price_ticks, now
            )
        else:
            exchange.deleverage(1, symbol, leg, size, now)

    def event(self, step: int, now: int) -> None:
        """Do what happens at fixed steps: shocks, a de-peg, modes, money."""
        for venue in self.world.venues.values():
            symbol = next(iter(venue.exchange.markets))
            if step == 60:
                self.world.shock(venue, symbol, Fraction(9, 10), 2 * 10**9)
            elif step == 100:
                venue.depeg(symbol, Fraction(93, 100), now)
            elif step == 130:
                venue.depeg(symbol, Fraction(1), now)
            elif step == 150 and venue.rules.has_hedge_mode:
                venue.exchange.force_mode(1, is_hedged=True, time_ns=now)
            elif step == 170:
                coin = venue.rules.coins[0]
                venue.transfer(1, -to_units(Decimal("0.5")), now, coin)
            elif step == 180:
                self.world.shock(venue, symbol, Fraction(1, 2), 0)


def scenario(seed: int) -> bytes:
    """Return everything a scripted world sends to listeners and logs."""
    clock = ManualClock(START, START)
    plan = generated_plan(
        [generated_instrument(s) for s in ("BTCUSDT", "ETHUSDT")], seed, start_ns=START
    )
    options = Options(balance=Decimal(50_000), venues=VENUES)
    world = build_world(plan, dict.fromkeys(VENUES, KEYS), clock, options)
    subscribers = []
    for name, (path, message) in CHANNELS.items():
        venue = world.venues[name]
        asked = Request("GET", path, "", b"")
        subscriber = venue.open_subscriber(asked, clock.time_ns())
        assert isinstance(subscriber, Subscriber), subscriber
        text = msgspec.json.encode(message).decode()
        venue.receive(subscriber, text, clock.time_ns())
        subscribers.append(subscriber)
    script = Script(world, Random(seed))
    for step in range(200):
        clock.advance(TENTH)
        world.play()
        world.timer()
        script.event(step, clock.time_ns())
        for venue in world.venues.values():
            try:
                script.step(venue, clock.time_ns())
            except CommandRefusedError as refused:
                world.record.add(
                    "refused", clock.time_ns(), venue=venue.name, why=str(refused)
                )
            venue.settle()
    out = [b"".join(s.frames) for s in subscribers]
    assert all(len(frames) > 5_000 for frames in out), [len(x) for x in out]
    out.append(msgspec.json.encode(world.record.after(0, 10**6)))
    out += [msgspec.json.encode(v.account_json(1)) for v in world.venues.values()]
    return b"\n".join(out)


def test_one_seed_makes_the_same_bytes_and_another_makes_others():
    first = scenario(7)
    assert first == scenario(7)
    assert first != scenario(8)
    for kind in (
        b'"fill"',
        b'"algo"',
        b'"funds"',
        b'"mode"',
        b'"liquidation"',
        b'"adl"',
    ):
        assert kind in first, kind


def test_two_processes_with_other_hash_seeds_make_the_same_bytes():
    digests = {hashlib.sha256(scenario(11)).hexdigest()}
    for hash_seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, Path(__file__), "11"],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        digests.add(done.stdout.strip())
    assert len(digests) == 1


if __name__ == "__main__":
    print(hashlib.sha256(scenario(int(sys.argv[1]))).hexdigest())
