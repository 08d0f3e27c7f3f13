"""
What a venue's account may come to hold: its newest reading and what that may lack.

A reading shows positions of the moment it was asked for. What filled since, and what
may still fill, is counted on top of it in full until a later reading shows it, so that
no increase is ever decided on room that is taken already. It decides nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from cryptoquantix.core.account import AccountSnapshot
from cryptoquantix.core.instrument import Instrument, InstrumentId
from cryptoquantix.journal.records import OrderRecord, OrderStanding
from cryptoquantix.live.instrument_book import SETTLE_NS_MAX
from cryptoquantix.orders.exposure import Exposure, UnderWay, exposure_of
from cryptoquantix.orders.value import lot_quote


@dataclass(slots=True)
class _Order:
    """An order, what it was valued at, and how much of it was seen filled, and when."""

    record: OrderRecord
    price: Decimal
    seen: list[tuple[int, int]] = field(default_factory=list)
    ended_ns: int | None = None
    is_alone: bool = True

    @property
    def instrument(self) -> InstrumentId:
        return InstrumentId.parse(self.record.instrument)

    def lacking_lots(self, asked_ns: int) -> int:
        """Return the lots that a reading asked for at ``asked_ns`` may not show."""
        # A position may lag behind the fill that the venue told us of.
        latest_ns = asked_ns - SETTLE_NS_MAX
        shown = max((f for ns, f in self.seen if ns <= latest_ns), default=0)
        if self.ended_ns is None:
            return max(0, self.record.size_lots - shown)
        return max(0, max((f for _, f in self.seen), default=0) - shown)


class AtStake:
    """One venue's positions and orders as exposure."""

    def __init__(self, instruments: Mapping[InstrumentId, Instrument]) -> None:
        self._instruments = instruments
        self._account: AccountSnapshot | None = None
        self._asked_ns = 0
        self._orders: dict[str, _Order] = {}

    def on_account(
        self,
        account: AccountSnapshot,
        asked_ns: int,
        is_settled: Callable[[InstrumentId], bool | None],
    ) -> None:
        """
        Take a reading; forget the orders that it shows in full.

        ``is_settled`` says whether the reading shows all that our orders did in an
        instrument; None where nobody looks at it, and time alone tells, as it does
        where two were under way together.
        """
        self._account, self._asked_ns = account, asked_ns
        for name, order in list(self._orders.items()):
            if order.ended_ns is None or asked_ns < order.ended_ns:
                continue
            settled = is_settled(order.instrument)
            if settled is None or not order.is_alone:
                settled = asked_ns - order.ended_ns >= SETTLE_NS_MAX
            if settled:
                del self._orders[name]

    def on_sent(self, record: OrderRecord, price: Decimal) -> None:
        """
        Count an order from its decision on, valued as it was then.

        A reduction goes without a mark, too (0): it counts at its target's price.
        """
        price = price or Decimal(record.reference_price)
        self._orders[record.client_order_id] = _Order(record, price)

    def on_order(self, standing: OrderStanding, monotonic_ns: int) -> None:
        """Take where an order stands; one of an earlier process is counted too."""
        name = standing.record.client_order_id
        order = self._orders.get(name)
        if order is None:
            price = Decimal(standing.record.reference_price)
            order = self._orders[name] = _Order(standing.record, price)
        if standing.filled_lots > max((f for _, f in order.seen), default=0):
            order.seen.append((monotonic_ns, standing.filled_lots))
        order.ended_ns = monotonic_ns if standing.state.is_terminal else None
        order.is_alone = order.is_alone and not any(
            other is not order and other.record.instrument == order.record.instrument
            for other in self._orders.values()
        )

    def exposure(self, instrument: InstrumentId | None = None) -> Exposure | None:
        """
        Return what may at most be at stake, in one instrument where one is named.

        None before the first reading: what was never read is not known.
        """
        account = self._account
        if account is None:
            return None
        held = [
            position.size_lots
            * lot_quote(self._instruments[position.instrument], position.mark_price)
            for position in account.positions
            if instrument in {None, position.instrument}
        ]
        under_way = self._under_way(None if instrument is None else str(instrument))
        return exposure_of(account.equity_quote, held, under_way)

    def _under_way(self, instrument: str | None) -> Iterator[UnderWay]:
        for order in self._orders.values():
            record = order.record
            lots = order.lacking_lots(self._asked_ns)
            if not lots or instrument not in {None, record.instrument}:
                continue
            listed = self._instruments.get(order.instrument)
            if listed is None:
                continue  # listed no more: its position is not read either
            value = lots * lot_quote(listed, order.price)
            yield UnderWay(record.side, value, record.is_increase)
