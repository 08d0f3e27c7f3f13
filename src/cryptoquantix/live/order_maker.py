"""
An intent becomes a record with an id of its own, held against every limit.

Nothing is sent here. The record says all that the order was decided from, and whose it
is. Its id is a pure function of account, strategies, instrument, bar and attempt, and
no attempt is made while the one before is unfinished.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Container
from dataclasses import dataclass, replace
from typing import Final

from cryptoquantix.core.clock import NS_PER_SECOND
from cryptoquantix.core.order import client_order_id
from cryptoquantix.journal.records import INCREASE, REDUCTION, OrderRecord
from cryptoquantix.journal.store import Journal
from cryptoquantix.live.at_stake import AtStake
from cryptoquantix.live.events import Effect, EngineSettings, Now, SendOrder
from cryptoquantix.live.instrument_book import InstrumentBook
from cryptoquantix.orders.attribution import encode_shares, shares_of
from cryptoquantix.orders.exposure import Exposure
from cryptoquantix.orders.limits import (
    Approved,
    Surroundings,
    check_order,
    order_max_lots,
)
from cryptoquantix.orders.plan import IncreaseIntent, ReductionIntent, Situation
from cryptoquantix.orders.styles import Leg

# Slices, a flip's two legs, requotes and a few refusals fit in; a runaway does not.
ATTEMPTS_MAX: Final = 50
_SENT_MAX: Final = 2_048
# The limits look back a minute: what is older is not carried along to every order.
_SENT_NS: Final = 60 * NS_PER_SECOND


@dataclass(frozen=True, slots=True)
class Decision:
    """All that one order is made from; ``venue_lots`` is the whole position."""

    book: InstrumentBook
    situation: Situation
    intent: IncreaseIntent | ReductionIntent
    around: Surroundings
    now: Now
    venue_lots: int


class OrderMaker:
    """Makes the orders of one venue's engine."""

    def __init__(self, settings: EngineSettings, journal: Journal) -> None:
        self._settings = settings
        self._journal = journal
        self._sent: deque[int] = deque(maxlen=_SENT_MAX)

    def surroundings(
        self,
        book: InstrumentBook,
        at_stake: AtStake,
        portfolio: Exposure | None,
        now: Now,
    ) -> Surroundings:
        """Return what an order for ``book`` is held against now."""
        while self._sent and now.monotonic_ns - self._sent[0] > _SENT_NS:
            self._sent.popleft()
        account = at_stake.exposure()
        held = at_stake.exposure(book.instrument.id)
        assert account is not None, "nothing is planned before the account was read"
        assert held is not None, "nothing is planned before the account was read"
        return Surroundings(
            instrument=book.instrument,
            mark_price=book.mark_price(now.monotonic_ns),
            reference_price=book.newest.price,
            account=account,
            held=held,
            portfolio=portfolio,
            sent_monotonic_ns=tuple(self._sent),
            known_ids=self._journal,
            permit=now.permit,
            monotonic_now_ns=now.monotonic_ns,
        )

    def count_sent(self, now: Now) -> None:
        """Count a request of an order against the throttle."""
        self._sent.append(now.monotonic_ns)

    def make(
        self, decision: Decision, leg: Leg, unfinished: Container[str]
    ) -> list[Effect]:
        """
        Return the order to send where every limit allows it, or what is told.

        ``unfinished`` are the ids of orders that were decided and did not end: those of
        this turn are not in the journal yet.
        """
        book, around = decision.book, decision.around
        record = self._record(decision, self._bounded(decision, leg))
        if record is None or record.client_order_id in unfinished:
            return []
        if record.is_increase and record.attempt >= ATTEMPTS_MAX:
            return [*book.tell(record.kind, f"{ATTEMPTS_MAX} attempts for one bar")]
        verdict = check_order(record.order(), around, self._settings.limits)
        if not isinstance(verdict, Approved):
            return [*book.tell(record.kind, verdict.reason)]
        self._sent.append(around.monotonic_now_ns)
        return [*book.tell(record.kind, ""), SendOrder(verdict, record)]

    def _bounded(self, decision: Decision, leg: Leg) -> Leg:
        """Cut an increase to what one order may hold; the rest follows it."""
        most = order_max_lots(decision.around, self._settings.limits)
        if not most or isinstance(decision.intent, ReductionIntent):
            return leg
        return replace(leg, size_lots=min(leg.size_lots, most))

    def _record(self, decision: Decision, leg: Leg) -> OrderRecord | None:
        """Return the next attempt, or None while the one before is not finished."""
        book, intent, situation = decision.book, decision.intent, decision.situation
        account, bar_ns = self._settings.account, book.newest.bar_ns
        strategy = "+".join(sorted(book.wanted))
        attempts = self._journal.attempts(
            account=account,
            strategy=strategy,
            instrument=intent.instrument,
            bar_ns=bar_ns,
        )
        if any(not standing.state.is_terminal for standing in attempts):
            return None
        attempt = 1 + max((s.record.attempt for s in attempts), default=-1)
        order_lots = intent.side.sign * leg.size_lots
        return OrderRecord(
            client_order_id=client_order_id(
                account=account,
                strategy=strategy,
                instrument=intent.instrument,
                bar_ns=bar_ns,
                attempt=attempt,
            ),
            account=account,
            strategy=strategy,
            instrument=str(intent.instrument),
            bar_ns=bar_ns,
            attempt=attempt,
            kind=INCREASE if isinstance(intent, IncreaseIntent) else REDUCTION,
            side=intent.side,
            size_lots=leg.size_lots,
            type=leg.type,
            price_ticks=leg.price_ticks,
            time_in_force=leg.time_in_force,
            lot_size=str(book.instrument.lot_size),
            target=math.fsum(w.target for w in book.wanted.values()),
            reference_price=str(book.newest.price),
            wanted_lots=situation.wanted_lots,
            held_lots=decision.venue_lots,
            created_ns=decision.now.time_ns,
            build=self._settings.build,
            shares=encode_shares(shares_of(book.missing_lots(), order_lots)),
            style=book.working.style.value,
            tick_size=str(book.instrument.tick_size),
        )
