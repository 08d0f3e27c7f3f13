"""
The floor of a venue's core: orders known, matched, filled, trimmed and ended.

It takes no command by itself and checks nothing before an order enters: that is for
the exchange on top of it. Reduce-only orders never exceed the position: a resting
one is shrunk (or expires) whenever the position does.
"""

from __future__ import annotations

from cryptoquantix.core.order import TimeInForce
from cryptoquantix.simulator.accounts import Account, Leg
from cryptoquantix.simulator.clearing import Clearing
from cryptoquantix.simulator.listing import Listing
from cryptoquantix.simulator.maker import LadderRule
from cryptoquantix.simulator.market import MAKER_OWNER, Market
from cryptoquantix.simulator.matching import (
    BookEvent,
    BookOrder,
    Rested,
    SelfTradeEnded,
    SelfTradePrevented,
    Traded,
)
from cryptoquantix.simulator.order_store import OrderStore
from cryptoquantix.simulator.orders import (
    EndReason,
    OrderChanged,
    OrderRequest,
    Origin,
    Status,
    VenueEvent,
    VenueOrder,
    WentFlat,
)
from cryptoquantix.simulator.refusals import CommandRefusedError, Refusal
from cryptoquantix.simulator.rules import BINANCE, VenueRules


class Floor:
    """Instruments, accounts and orders of one venue, and what has happened."""

    def __init__(self, rules: VenueRules = BINANCE) -> None:
        self.rules = rules
        self.clearing = Clearing(rules)
        self._store = OrderStore()
        self._events: list[VenueEvent] = []
        self._order_id = 0
        self._flat: dict[int, bool] = {}
        self._touched: dict[tuple[int, str], None] = {}

    @property
    def markets(self) -> dict[str, Market]:
        """Every listed instrument by symbol."""
        return self.clearing.markets

    def list_instrument(
        self, listing: Listing, price_ticks: int, *, rule: LadderRule | None = None
    ) -> Market:
        """List ``listing`` with a first price."""
        assert listing.symbol not in self.markets, f"{listing.symbol} is listed twice"
        assert listing.settlement in self.rules.coins, (
            f"{listing.symbol} settles in {listing.settlement}, "
            f"the venue in {self.rules.coins}"
        )
        limit = self.rules.premium_limit
        market = Market(listing, price_ticks, rule=rule, premium_limit=limit)
        self.markets[listing.symbol] = market
        return market

    def market(self, symbol: str) -> Market:
        """Return a listed instrument's market, or refuse."""
        market = self.markets.get(symbol)
        if market is None:
            raise CommandRefusedError(Refusal.UNKNOWN_SYMBOL, symbol)
        return market

    @property
    def orders(self) -> dict[int, VenueOrder]:
        """Every order that is open or recent, by id."""
        return self._store.orders

    def find_client(self, account_id: int, client_id: str) -> VenueOrder | None:
        """Return the latest order with this client id, whatever its state."""
        return self._store.find_client(account_id, client_id)

    def drain(self) -> list[VenueEvent]:
        """Return the events since the last call, in order."""
        if not self._events:
            return []
        events, self._events = self._events, []
        events.extend(self._flat_changes(events[-1].time_ns))
        return events

    def emit(self, event: VenueEvent) -> None:
        """Add an event of a part that works with this core."""
        self._events.append(event)

    @property
    def next_id(self) -> int:
        """The id the next order will have."""
        return self._order_id + 1

    def quote(self, market: Market, time_ns: int, *, refill: bool = False) -> None:
        """Let the market maker quote around the price, if its quotes are stale."""
        for order in market.stale_quotes(refill=refill):
            self.run(market, order, TimeInForce.GTC, time_ns)

    def touch(self, account_id: int, coin: str) -> None:
        """Note that an account's margin in ``coin`` must be looked at again."""
        self._touched[account_id, coin] = None

    def accept(
        self,
        account_id: int,
        request: OrderRequest,
        size_lots: int,
        time_ns: int,
        *,
        price_ticks: int | None = None,
    ) -> VenueOrder:
        """Make an order known; nothing is checked and it is in no book yet."""
        self._order_id += 1
        order = VenueOrder(
            id=self._order_id,
            account_id=account_id,
            listing=self.market(request.symbol).listing,
            request=request,
            size_lots=size_lots,
            price_ticks=price_ticks or request.price_ticks or 0,
            created_ns=time_ns,
            updated_ns=time_ns,
        )
        self._store.add(order)
        self._changed(order, "NEW", time_ns)
        return order

    def cancel(
        self,
        order: VenueOrder,
        time_ns: int,
        reason: EndReason = EndReason.USER,
    ) -> None:
        """Take a resting order out of its book."""
        self._end(order, Status.CANCELED, reason, time_ns)

    def cancel_all(
        self,
        account_id: int,
        symbol: str,
        time_ns: int,
        reason: EndReason = EndReason.USER,
    ) -> int:
        """Cancel an account's resting orders in ``symbol``; return how many."""
        orders = list(self.market(symbol).orders_of(account_id).values())
        for order in orders:
            self.cancel(order, time_ns, reason)
        return len(orders)

    def run(
        self,
        market: Market,
        book_order: BookOrder,
        time_in_force: TimeInForce,
        time_ns: int,
    ) -> None:
        """Run an order through the book; each fill is booked before the next."""
        order = self.orders.get(book_order.id)
        asked = order.request.self_trade if order else None
        self_trade = asked or self.rules.self_trade
        for event in market.book.execute(book_order, time_in_force, self_trade):
            if isinstance(event, Traded):
                self._traded(market, event, time_ns)
            else:
                self._rested_or_gone(market, event, time_ns)

    def _rested_or_gone(self, market: Market, event: BookEvent, time_ns: int) -> None:
        if event[0].owner == MAKER_OWNER:
            return
        order = self.orders[event[0].id]
        if isinstance(event, Rested):
            market.add_open(order)
        elif isinstance(event, SelfTradePrevented | SelfTradeEnded):
            status, reason = Status.EXPIRED_IN_MATCH, EndReason.SELF_TRADE
            self._finish(market, order, status, reason, time_ns=time_ns)
        elif order.request.origin is not Origin.LIQUIDATION:
            status, reason = Status.EXPIRED, EndReason.UNFILLED
            self._finish(market, order, status, reason, time_ns=time_ns)

    def _traded(self, market: Market, event: Traded, time_ns: int) -> None:
        if event.maker.owner == MAKER_OWNER:
            market.thin()
        match_id = self.clearing.next_match()
        for side, is_maker in ((event.taker, False), (event.maker, True)):
            if side.owner != MAKER_OWNER:
                self._book_fill(
                    self.orders[side.id],
                    event.price_ticks,
                    event.size_lots,
                    match_id=match_id,
                    is_maker=is_maker,
                    at=time_ns,
                )

    def settle_forced(
        self,
        order: VenueOrder,
        price_ticks: int,
        size_lots: int,
        *,
        match_id: int,
        time_ns: int,
        execution: str = "CALCULATED",
    ) -> None:
        """Fill an order that is in no book at a price that no book made."""
        self._book_fill(
            order,
            price_ticks,
            size_lots,
            match_id=match_id,
            is_maker=False,
            at=time_ns,
            execution=execution,
        )

    def _book_fill(
        self,
        order: VenueOrder,
        price_ticks: int,
        size_lots: int,
        *,
        match_id: int,
        is_maker: bool,
        at: int,
        execution: str = "TRADE",
    ) -> None:
        market = self.markets[order.listing.symbol]
        fill = self.clearing.fill(
            order,
            price_ticks,
            size_lots,
            is_maker=is_maker,
            time_ns=at,
            match_id=match_id,
        )
        is_done = not order.remaining_lots
        order.status = Status.FILLED if is_done else Status.PARTIALLY_FILLED
        snapshot = order.snapshot()
        fill = fill._replace(order=snapshot)
        self._events.append(OrderChanged(snapshot, execution, at, fill))
        account = self.clearing.accounts[order.account_id]
        symbol = order.request.symbol
        self._events.append(
            self.clearing.funds_changed(account, "ORDER", at, symbol=symbol)
        )
        if is_done:
            market.drop_open(order)
            self._store.retire(order)
        self._trim(account, market, order.request.leg, at)
        self.touch(account.id, market.listing.settlement)

    def _trim(self, account: Account, market: Market, leg: Leg, time_ns: int) -> None:
        """Keep resting orders that reduce a leg within what is left to reduce."""
        position = account.size_lots(market.listing.symbol, leg)
        for order in list(market.orders_of(account.id).values()):
            request = order.request
            if request.leg is not leg or not request.reduces:
                continue
            if position * request.side.sign >= 0:
                self._end(order, Status.EXPIRED, EndReason.REDUCE_ONLY, time_ns)
            elif order.remaining_lots > abs(position):
                order.size_lots = order.filled_lots + abs(position)
                market.book.shrink(order.id, abs(position))
                self._changed(order, "AMENDMENT", time_ns)
        if not position:
            self.on_flattened(account.id, market, leg, time_ns)

    def _end(
        self, order: VenueOrder, status: Status, reason: EndReason, time_ns: int
    ) -> None:
        market = self.markets[order.listing.symbol]
        if market.book.remove(order.id) is None:
            raise CommandRefusedError(Refusal.UNKNOWN_ORDER)
        self._finish(market, order, status, reason, time_ns=time_ns)

    def _finish(
        self,
        market: Market,
        order: VenueOrder,
        status: Status,
        reason: EndReason,
        *,
        time_ns: int,
    ) -> None:
        order.status, order.end_reason = status, reason
        order.updated_ns = time_ns
        market.drop_open(order)
        execution = "CANCELED" if status is Status.CANCELED else "EXPIRED"
        self._changed(order, execution, time_ns)
        self._store.retire(order)

    def _changed(self, order: VenueOrder, execution: str, time_ns: int) -> None:
        self._events.append(OrderChanged(order.snapshot(), execution, time_ns))

    def on_price(self, market: Market, time_ns: int) -> None:
        """Act on a new price; conditional orders hook in here."""

    def on_flattened(
        self, account_id: int, market: Market, leg: Leg, time_ns: int
    ) -> None:
        """Act on a position that has just closed; conditional orders hook in here."""

    def open_algo_count(self, account_id: int) -> int:
        """Return how many conditional orders wait."""
        del account_id
        return 0

    def _flat_changes(self, time_ns: int) -> list[VenueEvent]:
        changes: list[VenueEvent] = []
        for account in self.clearing.accounts.values():
            is_flat = self.is_flat(account)
            if is_flat and not self._flat.get(account.id, True):
                changes.append(WentFlat(account.id, time_ns))
            self._flat[account.id] = is_flat
        return changes

    def is_flat(self, account: Account) -> bool:
        """Return whether the account has no position and no order of any class."""
        if any(h.size_lots for h in account.holdings.values()):
            return False
        if self.open_algo_count(account.id):
            return False
        return not any(market.orders_of(account.id) for market in self.markets.values())
