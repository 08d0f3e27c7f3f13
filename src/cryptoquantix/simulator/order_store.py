"""Orders by id and by client id, open and recent; it decides nothing."""

from __future__ import annotations

from collections import deque

from cryptoquantix.simulator.orders import VenueOrder

TERMINAL_ORDERS_KEPT = 50_000


class OrderStore:
    """
    Every open order and the latest finished ones.

    The oldest finished orders are forgotten, so that memory stays bounded.
    """

    def __init__(self) -> None:
        self.orders: dict[int, VenueOrder] = {}
        self._by_client: dict[tuple[int, str], int] = {}
        self._terminal: deque[int] = deque()

    def add(self, order: VenueOrder) -> None:
        """Keep a new order."""
        self.orders[order.id] = order
        self._by_client[order.account_id, order.request.client_id] = order.id

    def find_client(self, account_id: int, client_id: str) -> VenueOrder | None:
        """Return the latest order with this client id, whatever its state."""
        order_id = self._by_client.get((account_id, client_id))
        return None if order_id is None else self.orders.get(order_id)

    def retire(self, order: VenueOrder) -> None:
        """Note that an order is finished."""
        self._terminal.append(order.id)
        while len(self._terminal) > TERMINAL_ORDERS_KEPT:
            old = self.orders.pop(self._terminal.popleft())
            key = old.account_id, old.request.client_id
            if self._by_client.get(key) == old.id:
                del self._by_client[key]
