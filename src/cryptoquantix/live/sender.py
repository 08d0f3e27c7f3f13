"""
Approved orders to the venue: written first, sent once; it decides none.

Whatever happens to a request, the order's state says no more than what is proven: an
answer that was lost, or a cancellation in the middle, leaves OUTCOME_UNKNOWN, and only
the venue's own sight of the order or a proof of absence ends that. Nothing is ever sent
twice: a new attempt is a new order with a new id.
"""

from __future__ import annotations

import logging
from decimal import Decimal
from functools import partial
from typing import Final

from cryptoquantix.control.permit import RECEIVE_WINDOW_MS
from cryptoquantix.core.clock import NS_PER_MS, NS_PER_SECOND, Clock
from cryptoquantix.core.errors import (
    CredentialsRefused,
    Halted,
    OrderNotFound,
    OrderRefused,
    OutcomeUnknown,
    RateLimited,
    VenueError,
    VenueUnavailable,
)
from cryptoquantix.core.order import Increase, OrderState, Reduction
from cryptoquantix.core.quantity import to_other_lots
from cryptoquantix.journal.records import OrderNote, OrderRecord, OrderStanding
from cryptoquantix.journal.store import Journal
from cryptoquantix.live.events import PermitSource, SendOrder
from cryptoquantix.orders.lifecycle import OrderEvent, is_contradiction, transition
from cryptoquantix.orders.limits import Approved
from cryptoquantix.venues.port import VenueOrder, VenuePort

_LOG = logging.getLogger(__name__)

# A request's stamp may be up to a second ahead of the venue's clock (it refuses more),
# and holds for the receive window from there.
ABSENCE_AFTER_NS: Final = RECEIVE_WINDOW_MS * NS_PER_MS + NS_PER_SECOND
ABSENCE_APART_NS: Final = NS_PER_SECOND // 2
# A permit is renewed every second, the facts an increase was decided from are not:
# one that queued longer than this is decided anew.
DECISION_NS_MAX: Final = 5 * NS_PER_SECOND

_SIGHTS: Final = {
    OrderState.WORKING: OrderEvent.SEEN_WORKING,
    OrderState.FILLED: OrderEvent.SEEN_FILLED,
    OrderState.CANCELED: OrderEvent.SEEN_CANCELED,
    OrderState.REFUSED: OrderEvent.REFUSED,
}


class Sender:
    """
    Writes, sends and looks up the orders of one venue.

    ``started_ns`` (monotonic) is the latest moment at which an earlier process may
    have sent something: the journal's lock is held since then.
    """

    def __init__(
        self,
        journal: Journal,
        venue: VenuePort,
        permits: PermitSource,
        clock: Clock,
    ) -> None:
        self._journal = journal
        self._venue = venue
        self._permits = permits
        self._clock = clock
        self._started_ns = clock.monotonic_ns()
        # When an order's request ended without an answer, and its misses since.
        self._ended_ns: dict[str, int] = {}
        self._missed_ns: dict[str, int] = {}
        self._complained: set[str] = set()
        self.contradictions = 0

    async def send(self, effect: SendOrder) -> OrderStanding:
        """
        Write the order, send it, and return where it stands.

        Cancellation leaves the order OUTCOME_UNKNOWN in the journal, or, before it
        was written, unwritten and unsent.

        Raises
        ------
        JournalError
            If it could not be written: then nothing was sent. Or what was learned
            could not be: then the order is looked up at the next start.
        """
        assert isinstance(effect.approved, Approved), "only what was approved is sent"
        decided_ns = self._clock.monotonic_ns()
        record = effect.record
        assert effect.approved.order == record.order(), "the record is of another order"
        await self._journal.record_order_soon(record)
        standing = OrderStanding(record, OrderState.IN_FLIGHT, 0, "", record.created_ns)
        try:
            found = await self._place(effect.approved, decided_ns)
        except BaseException as error:
            if not isinstance(error, VenueError | Halted):
                # A cancellation, or a defect: the bytes may be out.
                self._lose(standing, repr(error))
                raise
            return self._failed(standing, error)
        return self.see(standing, found)

    async def amend(self, order: Increase | Reduction) -> tuple[OrderStanding, bool]:
        """
        Give a resting order another price; return where it stands, and if it has it.

        Its size and its id stay, so that a repeated or a lost one doubles nothing.
        Without an answer it does not count as having it, and is looked up.
        What is known of the order is read anew after the answer: others look, too.

        Raises
        ------
        JournalError
            If it could not be written: then nothing was sent.
        """
        name, decided_ns = order.client_order_id, self._clock.monotonic_ns()
        standing = self._known(name)
        if standing.state is not OrderState.WORKING:
            return standing, False
        text = f"to {order.price_ticks} ticks"
        note = OrderNote(name, self._clock.time_ns(), "amend", standing.state, text)
        self._journal.record_note(note)
        check = None
        if isinstance(order, Increase):
            check = partial(self._check_increase, decided_ns)
        try:
            found = await self._venue.amend(order, check)
        except OutcomeUnknown as error:
            return self._lose(self._known(name), str(error)), False
        except OrderNotFound:
            return await self.look_up(self._known(name)), False
        except (VenueError, Halted) as error:
            _LOG.warning("amendment failed: %s", error, extra={"order": name})
            return self._known(name), False
        except BaseException as error:
            self._lose(self._known(name), repr(error))
            raise
        return self.see(self._known(name), found), True

    def _known(self, name: str) -> OrderStanding:
        found = self._journal.order(name)
        assert found is not None, "an order that rests was journalled"
        return found

    async def look_up(self, standing: OrderStanding) -> OrderStanding:
        """
        Ask the venue for an order and return where it stands.

        *Not found* becomes NOT_FOUND only when two look-ups agree, both begun after
        the receive window of any request for it had passed. A venue that does not
        answer changes nothing. Cancellation changes nothing.
        """
        record = standing.record
        name = record.client_order_id
        asked_ns = self._clock.monotonic_ns()
        try:
            found = await self._venue.order_by_client_id(
                record.order().instrument, name
            )
        except OrderNotFound:
            return self._missed(self.newest(standing), asked_ns)
        except VenueError as error:
            if name not in self._complained:
                self._complained.add(name)
                _LOG.warning("look-up failed: %s", error, extra={"order": name})
            return standing
        return self.see(self.newest(standing), found)

    def newest(self, standing: OrderStanding) -> OrderStanding:
        """
        Return how an order ended where it did meanwhile, else ``standing``.

        Whoever waited for the venue since it took ``standing`` asks: an amendment's
        answer, or a look-up's, may have come first, and what ended does not rest again
        for an older sight of it.
        """
        known = self._journal.order(standing.record.client_order_id)
        return standing if known is None or not known.state.is_terminal else known

    def see(self, standing: OrderStanding, found: VenueOrder) -> OrderStanding:
        """Take the venue's sight of an order; return where it stands."""
        return self._learn(standing, _SIGHTS[found.state], found.detail, found)

    def recover(self, standing: OrderStanding) -> OrderStanding:
        """Return an order of an earlier process, which may have sent it or not."""
        if standing.state is OrderState.WORKING:
            return standing
        return self._lose(standing, "restarted", ended_ns=self._started_ns)

    # -- inside -----------------------------------------------------------------

    async def _place(self, approved: Approved, decided_ns: int) -> VenueOrder:
        order = approved.order
        if isinstance(order, Increase):
            return await self._venue.place_increase(
                order, lambda: self._check_increase(decided_ns)
            )
        return await self._venue.place_reduction(order)

    def _check_increase(self, decided_ns: int) -> None:
        """Raise unless an increase decided then may be sent now."""
        permit = self._permits.current()
        now_ns = self._clock.monotonic_ns()
        if now_ns - decided_ns > DECISION_NS_MAX:
            msg = "the increase waited too long to be sent: it is decided anew"
            raise Halted(msg)
        if permit is None or not permit.allows_increase(now_ns):
            mode = "none" if permit is None else permit.answer.mode.value
            msg = f"no live permit to trade when the order was to be sent ({mode})"
            raise Halted(msg)

    def _failed(self, standing: OrderStanding, error: Exception) -> OrderStanding:
        if isinstance(error, Halted | VenueUnavailable):
            return self._learn(standing, OrderEvent.WITHHELD, str(error))
        if isinstance(error, OrderRefused | RateLimited | CredentialsRefused):
            return self._learn(standing, OrderEvent.REFUSED, str(error))
        return self._lose(standing, str(error))

    def _lose(
        self, standing: OrderStanding, detail: str, ended_ns: int | None = None
    ) -> OrderStanding:
        if ended_ns is None:
            ended_ns = self._clock.monotonic_ns()
        self._ended_ns[standing.record.client_order_id] = ended_ns
        return self._learn(standing, OrderEvent.LOST, detail)

    def _missed(self, standing: OrderStanding, asked_ns: int) -> OrderStanding:
        name = standing.record.client_order_id
        if standing.state.is_terminal:
            return standing
        if standing.state is OrderState.WORKING:
            # It rested a moment ago; a venue that forgot it is asked again as unknown.
            return self._lose(standing, "no longer known to the venue")
        ended_ns = self._ended_ns.get(name, self._started_ns)
        if asked_ns < ended_ns + ABSENCE_AFTER_NS:
            return standing
        first_ns = self._missed_ns.setdefault(name, asked_ns)
        if asked_ns < first_ns + ABSENCE_APART_NS:
            return standing
        return self._learn(standing, OrderEvent.ABSENT, "two look-ups found nothing")

    def _learn(
        self,
        standing: OrderStanding,
        event: OrderEvent,
        detail: str,
        found: VenueOrder | None = None,
    ) -> OrderStanding:
        name = standing.record.client_order_id
        if is_contradiction(standing.state, event):
            self.contradictions += 1
            _LOG.error(
                "the venue shows an order that was held for ended",
                extra={"order": name, "state": standing.state.value},
            )
        state = transition(standing.state, event)
        filled = standing.filled_lots
        venue_order_id = standing.venue_order_id
        if found is not None:
            filled = max(filled, self._filled_lots(standing.record, found))
            venue_order_id = found.venue_order_id
        after = OrderStanding(
            standing.record, state, filled, venue_order_id, self._clock.time_ns()
        )
        if (state, filled, venue_order_id) != (
            standing.state,
            standing.filled_lots,
            standing.venue_order_id,
        ):
            self._journal.record_note(
                OrderNote(
                    client_order_id=name,
                    time_ns=after.updated_ns,
                    event=event.value,
                    state=state,
                    detail=detail,
                    filled_lots=filled,
                    venue_order_id=venue_order_id,
                )
            )
        if state.is_terminal:
            self._ended_ns.pop(name, None)
            self._missed_ns.pop(name, None)
            self._complained.discard(name)
        return after

    def _filled_lots(self, record: OrderRecord, found: VenueOrder) -> int:
        """Return what filled in the order's own lots: the venue's may be others now."""
        listed = self._venue.instruments().get(found.instrument)
        lot_size = Decimal(record.lot_size)
        now = lot_size if listed is None else listed.lot_size
        return to_other_lots(found.filled_lots, now, lot_size)


def describe(record: OrderRecord) -> dict[str, object]:
    """Return the fields of an order that its log lines carry."""
    return {
        "order": record.client_order_id,
        "instrument": record.instrument,
        "kind": record.kind,
        "side": record.side.value,
        "lots": record.size_lots,
        "attempt": record.attempt,
    }
