"""
A venue's core that mirrors a market elsewhere: its prints, best quotes and marks.

Where :class:`Exchange` makes a market of one tape, a mirrored instrument is told
everything by the market it mirrors: what traded, what the best quotes are, what mark,
index and funding are. Makers show the best quotes as they are there, price and size,
and made-up levels behind them. What it does to clients' orders: a print beyond a
resting order fills it whole at the order's price, a print at just its price up to the
print's size, and a best quote that reaches it fills it up to the quote's size.

While an instrument is halted (nothing is known of its market) the book stays as it
was last seen, nothing can be placed or changed, and orders can be canceled.
"""

from __future__ import annotations

from cryptoquantix.core.order import TimeInForce
from cryptoquantix.simulator.exchange import Exchange, Print
from cryptoquantix.simulator.history import PrintedTrade
from cryptoquantix.simulator.market import Market, MirroredMark, MirroredQuote
from cryptoquantix.simulator.orders import OrderRequest, VenueOrder
from cryptoquantix.simulator.refusals import CommandRefusedError, Refusal
from cryptoquantix.simulator.rules import Funding

# A venue may name the next funding a moment before the last one is due.
_FUNDING_SOON_NS = 60_000_000_000


class MirrorExchange(Exchange):
    """An :class:`Exchange` some or all of whose instruments mirror a market."""

    def tick(self, symbol: str, trade: Print, time_ns: int) -> PrintedTrade:
        """Print one trade; of a mirrored instrument only the last price follows."""
        market = self.markets[symbol]
        if not market.is_mirror:
            return super().tick(symbol, trade, time_ns)
        market.raw_ticks = trade.price_ticks
        accrued = self._advance(market, trade.tape_ns, time_ns)
        price = market.scaled_ticks(trade.price_ticks)
        moved = market.see_print(price)
        printed = market.history.add(
            trade.tape_ns, price, trade.size_lots, is_buyer_maker=trade.is_buyer_maker
        )
        if moved or accrued:
            self._repriced(market, time_ns)
        if market.is_touched_by(price):
            self._sweep(market, trade._replace(price_ticks=price), time_ns)
        self.check_touched(time_ns)
        return printed

    def see_quote(self, symbol: str, quote: MirroredQuote, time_ns: int) -> None:
        """Take the best quotes of the mirrored market; crossed ones are left out."""
        market = self.markets[symbol]
        if not 0 < quote.bid_ticks < quote.ask_ticks:
            return
        if self._advance(market, quote.time_ns, time_ns):
            self._repriced(market, time_ns)
        market.see_quote(quote)
        if market.is_met_by_quote():
            self.quote(market, time_ns)
        self.check_touched(time_ns)

    def see_mark(self, symbol: str, mark: MirroredMark, time_ns: int) -> None:
        """Take mark, index and funding of the mirrored market; what is due is paid."""
        market = self.markets[symbol]
        # First, so that it is charged at the rate and the mark before this one.
        accrued = self._advance(market, mark.time_ns, time_ns)
        moved = market.see_mark(mark)
        next_ns, due_ns = mark.next_funding_ns, market.next_funding_ns
        is_early = due_ns < next_ns and 0 < due_ns - market.tape_ns < _FUNDING_SOON_NS
        if next_ns and not is_early:
            market.next_funding_ns = next_ns
        if moved or accrued:
            self._repriced(market, time_ns)
        self.check_touched(time_ns)

    def halt(self, symbol: str, *, is_halted: bool) -> None:
        """Say that nothing is known of an instrument's market, or that it is again."""
        self.markets[symbol].is_halted = is_halted

    def place(self, account_id: int, request: OrderRequest, time_ns: int) -> VenueOrder:
        """Accept an order, match it and return it as it stands; or refuse."""
        if self.market(request.symbol).is_halted:
            raise CommandRefusedError(Refusal.HALTED)
        return super().place(account_id, request, time_ns)

    def amend(
        self, order: VenueOrder, *, price_ticks: int, size_lots: int, time_ns: int
    ) -> None:
        """Give a resting order a new price and total size; or refuse."""
        if self.market(order.listing.symbol).is_halted:
            raise CommandRefusedError(Refusal.HALTED)
        super().amend(
            order, price_ticks=price_ticks, size_lots=size_lots, time_ns=time_ns
        )

    def _advance(self, market: Market, tape_ns: int, time_ns: int) -> bool:
        """Move an instrument's time on; return whether funding accrued by it."""
        # A print that was fetched late does not turn time back.
        market.tape_ns = max(market.tape_ns, tape_ns)
        is_continuous = self.rules.funding is Funding.CONTINUOUS
        accrued = is_continuous and market.accrue(self.rules)
        if market.tape_ns >= market.next_funding_ns:
            self._fund(market, time_ns)
        return accrued

    def _sweep(self, market: Market, trade: Print, time_ns: int) -> None:
        """Fill clients' orders that a print has passed or met."""
        price, sign = trade.price_ticks, -1 if trade.is_buyer_maker else 1
        # Makers' quotes there are of before the print: what it took is not theirs.
        market.stand_aside(price, sign)
        for side in (1, -1):
            passed = market.passed_lots(side, price)
            if passed:
                beyond = market.aggressor(price + side, passed, -side)
                self.run(market, beyond, TimeInForce.IOC, time_ns)
        order = market.aggressor(price, trade.size_lots, sign)
        self.run(market, order, TimeInForce.IOC, time_ns)
        self.quote(market, time_ns)
