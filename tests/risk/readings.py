"""Readings for tests, built from positions."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from cryptoquantix.core.clock import NS_PER_SECOND, ManualClock
from cryptoquantix.core.exposure import (
    CoinBalance,
    HeldPosition,
    LedgerEntry,
    Reading,
)
from cryptoquantix.risk.book import from_json, to_json
from cryptoquantix.risk.concerns import Concerns
from cryptoquantix.risk.explain import blindness, open_pnl
from cryptoquantix.risk.judgement import Judgement, Seen
from cryptoquantix.risk.rules import Limits
from cryptoquantix.risk.window import HighWaterMark


def held(symbol, size, mark, entry):
    return HeldPosition(symbol, Decimal(size), Decimal(mark), Decimal(entry))


def reading(balance, *positions, venue="binance", time_ns=0):
    balance = Decimal(balance)
    pnl = sum((p.size * (p.mark_price - p.entry_price) for p in positions), Decimal(0))
    return Reading(venue, balance + pnl, balance, positions, time_ns)


def inverse(symbol, size, mark, entry, coin="BTC"):
    """A position of ``size`` USD that earns its coin."""
    numbers = (Decimal(size), Decimal(mark), Decimal(entry))
    return HeldPosition(symbol, *numbers, coin=coin, is_inverse=True)


def linear(symbol, size, mark, entry, coin="USDT"):
    return HeldPosition(symbol, Decimal(size), Decimal(mark), Decimal(entry), coin=coin)


def account(venue, balances, *positions, rates=(), others=(), **fields):
    """A reading of coins whose sums agree; ``rates`` are the venue's own."""
    rates = {coin: Decimal(rate) for coin, rate in dict(rates).items()}
    equity = {coin: Decimal(cash) for coin, cash in balances.items()}
    for position in positions:
        equity[position.coin] += open_pnl(position)
    for other in others:
        equity[other.coin] += other.value or 0
    coins = tuple(
        CoinBalance(coin, equity[coin], Decimal(cash), rates.get(coin))
        for coin, cash in balances.items()
    )

    def total(name):
        return sum(
            (getattr(c, name) * rates.get(c.coin, Decimal(1)) for c in coins),
            Decimal(0),
        )

    fields = {"time_ns": 0} | fields
    return Reading(
        venue,
        total("equity"),
        total("balance"),
        positions,
        coins=coins,
        rates=tuple(rates.items()),
        others=tuple(others),
        **fields,
    )


class Table:
    """A judge without venues: each second is handed its readings."""

    def __init__(self, *readings, limits=None):
        self.clock = ManualClock(10**18, 10**12)
        self.limits = limits or Limits()
        self.notes, self.alarms = [], []
        names = tuple(r.venue for r in readings)
        self.judgement = Judgement(
            names, limits=self.limits, clock=self.clock, note=self.notes.append
        )
        self.concerns = Concerns(self.limits, lambda *a: self.alarms.append(a[1]))
        self.rounds = 0
        assert self.judgement.start_from(self.seen(*readings)) == ""

    @property
    def book(self):
        return self.judgement.book

    @property
    def peak(self):
        return self.judgement.mark.peak

    def seen(self, *found):
        """A round: readings as of now, and a text for a venue that failed."""
        readings, problems = {}, {}
        for item in found:
            if isinstance(item, str):
                problems[item] = "down"
                continue
            problem = blindness(item)
            if problem:
                problems[item.venue] = problem
            else:
                now_ns = self.clock.time_ns()
                readings[item.venue] = replace(item, time_ns=now_ns)
        return Seen(readings, problems)

    def second(self, *found, again=None, seconds=1):
        """One second; ``again`` is what the second round of it brings, if asked."""
        self.clock.advance(seconds * NS_PER_SECOND)
        sight = self.judgement.first(self.seen(*found))
        self.rounds = 1
        if sight is None:
            self.rounds = 2
            sight = self.judgement.second(self.seen(*(again or found)))
        since_ns = self.judgement.complete_ns
        blind_ns = None if since_ns is None else self.clock.monotonic_ns() - since_ns
        self.concerns.see(sight, self.book, blind_ns)
        return sight

    def ledger(self, venue, *entries):
        self.judgement.take_ledger(venue, entries)

    def moved(self, cash, coin="", name="t1", *, is_transfer=True):
        """A line of a ledger, written now."""
        return LedgerEntry(name, is_transfer, Decimal(cash), self.clock.time_ns(), coin)

    @staticmethod
    def broken(reading, number):
        """Return ``reading`` with an equity that is no number."""
        coins = (replace(reading.coins[0], equity=Decimal(number)),)
        return replace(reading, coins=coins, equity=Decimal(number))

    @staticmethod
    def doubled(reading):
        """Return ``reading`` with its open profit counted twice."""
        coin = reading.coins[0]
        coin = replace(coin, equity=coin.equity + coin.equity - coin.balance)
        return replace(reading, coins=(coin,), equity=coin.equity)

    def restart(self):
        """Go on from what was written down, in another process."""
        text = to_json(self.book, self.clock.monotonic_ns())
        mark = HighWaterMark(self.judgement.mark._queue)
        names, note = self.judgement._venues, self.notes.append
        self.clock = ManualClock(self.clock.time_ns(), 10**9)
        self.judgement = Judgement(
            names, limits=self.limits, clock=self.clock, note=note
        )
        self.judgement.resume(from_json(text, self.clock.monotonic_ns()), mark)
