"""
The venue's clearing house: fills, fees, funding and margin; it matches nothing.

It holds the accounts and knows every market's mark price. Each settlement coin has
a wallet and a margin of its own.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable
from fractions import Fraction
from typing import NamedTuple

from cryptoquantix.core.order import Side
from cryptoquantix.simulator.accounts import (
    NO_ORDERS,
    Account,
    ChainMove,
    Holding,
    Leg,
    OpenOrders,
    SymbolMargin,
    leg_margin,
)
from cryptoquantix.simulator.listing import divide_half_even
from cryptoquantix.simulator.market import Market
from cryptoquantix.simulator.orders import FillDetail, FundsChanged, Origin, VenueOrder
from cryptoquantix.simulator.rules import VenueRules

FILLS_KEPT = 50_000
CHAIN_KEPT = 10_000
STABLECOINS = frozenset({"USD", "USDT", "USDC"})


class AccountMargin(NamedTuple):
    """An account's margin in one coin, in units."""

    wallet: int
    unrealized: int
    position: int
    open_orders: int
    maintenance: int
    funding: int = 0  # accrued and not yet booked
    collateral: int = 0  # what other coins count for

    @property
    def equity(self) -> int:
        """Wallet plus unrealized PnL at mark, and funding that has accrued."""
        return self.wallet + self.unrealized + self.funding

    @property
    def backing(self) -> int:
        """What positions and orders may use: the equity and other coins' worth."""
        return self.equity + self.collateral

    @property
    def initial(self) -> int:
        """Margin that positions and open orders hold."""
        return self.position + self.open_orders

    @property
    def available(self) -> int:
        """What new orders may still use, never negative."""
        return max(0, self.backing - self.initial)


class Clearing:
    """Accounts of one venue."""

    def __init__(self, rules: VenueRules) -> None:
        self.rules = rules
        self.coin = rules.coins[0]
        self.accounts: dict[int, Account] = {}
        self.markets: dict[str, Market] = {}
        self.fills: dict[int, deque[FillDetail]] = {}
        self.on_equity: Callable[[int, int, int], None] | None = None
        self.insurance: dict[str, int] = {}
        self.chain: deque[ChainMove] = deque(maxlen=CHAIN_KEPT)
        # What a coin is worth in dollars where the operator says so.
        self.usd: dict[str, Fraction] = {}
        self._trade_id = 0
        self._match_id = 0

    def open_account(self, deposit_units: int, time_ns: int) -> Account:
        """Return a new account holding ``deposit_units`` of the first coin."""
        account = Account(len(self.accounts) + 1, self.coin)
        self.accounts[account.id] = account
        self.fills[account.id] = deque(maxlen=FILLS_KEPT)
        if deposit_units:
            account.book("TRANSFER", deposit_units, time_ns)
        return account

    # What an account is worth.

    def open_holdings(
        self, account: Account, coin: str | None = None
    ) -> list[tuple[Market, Holding]]:
        """Return what an account holds with its markets, of one coin or of all."""
        markets = self.markets
        return [
            (markets[symbol], held)
            for (symbol, _), held in account.holdings.items()
            if held.size_lots and coin in {None, held.listing.settlement}
        ]

    def unrealized_units(self, account: Account, coin: str | None = None) -> int:
        """Return the open PnL of every position in a coin at mark, in units."""
        coin = coin or account.coin
        return sum(
            held.unrealized_units(market.mark_ticks)
            for market, held in self.open_holdings(account, coin)
        )

    def accrued_units(self, account: Account, coin: str | None = None) -> int:
        """Return the funding that accrued in a coin and is not booked, in units."""
        coin = coin or account.coin
        return sum(
            market.accrued_units(held)
            for market, held in self.open_holdings(account, coin)
        )

    def equity_units(self, account: Account, coin: str | None = None) -> int:
        """Return wallet, unrealized PnL and accrued funding of a coin, in units."""
        coin = coin or account.coin
        return account.wallet_of(coin) + sum(
            held.unrealized_units(market.mark_ticks) + market.accrued_units(held)
            for market, held in self.open_holdings(account, coin)
        )

    def worth_units(self, account: Account) -> int:
        """
        Return what all coins are worth in dollars, rounded once.

        A coin is worth the index price of the first instrument it is the base of, or
        what the operator says; a stablecoin is a dollar unless he says otherwise.
        """
        rules = self.rules
        if len(rules.coins) == 1 and not self.usd and len(account.wallets) < 2:
            return self.equity_units(account)
        total = Fraction(0)
        for coin in rules.known_coins:
            equity = self.equity_units(account, coin)
            total += equity * self.coin_price(coin) if equity else 0
        return divide_half_even(total.numerator, total.denominator)

    def coin_price(self, coin: str) -> Fraction:
        """Return what one ``coin`` is worth in dollars; 0 if nobody knows."""
        said = self.usd.get(coin)
        if said is not None:
            return said
        if coin in STABLECOINS:
            return Fraction(1)
        for market in self.markets.values():
            listing = market.listing
            if listing.base == coin:
                quote = self.usd.get(listing.quote, Fraction(1))
                return market.index_ticks * Fraction(listing.tick_size) * quote
        return Fraction(0)

    def collateral_units(self, account: Account, coin: str | None = None) -> int:
        """Return what other coins count for as margin in ``coin``, rounded down."""
        coin = coin or account.coin
        if coin != self.coin or not self.rules.collateral:
            return 0
        total = Fraction(0)
        for other, part in self.rules.collateral:
            held = account.wallets.get(other, 0)
            if held:
                total += held * self.coin_price(other) * part
        return int(total / self.coin_price(coin)) if total else 0

    def convert(self, account: Account, units: int, time_ns: int) -> list[FundsChanged]:
        """Sell collateral at the index until ``units`` of the first coin are there."""
        changed: list[FundsChanged] = []
        missing = units
        for other, _ in self.rules.collateral:
            held = account.wallets.get(other, 0)
            price = self.coin_price(other) / self.coin_price(self.coin)
            if missing <= 0 or held <= 0 or not price:
                continue
            sold = min(held, -(-Fraction(missing) // price))
            gained = min(missing, int(sold * price))
            for coin, moved in ((other, -int(sold)), (self.coin, gained)):
                account.book("CONVERT", moved, time_ns, coin=coin)
                changed.append(
                    self.funds_changed(
                        account, "CONVERT", time_ns, change_units=moved, coin=coin
                    )
                )
            missing -= gained
        return changed

    # Margin.

    def symbol_margin(
        self,
        account: Account,
        symbol: str,
        extra: OpenOrders = NO_ORDERS,
        leg: Leg = Leg.BOTH,
    ) -> SymbolMargin:
        """Return one symbol's margin, ``extra`` orders of ``leg`` included."""
        total = SymbolMargin(0, 0, 0)
        for each in account.legs(symbol):
            more = extra if each is leg else NO_ORDERS
            total += self.leg_margin(account, symbol, each, more)
        return total

    def leg_margin(
        self,
        account: Account,
        symbol: str,
        leg: Leg = Leg.BOTH,
        extra: OpenOrders = NO_ORDERS,
    ) -> SymbolMargin:
        """Return the margin of one leg of a symbol, ``extra`` orders included."""
        market = self.markets[symbol]
        held = account.held(symbol, leg)
        notional = held.sign * held.notional_units(market.mark_ticks) if held else 0
        orders = open_order_values(market, account.id, leg)
        both = OpenOrders(
            orders.buy_units + extra.buy_units, orders.sell_units + extra.sell_units
        )
        leverage = account.leverage_of(market.listing)
        return leg_margin(notional, both, leverage, market.listing)

    def margin(self, account: Account, coin: str | None = None) -> AccountMargin:
        """Return the account's margin in one coin."""
        coin = coin or account.coin
        parts = SymbolMargin(0, 0, 0)
        for symbol, market in self.markets.items():
            is_concerned = market.open_orders or account.is_held(symbol)
            if market.listing.settlement == coin and is_concerned:
                parts += self.symbol_margin(account, symbol)
        return AccountMargin(
            wallet=account.wallet_of(coin),
            unrealized=self.unrealized_units(account, coin),
            position=parts.position,
            open_orders=parts.open_orders,
            maintenance=parts.maintenance,
            funding=self.accrued_units(account, coin),
            collateral=self.collateral_units(account, coin),
        )

    def can_afford(
        self,
        account: Account,
        symbol: str,
        extra: OpenOrders,
        leg: Leg = Leg.BOTH,
    ) -> bool:
        """Return whether ``extra`` orders fit; those that need no margin always do."""
        before = self.leg_margin(account, symbol, leg)
        after = self.leg_margin(account, symbol, leg, extra)
        more = after.position + after.open_orders - before.position - before.open_orders
        if more <= 0:
            return True
        margin = self.margin(account, self.markets[symbol].listing.settlement)
        return margin.initial + more <= margin.backing

    # Bookings.

    def next_match(self) -> int:
        """Return the number of a new match, the same for both of its sides."""
        self._match_id += 1
        return self._match_id

    def fill(
        self,
        order: VenueOrder,
        price_ticks: int,
        size_lots: int,
        *,
        is_maker: bool,
        time_ns: int,
        match_id: int = 0,
    ) -> FillDetail:
        """Book one fill of an order: order, position, funding, PnL and fee."""
        listing, request = order.listing, order.request
        account, market = self.accounts[order.account_id], self.markets[listing.symbol]
        value = listing.value_units(price_ticks, size_lots)
        fee = self._fee_units(order, value, is_maker=is_maker)
        self._trade_id += 1
        order.filled_lots += size_lots
        order.value_units += value
        order.fee_units += fee
        order.updated_ns = time_ns
        funding = self.book_accrued(account, market, request.leg, time_ns)
        signed = request.side.sign * size_lots
        realized = account.fill(
            listing, signed, price_ticks, time_ns=time_ns, leg=request.leg
        )
        bookings = [("REALIZED_PNL", realized)] if realized else []
        for kind, units in (*bookings, ("COMMISSION", -fee)):
            account.book(
                kind,
                units,
                time_ns,
                coin=listing.settlement,
                symbol=listing.symbol,
                trade_id=self._trade_id,
            )
        self._note_held(listing.symbol)
        detail = FillDetail(
            trade_id=self._trade_id,
            order=order,
            price_ticks=price_ticks,
            size_lots=size_lots,
            value_units=value,
            fee_units=fee,
            realized_units=realized,
            is_maker=is_maker,
            position_after=account.size_lots(listing.symbol, request.leg),
            time_ns=time_ns,
            coin=listing.settlement,
            match_id=match_id or self.next_match(),
            mark_ticks=market.mark_ticks,
            index_ticks=market.index_ticks,
            funding_units=funding,
        )
        self.fills[account.id].append(detail)
        self.observe(account, time_ns)
        return detail

    def _fee_units(self, order: VenueOrder, value: int, *, is_maker: bool) -> int:
        """Return the fee of a fill; forced closings have their own or none."""
        listing, origin = order.listing, order.request.origin
        if origin is Origin.ADL:
            return 0
        if origin is Origin.LIQUIDATION:
            rate = self.rules.liquidation_fee_rate or listing.fee_rate_taker
        else:
            rate = listing.fee_rate_maker if is_maker else listing.fee_rate_taker
        return listing.fee_units(value, rate)

    def funds_changed(
        self,
        account: Account,
        reason: str,
        time_ns: int,
        *,
        change_units: int = 0,
        symbol: str = "",
        coin: str = "",
    ) -> FundsChanged:
        """Return the account as it is now, with the open legs of ``symbol``."""
        shown: list[tuple[Holding, int]] = []
        if symbol:
            market = self.markets[symbol]
            coin = coin or market.listing.settlement
            for leg in account.legs(symbol):
                held = account.held(symbol, leg)
                if held is not None:
                    shown.append((copy.copy(held), market.mark_ticks))
        coin = coin or account.coin
        return FundsChanged(
            account.id,
            reason,
            account.wallet_of(coin),
            change_units,
            tuple(shown),
            time_ns,
            coin,
            symbol,
        )

    def book_accrued(
        self, account: Account, market: Market, leg: Leg, time_ns: int
    ) -> int:
        """Book the funding that accrued to a position; return it in units."""
        held = account.holding(market.listing, leg)
        units = market.accrued_units(held)
        held.funding_index = market.funding_index
        if units:
            account.book(
                "FUNDING_FEE",
                units,
                time_ns,
                coin=market.listing.settlement,
                symbol=market.listing.symbol,
            )
        return units

    def charge_funding(self, market: Market, time_ns: int) -> list[FundsChanged]:
        """Charge one funding interval of ``market`` to every position in it."""
        changed = []
        listing = market.listing
        numerator, denominator = market.funding_rate(self.rules).as_integer_ratio()
        for account in self.accounts.values():
            for leg in Leg:
                held = account.held(listing.symbol, leg)
                if held is None or not held.size_lots:
                    continue
                notional = held.sign * held.notional_units(market.mark_ticks)
                units = -divide_half_even(notional * numerator, denominator)
                changed.append(self._funded(account, market, units, time_ns))
        return changed

    def settle_funding(self, market: Market, time_ns: int) -> list[FundsChanged]:
        """Book what has accrued to every position in ``market``."""
        changed = []
        for account in self.accounts.values():
            for leg in account.legs(market.listing.symbol):
                units = self.book_accrued(account, market, leg, time_ns)
                if units:
                    changed.append(
                        self._funding_changed(account, market, units, time_ns)
                    )
        return changed

    def _funded(
        self, account: Account, market: Market, units: int, time_ns: int
    ) -> FundsChanged:
        symbol, coin = market.listing.symbol, market.listing.settlement
        account.book("FUNDING_FEE", units, time_ns, coin=coin, symbol=symbol)
        self.observe(account, time_ns)
        return self._funding_changed(account, market, units, time_ns)

    def _funding_changed(
        self, account: Account, market: Market, units: int, time_ns: int
    ) -> FundsChanged:
        coin, symbol = market.listing.settlement, market.listing.symbol
        changed = self.funds_changed(
            account, "FUNDING_FEE", time_ns, change_units=units, coin=coin
        )
        return changed._replace(symbol=symbol)

    def transfer(
        self, account: Account, units: int, time_ns: int, coin: str = ""
    ) -> FundsChanged:
        """Move money in (positive) or out of a wallet."""
        account.book("TRANSFER", units, time_ns, coin=coin)
        reason = "DEPOSIT" if units > 0 else "WITHDRAW"
        return self.funds_changed(
            account, reason, time_ns, change_units=units, coin=coin
        )

    def note_chain(
        self, account_id: int, coin: str, units: int, time_ns: int
    ) -> ChainMove:
        """Record that a transfer came from, or goes to, another venue."""
        number = self.chain[-1].id + 1 if self.chain else 1
        move = ChainMove(number, account_id, coin or self.coin, units, time_ns)
        self.chain.append(move)
        return move

    def chain_of(
        self, account_id: int, sign: int, start_ns: int | None, end_ns: int | None
    ) -> list[ChainMove]:
        """Return an account's moves of one direction within times, newest first."""
        return [
            move
            for move in reversed(self.chain)
            if move.account_id == account_id
            and move.units * sign > 0
            and (start_ns is None or move.time_ns >= start_ns)
            and (end_ns is None or move.time_ns < end_ns + 1_000_000)
        ]

    def fund(self, coin: str, units: int) -> None:
        """Add to the venue's insurance fund; below zero the venue itself pays."""
        self.insurance[coin] = self.insurance.get(coin, 0) + units

    def clear_deficit(
        self, account: Account, coin: str, units: int, time_ns: int
    ) -> FundsChanged:
        """Make a wallet below zero whole from the insurance fund."""
        account.book("INSURANCE_CLEAR", units, time_ns, coin=coin)
        self.fund(coin, -units)
        self.observe(account, time_ns)
        return self.funds_changed(
            account, "INSURANCE_CLEAR", time_ns, change_units=units, coin=coin
        )

    def observe(self, account: Account, time_ns: int) -> None:
        """Tell whoever watches the account's equity what it is worth now."""
        if self.on_equity is not None:
            self.on_equity(account.id, self.worth_units(account), time_ns)

    def _note_held(self, symbol: str) -> None:
        self.markets[symbol].is_held = any(
            a.is_held(symbol) for a in self.accounts.values()
        )


def open_order_values(
    market: Market, account_id: int, leg: Leg | None = None
) -> OpenOrders:
    """Return the value of an account's orders in ``market`` that could grow it."""
    buys = sells = 0
    for order in market.orders_of(account_id).values():
        request = order.request
        if request.reduces or (leg is not None and request.leg is not leg):
            continue
        value = order.listing.value_units(
            order.price_ticks, order.size_lots - order.filled_lots
        )
        if request.side is Side.BUY:
            buys += value
        else:
            sells += value
    return OpenOrders(buys, sells)
