"""
What a venue does with an account whose equity no longer covers its maintenance.

It cancels the account's orders, then closes each position with an order of its own
that goes through the book as far as the bankruptcy price, at which the equity would
be used up. What the book does not take there is set off against the positions of
counterparties at that price (ADL: the most profitable and highest leveraged first),
unless the insurance fund can bear the loss; what nobody holds the fund takes. A
wallet that fees have left below zero is made whole by the fund.

Venues take over at the bankruptcy price of an isolated position; for cross margin
the equity is shared out over the positions by value, which is ours.
"""

from __future__ import annotations

from fractions import Fraction

from cryptoquantix.core.order import Side, TimeInForce
from cryptoquantix.simulator.accounts import Account, Holding, Leg
from cryptoquantix.simulator.floor import Floor
from cryptoquantix.simulator.market import Market
from cryptoquantix.simulator.matching import UNBOUNDED_TICKS, BookOrder
from cryptoquantix.simulator.orders import (
    EndReason,
    OrderRequest,
    Origin,
    VenueOrder,
)

ADL_CLIENT_ID = "adl_autoclose"


class Liquidator:
    """Watches margins for one exchange and closes what they no longer cover."""

    def __init__(self, floor: Floor) -> None:
        self._floor = floor
        self._busy: set[int] = set()

    def check(self, account: Account, coin: str, time_ns: int) -> None:
        """Liquidate the account's positions in ``coin`` if their margin is gone."""
        clearing = self._floor.clearing
        if account.id in self._busy or not clearing.open_holdings(account, coin):
            return
        margin = clearing.margin(account, coin)
        if margin.backing >= margin.maintenance:
            return
        self._busy.add(account.id)
        try:
            self._liquidate(account, coin, time_ns)
        finally:
            self._busy.discard(account.id)

    def deleverage(
        self,
        account: Account,
        market: Market,
        leg: Leg,
        size_lots: int,
        *,
        price_ticks: int,
        time_ns: int,
    ) -> VenueOrder:
        """Reduce a position as the counterparty of somebody's liquidation."""
        held = account.holding(market.listing, leg)
        assert 0 < size_lots <= abs(held.size_lots), (
            f"cannot take {size_lots} lots from a position of {held.size_lots}"
        )
        order = self._order(account, held, size_lots, time_ns=time_ns)
        self._floor.settle_forced(
            order, price_ticks, size_lots, match_id=0, time_ns=time_ns
        )
        return order

    def _liquidate(self, account: Account, coin: str, time_ns: int) -> None:
        floor, clearing = self._floor, self._floor.clearing
        for symbol, market in floor.markets.items():
            if market.listing.settlement == coin:
                floor.cancel_all(
                    account.id, symbol, time_ns, reason=EndReason.LIQUIDATION
                )
        while found := clearing.open_holdings(account, coin):
            market, held = found[0]
            price_ticks = bankruptcy_ticks(floor, account, market, held)
            self._close(account, market, held, price_ticks=price_ticks, time_ns=time_ns)
        self._clear(account, coin, time_ns)

    def _close(
        self,
        account: Account,
        market: Market,
        held: Holding,
        *,
        price_ticks: int,
        time_ns: int,
    ) -> None:
        """Close one position: book, then counterparties unless the fund can, fund."""
        floor, clearing = self._floor, self._floor.clearing
        size_lots = abs(held.size_lots)
        floor.quote(market, time_ns, refill=True)
        if not held.size_lots:
            return  # nothing of the account rests, but be sure
        order = self._order(
            account, held, size_lots, price_ticks=price_ticks, time_ns=time_ns
        )
        book_order = BookOrder(
            order.id,
            account.id,
            order.request.side.sign,
            price_ticks=price_ticks,
            size_lots=size_lots,
        )
        floor.run(market, book_order, TimeInForce.IOC, time_ns)
        if self._fund_result(order, market, price_ticks) < -clearing.insurance.get(
            market.listing.settlement, 0
        ):
            self._set_off(
                order, market, held.sign, price_ticks=price_ticks, time_ns=time_ns
            )
        if order.remaining_lots:
            result = self._fund_result(order, market, price_ticks)
            clearing.fund(market.listing.settlement, result)
            floor.settle_forced(
                order, price_ticks, order.remaining_lots, match_id=0, time_ns=time_ns
            )

    def _set_off(
        self,
        order: VenueOrder,
        market: Market,
        sign: int,
        *,
        price_ticks: int,
        time_ns: int,
    ) -> None:
        """Reduce those who hold the other side, best placed first."""
        floor, clearing = self._floor, self._floor.clearing
        ranked = sorted(
            (
                (rank(floor, other, market, held), -other.id, held.leg)
                for other in clearing.accounts.values()
                for leg in Leg
                if other.id != order.account_id
                if (held := other.held(market.listing.symbol, leg)) is not None
                if held.size_lots * sign < 0
            ),
            reverse=True,
        )
        for _, negative_id, leg in ranked:
            other = clearing.accounts[-negative_id]
            held = other.holding(market.listing, leg)
            size_lots = min(order.remaining_lots, abs(held.size_lots))
            if not size_lots:
                continue
            match_id = clearing.next_match()
            reduced = self._order(other, held, size_lots, time_ns=time_ns)
            for each in (order, reduced):
                floor.settle_forced(
                    each, price_ticks, size_lots, match_id=match_id, time_ns=time_ns
                )

    @staticmethod
    def _fund_result(order: VenueOrder, market: Market, price_ticks: int) -> int:
        """Return what the fund gains if it takes the rest over and sells at mark."""
        listing, size_lots = market.listing, order.remaining_lots
        taken = listing.value_units(price_ticks, size_lots)
        worth = listing.value_units(market.mark_ticks, size_lots)
        return -listing.pnl_sign * order.request.side.sign * (worth - taken)

    def _clear(self, account: Account, coin: str, time_ns: int) -> None:
        floor = self._floor
        missing = -account.wallet_of(coin)
        if missing > 0 and coin == floor.clearing.coin:
            for changed in floor.clearing.convert(account, missing, time_ns):
                floor.emit(changed)
        deficit = -account.wallet_of(coin)
        if deficit > 0:
            floor.emit(floor.clearing.clear_deficit(account, coin, deficit, time_ns))

    def _order(
        self,
        account: Account,
        held: Holding,
        size_lots: int,
        *,
        time_ns: int,
        price_ticks: int | None = None,
    ) -> VenueOrder:
        """Make the venue's own order that closes a part: without a price, ADL."""
        floor = self._floor
        is_adl = price_ticks is None
        request = OrderRequest(
            symbol=held.listing.symbol,
            side=Side.of(-held.size_lots),
            size_lots=size_lots,
            client_id=ADL_CLIENT_ID if is_adl else f"autoclose-{floor.next_id}",
            price_ticks=price_ticks,
            time_in_force=TimeInForce.IOC,
            order_type="LIQUIDATION",
            is_reduce_only=True,
            leg=held.leg,
            origin=Origin.ADL if is_adl else Origin.LIQUIDATION,
        )
        return floor.accept(account.id, request, size_lots, time_ns)


def bankruptcy_ticks(
    floor: Floor, account: Account, market: Market, held: Holding
) -> int:
    """
    Return the price at which closing ``held`` uses up its share of the equity.

    Rounded to the tick that costs the account less; at least one tick.
    """
    clearing, listing = floor.clearing, market.listing
    coin = listing.settlement
    total = sum(
        h.notional_units(m.mark_ticks) for m, h in clearing.open_holdings(account, coin)
    )
    notional = held.notional_units(market.mark_ticks)
    equity = clearing.equity_units(account, coin)
    equity += clearing.collateral_units(account, coin)
    share = Fraction(equity * notional, total) if total else Fraction(0)
    value = notional - listing.pnl_sign * held.sign * share
    one = listing.exact_value(1, abs(held.size_lots))
    if listing.is_inverse:
        exact = one / value if value > 0 else Fraction(UNBOUNDED_TICKS)
    else:
        exact = max(Fraction(0), value) / one
    ticks = -(-exact // 1) if held.sign > 0 else exact // 1
    return max(1, min(int(ticks), UNBOUNDED_TICKS))


def rank(floor: Floor, account: Account, market: Market, held: Holding) -> Fraction:
    """
    Return how early a counterparty is deleveraged, the highest first.

    Profit over cost, times (a loss: over) the leverage in use: the ranking that
    Binance and Bybit describe.
    """
    coin = market.listing.settlement
    profit = Fraction(held.unrealized_units(market.mark_ticks), abs(held.cost_units))
    equity = max(1, floor.clearing.equity_units(account, coin))
    leverage = Fraction(held.notional_units(market.mark_ticks), equity)
    return profit * leverage if profit > 0 else profit / max(leverage, Fraction(1))
