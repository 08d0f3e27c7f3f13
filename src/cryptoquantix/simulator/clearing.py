"""
The venue's clearing house: fills, fees, funding and margin; it matches nothing.

It holds the accounts and knows every market's mark price.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable
from decimal import Decimal
from typing import NamedTuple

from cryptoquantix.simulator.accounts import (
    NO_ORDERS,
    Account,
    Holding,
    OpenOrders,
    SymbolMargin,
    symbol_margin,
)
from cryptoquantix.simulator.listing import divide_half_even
from cryptoquantix.simulator.market import Market
from cryptoquantix.simulator.orders import FillDetail, FundsChanged, VenueOrder

FILLS_KEPT = 50_000


class AccountMargin(NamedTuple):
    """An account's margin, in units. ``equity`` is wallet plus unrealized PnL."""

    wallet: int
    unrealized: int
    position: int
    open_orders: int
    maintenance: int

    @property
    def equity(self) -> int:
        """Wallet plus unrealized PnL at mark."""
        return self.wallet + self.unrealized

    @property
    def initial(self) -> int:
        """Margin that positions and open orders hold."""
        return self.position + self.open_orders

    @property
    def available(self) -> int:
        """What new orders may still use, never negative."""
        return max(0, self.equity - self.initial)


class Clearing:
    """Accounts of one venue, all in one settlement coin."""

    def __init__(self, coin: str) -> None:
        self.coin = coin
        self.accounts: dict[int, Account] = {}
        self.markets: dict[str, Market] = {}
        self.fills: dict[int, deque[FillDetail]] = {}
        self.funding_rate = Decimal("0.0001")
        self.on_equity: Callable[[int, int, int], None] | None = None
        self._trade_id = 0

    def open_account(self, deposit_units: int, time_ns: int) -> Account:
        """Return a new account holding ``deposit_units``."""
        account = Account(len(self.accounts) + 1, self.coin)
        self.accounts[account.id] = account
        self.fills[account.id] = deque(maxlen=FILLS_KEPT)
        if deposit_units:
            account.book("TRANSFER", deposit_units, time_ns)
        return account

    def unrealized_units(self, account: Account) -> int:
        """Return the open PnL of every position at mark, in units."""
        markets = self.markets
        return sum(
            held.unrealized_units(markets[symbol].price_ticks)
            for symbol, held in account.holdings.items()
            if held.size_lots
        )

    def equity_units(self, account: Account) -> int:
        """Return wallet plus unrealized PnL, in units."""
        return account.wallet_units + self.unrealized_units(account)

    def symbol_margin(
        self, account: Account, symbol: str, extra: OpenOrders = NO_ORDERS
    ) -> SymbolMargin:
        """Return one symbol's margin, ``extra`` orders included."""
        market = self.markets[symbol]
        held = account.holdings.get(symbol)
        notional = held.sign * held.notional_units(market.price_ticks) if held else 0
        orders = open_order_values(market, account.id)
        both = OpenOrders(
            orders.buy_units + extra.buy_units, orders.sell_units + extra.sell_units
        )
        return symbol_margin(notional, both, account.leverage_of(symbol))

    def margin(self, account: Account) -> AccountMargin:
        """Return the whole account's margin."""
        parts = [
            self.symbol_margin(account, symbol)
            for symbol, market in self.markets.items()
            if market.open_orders or account.size_lots(symbol)
        ]
        return AccountMargin(
            wallet=account.wallet_units,
            unrealized=self.unrealized_units(account),
            position=sum(p.position for p in parts),
            open_orders=sum(p.open_orders for p in parts),
            maintenance=sum(p.maintenance for p in parts),
        )

    def can_afford(self, account: Account, symbol: str, extra: OpenOrders) -> bool:
        """Return whether ``extra`` orders fit; those that need no margin always do."""
        before = self.symbol_margin(account, symbol)
        after = self.symbol_margin(account, symbol, extra)
        more = after.position + after.open_orders - before.position - before.open_orders
        if more <= 0:
            return True
        margin = self.margin(account)
        return margin.initial + more <= margin.equity

    def fill(
        self,
        order: VenueOrder,
        price_ticks: int,
        size_lots: int,
        *,
        is_maker: bool,
        time_ns: int,
    ) -> FillDetail:
        """Book one fill of a client's order: order, position, PnL and fee."""
        listing = order.listing
        account = self.accounts[order.account_id]
        value = listing.value_units(price_ticks, size_lots)
        rate = listing.fee_rate_maker if is_maker else listing.fee_rate_taker
        fee = listing.fee_units(value, rate)
        self._trade_id += 1
        order.filled_lots += size_lots
        order.value_units += value
        order.updated_ns = time_ns
        signed = order.request.side.sign * size_lots
        realized = account.fill(listing, signed, price_ticks, time_ns=time_ns)
        symbol, trade_id = listing.symbol, self._trade_id
        if realized:
            account.book(
                "REALIZED_PNL", realized, time_ns, symbol=symbol, trade_id=trade_id
            )
        account.book("COMMISSION", -fee, time_ns, symbol=symbol, trade_id=trade_id)
        self._note_held(symbol)
        detail = FillDetail(
            trade_id=trade_id,
            order=order,
            price_ticks=price_ticks,
            size_lots=size_lots,
            value_units=value,
            fee_units=fee,
            realized_units=realized,
            is_maker=is_maker,
            position_after=account.size_lots(symbol),
            time_ns=time_ns,
        )
        self.fills[account.id].append(detail)
        self.observe(account, time_ns)
        return detail

    def funds_changed(
        self,
        account: Account,
        reason: str,
        time_ns: int,
        *,
        change_units: int = 0,
        symbol: str | None = None,
    ) -> FundsChanged:
        """Return the account as it is now, with the position of ``symbol``."""
        held = account.holdings.get(symbol) if symbol else None
        shown: tuple[tuple[Holding, int], ...] = ()
        if held is not None:
            mark = self.markets[held.listing.symbol].price_ticks
            shown = ((copy.copy(held), mark),)
        return FundsChanged(
            account.id, reason, account.wallet_units, change_units, shown, time_ns
        )

    def charge_funding(self, market: Market, time_ns: int) -> list[FundsChanged]:
        """Charge one funding interval of ``market`` to every position in it."""
        changed = []
        numerator, denominator = self.funding_rate.as_integer_ratio()
        symbol = market.listing.symbol
        for account in self.accounts.values():
            held = account.holdings.get(symbol)
            if held is None or not held.size_lots:
                continue
            notional = held.sign * held.notional_units(market.price_ticks)
            units = -divide_half_even(notional * numerator, denominator)
            account.book("FUNDING_FEE", units, time_ns, symbol=symbol)
            self.observe(account, time_ns)
            changed.append(
                self.funds_changed(account, "FUNDING_FEE", time_ns, change_units=units)
            )
        return changed

    def transfer(self, account: Account, units: int, time_ns: int) -> FundsChanged:
        """Move money in (positive) or out of the wallet."""
        account.book("TRANSFER", units, time_ns)
        reason = "DEPOSIT" if units > 0 else "WITHDRAW"
        return self.funds_changed(account, reason, time_ns, change_units=units)

    def observe(self, account: Account, time_ns: int) -> None:
        """Tell whoever watches the account's equity what it is now."""
        if self.on_equity is not None:
            self.on_equity(account.id, self.equity_units(account), time_ns)

    def _note_held(self, symbol: str) -> None:
        self.markets[symbol].is_held = any(
            a.size_lots(symbol) for a in self.accounts.values()
        )


def open_order_values(market: Market, account_id: int) -> OpenOrders:
    """Return the value of an account's orders in ``market`` that could grow it."""
    buys = sells = 0
    for order in market.open_orders.values():
        if order.account_id != account_id or order.request.is_reduce_only:
            continue
        value = order.listing.value_units(order.price_ticks, order.remaining_lots)
        if order.request.side.sign > 0:
            buys += value
        else:
            sells += value
    return OpenOrders(buys, sells)
