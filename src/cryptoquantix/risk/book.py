"""
What the daemon knows of the money, between two readings; it reads no venue.

The portfolio is held in *units*. Equity divided by units is the unit value, on which
drawdown is taken; ``flows.py`` says what changes the one and what the other. Equity is
counted coin by coin at checked rates.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from decimal import Context, Decimal
from typing import Any, Final

from cryptoquantix.core.errors import StateCorrupt
from cryptoquantix.core.exposure import (
    CoinBalance,
    HeldPosition,
    OtherHolding,
    Reading,
)
from cryptoquantix.risk import rates
from cryptoquantix.risk.rates import Rates
from cryptoquantix.risk.rules import Limits, is_large_drop
from cryptoquantix.risk.transit import Move, Transit

WIDE: Final = Context(prec=50)
ZERO: Final = Decimal(0)


@dataclass(frozen=True, slots=True)
class Suspense:
    """
    An unexplained jump, or a transfer that has met none.

    ``cash`` is signed, in ``coin``; ``units`` are those it would be as a transfer, at
    the unit value of its moment; ``since_ns`` is monotonic. ``balance`` and ``time_ns``
    are of the last reading before it (wall time).
    """

    venue: str
    cash: Decimal
    since_ns: int
    balance: Decimal = ZERO
    time_ns: int = 0
    coin: str = ""
    units: Decimal = ZERO


@dataclass(frozen=True, slots=True)
class Book:
    """
    The money, as of the last readings.

    ``last`` is the latest good reading per venue, ``worth`` its equity in USD at the
    rates of ``check``. ``ahead`` are transfers that the ledger showed before the equity
    did, ``assumed`` gains that nothing explained in time: they count as deposits.
    ``seen`` are the ids of transfers already taken in, with their times; what is older
    than ``opened_ns`` is in the baseline. ``collateral`` is what the prices of coins
    have done to the account since the baseline; ``emptied_at`` is the unit value at
    which everything was withdrawn. ``refs`` are, for a venue that is not
    seen, the marks of the others when it last was; ``ratios`` how those have moved.
    """

    units: Decimal = ZERO
    last: Mapping[str, Reading] = field(default_factory=dict)
    worth: Mapping[str, Decimal] = field(default_factory=dict)
    check: Rates = field(default_factory=Rates)
    suspense: tuple[Suspense, ...] = ()
    ahead: tuple[Suspense, ...] = ()
    assumed: tuple[Suspense, ...] = ()
    seen: Mapping[str, int] = field(default_factory=dict)
    opened_ns: int = 0
    transit: Transit = field(default_factory=Transit)
    collateral: Decimal = ZERO
    emptied_at: Decimal = ZERO
    refs: Mapping[str, Mapping[str, Mapping[str, Decimal]]] = field(
        default_factory=dict
    )
    ratios: Mapping[str, Mapping[str, Decimal]] = field(default_factory=dict)

    @property
    def equity(self) -> Decimal:
        """Equity as read, in USD at checked rates, summed over venues."""
        return sum(self.worth.values(), ZERO)

    @property
    def suspended(self) -> Decimal:
        """The signed sum of the jumps not yet explained, in USD."""
        return sum((self.usd(item) for item in self.suspense), ZERO)

    @property
    def units_now(self) -> Decimal:
        """Units, jumps not yet explained taken as the transfers they may be."""
        return self.units + sum((item.units for item in self.suspense), ZERO)

    @property
    def value(self) -> Decimal | None:
        """
        Unit value, ``None`` without units.

        While a jump is unexplained there are two: as if it were a transfer, and as if
        it had not happened. This is the lower one: it is shown, and raises the peak.
        """
        found = self._values()
        return None if found is None else min(found)

    @property
    def ceiling(self) -> Decimal | None:
        """The higher of both: no trip on money that is not understood yet."""
        found = self._values()
        return None if found is None else max(found)

    def _values(self) -> tuple[Decimal, Decimal] | None:
        if self.units <= 0:
            return None
        if not self.suspense:
            value = WIDE.divide(self.equity, self.units)
            return value, value
        apart = WIDE.divide(self.equity - self.suspended, self.units)
        units = self.units_now
        if units <= 0:
            return apart, apart
        return WIDE.divide(self.equity, units), apart

    def usd(self, item: Suspense) -> Decimal:
        """Return what ``item`` is worth in USD."""
        return item.cash * self.rate(item.coin)

    def rate(self, coin: str) -> Decimal:
        """Return the checked rate of ``coin``; 0 where nobody ever rated it."""
        if coin in rates.FIXED:
            return rates.ONE
        return self.check.values.get(coin, ZERO)

    def look(self, limits: Limits) -> Decimal:
        """Return the size in USD below which a jump is not worth a look."""
        return limits.unexplained_look_fraction * abs(self.equity - self.suspended)

    @property
    def drop(self) -> Decimal:
        """What is missing without an explanation, in USD; gains elsewhere hide none."""
        by_venue: dict[str, Decimal] = {}
        for item in self.suspense:
            by_venue[item.venue] = by_venue.get(item.venue, ZERO) + self.usd(item)
        return -sum((cash for cash in by_venue.values() if cash < 0), ZERO)

    def has_large_drop(self, limits: Limits) -> bool:
        """Return whether what is in suspense stops entries."""
        if not self.suspense:
            return False
        before = self.equity - self.suspended
        return is_large_drop(-self.drop, before, limits)


def opened(
    readings: Mapping[str, Reading], opened_ns: int = 0, limits: Limits | None = None
) -> Book:
    """Return a new book at a unit value of 1: the baseline of an arming."""
    check = rates.check({}, readings, limits or Limits())
    book = valued(Book(last=dict(readings), opened_ns=opened_ns, check=check))
    return replace(book, units=book.equity)


def valued(book: Book) -> Book:
    """Return the book with every venue's worth at the book's rates."""
    known = book.check.values
    return replace(book, worth={v: worth(known, r) for v, r in book.last.items()})


def worth(known: Mapping[str, Decimal], reading: Reading) -> Decimal:
    """Return equity in USD at the rates ``known``; without coins as the venue says."""
    if not reading.coins:
        return reading.equity
    total = ZERO
    for item in reading.coins:
        fixed = rates.ONE if item.coin in rates.FIXED else ZERO
        total += item.equity * known.get(item.coin, fixed)
    return total


def without(book: Book, venues: set[str]) -> Book:
    """Return the book without venues that are watched no more: a withdrawal."""
    gone = sum((book.worth[v] for v in venues & book.worth.keys()), ZERO)
    counted = book.equity - book.suspended
    units = book.units
    if counted > 0 and counted - gone > 0:
        units = WIDE.divide(WIDE.multiply(units, counted - gone), counted)

    def kept[T](items: Mapping[str, T]) -> dict[str, T]:
        return {v: item for v, item in items.items() if v not in venues}

    return replace(
        book,
        units=units,
        last=kept(book.last),
        worth=kept(book.worth),
        suspense=tuple(i for i in book.suspense if i.venue not in venues),
        ahead=tuple(i for i in book.ahead if i.venue not in venues),
        assumed=tuple(i for i in book.assumed if i.venue not in venues),
        refs=kept(book.refs),
        ratios=kept(book.ratios),
    )


# -- written down -------------------------------------------------------------------

_WAITING: Final = ("suspense", "ahead", "assumed")
_MOVES: Final = ("moves", "early", "strays")


def to_json(book: Book, now_ns: int) -> str:
    """Return the book as written; monotonic times become ages."""
    value = {
        "units": str(book.units),
        "last": {venue: _plain(reading) for venue, reading in book.last.items()},
        "rates": {coin: str(rate) for coin, rate in book.check.values.items()},
        "seen": book.seen,
        "opened_ns": book.opened_ns,
        "collateral": str(book.collateral),
        "emptied_at": str(book.emptied_at),
        "transit": {
            name: [_aging(item, now_ns) for item in getattr(book.transit, name)]
            for name in _MOVES
        },
        "refs": book.refs,
        "ratios": book.ratios,
    }
    for name in _WAITING:
        value[name] = [_aging(item, now_ns) for item in getattr(book, name)]
    return json.dumps(value, default=str)


def _aging(item: Suspense | Move, now_ns: int) -> dict[str, Any]:
    value = asdict(item)
    value["since_ns"] = now_ns - item.since_ns
    return value


def _plain(reading: Reading) -> dict[str, Any]:
    """Return a reading as JSON takes it; by hand: it is written each second."""
    return {
        "venue": reading.venue,
        "equity": str(reading.equity),
        "balance": str(reading.balance),
        "time_ns": reading.time_ns,
        "hints_orders": reading.hints_orders,
        "venue_time_ns": reading.venue_time_ns,
        "rates": [[coin, str(rate)] for coin, rate in reading.rates],
        "coins": [
            {
                "coin": item.coin,
                "equity": str(item.equity),
                "balance": str(item.balance),
                "rate": None if item.rate is None else str(item.rate),
            }
            for item in reading.coins
        ],
        "others": [
            {
                "symbol": item.symbol,
                "kind": item.kind,
                "size": str(item.size),
                "coin": item.coin,
                "value": None if item.value is None else str(item.value),
            }
            for item in reading.others
        ],
        "positions": [
            {
                "symbol": held.symbol,
                "size": str(held.size),
                "mark_price": str(held.mark_price),
                "entry_price": str(held.entry_price),
                "leg": held.leg,
                "coin": held.coin,
                "is_inverse": held.is_inverse,
            }
            for held in reading.positions
        ],
    }


def from_json(text: str, now_ns: int) -> Book:
    """
    Return the book as read back; ages become monotonic times again.

    Raises
    ------
    StateCorrupt
        If it is not one this version, or the one before it, could have written.
    """
    try:
        value = json.loads(text)
        known = {coin: Decimal(rate) for coin, rate in value.get("rates", {}).items()}
        moves = value.get("transit", {})
        waiting = {
            name: tuple(_waiting(item, now_ns) for item in value.get(name, ()))
            for name in _WAITING
        }
        book = Book(
            suspense=waiting["suspense"],
            ahead=waiting["ahead"],
            assumed=waiting["assumed"],
            units=Decimal(value["units"]),
            last={venue: _reading(item) for venue, item in value["last"].items()},
            check=Rates(known),
            seen=value["seen"],
            opened_ns=value["opened_ns"],
            collateral=Decimal(value.get("collateral", 0)),
            emptied_at=Decimal(value.get("emptied_at", 0)),
            transit=Transit(
                **{
                    name: tuple(_move(item, now_ns) for item in moves.get(name, ()))
                    for name in _MOVES
                }
            ),
            refs=_decimals(value.get("refs", {})),
            ratios=_decimals(value.get("ratios", {})),
        )
        return valued(book)
    except (KeyError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
        msg = f"the book cannot be read: {error}"
        raise StateCorrupt(msg) from None


def _decimals(value: Any) -> Any:  # noqa: ANN401 - JSON of any depth
    if isinstance(value, dict):
        return {key: _decimals(item) for key, item in value.items()}
    return Decimal(value)


def _as[T](kind: Callable[..., T], item: dict[str, Any], *names: str) -> T:
    """Return ``item`` with the named texts as numbers."""
    numbers = {
        name: Decimal(item[name]) for name in names if item.get(name) is not None
    }
    return kind(**(item | numbers))


def _reading(item: dict[str, Any]) -> Reading:
    parts: dict[str, Any] = {
        "positions": tuple(
            _as(HeldPosition, held, "size", "mark_price", "entry_price")
            for held in item["positions"]
        ),
        "coins": tuple(
            _as(CoinBalance, coin, "equity", "balance", "rate")
            for coin in item.get("coins", ())
        ),
        "others": tuple(
            _as(OtherHolding, other, "size", "value")
            for other in item.get("others", ())
        ),
        "rates": tuple((coin, Decimal(rate)) for coin, rate in item.get("rates", ())),
    }
    return _as(Reading, item | parts, "equity", "balance")


def _waiting(item: dict[str, Any], now_ns: int) -> Suspense:
    item = item | {"since_ns": now_ns - item["since_ns"]}
    return _as(Suspense, item, "cash", "balance", "units")


def _move(item: dict[str, Any], now_ns: int) -> Move:
    return _as(Move, item | {"since_ns": now_ns - item["since_ns"]}, "cash")
