"""What execution remembers of one instrument; it plans nothing and sends nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Final

from cryptoquantix.core.clock import NS_PER_SECOND
from cryptoquantix.core.instrument import Instrument
from cryptoquantix.core.order import OrderState, OrderType, Side
from cryptoquantix.core.quantity import to_other_lots
from cryptoquantix.journal.records import (
    REDUCTION,
    CrossRecord,
    OrderRecord,
    OrderStanding,
)
from cryptoquantix.live.events import (
    CrossLots,
    Notice,
    Now,
    Subscription,
    Wanted,
    is_after,
)
from cryptoquantix.orders.attribution import attributed, crossed, decode_shares
from cryptoquantix.orders.styles import Moment, Quote, Work, Working, most_urgent

# Marks and accounts are read every few seconds; three missed readings are too many.
READING_NS_MAX: Final = 15 * NS_PER_SECOND
# How long the venue's positions may lag behind the fill it told us of.
SETTLE_NS_MAX: Final = 2 * NS_PER_SECOND
_BACKOFF_NS: Final = tuple(s * NS_PER_SECOND for s in (1, 2, 4, 8, 15, 30))
# What keeps us from leaving is asked again and again.
_BACKOFF_REDUCTION_NS: Final = tuple(s * NS_PER_SECOND for s in (1, 2, 3))
QUOTE_NS_MAX: Final = 3 * NS_PER_SECOND
_CANCEL_AGAIN_NS: Final = 3 * NS_PER_SECOND
# A bar is closed by the first print after it, or once the venue says there is none.
_CLOSING_NS: Final = 10 * NS_PER_SECOND


class InstrumentBook:
    """Targets, mark, how the last order ended, and what was told, of one instrument."""

    def __init__(
        self, instrument: Instrument, subscriptions: tuple[Subscription, ...]
    ) -> None:
        self.instrument = instrument
        self.subscriptions = subscriptions
        self.wanted: dict[str, Wanted] = {}
        self._taken_ns: dict[str, int] = {}
        self.ended_ns = 0
        self.is_settled = True
        self._expected_ns = 0
        self._begun_ns: dict[str, int] = {}
        self._mark: tuple[Decimal, int] = (Decimal(0), 0)
        self._expected_lots = 0
        self._failures: dict[str, int] = {}
        self._not_before_ns: dict[str, int] = {}
        self._told: dict[str, str] = {}
        self._quote: Quote | None = None
        self._work: Work | None = None
        self._is_begun = False
        self._canceled_ns: dict[str, int] = {}
        # Prices that were asked for, and those that the venue took.
        self._amending: dict[str, int] = {}
        self._amended_ticks: dict[str, int] = {}
        self._unamendable: set[str] = set()
        # What each strategy holds here by the fills that are its own.
        self.attributed_lots: dict[str, int] = {}
        self.working: Working = most_urgent([s.working for s in subscriptions])

    def take_target(
        self, wanted: Wanted, monotonic_ns: int
    ) -> tuple[bool, list[Notice]]:
        """
        Take a target where it is newer than what is known; return whether it was.

        A target that is no number is refused, and the one before it stands: what is
        unknown neither opens nor closes anything.
        """
        if wanted.strategy not in {s.strategy for s in self.subscriptions}:
            return False, []
        is_price = wanted.price.is_finite() and wanted.price > 0
        if not math.isfinite(wanted.target) or not is_price:
            text = f"a target of {wanted.target} at price {wanted.price} was refused"
            return False, self.tell("target", text)
        known = self.wanted.get(wanted.strategy)
        if known is not None and not is_after(wanted, known):
            return False, []
        self.wanted[wanted.strategy] = wanted
        self._taken_ns[wanted.strategy] = monotonic_ns
        return True, self.tell("target", "")

    @property
    def newest(self) -> Wanted:
        """The target of the newest bar; there must be one."""
        return max(self.wanted.values(), key=lambda w: (w.bar_ns, w.published_ns))

    def wanted_lots(self) -> int | None:
        """Return the sum of what is wanted, None while one strategy is not heard."""
        lots = [w.lots for w in self.wanted.values() if w.lots is not None]
        return sum(lots) if len(lots) == len(self.subscriptions) else None

    def stale_target(self, now: Now) -> str:
        """
        Return whose target is too old to increase from and by what, or nothing.

        By wall time since it was published, and by the time since it came: a wall
        clock that stepped back makes no target young again, and one that lies far in
        the future tells of such a step. And by the time since its bar closed: a feed
        that is late has targets of long ago published just now.
        """
        for subscription in self.subscriptions:
            name = subscription.strategy
            age_ns = max(
                abs(now.time_ns - self.wanted[name].published_ns),
                now.monotonic_ns - self._taken_ns[name],
            )
            bars = subscription.bars_max
            limit_ns = bars * subscription.bar_seconds * NS_PER_SECOND
            if age_ns > limit_ns:
                return f"the target of {name} is older than {bars:g} bars"
            if _since_close_ns(self.wanted[name], subscription, now) > limit_ns:
                return f"the target of {name} is of a bar older than {bars:g} bars"
        return ""

    def take_mark(self, mark: Decimal, monotonic_ns: int) -> None:
        """Take a mark price."""
        self._mark = (mark, monotonic_ns)

    def mark_price(self, monotonic_ns: int) -> Decimal | None:
        """Return the mark price where it was read lately."""
        mark, read_ns = self._mark
        return mark if mark > 0 and monotonic_ns - read_ns <= READING_NS_MAX else None

    def take_quote(self, quote: Quote) -> None:
        """Take the best prices."""
        self._quote = quote

    def quote(self, monotonic_ns: int) -> Quote | None:
        """Return the best prices where they were read just now."""
        found = self._quote
        if found is None or monotonic_ns - found.read_ns > QUOTE_NS_MAX:
            return None
        return found

    def moment(self, missing_lots: int, monotonic_ns: int) -> Moment:
        """Return what a piece of work of so many lots looks like now."""
        quote = self.quote(monotonic_ns)
        return Moment(missing_lots, self.instrument, quote, monotonic_ns)

    def work(self, side: Side, size_lots: int, monotonic_ns: int) -> Work:
        """Return the piece of work under way, begun now where none is on that side."""
        if self._work is None or self._work.side is not side:
            self._work = Work(side, size_lots, monotonic_ns)
            self._is_begun = False
        elif size_lots > self._work.size_lots:
            # More is wanted than at first: the slices grow, the deadline stays.
            self._work = replace(self._work, size_lots=size_lots)
        return self._work

    def work_of(self, standing: OrderStanding) -> Work:
        """Return the piece of work that a resting order belongs to."""
        if self._work is not None and self._work.side is standing.record.side:
            return self._work
        # Of an earlier process: its time is over.
        return Work(standing.record.side, standing.record.size_lots, started_ns=0)

    def count_quote(self) -> None:
        """Note that a resting order was sent."""
        if self._work is not None:
            self._work = replace(self._work, quotes=self._work.quotes + 1)

    def count_leg(self, *, is_sent: bool, is_resting: bool) -> None:
        """
        Note that an order of the work was sent, or that a limit stopped it.

        Work of which nothing was ever sent has not begun: its time and its quotes are
        there in full once the limit, a missing permit say, is gone.
        """
        if is_sent:
            self._is_begun = True
            if is_resting:
                self.count_quote()
        elif not self._is_begun:
            self._work = None

    def rest(self) -> None:
        """Note that nothing is worked: the next work begins anew."""
        self._work = None

    def may_cancel(self, client_order_id: str, monotonic_ns: int) -> bool:
        """Return whether a cancel is to be sent: one at a time, and again when late."""
        since = self._canceled_ns.get(client_order_id)
        if since is not None and monotonic_ns - since < _CANCEL_AGAIN_NS:
            return False
        self._canceled_ns[client_order_id] = monotonic_ns
        return True

    def may_amend(self, client_order_id: str) -> bool:
        """Return whether an order may follow the price: one amendment at a time."""
        return not (
            client_order_id in self._amending
            or client_order_id in self._unamendable
            or client_order_id in self._canceled_ns
        )

    def is_amending(self, client_order_id: str) -> bool:
        """Return whether an amendment of an order is not answered yet."""
        return client_order_id in self._amending

    def amend(self, client_order_id: str, price_ticks: int) -> None:
        """Note that an order is on its way to another price."""
        self._amending[client_order_id] = price_ticks

    def amended(self, client_order_id: str, *, is_done: bool) -> None:
        """
        Note whether the venue took it; one that did not say so is not asked again.

        The price is then the one of before, as far as is known. If the venue took it
        all the same, the best price is beyond that one, so that the order counts as
        overtaken and is canceled.
        """
        price_ticks = self._amending.pop(client_order_id, None)
        if price_ticks is None:
            return  # it ended meanwhile: nothing is kept of it
        if is_done:
            self._amended_ticks[client_order_id] = price_ticks
        else:
            self._unamendable.add(client_order_id)

    def price_ticks_of(self, record: OrderRecord) -> int | None:
        """Return the price at which an order rests, as far as it is known."""
        return self._amended_ticks.get(record.client_order_id, record.price_ticks)

    def attribute(self, standing: OrderStanding) -> None:
        """Count an ended order's fills as its strategies' own."""
        record = standing.record
        order_lots = record.side.sign * record.size_lots
        shares = decode_shares(record.shares, record.strategy, order_lots)
        lot_size = self.instrument.lot_size
        self.share_out(shares, order_lots, standing.filled_lots, lot_size)

    def share_out(
        self,
        shares: Mapping[str, int],
        order_lots: int,
        filled_lots: int,
        lot_size: Decimal,
    ) -> None:
        """Count what filled of an order in lots of that size as its strategies' own."""
        for name, lots in attributed(shares, order_lots, filled_lots).items():
            self.take_over(name, lots, lot_size)

    def missing_lots(self) -> dict[str, int]:
        """Return what each strategy still has to go, signed lots."""
        return {
            name: (wanted.lots or 0) - self.attributed_lots.get(name, 0)
            for name, wanted in self.wanted.items()
        }

    def take_over(self, strategy: str, lots: int, lot_size: Decimal) -> None:
        """
        Count lots as a strategy's own, its orders' or taken over from others.

        Of ``lot_size``: what the journal holds may be older than a lot's size of now.
        """
        lots = to_other_lots(lots, lot_size, self.instrument.lot_size)
        self.attributed_lots[strategy] = self.attributed_lots.get(strategy, 0) + lots

    def cross(self, now: Now) -> list[CrossLots]:
        """
        Let strategies that want opposite things have them of each other, at the mark.

        Only where nothing is under way: an order shares its fills out by itself.
        """
        mark = self.mark_price(now.monotonic_ns)
        lots_by_name = crossed(self.missing_lots()) if mark is not None else {}
        if not lots_by_name:
            return []
        for name, lots in lots_by_name.items():
            self.take_over(name, lots, self.instrument.lot_size)
        listed = self.instrument
        return [
            CrossLots(
                tuple(
                    CrossRecord(
                        instrument=str(listed.id),
                        strategy=name,
                        lots=lots,
                        lot_size=str(listed.lot_size),
                        price=str(mark),
                        settlement=listed.settlement,
                        is_inverse=listed.is_inverse,
                        time_ns=now.time_ns,
                    )
                    for name, lots in lots_by_name.items()
                )
            )
        ]

    def begin(self, client_order_id: str, monotonic_ns: int) -> None:
        """Note when an order was decided; all others are of an earlier process."""
        self._begun_ns[client_order_id] = monotonic_ns

    def expect(self, standing: OrderStanding, now: Now) -> None:
        """
        Await the position that an ended order makes before the next plan.

        Of orders that were under way together nobody can say whose fill the position
        one of them was planned from held already: any reading after both will do.
        """
        record = standing.record
        # Not by the record's wall time: one that stepped back would make every order
        # look as if it had been under way with the one before it.
        begun_ns = self._begun_ns.pop(record.client_order_id, 0)
        self.is_settled = begun_ns < self._expected_ns
        self._expected_ns = now.monotonic_ns
        filled = record.side.sign * standing.filled_lots
        self._expected_lots = record.held_lots + filled

    def settle(self, held_lots: int, asked_ns: int) -> list[Notice]:
        """Wait, within a bound, until the venue's position shows our fill."""
        if self.is_settled or asked_ns < self.ended_ns:
            return []
        if held_lots == self._expected_lots:
            self.is_settled = True
            return self.tell("position", "")
        # By when it was asked for: an answer that took its time is no newer for it.
        if asked_ns - self.ended_ns < SETTLE_NS_MAX:
            return []
        self.is_settled = True
        text = (
            f"the venue holds {held_lots} lots where our fills make "
            f"{self._expected_lots}: the venue's count"
        )
        return self.tell("position", text)

    def is_backing_off(self, kind: str, now: Now) -> bool:
        """Return whether an order of this kind failed too recently to try again."""
        return now.monotonic_ns < self._not_before_ns.get(kind, 0)

    def count_ended(self, standing: OrderStanding, now: Now) -> None:
        """Note that an order ended; one that filled nothing delays the next."""
        self.ended_ns = now.monotonic_ns
        kind = standing.record.kind
        name = standing.record.client_order_id
        self._canceled_ns.pop(name, None)
        self._amended_ticks.pop(name, None)
        self._amending.pop(name, None)
        self._unamendable.discard(name)
        is_ours_to_end = standing.record.type is OrderType.LIMIT and (
            standing.state is OrderState.CANCELED
        )
        if (
            standing.state is OrderState.FILLED
            or standing.filled_lots
            or is_ours_to_end
        ):
            self._failures.pop(kind, None)
            self._not_before_ns.pop(kind, None)
            return
        failures = self._failures.get(kind, 0)
        steps = _BACKOFF_REDUCTION_NS if kind == REDUCTION else _BACKOFF_NS
        delay_ns = steps[min(failures, len(steps) - 1)]
        self._failures[kind] = failures + 1
        self._not_before_ns[kind] = now.monotonic_ns + delay_ns

    def tell(self, kind: str, text: str) -> list[Notice]:
        """Return a notice where ``text`` says something new; empty text is all well."""
        if self._told.get(kind, "") == text:
            return []
        self._told[kind] = text
        return [Notice(kind, str(self.instrument.id), text)] if text else []


def _since_close_ns(wanted: Wanted, subscription: Subscription, now: Now) -> int:
    """
    Return how long ago the bar of a target closed, less what closing one takes.

    Of a tape by its own time when the target was published, in whole bars, since prints
    come in batches; where the target does not tell that, by ours.
    """
    if subscription.is_tape and wanted.market_ns:
        interval_ns = subscription.bar_seconds * NS_PER_SECOND
        behind_ns = max(0, wanted.market_ns - wanted.bar_ns)
        behind_ns = behind_ns // interval_ns * interval_ns
        return behind_ns + abs(now.time_ns - wanted.published_ns)
    return now.time_ns - wanted.bar_ns - _CLOSING_NS
