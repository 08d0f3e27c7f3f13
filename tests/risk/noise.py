"""
Three venues on paper, second by second, and a daemon's judgement over them.

Prices walk, orders fill, fees and funding are paid, money comes, goes and moves between
the venues, ledgers lag behind. Readings go missing and some are absurd. The truth is
known exactly, so that a halt can be called true or false. No time passes: the clock is
moved by hand, and no socket is opened.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from decimal import Decimal
from math import inf

import numpy as np

from cryptoquantix.core.clock import NS_PER_DAY, NS_PER_SECOND, ManualClock
from cryptoquantix.core.exposure import (
    CoinBalance,
    HeldPosition,
    LedgerEntry,
    Reading,
)
from cryptoquantix.risk import book as books
from cryptoquantix.risk.concerns import Concerns
from cryptoquantix.risk.explain import blindness, inconsistency
from cryptoquantix.risk.judgement import Judgement, Seen
from cryptoquantix.risk.rules import Limits
from cryptoquantix.risk.window import HighWaterMark

LEDGER_EVERY = 60
LEDGER_SOON = 2
LEDGER_BACK_NS = 600 * NS_PER_SECOND

CENT = Decimal("0.01")
FEE = Decimal("0.0005")
FUNDING = Decimal("0.0001")
MISSING = 0.02
ABSURD = 0.001
LAG_SECONDS = 10
WAY_FEE = Decimal("0.0005")
START_NS = 1_700_000_000 * NS_PER_SECOND
KINDS = (
    "zero",
    "nan",
    "times ten",
    "a tenth",
    "sign",
    "unit",
    "stale",
    "mark",
    "all times ten",
    "rate",
    "position gone",
)


@dataclass
class Position:
    symbol: str
    base: str
    coin: str
    size: Decimal
    entry: Decimal = CENT
    is_inverse: bool = False
    offset: int = 0

    def pnl(self, mark):
        step = mark - self.entry
        if self.is_inverse:
            return self.size * step / (mark * self.entry)
        return self.size * step

    def fill(self, size, price):
        """Trade ``size`` at ``price``; return the profit it realizes."""
        before, after = self.size, self.size + size
        realized = Decimal(0)
        if before and (before > 0) != (size > 0):
            closed = min(abs(size), abs(before)).copy_sign(before)
            realized = replace(self, size=closed).pnl(price)
            if abs(size) > abs(before):
                self.entry = price
        elif self.is_inverse:
            self.entry = after / (before / self.entry + size / price)
        else:
            self.entry = (before * self.entry + size * price) / after
        self.size = after
        return realized


@dataclass
class Account:
    name: str
    balances: dict
    positions: list
    ledger: list = field(default_factory=list)
    history: deque = field(default_factory=lambda: deque(maxlen=60))
    serial: int = 0

    def book(self, coin, cash, now, visible, *, is_transfer):
        self.balances[coin] += cash
        self.serial += 1
        at_ns = START_NS + now * NS_PER_SECOND
        entry = LedgerEntry(f"{self.name}{self.serial}", is_transfer, cash, at_ns, coin)
        self.ledger.append((visible, entry))


def accounts():
    return {
        "binance": Account(
            "binance",
            {"USDT": Decimal(100_000)},
            [
                Position("BTCUSDT", "BTC", "USDT", Decimal("1.5"), offset=3),
                Position("ETHUSDT", "ETH", "USDT", Decimal(10), offset=-2),
            ],
        ),
        "bybit": Account(
            "bybit",
            {"USDT": Decimal(60_000), "BTC": Decimal("0.5")},
            [
                Position("BTCUSDT", "BTC", "USDT", Decimal("0.8"), offset=-4),
                Position("SOLUSDT", "SOL", "USDT", Decimal(-100)),
            ],
        ),
        "deribit": Account(
            "deribit",
            {"BTC": Decimal("1.2"), "USDC": Decimal(40_000)},
            [
                Position(
                    "BTC-PERPETUAL", "BTC", "BTC", Decimal(30_000), is_inverse=True
                ),
                Position("ETH_USDC-PERPETUAL", "ETH", "USDC", Decimal(5), offset=1),
            ],
        ),
    }


class Noise:
    """Uniform numbers in blocks: one at a time is slow."""

    def __init__(self, seed):
        self.random = np.random.default_rng(seed)
        self._uniform = iter(())
        self._normal = iter(())

    def uniform(self):
        for number in self._uniform:
            return number
        self._uniform = iter(self.random.random(100_000).tolist())
        return next(self._uniform)

    def normal(self):
        for number in self._normal:
            return number
        self._normal = iter(np.clip(self.random.normal(size=100_000), -4, 4).tolist())
        return next(self._normal)

    def between(self, least, most):
        return least + (most - least) * self.uniform()

    def pick(self, items):
        return items[int(self.uniform() * len(items))]


class World:
    """The truth, and what the venues say of it."""

    def __init__(self, seed, *, ceiling=0.028, flows_every=3600, start=0):
        self.noise = Noise(seed)
        self.accounts = accounts()
        self.prices = {"BTC": 60_000.0, "ETH": 3_000.0, "SOL": 150.0}
        self.pegs = {"USDT": 1.0, "USDC": 1.0}
        self.now = start
        self.ceiling = ceiling
        self.flows_every = flows_every
        self.arriving = []
        self.fall = 0.0
        self.dark = ""  # a venue that cannot be reached
        self.peaks = deque()
        self.units = 0.0
        self.drawdown = 0.0
        self.next_flow = self.now + self.noise.between(5, flows_every)
        for account in self.accounts.values():
            for position in account.positions:
                position.entry = self.mark(position)
        self._true_readings()
        self.units = self.equity()
        self._judge()

    # -- the truth ----------------------------------------------------------------

    def mark(self, position):
        cents = round(self.prices[position.base] * 100) + position.offset
        return Decimal(cents) * CENT

    def second(self):
        """Let one second pass."""
        self.now += 1
        before = {}
        if self.noise.uniform() < 0.1:
            before = {
                (name, i): self.mark(position)
                for name, account in self.accounts.items()
                for i, position in enumerate(account.positions)
            }
        self._walk()
        if before:
            self._fill(before)
        if self.now % (8 * 3600) == 0:
            self._funding()
        moved = self._flows()
        self._true_readings()
        if moved:
            value = (self.equity() - moved) / self.units
            self.units += moved / value
        self._judge()

    def _walk(self):
        push = 0.0
        if self.drawdown > self.ceiling and not self.fall:
            push = 1.5  # what keeps the drawdown true and below the limit
        for name, scale in (("BTC", 1.0), ("ETH", 1.3), ("SOL", 1.6)):
            step = self.noise.normal() * 1e-4 * scale
            if push and name != "SOL":
                step = abs(step) * push
            self.prices[name] *= 1 + step - self.fall
        for coin, peg in self.pegs.items():
            self.pegs[coin] = peg + self.noise.normal() * 2e-6 + (1 - peg) * 1e-3

    def _fill(self, before):
        for (name, i), old in before.items():
            if self.noise.uniform() > 0.3:
                continue
            account = self.accounts[name]
            position = account.positions[i]
            new = self.mark(position)
            price = old + (new - old) * Decimal(round(self.noise.uniform(), 3))
            slip = Decimal(round(self.noise.between(0, 0.0005), 6))
            size = position.size * Decimal(round(self.noise.between(-0.1, 0.1), 2))
            anchor = self.anchors.get((name, i))
            if abs(position.size) > 2 * abs(anchor):
                size = -abs(size).copy_sign(position.size)
            elif abs(position.size) < abs(anchor) / 2:
                size = abs(size).copy_sign(position.size)
            if not size:
                continue
            price *= 1 + slip.copy_sign(size)
            cash = position.fill(size, price)
            value = abs(size) / price if position.is_inverse else abs(size) * price
            visible = self.now + self.noise.uniform() * LAG_SECONDS
            account.book(
                position.coin, cash - value * FEE, self.now, visible, is_transfer=False
            )

    @property
    def anchors(self):
        if not hasattr(self, "_anchors"):
            self._anchors = {
                (name, i): position.size
                for name, account in accounts().items()
                for i, position in enumerate(account.positions)
            }
        return self._anchors

    def _funding(self):
        for account in self.accounts.values():
            for position in account.positions:
                mark, size = self.mark(position), position.size
                value = size / mark if position.is_inverse else size * mark
                visible = self.now + self.noise.uniform() * LAG_SECONDS
                account.book(
                    position.coin,
                    -value * FUNDING,
                    self.now,
                    visible,
                    is_transfer=False,
                )

    def _flows(self):
        """Move money; return the dollars that came from, or went, outside."""
        usd = 0.0
        for arrival in [a for a in self.arriving if a[0] <= self.now]:
            self.arriving.remove(arrival)
            name, coin, cash = arrival[1:]
            self._book_flow(name, coin, cash * (1 - WAY_FEE))
            usd += float(cash) * self.rate(coin)  # what the way cost is lost
        if self.now >= self.next_flow:
            self.next_flow += self.noise.between(0.5, 1.5) * self.flows_every
            usd += self.flow(self.noise.pick(("in", "out", "between")))
        return usd

    def flow(self, kind):
        name = self.noise.pick(tuple(self.accounts))
        account = self.accounts[name]
        coin = self.noise.pick(tuple(account.balances))
        part = Decimal(round(self.noise.between(0.005, 0.15), 4))
        usual, balance = accounts()[name].balances[coin], account.balances[coin]
        cash = usual * part
        if balance < usual * Decimal("0.7"):  # nobody drains an account that trades
            kind = "in"
        elif balance > usual * Decimal("1.5"):
            kind = "out"
        if kind == "in":
            return self._book_flow(name, coin, cash)
        usd = self._book_flow(name, coin, -cash)
        if kind == "between":
            others = [
                n for n, a in self.accounts.items() if n != name and coin in a.balances
            ]
            if others:
                at = self.now + int(self.noise.between(1, 600))
                self.arriving.append((at, self.noise.pick(others), coin, cash))
        return usd

    def _book_flow(self, name, coin, cash):
        visible = self.now + self.noise.uniform() * LAG_SECONDS
        self.accounts[name].book(coin, cash, self.now, visible, is_transfer=True)
        return float(cash) * self.rate(coin)

    def rate(self, coin):
        return self.pegs.get(coin) or self.prices[coin]

    def equity(self):
        total = 0.0
        for reading in self.truth.values():
            for item in reading.coins:
                total += float(item.equity) * self.rate(item.coin)
        return total

    def _judge(self):
        value = self.equity() / self.units
        while self.peaks and self.peaks[-1][1] <= value:
            self.peaks.pop()
        self.peaks.append((self.now, value))
        while self.peaks[0][0] <= self.now - 86_400:
            self.peaks.popleft()
        self.value = value
        self.drawdown = 1 - value / self.peaks[0][1]

    # -- what the venues say --------------------------------------------------------

    def _true_readings(self):
        rates = {
            coin: Decimal(round(peg * 1e6)).scaleb(-6)
            for coin, peg in self.pegs.items()
        }
        rates["BTC"] = Decimal(round(self.prices["BTC"] * 100)) * CENT
        rates["ETH"] = Decimal(round(self.prices["ETH"] * 100)) * CENT
        votes = tuple(rates.items())
        self.truth = {
            name: self._reading(account, rates, votes)
            for name, account in self.accounts.items()
        }

    def _reading(self, account, rates, votes):
        equity = dict(account.balances)
        held = []
        for position in account.positions:
            mark = self.mark(position)
            equity[position.coin] += position.pnl(mark)
            held.append(
                HeldPosition(
                    position.symbol,
                    position.size,
                    mark,
                    position.entry,
                    "BOTH",
                    position.coin,
                    position.is_inverse,
                )
            )
        coins = tuple(
            CoinBalance(coin, equity[coin], balance, rates[coin])
            for coin, balance in account.balances.items()
        )
        time_ns = START_NS + self.now * NS_PER_SECOND
        return Reading(
            account.name,
            sum((c.equity * rates[c.coin] for c in coins), Decimal(0)),
            sum((c.balance * rates[c.coin] for c in coins), Decimal(0)),
            tuple(held),
            time_ns,
            coins=coins,
            rates=votes,
        )

    def read(self):
        """Return one round of readings, as the daemon's reader would hand it over."""
        readings, problems = {}, {}
        for name, true in self.truth.items():
            chance = self.noise.uniform()
            if chance < MISSING or name == self.dark:
                problems[name] = "TimeoutError"
                continue
            found = true
            if chance < MISSING + ABSURD:
                found = self.absurd(self.accounts[name], true)
            problem = blindness(found)
            if problem and found.equity.is_finite() and found.equity <= 0:
                again = self.noise.uniform()  # as absurd as the first, at times
                is_confirmed = true.equity <= 0 or again < ABSURD / 7
                if is_confirmed:
                    problem = inconsistency(found)
            if problem:
                problems[name] = problem
            else:
                readings[name] = found
        for name, true in self.truth.items():
            self.accounts[name].history.append(true)
        return Seen(readings, problems)

    def absurd(self, account, true, kind=None):
        kind = kind or self.noise.pick(KINDS)
        if kind == "nan":
            return replace(true, equity=Decimal("NaN"))
        if kind == "stale":
            old = self.noise.pick(tuple(account.history) or (true,))
            return replace(old, time_ns=true.time_ns)
        if kind == "mark":
            return _with_mark(true, self.noise.pick((10, Decimal("0.1"))), self.noise)
        if kind == "rate":
            coin = self.noise.pick(tuple(account.balances))
            factor = self.noise.pick((Decimal(10), Decimal("0.65"), Decimal("0.1")))
            return _with_rate(true, coin, factor)
        if kind == "position gone":
            return replace(true, positions=true.positions[1:])
        factor = {
            "zero": Decimal(0),
            "times ten": Decimal(10),
            "a tenth": Decimal("0.1"),
            "sign": Decimal(-1),
            "unit": self.noise.pick((Decimal(100), Decimal("1e-5"), Decimal(1000))),
            "all times ten": Decimal(10),
        }[kind]
        are_sizes_too = kind == "all times ten" or self.noise.uniform() < 0.3
        return scaled(true, factor, are_sizes_too=are_sizes_too)

    def ledger(self, name, since_ns):
        """Return what the ledger shows by now, or ``None`` when it does not answer."""
        if self.noise.uniform() < MISSING:
            return None
        account = self.accounts[name]
        if len(account.ledger) > 500:
            account.ledger = account.ledger[-250:]
        return tuple(
            entry
            for visible, entry in account.ledger
            if visible <= self.now and entry.time_ns >= since_ns
        )


def scaled(reading, factor, *, are_sizes_too):
    coins = tuple(
        replace(c, equity=c.equity * factor, balance=c.balance * factor)
        for c in reading.coins
    )
    held = reading.positions
    if are_sizes_too:
        held = tuple(replace(h, size=h.size * factor) for h in held)
    return replace(
        reading,
        equity=reading.equity * factor,
        balance=reading.balance * factor,
        coins=coins,
        positions=held,
    )


def _with_mark(reading, factor, noise):
    """Return a reading with one absurd mark, whose sums agree with it."""
    index = int(noise.uniform() * len(reading.positions))
    old = reading.positions[index]
    new = replace(old, mark_price=old.mark_price * factor)
    step = new.mark_price - old.mark_price
    if old.is_inverse:
        step /= new.mark_price * old.mark_price
    move = old.size * step
    coins = tuple(
        replace(c, equity=c.equity + move) if c.coin == old.coin else c
        for c in reading.coins
    )
    held = (*reading.positions[:index], new, *reading.positions[index + 1 :])
    equity = sum((c.equity * c.rate for c in coins), Decimal(0))
    return replace(reading, coins=coins, positions=held, equity=equity)


def _with_rate(reading, coin, factor):
    coins = tuple(
        replace(c, rate=c.rate * factor) if c.coin == coin else c for c in reading.coins
    )
    rates = tuple((c, r * factor if c == coin else r) for c, r in reading.rates)
    equity = sum((c.equity * c.rate for c in coins), Decimal(0))
    return replace(reading, coins=coins, rates=rates, equity=equity)


class Desk:
    """The daemon's second, without its sockets: look, confirm, concerns, ledgers."""

    def __init__(self, world, limits=None):
        self.world = world
        self.limits = limits or Limits()
        now_ns = START_NS + world.now * NS_PER_SECOND
        self.clock = ManualClock(now_ns, now_ns)
        self.notes, self.alarms = [], []
        self.judgement = self._judgement()
        self.concerns = Concerns(self.limits, lambda *a: self.alarms.append(a))
        self.entries_stopped = 0
        self.incomplete = 0
        self.error = 0.0
        self.samples = deque()
        self._due = dict.fromkeys(world.accounts, 0)
        truth = Seen(dict(world.truth), {})
        assert self.judgement.start_from(truth) == ""

    def _judgement(self):
        names = tuple(self.world.accounts)
        return Judgement(
            names, limits=self.limits, clock=self.clock, note=self.notes.append
        )

    def second(self):
        """Let one second pass; return what was seen."""
        world, judgement = self.world, self.judgement
        world.second()
        self.clock.advance(NS_PER_SECOND)
        sight = judgement.first(world.read())
        if sight is None:
            sight = judgement.second(world.read())
        since_ns = judgement.complete_ns
        blind_ns = None if since_ns is None else self.clock.monotonic_ns() - since_ns
        self.concerns.see(sight, judgement.book, blind_ns)
        self.entries_stopped += bool(self.concerns.texts)
        self.incomplete += not sight.is_complete
        if sight.is_complete:
            self.error = max(self.error, abs(1 - float(sight.value) / world.value))
            self.samples.append((judgement.sample_time_ns(), sight.value))
            if len(self.samples) > 90_000:
                self.samples.popleft()
        self._ledgers()
        return sight

    def _ledgers(self):
        book = self.judgement.book
        waiting = {item.venue for item in book.suspense}
        for name in self._due:
            every = LEDGER_SOON if name in waiting else LEDGER_EVERY
            if self.world.now - self._due[name] < every:
                continue
            self._due[name] = self.world.now
            starts = [s.time_ns for s in book.suspense if s.venue == name]
            since_ns = min([book.last[name].time_ns, *starts]) - LEDGER_BACK_NS
            entries = self.world.ledger(name, max(book.opened_ns, since_ns))
            if entries is not None:
                self.judgement.take_ledger(name, entries)

    def restart(self):
        """Go on as after a restart: from what was written down."""
        old = self.judgement
        text = books.to_json(old.book, self.clock.monotonic_ns())
        oldest_ns = old.sample_time_ns() - NS_PER_DAY
        samples = [s for s in self.samples if s[0] > oldest_ns]
        self.judgement = self._judgement()
        book = books.from_json(text, self.clock.monotonic_ns())
        self.judgement.resume(book, HighWaterMark(samples))
        self.judgement.complete_ns = old.complete_ns
        return len(text)


@dataclass(frozen=True)
class Crash:
    """
    How one crash went: seconds from the first true 3 % to the trip.

    ``drawdown`` is the true one at the trip, or the deepest without one.
    """

    delay: float
    is_false: bool
    is_true: bool
    seed: int
    drawdown: float = 0.0


def crash(seed, *, limit=0.03, dark=""):
    """
    Let a book crash under noise; return what the daemon made of it.

    The venue ``dark`` cannot be reached while it happens.
    """
    world = World(seed, ceiling=0.024)
    desk = Desk(world)
    noise = world.noise
    quiet = int(noise.between(30, 200))
    for _ in range(quiet):
        if desk.second().is_trip:
            return Crash(inf, is_false=True, is_true=False, seed=seed)
    if noise.uniform() < 0.3:  # money moves while it happens
        world.next_flow = world.now + int(noise.between(0, 12))
    if dark:
        world.dark, world.next_flow = dark, world.now + 3600
    seconds = int(noise.between(1, 60))
    depth = noise.between(0.012, 0.12)
    world.fall = depth / seconds
    first_true, deep, deepest = None, 0, 0.0
    for second in range(seconds + 40):
        if second == seconds:
            world.fall = 1e-12
        sight = desk.second()
        deepest = max(deepest, world.drawdown)
        is_deep = world.drawdown >= limit + 1e-9
        deep = deep + 1 if is_deep else 0
        if is_deep and first_true is None:
            first_true = world.now
        if sight.is_trip:
            is_false = first_true is None and world.drawdown < limit - 1e-5
            start = world.now if first_true is None else first_true
            delay = world.now - start
            return Crash(delay, is_false, True, seed, world.drawdown)
        if deep >= 40:
            break
    is_true = first_true is not None and deep >= 3
    return Crash(inf, False, is_true, seed, deepest)
