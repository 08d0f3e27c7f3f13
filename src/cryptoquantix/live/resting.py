"""
What becomes of our orders that rest: left, given another price, or canceled.

An order that the price has left behind follows it where the venue can amend, and is
canceled where it cannot, or when its time is over. It decides no new order: what a
canceled one left undone is planned anew.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import replace

from cryptoquantix.core.order import OrderState, TimeInForce
from cryptoquantix.journal.records import OrderStanding
from cryptoquantix.live.events import AmendOrder, AskQuote, CancelOrder, Effect, Now
from cryptoquantix.live.instrument_book import InstrumentBook
from cryptoquantix.orders.styles import is_to_be_canceled, price_of, requote_ticks


class RestingOrders:
    """
    The resting orders of one venue's engine.

    Parameters
    ----------
    can_amend : bool
        Whether the venue gives a resting order another price.
    may_follow : callable
        Returns whether an increase of an instrument may be given another price now.
    count_sent : callable
        Counts a request of an order against the throttle.
    """

    def __init__(
        self,
        *,
        can_amend: bool,
        may_follow: Callable[[InstrumentBook, Now], bool],
        count_sent: Callable[[Now], None],
    ) -> None:
        self._can_amend = can_amend
        self._may_follow = may_follow
        self._count_sent = count_sent

    def tend(
        self,
        book: InstrumentBook,
        standings: Iterable[OrderStanding],
        canceled: Collection[str],
        now: Now,
    ) -> list[Effect]:
        """
        Cancel what may not rest on: overtaken, out of time, or without a permit.

        An increase that rests may fill at any moment: it may rest only while a permit
        says ``trade``. A reduction needs none; it goes out at market without one.
        ``canceled`` are the ids that the plan cancels already.
        """
        effects: list[Effect] = []
        is_forbidden = not now.may_increase
        is_quote_due = False
        for standing in standings:
            record = standing.record
            if standing.state is not OrderState.WORKING or record.price_ticks is None:
                continue
            is_quote_due = True
            is_over = _is_over(book, standing, now)
            name = record.client_order_id
            if name in canceled or not (is_forbidden or is_over):
                continue
            amendment = None if is_forbidden else self._amend(book, standing, now)
            if amendment is not None:
                effects.append(amendment)
            elif (is_forbidden or not book.is_amending(name)) and book.may_cancel(
                name, now.monotonic_ns
            ):
                effects.append(CancelOrder(book.instrument.id, name))
        if is_quote_due and book.working.needs_quote:
            effects.append(AskQuote(book.instrument.id))
        return effects

    def _amend(
        self, book: InstrumentBook, standing: OrderStanding, now: Now
    ) -> AmendOrder | None:
        """Return how an overtaken order follows the price where the venue amends."""
        record = standing.record
        name, ticks = record.client_order_id, book.price_ticks_of(record)
        is_resting = record.time_in_force is TimeInForce.POST_ONLY
        if not (self._can_amend and is_resting and book.may_amend(name)):
            return None
        assert ticks is not None, "a resting order has a price"
        work, price = book.work_of(standing), price_of(ticks, book.instrument)
        moment = book.moment(record.size_lots, now.monotonic_ns)
        target = requote_ticks(book.working, work, price, moment)
        if target in {None, ticks} or (
            record.is_increase and not self._may_follow(book, now)
        ):
            return None
        assert target is not None, "checked above"
        self._count_sent(now)
        book.amend(name, target)
        book.count_quote()
        return AmendOrder(replace(record.order(), price_ticks=target))


def _is_over(book: InstrumentBook, standing: OrderStanding, now: Now) -> bool:
    """Return whether the price has left an order behind, or its time has passed."""
    ticks = book.price_ticks_of(standing.record)
    assert ticks is not None, "a resting order has a price"
    moment = book.moment(standing.record.size_lots, now.monotonic_ns)
    price = price_of(ticks, book.instrument)
    return is_to_be_canceled(book.working, book.work_of(standing), price, moment)
