"""
Which part of the venue's positions our own orders made; it plans nothing.

A person may trade in the same account. What they hold is theirs: it is neither reduced
nor added to here, unless a setting adopts it. Ours is what the journal's fills made and
what our orders are known to have filled beyond them, and never more than the venue
shows. A restart finds the same in the journal; what no fill explains it must see anew.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from cryptoquantix.core.instrument import Instrument, InstrumentId
from cryptoquantix.core.order import OrderState
from cryptoquantix.journal.records import FillRecord, OrderStanding
from cryptoquantix.journal.store import Journal
from cryptoquantix.orders.ownership import Ownership, explained


class Part(NamedTuple):
    """What may be reduced of a position as ours, and what of it is not ours."""

    own_lots: int
    foreign_lots: int


@dataclass(slots=True)
class _Order:
    """What an order filled, by its own word and by the fills that were journalled."""

    sign: int
    filled_lots: int = 0
    booked_lots: int = 0
    is_ended: bool = False

    @property
    def ahead_lots(self) -> int:
        """Signed lots that filled, and whose fills were not read yet."""
        return self.sign * max(0, self.filled_lots - self.booked_lots)


class OwnParts:
    """
    Our part of one venue's positions in the traded instruments.

    Parameters
    ----------
    journal : Journal
        What our orders filled so far, and everybody's fills.
    instruments : mapping of InstrumentId to Instrument
        The traded ones.
    adopted : collection of InstrumentId
        Those in which a person says that whatever the venue holds is ours.
    """

    def __init__(
        self,
        journal: Journal,
        instruments: Mapping[InstrumentId, Instrument],
        adopted: Collection[InstrumentId],
    ) -> None:
        self._journal = journal
        self._adopted = frozenset(adopted)
        self._made: dict[str, Ownership] = {}
        self._unexplained: dict[str, int] = {}
        self._orders: dict[str, dict[str, _Order]] = {}
        for id_, listed in instruments.items():
            baseline = journal.baseline(id_)
            made = Ownership(foreign_lots=baseline.size_lots if baseline else 0)
            for lots, is_ours in journal.filled.iter_lots(id_, listed.lot_size):
                made.count(lots, is_ours=is_ours)
            self._made[str(id_)] = made
            self._orders[str(id_)] = {
                one.client_order_id: _Order(
                    one.side.sign, one.filled_lots, one.booked_lots, one.is_ended
                )
                for one in journal.filled.pending(id_)
            }

    # -- events -----------------------------------------------------------------

    def on_baseline(self, instrument: InstrumentId, lots: int) -> None:
        """Take what was held when the journal first met an instrument: not ours."""
        self._made[str(instrument)].foreign_lots += lots

    def on_order(self, standing: OrderStanding) -> None:
        """Take where an order of ours stands."""
        record = standing.record
        orders, name = self._orders.get(record.instrument), record.client_order_id
        if orders is None:
            return
        if name not in orders:
            # Of an order that is not sent yet nothing is booked; asking would wait for
            # the journal, which is writing it just now.
            is_new = standing.state is OrderState.JOURNALED and not standing.filled_lots
            booked_lots = 0 if is_new else self._journal.filled.booked_lots(name)
            orders[name] = _Order(record.side.sign, booked_lots=booked_lots)
        order = orders[name]
        order.filled_lots = standing.filled_lots
        order.is_ended = standing.state.is_terminal
        self._forget(orders, name)

    def on_fills(self, records: Iterable[FillRecord]) -> None:
        """Take fills that were just journalled, everybody's, in their order."""
        for record in records:
            name, lots = record.client_order_id, record.size_lots
            made = self._made[record.instrument]
            made.count(record.side.sign * lots, is_ours=bool(name))
            orders = self._orders[record.instrument]
            if name in orders:
                orders[name].booked_lots += lots
                self._forget(orders, name)

    def believe(self, instrument: InstrumentId, unexplained_lots: int) -> None:
        """
        Take what the venue's position is beyond all fills, as confirmed; 0: nothing.

        It is kept beside what fills made, and said anew at each comparison: fills that
        come late, or a position that was read wrong, must not count a second time.
        """
        self._unexplained[str(instrument)] = unexplained_lots

    # -- queries ----------------------------------------------------------------

    def unexplained(self, instrument: InstrumentId) -> int:
        """Return what of the venue's position no fill explains, as confirmed."""
        return self._unexplained.get(str(instrument), 0)

    def part(
        self,
        instrument: InstrumentId,
        venue_lots: int,
        unfinished: Collection[OrderStanding],
    ) -> Part:
        """
        Return what of the venue's position is ours, and what is certainly not.

        What orders that are under way may have filled meanwhile is not foreign. It is
        ours to reduce where an order gives no answer; of one that rests it is known
        soon, and until then it may be a person's.
        """
        if instrument in self._adopted:
            return Part(venue_lots, 0)
        own_lots = _less(
            self._made[str(instrument)].own_lots + self._ahead_lots(instrument),
            self.unexplained(instrument),
        )
        silent = [s for s in unfinished if s.state is not OrderState.WORKING]
        most = explained(venue_lots, own_lots, _coming(unfinished))
        ours = explained(venue_lots, own_lots, _coming(silent))
        return Part(ours, venue_lots - most)

    # -- inside -----------------------------------------------------------------

    def _ahead_lots(self, instrument: InstrumentId) -> int:
        return sum(order.ahead_lots for order in self._orders[str(instrument)].values())

    @staticmethod
    def _forget(orders: dict[str, _Order], name: str) -> None:
        """Forget an order of which all is journalled."""
        if orders[name].is_ended and not orders[name].ahead_lots:
            del orders[name]


def _less(own_lots: int, unexplained_lots: int) -> int:
    """Return what is ours if ``unexplained_lots`` against it were closed by others."""
    if own_lots > 0 > unexplained_lots:
        return max(0, own_lots + unexplained_lots)
    if own_lots < 0 < unexplained_lots:
        return min(0, own_lots + unexplained_lots)
    return own_lots


def _coming(standings: Iterable[OrderStanding]) -> list[int]:
    return [
        s.record.side.sign * max(0, s.record.size_lots - s.filled_lots)
        for s in standings
    ]
