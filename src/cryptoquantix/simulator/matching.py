"""
Price-time matching in whole ticks and lots; it knows no clock, account or socket.

:meth:`Book.execute` is a generator: between two of its events the caller may
shrink or remove resting orders (a reduce-only order whose position has just been
closed), and the next match sees that.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Generator, Iterator
from typing import NamedTuple

from cryptoquantix.core.order import TimeInForce
from cryptoquantix.simulator.rules import SelfTrade

UNBOUNDED_TICKS = 10**18  # the bound of a market order that takes any price


class BookOrder:
    """
    An order as the book sees it; ``sign`` is +1 to buy, -1 to sell.

    ``owner`` is a number the caller gives meaning to; what happens where two orders
    of one owner meet is for the incoming one to say, unless the owner is zero.
    """

    __slots__ = ("id", "owner", "price_ticks", "remaining_lots", "sign")

    def __init__(
        self, order_id: int, owner: int, sign: int, *, price_ticks: int, size_lots: int
    ) -> None:
        assert sign in {1, -1}, f"sign is 1 or -1, was {sign}"
        assert size_lots > 0, f"an order has a positive size, was {size_lots} lots"
        self.id = order_id
        self.owner = owner
        self.sign = sign
        self.price_ticks = price_ticks
        self.remaining_lots = size_lots


class Traded(NamedTuple):
    """Two orders met at the resting one's price."""

    maker: BookOrder
    taker: BookOrder
    price_ticks: int
    size_lots: int


class SelfTradePrevented(NamedTuple):
    """A resting order expired instead of trading with its own owner."""

    maker: BookOrder


class SelfTradeEnded(NamedTuple):
    """What was left of the incoming order is gone: it met one of its own owner."""

    order: BookOrder


class Rested(NamedTuple):
    """What was left of the order now rests in the book."""

    order: BookOrder


class Expired(NamedTuple):
    """What was left of an order that may not rest is gone."""

    order: BookOrder


class Refused(NamedTuple):
    """A post-only order would have taken liquidity: nothing happened."""

    order: BookOrder


type BookEvent = (
    Traded | SelfTradePrevented | SelfTradeEnded | Rested | Expired | Refused
)


class _Side:
    """
    One side of the book.

    ``keys`` are sign × price, ascending, so that the best price is always last.
    A level is a dict of orders in the order of their arrival.
    """

    __slots__ = ("keys", "levels")

    def __init__(self) -> None:
        self.keys: list[int] = []
        self.levels: dict[int, dict[int, BookOrder]] = {}

    def add(self, key: int, order: BookOrder) -> None:
        level = self.levels.get(key)
        if level is None:
            self.levels[key] = level = {}
            insort(self.keys, key)
        level[order.id] = order

    def remove(self, key: int, order_id: int) -> None:
        level = self.levels[key]
        del level[order_id]
        if not level:
            del self.levels[key]
            del self.keys[bisect_left(self.keys, key)]


class Book:
    """
    The resting orders of one instrument.

    ``update_id`` rises with every change, so that two readings with the same
    number are of the same book.
    """

    __slots__ = ("_asks", "_bids", "_orders", "_trackers", "update_id")

    def __init__(self) -> None:
        self._bids = _Side()
        self._asks = _Side()
        self._orders: dict[int, BookOrder] = {}
        self._trackers: list[set[tuple[int, int]]] = []
        self.update_id = 1

    def __len__(self) -> int:
        return len(self._orders)

    def __contains__(self, order_id: int) -> bool:
        return order_id in self._orders

    def best_ticks(self, sign: int) -> int | None:
        """Return the best price of the bids (+1) or the asks (-1), None if empty."""
        keys = self._side(sign).keys
        return keys[-1] * sign if keys else None

    def track(self) -> set[tuple[int, int]]:
        """
        Return a set that collects (sign, price ticks) of every level that changes.

        Whoever took it empties it. A level that came and went is in it too: a
        snapshot taken in between has shown it.
        """
        tracker: set[tuple[int, int]] = set()
        self._trackers.append(tracker)
        return tracker

    def untrack(self, tracker: set[tuple[int, int]]) -> None:
        """Collect no longer into ``tracker``."""
        self._trackers = [t for t in self._trackers if t is not tracker]

    def forget_trackers(self) -> None:
        """Tell nobody of changes any more: those who asked are gone."""
        self._trackers = []

    def level_lots(self, sign: int, price_ticks: int) -> int:
        """Return the lots resting at one price."""
        level = self._side(sign).levels.get(sign * price_ticks)
        return sum(o.remaining_lots for o in level.values()) if level else 0

    def levels(self, sign: int, limit: int) -> list[tuple[int, int]]:
        """Return up to ``limit`` (price ticks, lots) of one side, best first."""
        side = self._side(sign)
        return [
            (key * sign, sum(o.remaining_lots for o in side.levels[key].values()))
            for key in side.keys[: -limit - 1 : -1]
        ]

    def fillable_lots(
        self, order: BookOrder, self_trade: SelfTrade = SelfTrade.CANCEL_MAKER
    ) -> int:
        """Return how many lots ``order`` would take at once within its price."""
        side = self._side(-order.sign)
        found = 0
        for key in reversed(side.keys):
            if not _meets(order, key * -order.sign):
                break
            for resting in side.levels[key].values():
                if not _is_own(order, resting) or self_trade is SelfTrade.ALLOW:
                    found += resting.remaining_lots
                elif self_trade is not SelfTrade.CANCEL_MAKER:
                    return min(found, order.remaining_lots)
            if found >= order.remaining_lots:
                return order.remaining_lots
        return found

    def crosses(self, sign: int, price_ticks: int) -> bool:
        """Return whether an order at this price would take liquidity."""
        best = self.best_ticks(-sign)
        return best is not None and sign * best <= sign * price_ticks

    def execute(
        self,
        order: BookOrder,
        time_in_force: TimeInForce,
        self_trade: SelfTrade = SelfTrade.CANCEL_MAKER,
    ) -> Iterator[BookEvent]:
        """
        Match ``order`` and yield what happens, one event at a time.

        The last event is :class:`Rested`, :class:`Expired`, :class:`Refused` or
        :class:`SelfTradeEnded`, except where the order was filled to the last lot.
        """
        if time_in_force is TimeInForce.POST_ONLY and self.crosses(
            order.sign, order.price_ticks
        ):
            yield Refused(order)
            return
        if (
            time_in_force is TimeInForce.FOK
            and self.fillable_lots(order, self_trade) < order.remaining_lots
        ):
            yield Expired(order)
            return
        is_ended = yield from self._match(order, self_trade)
        if order.remaining_lots and not is_ended:
            if time_in_force in {TimeInForce.GTC, TimeInForce.POST_ONLY}:
                self._add(order)
                yield Rested(order)
            else:
                yield Expired(order)

    def remove(self, order_id: int) -> BookOrder | None:
        """Take a resting order out; None if it does not rest."""
        order = self._orders.pop(order_id, None)
        if order is not None:
            self._side(order.sign).remove(order.sign * order.price_ticks, order_id)
            self._note(order)
        return order

    def shrink(self, order_id: int, remaining_lots: int) -> None:
        """Shrink a resting order, which keeps its place in time."""
        order = self._orders[order_id]
        assert 0 < remaining_lots <= order.remaining_lots, (
            f"order {order_id} of {order.remaining_lots} lots cannot shrink "
            f"to {remaining_lots}"
        )
        order.remaining_lots = remaining_lots
        self._note(order)

    def _note(self, order: BookOrder) -> None:
        self.update_id += 1
        for tracker in self._trackers:
            tracker.add((order.sign, order.price_ticks))

    def _side(self, sign: int) -> _Side:
        return self._bids if sign > 0 else self._asks

    def _add(self, order: BookOrder) -> None:
        assert order.id not in self._orders, f"order {order.id} already rests"
        self._orders[order.id] = order
        self._side(order.sign).add(order.sign * order.price_ticks, order)
        self._note(order)

    def _match(
        self, order: BookOrder, self_trade: SelfTrade
    ) -> Generator[BookEvent, None, bool]:
        """Trade what meets; return whether a self-trade ended the order."""
        side = self._side(-order.sign)
        while order.remaining_lots and side.keys:
            key = side.keys[-1]
            price_ticks = key * -order.sign
            if not _meets(order, price_ticks):
                break
            maker = next(iter(side.levels[key].values()))
            if _is_own(order, maker) and self_trade is not SelfTrade.ALLOW:
                if self_trade is not SelfTrade.CANCEL_TAKER:
                    self.remove(maker.id)
                    yield SelfTradePrevented(maker)
                if self_trade is SelfTrade.CANCEL_MAKER:
                    continue
                yield SelfTradeEnded(order)
                return True
            size_lots = min(order.remaining_lots, maker.remaining_lots)
            order.remaining_lots -= size_lots
            maker.remaining_lots -= size_lots
            self._note(maker)
            if not maker.remaining_lots:
                del self._orders[maker.id]
                side.remove(key, maker.id)
            yield Traded(maker, order, price_ticks, size_lots)
        return False


def _is_own(order: BookOrder, resting: BookOrder) -> bool:
    return order.owner == resting.owner != 0


def _meets(order: BookOrder, price_ticks: int) -> bool:
    return order.sign * price_ticks <= order.sign * order.price_ticks
