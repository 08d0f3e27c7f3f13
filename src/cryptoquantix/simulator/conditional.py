"""
Conditional orders on top of the core: they wait, trigger and become orders.

What is done where documents leave it open: a triggered order that cannot be placed
leaves its conditional order EXPIRED; a position that closes expires the
``close_position`` orders of its symbol; reduce-only ones wait on until canceled.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace

from cryptoquantix.core.order import Side
from cryptoquantix.simulator.accounts import Leg
from cryptoquantix.simulator.market import Market
from cryptoquantix.simulator.mirror import MirrorExchange
from cryptoquantix.simulator.order_store import TERMINAL_ORDERS_KEPT
from cryptoquantix.simulator.orders import (
    AlgoChanged,
    AlgoOrder,
    AlgoRequest,
    AlgoStatus,
    OrderChanged,
    VenueEvent,
)
from cryptoquantix.simulator.refusals import CommandRefusedError, Refusal
from cryptoquantix.simulator.rules import BINANCE, VenueRules

ALGO_ORDERS_OPEN_MAX = 200


class ConditionalExchange(MirrorExchange):
    """A :class:`MirrorExchange` that also keeps conditional orders, by symbol."""

    def __init__(self, rules: VenueRules = BINANCE) -> None:
        super().__init__(rules)
        self.algos: dict[int, AlgoOrder] = {}
        self._algo_by_client: dict[tuple[int, str], int] = {}
        self._algo_of_order: dict[int, AlgoOrder] = {}
        self._ended: deque[int] = deque()
        self._algo_id = 0

    def place_algo(
        self, account_id: int, request: AlgoRequest, time_ns: int
    ) -> AlgoOrder:
        """Accept a conditional order and wait; or refuse."""
        market = self.market(request.order.symbol)
        client_id = request.order.client_id
        known = self.find_algo(account_id, client_id)
        is_taken = known is not None and known.status is AlgoStatus.NEW
        if is_taken and self.rules.are_client_ids_unique:
            raise CommandRefusedError(Refusal.DUPLICATE_CLIENT_ID)
        if self.open_algo_count(account_id) >= ALGO_ORDERS_OPEN_MAX:
            raise CommandRefusedError(Refusal.TOO_MANY_ORDERS)
        self._algo_id += 1
        algo = AlgoOrder(
            id=self._algo_id,
            account_id=account_id,
            listing=market.listing,
            request=request,
            trigger_ticks=request.trigger_ticks,
            created_ns=time_ns,
            updated_ns=time_ns,
        )
        if not request.callback_bps and algo.is_reached_by(
            market.working_ticks(request.working_type)
        ):
            raise CommandRefusedError(Refusal.WOULD_TRIGGER)
        self.algos[algo.id] = algo
        self._algo_by_client[account_id, client_id] = algo.id
        market.triggers.add(algo)
        self.emit(AlgoChanged(algo.snapshot(), time_ns))
        return algo

    def find_algo(self, account_id: int, client_id: str) -> AlgoOrder | None:
        """Return the latest conditional order with this client id."""
        algo_id = self._algo_by_client.get((account_id, client_id))
        return None if algo_id is None else self.algos.get(algo_id)

    def open_algos(self, account_id: int) -> list[AlgoOrder]:
        """Return an account's waiting conditional orders."""
        return [
            algo
            for market in self.markets.values()
            for algo in market.triggers.orders.values()
            if algo.account_id == account_id
        ]

    def cancel_algo(self, algo: AlgoOrder, time_ns: int) -> None:
        """Stop a waiting conditional order."""
        market = self.markets[algo.listing.symbol]
        if market.triggers.remove(algo.id) is None:
            raise CommandRefusedError(Refusal.UNKNOWN_ORDER)
        self._end_algo(algo, AlgoStatus.CANCELED, time_ns)

    def cancel_all_algos(self, account_id: int, symbol: str, time_ns: int) -> int:
        """Stop every waiting conditional order of ``symbol``; return how many."""
        self.market(symbol)
        algos = [
            a for a in self.open_algos(account_id) if a.request.order.symbol == symbol
        ]
        for algo in algos:
            self.cancel_algo(algo, time_ns)
        return len(algos)

    def open_algo_count(self, account_id: int) -> int:
        """Return how many conditional orders wait."""
        return sum(
            algo.account_id == account_id
            for market in self.markets.values()
            for algo in market.triggers.orders.values()
        )

    def on_price(self, market: Market, time_ns: int) -> None:
        """Trigger what the new price reaches."""
        for algo in market.triggers.reached(
            market.price_ticks, market.mark_ticks, market.index_ticks
        ):
            if market.triggers.remove(algo.id) is not None:
                self._trigger(algo, time_ns)

    def on_flattened(
        self, account_id: int, market: Market, leg: Leg, time_ns: int
    ) -> None:
        """Expire the orders that would close the position that is no more."""
        for algo in list(market.triggers.orders.values()):
            order = algo.request.order
            is_of_leg = algo.account_id == account_id and order.leg is leg
            if is_of_leg and order.is_close_position:
                market.triggers.remove(algo.id)
                self._end_algo(algo, AlgoStatus.EXPIRED, time_ns)

    def drain(self) -> list[VenueEvent]:
        """Return the events since the last call, with those of parents of orders."""
        events = super().drain()
        if not events or not self._algo_of_order:
            return events
        finished: list[VenueEvent] = []
        for event in events:
            if isinstance(event, OrderChanged) and not event.order.status.is_open:
                algo = self._algo_of_order.pop(event.order.id, None)
                if algo is not None:
                    algo.child = event.order
                    algo.updated_ns = event.time_ns
                    algo.status = AlgoStatus.FINISHED
                    finished.append(AlgoChanged(algo.snapshot(), event.time_ns))
        return events + finished

    def _trigger(self, algo: AlgoOrder, time_ns: int) -> None:
        algo.triggered_ns = algo.updated_ns = time_ns
        algo.status = AlgoStatus.TRIGGERING
        self.emit(AlgoChanged(algo.snapshot(), time_ns))
        request = algo.request.order
        if request.is_close_position:
            account = self.clearing.accounts[algo.account_id]
            held = account.size_lots(request.symbol, request.leg)
            side = Side.of(-held) if held else request.side
            if side is not request.side or not held:
                self._end_algo(algo, AlgoStatus.EXPIRED, time_ns)
                return
            request = replace(request, size_lots=abs(held), is_reduce_only=True)
        try:
            order = self.place(algo.account_id, request, time_ns)
        except CommandRefusedError:
            self._end_algo(algo, AlgoStatus.EXPIRED, time_ns)
            return
        algo.child = order
        algo.status = AlgoStatus.TRIGGERED
        self._algo_of_order[order.id] = algo
        self._retire_algo(algo)
        self.emit(AlgoChanged(algo.snapshot(), time_ns))

    def _end_algo(self, algo: AlgoOrder, status: AlgoStatus, time_ns: int) -> None:
        algo.status = status
        algo.updated_ns = time_ns
        self._retire_algo(algo)
        self.emit(AlgoChanged(algo.snapshot(), time_ns))

    def _retire_algo(self, algo: AlgoOrder) -> None:
        self._ended.append(algo.id)
        while len(self._ended) > TERMINAL_ORDERS_KEPT:
            old = self.algos.pop(self._ended.popleft())
            key = old.account_id, old.request.order.client_id
            if self._algo_by_client.get(key) == old.id:
                del self._algo_by_client[key]
