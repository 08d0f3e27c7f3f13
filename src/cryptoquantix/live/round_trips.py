"""
Fills and funding folded into round trips and money earned; it reads no file.

A round trip begins when a strategy's position in an instrument leaves zero and ends
when it is back there. Where strategies share an instrument, each fill is theirs by the
shares of its order, and what they took over from each other is theirs at its price;
what no order of the journal explains is nobody's (strategy ``""``). All money is in
the coin the instrument settles in; a fee in another coin is told apart. Round trips are
exact, not rounded as the venue books; the account's own money is
:mod:`cryptoquantix.live.account_books`.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction

from msgspec.structs import replace

from cryptoquantix.core.order import Side
from cryptoquantix.core.quantity import from_steps, to_steps
from cryptoquantix.journal.records import (
    CrossRecord,
    FillRecord,
    FlowRecord,
    OrderRecord,
)
from cryptoquantix.live.account_books import AccountBooks, Earned
from cryptoquantix.orders.attribution import NOBODY, attributed, decode_shares
from cryptoquantix.orders.value import pnl


@dataclass(frozen=True, slots=True)
class Part:
    """What of one fill is one strategy's: signed lots, and its part of the fee."""

    strategy: str
    lots: int
    fee: Decimal
    fill: FillRecord

    @property
    def currency(self) -> str:
        """The coin profit is in."""
        return self.fill.settlement or self.fill.fee_currency


@dataclass(slots=True)
class Trade:
    """
    One round trip of one strategy; ``closed_ns`` is None while it is open.

    ``pnl`` is of what was closed, without ``fees`` (positive: paid) and ``funding``
    (positive: received); ``net`` is all of them. Prices are averages by size.
    """

    strategy: str
    instrument: str
    currency: str
    side: str
    opened_ns: int
    closed_ns: int | None = None
    size_max: Decimal = Decimal(0)
    entry_price: Decimal = Decimal(0)
    exit_price: Decimal = Decimal(0)
    pnl: Decimal = Decimal(0)
    fees: Decimal = Decimal(0)
    fees_other: dict[str, Decimal] = field(default_factory=dict)
    funding: Decimal = Decimal(0)
    fills: int = 0

    @property
    def net(self) -> Decimal:
        """What it earned."""
        return self.pnl - self.fees + self.funding


def parts_of(
    fills: Iterable[FillRecord], orders: Mapping[str, OrderRecord]
) -> Iterator[Part]:
    """Yield each fill as the parts that are different strategies'."""
    filled: dict[str, int] = defaultdict(int)
    for fill in fills:
        order = orders.get(fill.client_order_id)
        sign = fill.side.sign
        if order is None:
            yield Part(NOBODY, sign * fill.size_lots, Decimal(fill.fee), fill)
            continue
        order_lots = sign * order.size_lots
        shares = decode_shares(order.shares, order.strategy, order_lots)
        before = filled[fill.client_order_id]
        after = filled[fill.client_order_id] = before + fill.size_lots
        was = attributed(shares, order_lots, before)
        now = attributed(shares, order_lots, after)
        lots = {
            name: now[name] - was[name] for name in shares if now[name] != was[name]
        }
        yield from _split(fill, lots)


def part_of(cross: CrossRecord) -> Part:
    """Return what a strategy took over from others, as a fill without a fee."""
    fill = FillRecord(
        instrument=cross.instrument,
        trade_id="",
        venue_order_id="",
        client_order_id="",
        side=Side.of(cross.lots),
        size_lots=abs(cross.lots),
        lot_size=cross.lot_size,
        price=cross.price,
        fee="0",
        fee_currency=cross.settlement,
        venue_time_ns=cross.time_ns,
        recorded_ns=cross.time_ns,
        settlement=cross.settlement,
        is_inverse=cross.is_inverse,
    )
    return Part(cross.strategy, cross.lots, Decimal(0), fill)


def _split(fill: FillRecord, lots: Mapping[str, int]) -> Iterator[Part]:
    total = sum(abs(value) for value in lots.values())
    fee = left = Decimal(fill.fee)
    for index, (name, value) in enumerate(lots.items()):
        is_last = index == len(lots) - 1
        part = left if is_last else fee * abs(value) / total
        left -= part
        yield Part(name, value, part, fill)


class Book:
    """The round trips of one strategy in one instrument."""

    def __init__(self) -> None:
        self.lots = 0
        self.entry_price = Decimal(0)
        self.trade: Trade | None = None
        self.closed: list[Trade] = []
        self._exit_lots = 0

    def take(self, part: Part) -> Decimal:
        """Apply a part of a fill; return the PnL it realized."""
        closing = 0
        if self.lots * part.lots < 0:
            closing = min(abs(self.lots), abs(part.lots))
        opening = abs(part.lots) - closing
        sign = 1 if part.lots > 0 else -1
        realized = Decimal(0)
        if closing:
            fee = part.fee * closing / abs(part.lots)
            realized = self._close(part, -sign * closing, fee)
        if opening:
            fee = part.fee * opening / abs(part.lots)
            self._open(part, sign * opening, fee)
        return realized

    def _close(self, part: Part, lots: int, fee: Decimal) -> Decimal:
        """Close ``lots`` (signed as held)."""
        trade, fill = self.trade, part.fill
        assert trade is not None, "what is held was opened"
        price = Decimal(fill.price)
        size = from_steps(lots, Decimal(fill.lot_size))
        realized = pnl(fill.is_inverse, size, self.entry_price, price)
        done, new = self._exit_lots, abs(lots)
        trade.exit_price = (trade.exit_price * done + price * new) / (done + new)
        self._exit_lots += new
        trade.pnl += realized
        _charge(trade, part, fee)
        self.lots -= lots
        if self.lots == 0:
            trade.closed_ns = fill.venue_time_ns
            self.closed.append(trade)
            self.trade = None
        return realized

    def _open(self, part: Part, lots: int, fee: Decimal) -> None:
        fill, price = part.fill, Decimal(part.fill.price)
        if self.trade is None:
            self._exit_lots = 0
            self.trade = Trade(
                strategy=part.strategy,
                instrument=fill.instrument,
                currency=part.currency,
                side="long" if lots > 0 else "short",
                opened_ns=fill.venue_time_ns,
            )
            self.entry_price = price
        held, new = abs(self.lots), abs(lots)
        if fill.is_inverse:
            self.entry_price = (held + new) / (held / self.entry_price + new / price)
        else:
            self.entry_price = (held * self.entry_price + new * price) / (held + new)
        self.lots += lots
        self.trade.entry_price = self.entry_price
        size = from_steps(abs(self.lots), Decimal(fill.lot_size))
        self.trade.size_max = max(self.trade.size_max, size)
        _charge(self.trade, part, fee)


def _charge(trade: Trade, part: Part, fee: Decimal) -> None:
    trade.fills += 1
    if part.fill.fee_currency == trade.currency:
        trade.fees += fee
    elif fee:
        name = part.fill.fee_currency
        trade.fees_other[name] = trade.fees_other.get(name, Decimal(0)) + fee


class Books:
    """Every strategy's round trips, and what each venue's account earned."""

    def __init__(self) -> None:
        self._books: dict[tuple[str, str], Book] = defaultdict(Book)
        self._accounts = AccountBooks()

    @property
    def earned(self) -> list[Earned]:
        """What each account had earned in each coin, after every booking."""
        return self._accounts.earned

    @property
    def trades(self) -> list[Trade]:
        """Round trips in the order they began, open ones included."""
        found = [trade for book in self._books.values() for trade in book.closed]
        found += [book.trade for book in self._books.values() if book.trade]
        return sorted(found, key=lambda t: (t.opened_ns, t.instrument, t.strategy))

    def take_part(self, part: Part) -> None:
        """Apply one strategy's part of a fill."""
        self._books[part.strategy, part.fill.instrument].take(part)

    def take_fill(self, fill: FillRecord) -> None:
        """Apply a fill to the account it is of."""
        self._accounts.take_fill(fill)

    def take_flow(self, flow: FlowRecord) -> None:
        """Apply funding, to each strategy by what it holds."""
        cash = Decimal(flow.cash)
        held = {
            name: book
            for (name, instrument), book in self._books.items()
            if instrument == flow.instrument and book.trade is not None
        }
        net = sum(book.lots for book in held.values())
        for book in held.values() if net else ():
            assert book.trade is not None, "chosen by it"
            book.trade.funding += cash * book.lots / net
        self._accounts.take_flow(flow)


def fold(
    orders: Mapping[str, OrderRecord],
    fills: Iterable[FillRecord],
    flows: Iterable[FlowRecord],
    crosses: Iterable[CrossRecord] = (),
) -> Books:
    """
    Return the books of all fills, funding and crosses, in their order of time.

    An account earns nothing by what its strategies take over from each other. Lots that
    a venue cut anew meanwhile are counted in the size that they all are multiples of.
    """
    books, known = Books(), list(fills)
    parts = [*parts_of(known, orders), *map(part_of, crosses)]
    steps = _steps_of(part.fill for part in parts)
    events: list[tuple[int, FillRecord | Part | FlowRecord]] = [
        (fill.venue_time_ns, _in_steps(fill, steps)) for fill in known
    ]
    events += [(part.fill.venue_time_ns, _part_in_steps(part, steps)) for part in parts]
    events += [(flow.venue_time_ns, flow) for flow in flows]
    for _, event in sorted(events, key=lambda one: one[0]):
        if isinstance(event, FillRecord):
            books.take_fill(event)
        elif isinstance(event, Part):
            books.take_part(event)
        else:
            books.take_flow(event)
    return books


def _steps_of(fills: Iterable[FillRecord]) -> dict[str, Decimal]:
    """Return of each instrument whose lots changed what all their sizes consist of."""
    sizes: dict[str, set[str]] = defaultdict(set)
    for fill in fills:
        sizes[fill.instrument].add(fill.lot_size)
    return {
        name: _largest_step([Fraction(size) for size in found])
        for name, found in sizes.items()
        if len(found) > 1
    }


def _largest_step(sizes: Sequence[Fraction]) -> Decimal:
    unit = math.lcm(*(size.denominator for size in sizes))
    return Decimal(math.gcd(*(int(size * unit) for size in sizes))) / unit


def _in_steps(fill: FillRecord, steps: Mapping[str, Decimal]) -> FillRecord:
    step = steps.get(fill.instrument)
    if step is None:
        return fill
    lots = fill.size_lots * to_steps(Decimal(fill.lot_size), step)
    return replace(fill, size_lots=lots, lot_size=format(step, "f"))


def _part_in_steps(part: Part, steps: Mapping[str, Decimal]) -> Part:
    step = steps.get(part.fill.instrument)
    if step is None:
        return part
    lots = part.lots * to_steps(Decimal(part.fill.lot_size), step)
    return Part(part.strategy, lots, part.fee, _in_steps(part.fill, steps))
