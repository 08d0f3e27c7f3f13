"""
Fills into the journal once each, and the venue compared with it; it sends no order.

A journal that meets an instrument for the first time writes down what was held then
(its baseline); from there on, baseline and fills make the position that the venue must
show. All fills of the account are kept, whoever's order they were of: the daemon's
closes count as much as our own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from cryptoquantix.core.clock import NS_PER_SECOND, Clock
from cryptoquantix.core.errors import VenueUnavailable
from cryptoquantix.core.instrument import Instrument, InstrumentId
from cryptoquantix.core.order import OrderState
from cryptoquantix.journal.records import (
    Baseline,
    FillRecord,
    FlowRecord,
    OrderStanding,
)
from cryptoquantix.journal.store import Journal
from cryptoquantix.live.engine import Engine
from cryptoquantix.live.events import Notice
from cryptoquantix.live.reconcile import (
    POSITION_DIFFERS,
    Difference,
    foreign_orders,
    foreign_part,
    position_differences,
)
from cryptoquantix.live.sender import Sender
from cryptoquantix.venues.port import VenueFill, VenueOrder, VenuePort

_BASELINE_TRIES: Final = 3
# Bookings of one moment may appear one after the other.
_OVERLAP_NS: Final = 60 * NS_PER_SECOND


class Bookkeeping:
    """One venue's fills and differences."""

    def __init__(
        self,
        *,
        port: VenuePort,
        journal: Journal,
        clock: Clock,
        instruments: Mapping[InstrumentId, Instrument],
        report: Callable[[Notice], None],
    ) -> None:
        self._port = port
        self._journal = journal
        self._clock = clock
        self._instruments = instruments
        self._report = report
        self._told: set[Difference] = set()
        self._seen: set[Difference] = set()
        # Traded instruments whose fills were not read with the last ones.
        self._behind: set[InstrumentId] = set()
        self._funding_read_ns = 0

    async def open(self, instrument: InstrumentId, engine: Engine) -> None:
        """
        Write the baseline of an instrument that the journal does not know yet.

        What is held then is not ours; the first comparisons tell a person of it.
        """
        if self._journal.baseline(instrument) is not None:
            return
        for _ in range(_BASELINE_TRIES):
            before = _last_id(await self._port.fills(instrument, ""))
            account = await self._port.account()
            if before == _last_id(await self._port.fills(instrument, "")):
                break
        else:
            msg = f"{instrument} trades too fast to be taken stock of"
            venue = self._port.venue.value
            raise VenueUnavailable(msg, venue=venue, request="baseline")
        held = sum(p.size_lots for p in account.positions if p.instrument == instrument)
        now_ns = self._clock.time_ns()
        self._journal.record_baseline(Baseline(str(instrument), held, before, now_ns))
        engine.own.on_baseline(instrument, held)

    async def take_fills(self, engine: Engine) -> None:
        """Journal the fills since the last ones, each once."""
        self._behind = set(engine.traded)
        for id_ in engine.traded:
            # A fill names the venue's order id, which an order without an answer
            # does not have yet: its fills wait until it is settled.
            if str(id_) in _without_answer(engine):
                continue
            baseline = self._journal.baseline(id_)
            last = self._journal.last_trade_id(id_)
            if not last and baseline is not None:
                last = baseline.trade_id
            found = await self._port.fills(id_, last)
            if str(id_) in _without_answer(engine):
                # Sent while the answer was on its way: some may be of that order.
                continue
            engine.own.on_fills(self._record(id_, found))
            self._behind.discard(id_)

    def _record(
        self, instrument: InstrumentId, found: list[VenueFill]
    ) -> list[FillRecord]:
        """Journal what is not there yet, and return that."""
        names = (one.venue_order_id for one in found)
        ours = self._journal.client_order_ids(instrument, names)
        listed = self._instruments[instrument]
        lot_size = str(listed.lot_size)
        now_ns = self._clock.time_ns()
        new = self._journal.record_fills(
            [
                FillRecord(
                    instrument=str(instrument),
                    trade_id=one.fill.trade_id,
                    venue_order_id=one.venue_order_id,
                    client_order_id=ours.get(one.venue_order_id, ""),
                    side=one.fill.side,
                    size_lots=one.fill.size_lots,
                    lot_size=lot_size,
                    price=str(one.fill.price),
                    fee=str(one.fill.fee),
                    fee_currency=one.fill.fee_currency,
                    venue_time_ns=one.fill.venue_time_ns,
                    recorded_ns=now_ns,
                    settlement=listed.settlement,
                    is_inverse=listed.is_inverse,
                )
                for one in found
            ]
        )
        foreign = [record for record in new if not record.client_order_id]
        if foreign:
            lots = sum(r.size_lots * r.side.sign for r in foreign)
            text = f"{len(foreign)} fills of {lots} lots were of no order of ours"
            self._report(Notice("foreign fills", str(instrument), text))
        return new

    async def take_funding(self, engine: Engine) -> None:
        """
        Journal the funding since the last reading, each booking once.

        The first reading goes back to the last booking that is known, or to where the
        journal begins. A reading that fails is made up for by the next.
        """
        venue = self._port.venue.value
        since_ns = max(
            self._journal.last_flow_ns(venue) - _OVERLAP_NS,
            self._journal.first_baseline_ns(venue),
            self._funding_read_ns - _OVERLAP_NS,
        )
        now_ns = self._clock.time_ns()
        self._journal.record_flows(
            [
                FlowRecord(
                    instrument=str(flow.instrument),
                    flow_id=flow.flow_id,
                    cash=str(flow.cash),
                    currency=flow.currency,
                    venue_time_ns=flow.venue_time_ns,
                    recorded_ns=now_ns,
                )
                for flow in await self._port.funding(engine.traded, since_ns)
            ]
        )
        self._funding_read_ns = now_ns

    async def take_orders(
        self, orders: list[VenueOrder], engine: Engine, sender: Sender
    ) -> list[OrderStanding]:
        """Return where our orders stand, by what rests at the venue and what not."""
        resting = {order.client_order_id: order for order in orders}
        moved: list[OrderStanding] = []
        for standing in engine.unfinished:
            if standing.state is not OrderState.WORKING:
                continue
            found = resting.pop(standing.record.client_order_id, None)
            after = (
                sender.see(sender.newest(standing), found)
                if found
                else await sender.look_up(standing)
            )
            if after != standing:
                moved.append(after)
        under_way = {s.record.client_order_id for s in engine.unfinished}
        for name, found in resting.items():
            known = None if name in under_way else self._journal.order(name)
            if known is not None and known.state.is_terminal:
                # Held for ended, and resting all the same: it is ours again.
                moved.append(sender.see(known, found))
        return moved

    def compare(self, engine: Engine, orders: list[VenueOrder]) -> None:
        """
        Report differences that two readings in a row show, once each.

        An instrument is compared where positions and fills are of one moment: nothing
        of ours is under way, the positions were asked for after the last order ended,
        and its fills were read since.
        """
        ours = {o.client_order_id for o in orders if o.client_order_id in self._journal}
        differences = set(foreign_orders(orders, ours))
        if (account := engine.account) is not None:
            busy = {s.record.instrument for s in engine.unfinished}
            expected = {
                id_: self._expected_lots(id_)
                for id_ in engine.traded
                if str(id_) not in busy
                and engine.is_settled(id_)
                and id_ not in self._behind
            }
            unknown = set(engine.traded) - expected.keys()
            held = [p for p in account.positions if p.instrument not in unknown]
            differences |= set(position_differences(held, expected))
            self._believe(differences, expected, engine)
            differences |= self._foreign_parts(engine, expected)
        for one in (differences & self._seen) - self._told:
            self._report(Notice(one.kind, one.subject, one.text))
        self._told = (self._told & differences) | (differences & self._seen)
        self._seen = differences

    def _foreign_parts(
        self, engine: Engine, instruments: Iterable[InstrumentId]
    ) -> set[Difference]:
        """Return the positions among those of one moment that are not all ours."""
        parts = {id_: engine.part(id_).foreign_lots for id_ in instruments}
        return {
            foreign_part(self._instruments[id_], engine.held_lots(id_), lots)
            for id_, lots in parts.items()
            if lots
        }

    def _believe(
        self,
        differences: set[Difference],
        expected: Mapping[InstrumentId, int],
        engine: Engine,
    ) -> None:
        """Say what no fill explains of a position, once two readings have shown it."""
        differing, confirmed = (
            {one.subject for one in found if one.kind == POSITION_DIFFERS}
            for found in (differences, differences & self._seen)
        )
        for id_, lots in expected.items():
            if str(id_) in confirmed:
                engine.own.believe(id_, engine.held_lots(id_) - lots)
            elif str(id_) not in differing:
                engine.own.believe(id_, 0)

    def _expected_lots(self, instrument: InstrumentId) -> int:
        baseline = self._journal.baseline(instrument)
        before = baseline.size_lots if baseline is not None else 0
        lot_size = self._instruments[instrument].lot_size
        return before + self._journal.size_filled_lots(instrument, lot_size)


def _without_answer(engine: Engine) -> set[str]:
    """Return the instruments with an order of which it is not known what it became."""
    return {
        s.record.instrument
        for s in engine.unfinished
        if s.state is not OrderState.WORKING
    }


def _last_id(fills: list[VenueFill]) -> str:
    return fills[-1].fill.trade_id if fills else ""
