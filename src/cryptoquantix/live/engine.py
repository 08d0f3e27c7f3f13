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

from collections.abc import Iterable, Mapping
from dataclasses import replace
from decimal import Decimal

from cryptoquantix.core.account import AccountSnapshot
from cryptoquantix.core.instrument import Instrument, InstrumentId
from cryptoquantix.core.order import OrderState, TimeInForce
from cryptoquantix.journal.records import INCREASE, REDUCTION, OrderStanding
from cryptoquantix.journal.store import Journal
from cryptoquantix.live.allotment import Allotment
from cryptoquantix.live.at_stake import AtStake
from cryptoquantix.live.events import (
    AskQuote,
    CancelOrder,
    Effect,
    EngineSettings,
    Followed,
    Now,
    SendOrder,
    Wanted,
)
from cryptoquantix.live.instrument_book import (
    READING_NS_MAX,
    InstrumentBook,
)
from cryptoquantix.live.order_maker import Decision, OrderMaker
from cryptoquantix.live.own_part import OwnParts, Part
from cryptoquantix.live.portfolio import Portfolio
from cryptoquantix.live.resting import RestingOrders
from cryptoquantix.orders.attribution import NOBODY, decode_shares
from cryptoquantix.orders.exposure import Exposure
from cryptoquantix.orders.limits import check_amendment, room_lots
from cryptoquantix.orders.plan import (
    CancelIntent,
    IncreaseIntent,
    Intent,
    ReductionIntent,
    Situation,
    Unfinished,
    plan_orders,
)
from cryptoquantix.orders.styles import Leg, Quote, next_leg


class Engine:
    """Execution at one venue: targets, readings and orders to effects."""

    def __init__(
        self,
        settings: EngineSettings,
        instruments: Mapping[InstrumentId, Instrument],
        journal: Journal,
        portfolio: Portfolio | None = None,
        *,
        can_amend: bool = False,
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
        self._allotment = Allotment(settings.equity_fraction, settings.no_trade_band)
        self._maker = OrderMaker(settings, journal)
        self._at_stake = AtStake(instruments)
        self._portfolio = portfolio
        self._resting = RestingOrders(
            can_amend=can_amend,
            may_follow=self._may_follow,
            count_sent=self._maker.count_sent,
        )
        traded = {id_: book.instrument for id_, book in self._books.items()}
        self.own = OwnParts(journal, traded, settings.adopt)
        self.is_reconciled = False
        books = {str(id_): book for id_, book in self._books.items()}
        for owned in journal.owned_lots(self._books):
            book, lot_size = books[owned.instrument], Decimal(owned.lot_size)
            book.take_over(owned.strategy, owned.lots, lot_size)
        for one in journal.iter_shared(self._books):
            book, lot_size = books[one.instrument], Decimal(one.lot_size)
            shares = decode_shares(one.shares, NOBODY, one.order_lots)
            book.share_out(shares, one.order_lots, one.filled_lots, lot_size)

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
            effects += book.settle(self.held_lots(id_), asked_ns)
        self._at_stake.on_account(account, asked_ns, self._is_shown)
        return effects + self.plan_all(now)

    def on_marks(self, marks: Mapping[InstrumentId, Decimal], now: Now) -> None:
        """Take mark prices."""
        for id_, mark in marks.items():
            if id_ in self._books:
                self._books[id_].take_mark(mark, now.monotonic_ns)

    def on_quotes(self, quotes: Mapping[InstrumentId, Quote], now: Now) -> list[Effect]:
        """Take best prices, and plan what waited for them."""
        effects: list[Effect] = []
        for id_, quote in quotes.items():
            if id_ in self._books:
                self._books[id_].take_quote(quote)
                effects += self.plan(id_, now)
        # What these prices left undone is asked for with the next plan, not at once:
        # a side on which nothing rests would be asked for without end.
        return [e for e in effects if not isinstance(e, AskQuote)]

    def on_order(self, standing: OrderStanding, now: Now) -> None:
        """Take where one of our orders stands."""
        record = standing.record
        self._at_stake.on_order(standing, now.monotonic_ns)
        self.own.on_order(standing)
        if not standing.state.is_terminal:
            self._unfinished[record.client_order_id] = standing
            return
        was = self._unfinished.pop(record.client_order_id, None)
        book = self._books.get(InstrumentId.parse(record.instrument))
        if book is None:
            return
        book.count_ended(standing, now)
        if was is not None:
            book.attribute(standing)
            # Also an earlier process's order: positions may lag behind its fill.
            book.expect(standing, now)

    def on_amended(
        self, instrument: InstrumentId, client_order_id: str, *, is_done: bool
    ) -> None:
        """Take the venue's answer to an amendment; a no is followed by a cancel."""
        self._books[instrument].amended(client_order_id, is_done=is_done)

    def plan_all(self, now: Now) -> list[Effect]:
        """Plan every instrument."""
        return [effect for id_ in self._books for effect in self.plan(id_, now)]

    def plan(self, instrument: InstrumentId, now: Now) -> list[Effect]:
        """Return what to do about one instrument now."""
        book = self._books[instrument]
        account = self._account
        if not now.may_increase:
            # What is left of an increase is decided anew under the next permit, with
            # its time in full: a deadline that passed without one sends no lump.
            book.rest()
        if account is None or not self.is_reconciled:
            return []
        wanted = None
        if self.is_settled(instrument):
            self._allotment.size(book, account.equity_quote)
            wanted = book.wanted_lots()
        if wanted is None:
            return self._withdraw(book, now)
        situation = self._situation(book, account, wanted)
        intents = plan_orders(situation)
        canceled = {i.client_order_id for i in _cancels(intents)}
        standings = self._standings_of(instrument)
        effects = self._resting.tend(book, standings, canceled, now)
        for intent in intents:
            effects += self._carry_out(book, situation, intent, now)
        if not intents and not situation.unfinished:
            book.rest()
            if len(book.subscriptions) > 1:
                effects += book.cross(now)
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

    def is_settled(self, instrument: InstrumentId) -> bool:
        """Return whether the newest reading is after all that our orders did."""
        book = self._books[instrument]
        return book.is_settled and self._account_asked_ns >= book.ended_ns

    def held_lots(self, instrument: InstrumentId) -> int:
        """Return the venue's position, signed; zero where it shows none."""
        positions = self._account.positions if self._account else ()
        return sum(p.size_lots for p in positions if p.instrument == instrument)

    def part(self, instrument: InstrumentId) -> Part:
        """Return what is ours of the venue's position, and what is not."""
        standings = self._standings_of(instrument)
        return self.own.part(instrument, self.held_lots(instrument), standings)

    @property
    def read_ns(self) -> int:
        """Monotonic time at which the newest reading was asked for; 0: never."""
        return self._account_asked_ns

    def followed(self) -> list[Followed]:
        """Return how far each target that is known has been followed."""
        return [
            Followed(
                strategy=name,
                instrument=id_,
                bar_ns=wanted.bar_ns,
                sequence=wanted.sequence,
                held_lots=self.held_lots(id_),
                is_idle=self._is_idle(book),
            )
            for id_, book in self._books.items()
            for name, wanted in book.wanted.items()
        ]

    def exposure(self) -> Exposure | None:
        """Return what may at most be at stake here; None before the first reading."""
        return self._at_stake.exposure()

    # -- inside -----------------------------------------------------------------

    def _is_shown(self, instrument: InstrumentId) -> bool | None:
        """Return whether the reading shows what our orders did; None: nobody looks."""
        return self.is_settled(instrument) if instrument in self._books else None

    def _exposure_of_all(self) -> Exposure | None:
        if not self._settings.limits.are_across_venues:
            return None
        portfolio = self._portfolio
        return self.exposure() if portfolio is None else portfolio.exposure()

    def _is_idle(self, book: InstrumentBook) -> bool:
        """Return whether nothing is under way, and a plan made now would be empty."""
        account, wanted = self._account, book.wanted_lots()
        if account is None or wanted is None or not self.is_reconciled:
            return False
        if not self.is_settled(book.instrument.id):
            return False
        # What waits for a person to take theirs away is not done either.
        situation = replace(self._situation(book, account, wanted), foreign_lots=0)
        return not situation.unfinished and not plan_orders(situation)

    def _situation(
        self, book: InstrumentBook, account: AccountSnapshot, wanted_lots: int
    ) -> Situation:
        id_ = book.instrument.id
        part = self.part(id_)
        return Situation(
            instrument=id_,
            wanted_lots=wanted_lots,
            held_lots=part.own_lots,
            foreign_lots=part.foreign_lots,
            unfinished=self._unfinished_of(id_),
            band_lots=self._allotment.band_lots(book, account.equity_quote),
            order_max_lots=book.instrument.size_market_max_lots,
        )

    def _standings_of(self, instrument: InstrumentId) -> list[OrderStanding]:
        name = str(instrument)
        return [s for s in self._unfinished.values() if s.record.instrument == name]

    def _unfinished_of(self, instrument: InstrumentId) -> tuple[Unfinished, ...]:
        return tuple(
            Unfinished(
                client_order_id=standing.record.client_order_id,
                is_increase=standing.record.is_increase,
                side=standing.record.side,
                remaining_lots=max(1, standing.record.size_lots - standing.filled_lots),
                state=standing.state,
            )
            for standing in self._standings_of(instrument)
        )

    def _may_follow(self, book: InstrumentBook, now: Now) -> bool:
        """Return whether what stops a new increase does not stop an old one either."""
        around = self._maker.surroundings(
            book, self._at_stake, self._exposure_of_all(), now
        )
        reason = check_amendment(around, self._settings.limits)
        return not (reason or self._doubt(book, now))

    def _withdraw(self, book: InstrumentBook, now: Now) -> list[Effect]:
        """Cancel increases that rest without a permit, whatever else is not known."""
        if now.may_increase:
            return []
        standings = self._standings_of(book.instrument.id)
        increases = [s for s in standings if s.record.is_increase]
        return self._resting.tend(book, increases, (), now)

    def _carry_out(
        self, book: InstrumentBook, situation: Situation, intent: Intent, now: Now
    ) -> list[Effect]:
        if isinstance(intent, CancelIntent):
            if not book.may_cancel(intent.client_order_id, now.monotonic_ns):
                return []
            return [CancelOrder(intent.instrument, intent.client_order_id)]
        kind = INCREASE if isinstance(intent, IncreaseIntent) else REDUCTION
        if book.is_backing_off(kind, now):
            return []
        assert self._account is not None, "checked by plan"
        around = self._maker.surroundings(
            book, self._at_stake, self._exposure_of_all(), now
        )
        if isinstance(intent, IncreaseIntent):
            doubt = self._doubt(book, now)
            if doubt:
                return [*book.tell(kind, doubt)]
            room = room_lots(around, self._settings.limits, intent.side)
            if 0 < situation.band_lots <= room < intent.size_lots:
                intent = replace(intent, size_lots=room)
        held_lots = self.held_lots(book.instrument.id)
        return self._order(Decision(book, situation, intent, around, now, held_lots))

    def _order(self, decision: Decision) -> list[Effect]:
        """Return the order that works an intent now, or what it waits for."""
        book = decision.book
        leg = self._leg(book, decision.intent, decision.now)
        if leg is None:
            return [AskQuote(book.instrument.id)] if book.working.needs_quote else []
        effects = self._maker.make(decision, leg, self._unfinished)
        is_sent = any(isinstance(effect, SendOrder) for effect in effects)
        book.count_leg(is_sent=is_sent, is_resting=_rests(leg))
        for effect in effects:
            if isinstance(effect, SendOrder):
                record = effect.record
                book.begin(record.client_order_id, decision.now.monotonic_ns)
                self._at_stake.on_sent(record, decision.around.price)
                self._unfinished[record.client_order_id] = OrderStanding(
                    record, OrderState.JOURNALED, 0, "", record.created_ns
                )
        return effects

    def _leg(
        self, book: InstrumentBook, intent: IncreaseIntent | ReductionIntent, now: Now
    ) -> Leg | None:
        """Return the order that works an intent now; None where it is to wait."""
        work = book.work(intent.side, intent.size_lots, now.monotonic_ns)
        if isinstance(intent, ReductionIntent) and not now.may_increase:
            # Whoever took the permit wants us out: nothing is worked any longer.
            return Leg(intent.size_lots)
        return next_leg(
            book.working, work, book.moment(intent.size_lots, now.monotonic_ns)
        )

    def _doubt(self, book: InstrumentBook, now: Now) -> str:
        """Return why nothing may be increased from what is known, or nothing."""
        stale = book.stale_target(now)
        if stale:
            return stale
        if now.monotonic_ns - self._account_asked_ns > READING_NS_MAX:
            return "the account was not read lately"
        return ""


def _rests(leg: Leg) -> bool:
    return leg.time_in_force is TimeInForce.POST_ONLY


def _cancels(intents: Iterable[Intent]) -> list[CancelIntent]:
    return [intent for intent in intents if isinstance(intent, CancelIntent)]
