"""
A venue's core: commands in, events out; it knows no wire, no socket and no clock.

Times are arguments: ``time_ns`` is the venue's wall time, tape times come with the
tape. The same commands at the same times give the same events.

A reduce-only order larger than the position is shrunk on entry.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import NamedTuple

from cryptoquantix.core.order import TimeInForce
from cryptoquantix.simulator.accounts import Leg
from cryptoquantix.simulator.admission import (
    admissible_lots,
    bound_ticks,
    check_amendment,
    check_entry,
)
from cryptoquantix.simulator.floor import Floor
from cryptoquantix.simulator.history import PrintedTrade
from cryptoquantix.simulator.interventions import change_position_mode, external_fill
from cryptoquantix.simulator.liquidation import Liquidator
from cryptoquantix.simulator.market import FundingPaid, Market
from cryptoquantix.simulator.matching import (
    BookOrder,
)
from cryptoquantix.simulator.orders import (
    EndReason,
    LeverageChanged,
    OrderRequest,
    Origin,
    Status,
    VenueOrder,
)
from cryptoquantix.simulator.refusals import CommandRefusedError, Refusal
from cryptoquantix.simulator.rules import BINANCE, Funding, PostOnly, VenueRules


class Print(NamedTuple):
    """A trade of the tape, before price shocks."""

    tape_ns: int
    price_ticks: int
    size_lots: int
    is_buyer_maker: bool


class Exchange(Floor):
    """One venue: commands for its floor. Events are taken by :meth:`drain`."""

    def __init__(self, rules: VenueRules = BINANCE) -> None:
        super().__init__(rules)
        self.liquidator = Liquidator(self)
        self._countdowns: dict[tuple[int, str], int] = {}

    def tick(self, symbol: str, trade: Print, time_ns: int) -> PrintedTrade:
        """Print one tape trade: price, marks, triggers and resting orders follow."""
        market = self.markets[symbol]
        market.raw_ticks = trade.price_ticks
        market.tape_ns = trade.tape_ns
        market.is_sold = trade.is_buyer_maker
        is_continuous = self.rules.funding is Funding.CONTINUOUS
        accrued = is_continuous and market.accrue(self.rules)
        if trade.tape_ns >= market.next_funding_ns:
            self._fund(market, time_ns)
        index = market.scaled_ticks(trade.price_ticks)
        moved = index != market.index_ticks or market.premium != 1
        moved = moved and market.reprice(index)
        price = market.price_ticks
        printed = market.history.add(
            trade.tape_ns, price, trade.size_lots, is_buyer_maker=trade.is_buyer_maker
        )
        if moved or accrued:
            self._repriced(market, time_ns)
        if market.is_touched_by(price):
            self.quote(market, time_ns)
            sign = -1 if trade.is_buyer_maker else 1
            order = market.aggressor(price, trade.size_lots, sign)
            self.run(market, order, TimeInForce.IOC, time_ns)
        self.check_touched(time_ns)
        return printed

    def reach(self, tape_ns: int, time_ns: int) -> None:
        """Charge what funding is due at ``tape_ns``, before which all was traded."""
        if self.rules.funding is not Funding.TIMES:
            return
        for market in self.markets.values():
            if 0 < market.next_funding_ns <= tape_ns:
                market.tape_ns = max(market.tape_ns, tape_ns)
                self._fund(market, time_ns)
        self.check_touched(time_ns)

    def shock(self, symbol: str, factor: Fraction, time_ns: int) -> PrintedTrade:
        """Multiply this and every later tape price by ``factor``; prints one lot."""
        assert factor > 0, f"a price factor is positive, was {factor}"
        market = self.market(symbol)
        market.factor *= factor
        return self._reprint(market, time_ns, is_down=factor < 1)

    def depeg(self, symbol: str, premium: Fraction, time_ns: int) -> PrintedTrade:
        """
        Let this venue alone trade at ``premium`` × index from now on; 1 ends it.

        Last price and book move, the index stays, and the mark follows as far as
        the rules let it. Prints one lot.
        """
        assert premium > 0, f"a premium is positive, was {premium}"
        market = self.market(symbol)
        is_down = premium < market.premium
        market.premium = premium
        market.reprice(market.index_ticks)
        self._repriced(market, time_ns)
        return self._reprint(market, time_ns, is_down=is_down)

    def _reprint(self, market: Market, time_ns: int, *, is_down: bool) -> PrintedTrade:
        trade = Print(market.tape_ns, market.raw_ticks, 1, is_buyer_maker=is_down)
        return self.tick(market.listing.symbol, trade, time_ns)

    def refresh(self, time_ns: int) -> None:
        """Do what only time brings: makers refill, dead-man's switches fire."""
        for market in self.markets.values():
            if market.is_thinned:
                self.quote(market, time_ns, refill=True)
        due = [key for key, at in self._countdowns.items() if time_ns >= at]
        for account_id, symbol in due:
            del self._countdowns[account_id, symbol]
            for name in [symbol] if symbol else list(self.markets):
                self.cancel_all(account_id, name, time_ns, EndReason.DEAD_MAN)
        self.check_touched(time_ns)

    def check_touched(self, time_ns: int) -> None:
        """Look at the margin of everybody who has traded since the last look."""
        while self._touched:
            (account_id, coin), _ = self._touched.popitem()
            self.liquidator.check(self.clearing.accounts[account_id], coin, time_ns)

    def place(self, account_id: int, request: OrderRequest, time_ns: int) -> VenueOrder:
        """Accept an order, match it and return it as it stands; or refuse."""
        known = self.find_client(account_id, request.client_id)
        is_taken = known is not None and known.status.is_open
        if is_taken and self.rules.are_client_ids_unique:
            raise CommandRefusedError(Refusal.DUPLICATE_CLIENT_ID)
        market = self.market(request.symbol)
        # Quotes first: fresh ones may fill resting orders and so move the position.
        self.quote(market, time_ns)
        size_lots = admissible_lots(self.clearing, account_id, market, request)
        bound = self._bound(market, request)
        check_entry(
            self.clearing,
            account_id,
            market,
            request,
            size_lots=size_lots,
            bound=bound,
        )
        is_post_only = request.time_in_force is TimeInForce.POST_ONLY
        price_ticks = bound if is_post_only else None
        order = self.accept(
            account_id, request, size_lots, time_ns, price_ticks=price_ticks
        )
        if is_post_only and market.book.crosses(request.side.sign, bound):
            self._finish(
                market, order, Status.CANCELED, EndReason.POST_ONLY, time_ns=time_ns
            )
        else:
            self._enter(market, order, bound, time_ns)
        self.check_touched(time_ns)
        return order

    def _bound(self, market: Market, request: OrderRequest) -> int:
        """Return the worst price an order may trade at, a post-only one adjusted."""
        bound = bound_ticks(market, request)
        is_adjusted = (request.post_only or self.rules.post_only) is PostOnly.ADJUST
        if request.time_in_force is not TimeInForce.POST_ONLY or not is_adjusted:
            return bound
        sign = request.side.sign
        best = market.book.best_ticks(-sign)
        if best is None or not market.book.crosses(sign, bound):
            return bound
        return best - sign if best > sign else bound

    def amend(
        self, order: VenueOrder, *, price_ticks: int, size_lots: int, time_ns: int
    ) -> None:
        """
        Give a resting order a new price and total size; or refuse.

        A smaller size at the same price keeps its place in time. As at the venue,
        a size that is filled already, or a post-only price that would take,
        cancels the order.
        """
        market = self.markets[order.listing.symbol]
        if (price_ticks, size_lots) == (order.price_ticks, order.size_lots):
            raise CommandRefusedError(Refusal.AMEND_NOTHING)
        self.quote(market, time_ns)
        if not order.status.is_open:
            raise CommandRefusedError(Refusal.UNKNOWN_ORDER)
        takes = market.book.crosses(order.request.side.sign, price_ticks)
        is_post_only = order.request.time_in_force is TimeInForce.POST_ONLY
        if size_lots <= order.filled_lots or (takes and is_post_only):
            self.cancel(order, time_ns)
            return
        check_amendment(
            self.clearing, market, order, price_ticks=price_ticks, size_lots=size_lots
        )
        keeps_place = price_ticks == order.price_ticks and size_lots < order.size_lots
        if not keeps_place:
            market.drop_open(order)
        order.price_ticks, order.size_lots = price_ticks, size_lots
        order.updated_ns = time_ns
        self._changed(order, "AMENDMENT", time_ns)
        if keeps_place:
            market.book.shrink(order.id, order.remaining_lots)
            return
        market.book.remove(order.id)
        self._enter(market, order, price_ticks, time_ns)
        self.check_touched(time_ns)

    def set_coin_price(self, coin: str, usd: Fraction | None, time_ns: int) -> None:
        """Say what a coin is worth in dollars here, None for what the index says."""
        if usd is None:
            self.clearing.usd.pop(coin, None)
        else:
            assert usd > 0, f"a coin is worth something, was {usd}"
            self.clearing.usd[coin] = usd
        for account in self.clearing.accounts.values():
            self.clearing.observe(account, time_ns)
            for settled in self.rules.coins:
                self.liquidator.check(account, settled, time_ns)
        self.check_touched(time_ns)

    def countdown(self, account_id: int, symbol: str, at_ns: int | None) -> None:
        """Arm (or with None disarm) the dead-man's switch of a symbol, "" for all."""
        if symbol:
            self.market(symbol)
        if at_ns is None:
            self._countdowns.pop((account_id, symbol), None)
        else:
            self._countdowns[account_id, symbol] = at_ns

    def transfer(
        self, account_id: int, units: int, time_ns: int, coin: str = ""
    ) -> None:
        """Move money in (positive) or out of one of an account's wallets."""
        account = self.clearing.accounts[account_id]
        self._events.append(self.clearing.transfer(account, units, time_ns, coin))
        settled = coin if coin in self.rules.coins else account.coin
        self.liquidator.check(account, settled, time_ns)
        # Who was set off against a liquidation may have lost a hedge by it.
        self.check_touched(time_ns)

    def set_leverage(
        self, account_id: int, symbol: str, leverage: int, time_ns: int = 0
    ) -> None:
        """Set the leverage of one symbol; refused if open margin does not fit."""
        listing = self.market(symbol).listing
        account = self.clearing.accounts[account_id]
        before = account.leverage_of(listing)
        account.leverage[symbol] = leverage
        margin = self.clearing.margin(account, listing.settlement)
        if leverage < before and margin.initial > margin.backing:
            account.leverage[symbol] = before
            raise CommandRefusedError(Refusal.MARGIN)
        if leverage != before:
            self.emit(LeverageChanged(account_id, symbol, leverage, time_ns))

    def set_position_mode(
        self,
        account_id: int,
        *,
        is_hedged: bool,
        time_ns: int,
        symbol: str = "",
        is_forced: bool = False,
    ) -> None:
        """Change the position mode of a symbol, "" for all; see interventions.py."""
        change_position_mode(
            self,
            self.clearing.accounts[account_id],
            symbol,
            is_hedged=is_hedged,
            is_forced=is_forced,
            time_ns=time_ns,
        )
        self.check_touched(time_ns)

    def force_mode(
        self, account_id: int, *, is_hedged: bool, time_ns: int, symbol: str = ""
    ) -> None:
        """Change the position mode whatever is open; see interventions.py."""
        self.set_position_mode(
            account_id,
            is_hedged=is_hedged,
            time_ns=time_ns,
            symbol=symbol,
            is_forced=True,
        )

    def external_fill(
        self, account_id: int, request: OrderRequest, price_ticks: int, time_ns: int
    ) -> VenueOrder:
        """Fill an order the account's owner placed elsewhere, whole, at a price."""
        request = replace(request, origin=Origin.EXTERNAL)
        order = external_fill(
            self, account_id, request, price_ticks=price_ticks, time_ns=time_ns
        )
        self.check_touched(time_ns)
        return order

    def deleverage(  # noqa: PLR0917 - the five words of one sentence
        self, account_id: int, symbol: str, leg: Leg, size_lots: int, time_ns: int
    ) -> VenueOrder:
        """Reduce a position at mark as if a counterparty had been liquidated (ADL)."""
        account, market = self.clearing.accounts[account_id], self.market(symbol)
        held = abs(account.size_lots(symbol, leg))
        if not held or size_lots < 1:
            raise CommandRefusedError(Refusal.REDUCE_ONLY)
        order = self.liquidator.deleverage(
            account,
            market,
            leg,
            min(size_lots, held),
            price_ticks=market.mark_ticks,
            time_ns=time_ns,
        )
        self.check_touched(time_ns)
        return order

    def _repriced(self, market: Market, time_ns: int) -> None:
        base = market.listing.base
        is_backing = any(coin == base for coin, _ in self.rules.collateral)
        if market.is_held or is_backing:
            for account in self.clearing.accounts.values():
                is_backed = is_backing and account.wallets.get(base)
                if is_backed or account.is_held(market.listing.symbol):
                    self.clearing.observe(account, time_ns)
                    coin = market.listing.settlement
                    self.liquidator.check(account, coin, time_ns)
        self.on_price(market, time_ns)

    def _fund(self, market: Market, time_ns: int) -> None:
        """Charge each funding time the tape has reached; the first only starts it."""
        if market.next_funding_ns:
            rate = market.funding_rate(self.rules)
            paid = FundingPaid(market.next_funding_ns, market.mark_ticks, rate)
            if self.rules.funding is Funding.TIMES:
                changes = self.clearing.charge_funding(market, time_ns)
            else:
                changes = self.clearing.settle_funding(market, time_ns)
            self._events.extend(changes)
            for change in changes:
                account = self.clearing.accounts[change.account_id]
                self.liquidator.check(account, change.coin, time_ns)
            market.fundings.append(paid)
            del market.fundings[:-1000]
        interval_ns = self.rules.funding_interval_ns
        intervals = market.tape_ns // interval_ns + 1
        market.next_funding_ns = intervals * interval_ns

    def _enter(
        self, market: Market, order: VenueOrder, bound: int, time_ns: int
    ) -> None:
        request = order.request
        book_order = BookOrder(
            order.id,
            order.account_id,
            request.side.sign,
            price_ticks=bound,
            size_lots=order.remaining_lots,
        )
        is_market = request.price_ticks is None
        time_in_force = TimeInForce.IOC if is_market else request.time_in_force
        self.run(market, book_order, time_in_force, time_ns)
