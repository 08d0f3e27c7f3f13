"""
Binance's rate limits: request weight and order counts in fixed windows, and bans.

Who goes on asking after 429 is banned: 418 for two minutes, and twice as long each
time it happens again, up to three days. How often is too often the venue does not
say; here it is ``REFUSALS_MAX`` times in a row.
"""

from __future__ import annotations

from cryptoquantix.simulator.wire.binance_errors import BinanceError
from cryptoquantix.simulator.wire.binance_market import (
    ORDERS_PER_10_SECONDS,
    ORDERS_PER_MINUTE,
    WEIGHT_PER_MINUTE,
)

REFUSALS_MAX = 20
BAN_NS_MIN = 120_000_000_000
BAN_NS_MAX = 3 * 86_400_000_000_000
_MINUTE_NS = 60_000_000_000
_TEN_SECONDS_NS = 10_000_000_000


class _Window:
    """A count that starts afresh with every multiple of its length."""

    __slots__ = ("_length_ns", "_number", "limit", "used")

    def __init__(self, length_ns: int, limit: int) -> None:
        self.limit = limit
        self.used = 0
        self._length_ns = length_ns
        self._number = -1

    def add(self, count: int, time_ns: int) -> bool:
        """Count, and return whether that is still within the limit."""
        number = time_ns // self._length_ns
        if number != self._number:
            self._number, self.used = number, 0
        self.used += count
        return self.used <= self.limit

    def rest_seconds(self, time_ns: int) -> int:
        """Return whole seconds until the window starts afresh."""
        return -(-(self._length_ns - time_ns % self._length_ns) // 1_000_000_000)


class RateLimits:
    """
    The counts of one address and its accounts, as headers and as refusals.

    With ``is_enforced`` false they are counted and shown, and nothing is refused.
    """

    def __init__(self, *, is_enforced: bool = True) -> None:
        self._is_enforced = is_enforced
        self._weight = _Window(_MINUTE_NS, WEIGHT_PER_MINUTE)
        self._orders: dict[int, tuple[_Window, _Window]] = {}
        self._refusals = 0
        self._ban_ns = BAN_NS_MIN
        self._banned_until_ns = 0

    def spend_weight(self, weight: int, time_ns: int) -> None:
        """Count a request; 429 with -1003 beyond the limit, 418 while banned."""
        if time_ns < self._banned_until_ns:
            raise self._banned(time_ns)
        if self._weight.add(weight, time_ns) or not self._is_enforced:
            self._refusals = 0
            return
        self._refusals += 1
        if self._refusals > REFUSALS_MAX:
            self._banned_until_ns = time_ns + self._ban_ns
            self._ban_ns = min(2 * self._ban_ns, BAN_NS_MAX)
            self._refusals = 0
            raise self._banned(time_ns)
        error = BinanceError(
            -1003,
            f"Too many requests; current limit of IP is {WEIGHT_PER_MINUTE} "
            "requests per minute.",
            status=429,
        )
        error.retry_after_seconds = self._weight.rest_seconds(time_ns)
        raise error

    def _banned(self, time_ns: int) -> BinanceError:
        until_ns = self._banned_until_ns
        error = BinanceError(
            -1003,
            f"Way too many requests; IP banned until {until_ns // 1_000_000}. Please "
            "use the websocket for live updates to avoid bans.",
            status=418,
        )
        error.retry_after_seconds = -(-(until_ns - time_ns) // 1_000_000_000)
        return error

    def spend_orders(self, account_id: int, count: int, time_ns: int) -> None:
        """Count orders of one account; 429 with -1015 beyond a limit."""
        ten, minute = self._windows(account_id)
        within = [ten.add(count, time_ns), minute.add(count, time_ns)]
        if not all(within) and self._is_enforced:
            late = ten if not within[0] else minute
            error = BinanceError(
                -1015,
                f"Too many new orders; current limit is {late.limit} orders.",
                status=429,
            )
            error.retry_after_seconds = late.rest_seconds(time_ns)
            raise error

    def headers(self, account_id: int, *, with_orders: bool) -> dict[str, str]:
        """Return the counts as the venue's response headers."""
        headers = {"X-MBX-USED-WEIGHT-1M": str(self._weight.used)}
        if with_orders:
            ten, minute = self._windows(account_id)
            headers["X-MBX-ORDER-COUNT-10S"] = str(ten.used)
            headers["X-MBX-ORDER-COUNT-1M"] = str(minute.used)
        return headers

    def _windows(self, account_id: int) -> tuple[_Window, _Window]:
        windows = self._orders.get(account_id)
        if windows is None:
            windows = (
                _Window(_TEN_SECONDS_NS, ORDERS_PER_10_SECONDS),
                _Window(_MINUTE_NS, ORDERS_PER_MINUTE),
            )
            self._orders[account_id] = windows
        return windows
