"""Conditional orders waiting for a price; it places nothing."""

from __future__ import annotations

from cryptoquantix.simulator.matching import UNBOUNDED_TICKS
from cryptoquantix.simulator.orders import AlgoOrder


class TriggerBook:
    """
    The conditional orders of one instrument, and the prices that matter to them.

    A price strictly between ``_below`` and ``_above`` reaches none of them: that
    comparison is all a tick costs.
    """

    __slots__ = ("_above", "_below", "_trailing", "orders")

    def __init__(self) -> None:
        self.orders: dict[int, AlgoOrder] = {}
        self._above = UNBOUNDED_TICKS
        self._below = 0
        self._trailing: list[AlgoOrder] = []

    def add(self, algo: AlgoOrder) -> None:
        """Wait for ``algo``'s price."""
        self.orders[algo.id] = algo
        self._note()

    def remove(self, algo_id: int) -> AlgoOrder | None:
        """Stop waiting; None if it was not waiting."""
        algo = self.orders.pop(algo_id, None)
        if algo is not None:
            self._note()
        return algo

    def reached(
        self, price_ticks: int, mark_ticks: int, index_ticks: int
    ) -> list[AlgoOrder]:
        """Return the orders these prices trigger, oldest first; they stay here."""
        if not self.orders:
            return []
        prices = {
            "CONTRACT_PRICE": price_ticks,
            "MARK_PRICE": mark_ticks,
            "INDEX_PRICE": index_ticks,
        }
        if self._trailing:
            self._trail(prices)
        else:
            low, high = min(prices.values()), max(prices.values())
            if self._below < low and high < self._above:
                return []
        return [
            a
            for a in self.orders.values()
            if a.is_reached_by(prices.get(a.request.working_type, price_ticks))
        ]

    def _note(self) -> None:
        orders = self.orders.values()
        self._trailing = [a for a in orders if a.request.callback_bps]
        self._above = min(
            (a.trigger_ticks for a in orders if a.request.is_trigger_above),
            default=UNBOUNDED_TICKS,
        )
        self._below = max(
            (a.trigger_ticks for a in orders if not a.request.is_trigger_above),
            default=0,
        )

    def _trail(self, prices: dict[str, int]) -> None:
        for algo in self._trailing:
            _follow(
                algo, prices.get(algo.request.working_type, prices["CONTRACT_PRICE"])
            )
        self._note()


def _follow(algo: AlgoOrder, price_ticks: int) -> None:
    """Move a trailing stop's trigger; before its activation it has none."""
    above = algo.request.is_trigger_above
    activation = algo.request.activation_ticks
    if not algo.extreme_ticks:
        is_active = price_ticks <= activation if above else price_ticks >= activation
        if activation and not is_active:
            return
        algo.extreme_ticks = price_ticks
    pick = min if above else max
    algo.extreme_ticks = pick(algo.extreme_ticks, price_ticks)
    bps = 10_000 + (algo.request.callback_bps if above else -algo.request.callback_bps)
    algo.trigger_ticks = algo.extreme_ticks * bps // 10_000
