"""
What one venue's execution does next, decided synchronously; it awaits nothing.

Events go in (a target, an account reading, marks, where an order stands), effects come
out (send this, cancel that, tell a person). The same events give the same effects: time
comes with the event, and there is no other input but the journal.

No increase is decided from a stale target, an old reading, or while an order of the
instrument is unfinished; nothing at all before venue and journal were compared, or from
a position that does not know yet how the last order ended.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Final

from cryptoquantix.core.account import AccountSnapshot
from cryptoquantix.core.instrument import Instrument, InstrumentId
from cryptoquantix.core.order import (
    OrderState,
    OrderType,
    TimeInForce,
    client_order_id,
)
from cryptoquantix.core.quantity import from_steps
from cryptoquantix.journal.records import (
    INCREASE,
    REDUCTION,
    OrderRecord,
    OrderStanding,
)
from cryptoquantix.journal.store import Journal
from cryptoquantix.live.events import (
    CancelOrder,
    Effect,
    EngineSettings,
    Now,
    SendOrder,
    Wanted,
)
from cryptoquantix.live.instrument_book import (
    READING_NS_MAX,
    STALE_BARS,
    InstrumentBook,
)
from cryptoquantix.orders.limits import (
    Approved,
    Surroundings,
    check_order,
    leverage_room_lots,
)
from cryptoquantix.orders.plan import (
    CancelIntent,
    IncreaseIntent,
    Intent,
    ReductionIntent,
    Situation,
    Unfinished,
    plan_orders,
)
from cryptoquantix.orders.sizing import target_lots

# Slices, a flip's two legs and a few refusals fit in; a runaway does not.
ATTEMPTS_MAX: Final = 50
_SENT_MAX: Final = 2_048


class Engine:
    """Execution at one venue: targets, readings and orders to effects."""

    def __init__(
        self,
        settings: EngineSettings,
        instruments: Mapping[InstrumentId, Instrument],
        journal: Journal,
    ) -> None:
        self._settings = settings
        self._journal = journal
        self._instruments = instruments
        self._books = {
            id_: InstrumentBook(
                instruments[id_],
                tuple(s for s in settings.subscriptions if s.instrument == id_),
            )
            for id_ in dict.fromkeys(s.instrument for s in settings.subscriptions)
        }
        self._unfinished: dict[str, OrderStanding] = {}
        self._account: AccountSnapshot | None = None
        self._account_asked_ns = 0
        self._sent: deque[int] = deque(maxlen=_SENT_MAX)
        self.is_reconciled = False

    # -- events -----------------------------------------------------------------

    def on_target(
        self, wanted: Wanted, instrument: InstrumentId, now: Now
    ) -> list[Effect]:
        """Take a target; an older one than what is known changes nothing."""
        book = self._books.get(instrument)
        if book is None:
            return []
        is_new, notices = book.take_target(wanted, now.monotonic_ns)
        return [*notices, *(self.plan(instrument, now) if is_new else [])]

    def on_account(
        self, account: AccountSnapshot, asked_ns: int, now: Now
    ) -> list[Effect]:
        """Take a reading that was asked for at ``asked_ns`` (monotonic)."""
        if asked_ns < self._account_asked_ns:
            return []
        self._account, self._account_asked_ns = account, asked_ns
        effects: list[Effect] = []
        for id_, book in self._books.items():
            effects += book.settle(self.held_lots(id_), asked_ns, now.monotonic_ns)
        return effects + self.plan_all(now)

    def on_marks(self, marks: Mapping[InstrumentId, Decimal], now: Now) -> None:
        """Take mark prices."""
        for id_, mark in marks.items():
            if id_ in self._books:
                self._books[id_].take_mark(mark, now.monotonic_ns)

    def on_order(self, standing: OrderStanding, now: Now) -> None:
        """Take where one of our orders stands."""
        record = standing.record
        if not standing.state.is_terminal:
            self._unfinished[record.client_order_id] = standing
            return
        was = self._unfinished.pop(record.client_order_id, None)
        book = self._books.get(InstrumentId.parse(record.instrument))
        if book is None:
            return
        book.count_ended(standing, now)
        if was is not None:
            # Also an earlier process's order: positions may lag behind its fill.
            book.expect(record.held_lots + record.side.sign * standing.filled_lots)

    def plan_all(self, now: Now) -> list[Effect]:
        """Plan every instrument."""
        return [effect for id_ in self._books for effect in self.plan(id_, now)]

    def plan(self, instrument: InstrumentId, now: Now) -> list[Effect]:
        """Return what to do about one instrument now."""
        book = self._books[instrument]
        account = self._account
        if account is None or not self.is_reconciled or not book.is_settled:
            return []
        if self._account_asked_ns < book.ended_ns:
            return []
        self._size(book, account.equity_quote)
        wanted = book.wanted_lots()
        if wanted is None:
            return []
        situation = Situation(
            instrument=instrument,
            wanted_lots=wanted,
            held_lots=self.held_lots(instrument),
            unfinished=self._unfinished_of(instrument),
            band_lots=self._band_lots(book, account.equity_quote),
            order_max_lots=book.instrument.size_market_max_lots,
        )
        effects: list[Effect] = []
        for intent in plan_orders(situation):
            effects += self._carry_out(book, situation, intent, now)
        return effects

    # -- queries ----------------------------------------------------------------

    @property
    def traded(self) -> tuple[InstrumentId, ...]:
        """The instruments with a strategy."""
        return tuple(self._books)

    @property
    def unfinished(self) -> tuple[OrderStanding, ...]:
        """Our orders of which something may still come."""
        return tuple(self._unfinished.values())

    @property
    def account(self) -> AccountSnapshot | None:
        """The newest reading, or None."""
        return self._account

    def held_lots(self, instrument: InstrumentId) -> int:
        """Return the venue's position, signed; zero where it shows none."""
        positions = self._account.positions if self._account else ()
        return sum(p.size_lots for p in positions if p.instrument == instrument)

    # -- inside -----------------------------------------------------------------

    def _size(self, book: InstrumentBook, equity_quote: Decimal) -> None:
        """Turn new targets into lots, once each: equity's drift makes no orders."""
        if not equity_quote.is_finite() or equity_quote <= 0:
            return
        allotted = float(equity_quote * self._settings.equity_fraction)
        for strategy, wanted in book.wanted.items():
            if wanted.lots is None:
                lots = target_lots(
                    wanted.target,
                    allotted,
                    float(wanted.price),
                    float(book.instrument.lot_size),
                    float(book.instrument.notional_min),
                )
                book.wanted[strategy] = replace(wanted, lots=lots)

    def _band_lots(self, book: InstrumentBook, equity_quote: Decimal) -> int:
        """Return the smallest difference worth an order."""
        least = book.instrument.notional_min
        if equity_quote.is_finite():
            allotted = equity_quote * self._settings.equity_fraction
            least = max(least, allotted * self._settings.no_trade_band)
        return math.ceil(least / (book.newest.price * book.instrument.lot_size))

    def _unfinished_of(self, instrument: InstrumentId) -> tuple[Unfinished, ...]:
        return tuple(
            Unfinished(
                client_order_id=standing.record.client_order_id,
                is_increase=standing.record.is_increase,
                side=standing.record.side,
                remaining_lots=max(1, standing.record.size_lots - standing.filled_lots),
                state=standing.state,
            )
            for standing in self._unfinished.values()
            if standing.record.instrument == str(instrument)
        )

    def _carry_out(
        self, book: InstrumentBook, situation: Situation, intent: Intent, now: Now
    ) -> list[Effect]:
        if isinstance(intent, CancelIntent):
            return [CancelOrder(intent.instrument, intent.client_order_id)]
        kind = INCREASE if isinstance(intent, IncreaseIntent) else REDUCTION
        if book.is_backing_off(kind, now):
            return []
        around = self._surroundings(book, now)
        if isinstance(intent, IncreaseIntent):
            doubt = self._doubt(book, now)
            if doubt:
                return [*book.tell(kind, doubt)]
            room = leverage_room_lots(around, self._settings.limits)
            if 0 < situation.band_lots <= room < intent.size_lots:
                intent = replace(intent, size_lots=room)
        record = self._record(book, situation, intent, now)
        return self._check(book, record, around) if record is not None else []

    def _doubt(self, book: InstrumentBook, now: Now) -> str:
        """Return why nothing may be increased from what is known, or nothing."""
        stale = book.stale_strategy(now)
        if stale:
            return f"the target of {stale} is older than {STALE_BARS} bars"
        if now.monotonic_ns - self._account_asked_ns > READING_NS_MAX:
            return "the account was not read lately"
        return ""

    def _surroundings(self, book: InstrumentBook, now: Now) -> Surroundings:
        assert self._account is not None, "checked by plan"
        return Surroundings(
            instrument=book.instrument,
            mark_price=book.mark_price(now.monotonic_ns),
            reference_price=book.newest.price,
            equity_quote=self._account.equity_quote,
            gross_quote=self._gross_quote(self._account),
            sent_monotonic_ns=tuple(self._sent),
            known_ids=self._journal,
            permit=now.permit,
            monotonic_now_ns=now.monotonic_ns,
        )

    def _gross_quote(self, account: AccountSnapshot) -> Decimal:
        """Return gross exposure, every unfinished increase counted as filled."""
        gross = Decimal(0)
        for position in account.positions:
            lot_size = self._instruments[position.instrument].lot_size
            size = from_steps(abs(position.size_lots), lot_size)
            gross += size * position.mark_price
        for standing in self._unfinished.values():
            if standing.record.is_increase:
                lots = max(0, standing.record.size_lots - standing.filled_lots)
                size = from_steps(lots, Decimal(standing.record.lot_size))
                gross += size * Decimal(standing.record.reference_price)
        return gross

    def _record(
        self,
        book: InstrumentBook,
        situation: Situation,
        intent: IncreaseIntent | ReductionIntent,
        now: Now,
    ) -> OrderRecord | None:
        """Return the next attempt, or None while the one before is not finished."""
        account = self._settings.account
        strategy = "+".join(sorted(book.wanted))
        bar_ns = book.newest.bar_ns
        attempts = self._journal.attempts(
            account=account,
            strategy=strategy,
            instrument=intent.instrument,
            bar_ns=bar_ns,
        )
        if any(not standing.state.is_terminal for standing in attempts):
            return None
        attempt = 1 + max((s.record.attempt for s in attempts), default=-1)
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
            size_lots=intent.size_lots,
            type=OrderType.MARKET,
            price_ticks=None,
            time_in_force=TimeInForce.GTC,
            lot_size=str(book.instrument.lot_size),
            target=math.fsum(w.target for w in book.wanted.values()),
            reference_price=str(book.newest.price),
            wanted_lots=situation.wanted_lots,
            held_lots=situation.held_lots,
            created_ns=now.time_ns,
            build=self._settings.build,
        )

    def _check(
        self, book: InstrumentBook, record: OrderRecord, around: Surroundings
    ) -> list[Effect]:
        """Return the order to send where every limit allows it."""
        if record.is_increase and record.attempt >= ATTEMPTS_MAX:
            return [*book.tell(record.kind, f"{ATTEMPTS_MAX} attempts for one bar")]
        verdict = check_order(record.order(), around, self._settings.limits)
        if not isinstance(verdict, Approved):
            return [*book.tell(record.kind, verdict.reason)]
        self._unfinished[record.client_order_id] = OrderStanding(
            record, OrderState.JOURNALED, 0, "", record.created_ns
        )
        self._sent.append(around.monotonic_now_ns)
        return [*book.tell(record.kind, ""), SendOrder(verdict, record)]
