"""
Binance's rate limits: request weight and order counts in fixed windows, and bans.

Who goes on asking after 429 is banned: 418 for two minutes, and twice as long each
time it happens again, up to three days. How often is too often the venue does not
say; here it is ``REFUSALS_MAX`` times in a row.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from cryptoquantix.simulator.wire.binance_errors import BinanceError
from cryptoquantix.simulator.wire.binance_market import (
    ORDERS_PER_10_SECONDS,
    ORDERS_PER_MINUTE,
    WEIGHT_PER_MINUTE,
)

REFUSALS_MAX = 20
BAN_NS_MIN = 120_000_000_000
BAN_NS_MAX = 3 * 86_400_000_000_000
ADDRESSES_MAX = 10_000
CONNECTIONS = 300
CONNECTIONS_WINDOW_NS = 300_000_000_000
WALLET_ADDRESS = 12_000  # of each path of /sapi, a minute
WALLET_UID = 180_000
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


@dataclass(slots=True)
class _Address:
    """What one address has used, and its ban."""

    weight: _Window
    connections: deque[int]
    wallet: dict[str, _Window] = field(default_factory=dict)
    refusals: int = 0
    ban_ns: int = BAN_NS_MIN
    banned_until_ns: int = 0


class RateLimits:
    """
    The counts of addresses and accounts, as headers and as refusals.

    With ``is_enforced`` false they are counted and shown, and nothing is refused.
    """

    def __init__(self, *, is_enforced: bool = True) -> None:
        self._is_enforced = is_enforced
        self._addresses: dict[str, _Address] = {}
        self._orders: dict[int, tuple[_Window, _Window]] = {}

    def _address(self, name: str) -> _Address:
        found = self._addresses.get(name)
        if found is None:
            if len(self._addresses) >= ADDRESSES_MAX:
                self._addresses.clear()
            weight = _Window(_MINUTE_NS, WEIGHT_PER_MINUTE)
            found = self._addresses[name] = _Address(weight, deque())
        return found

    def spend_weight(self, address: str, weight: int, time_ns: int) -> None:
        """Count a request; 429 with -1003 beyond the limit, 418 while banned."""
        used = self._address(address)
        if time_ns < used.banned_until_ns:
            raise _banned(used, time_ns)
        if used.weight.add(weight, time_ns) or not self._is_enforced:
            used.refusals = 0
            return
        used.refusals += 1
        if used.refusals > REFUSALS_MAX:
            used.banned_until_ns = time_ns + used.ban_ns
            used.ban_ns = min(2 * used.ban_ns, BAN_NS_MAX)
            used.refusals = 0
            raise _banned(used, time_ns)
        text = (
            f"Too many requests; current limit of IP is {WEIGHT_PER_MINUTE} "
            "requests per minute."
        )
        raise _too_many(text, used.weight.rest_seconds(time_ns))

    def spend_wallet(
        self, address: str, account_id: int, path: str, weight: int, *, time_ns: int
    ) -> dict[str, str]:
        """
        Count a request for ``/sapi``, where every path has a limit of its own.

        One below zero counts for the account instead of the address. Beyond the limit
        it is 429; no ban follows.
        """
        of_account = weight < 0
        who = f"{account_id}" if of_account else address
        word, limit = ("UID", WALLET_UID) if of_account else ("IP", WALLET_ADDRESS)
        windows = self._address(who).wallet
        window = windows.setdefault(path, _Window(_MINUTE_NS, limit))
        is_within = window.add(abs(weight), time_ns)
        if not is_within and self._is_enforced:
            text = f"Too many requests; current limit of {word} is {limit} weight."
            raise _too_many(text, window.rest_seconds(time_ns))
        return {f"X-SAPI-USED-{word}-WEIGHT-1M": str(window.used)}

    def spend_connection(self, address: str, time_ns: int) -> None:
        """Count a WebSocket connection; 429 beyond 300 in five minutes."""
        used = self._address(address)
        times = used.connections
        while times and times[0] <= time_ns - CONNECTIONS_WINDOW_NS:
            times.popleft()
        if self._is_enforced:
            if time_ns < used.banned_until_ns:
                raise _banned(used, time_ns)
            if len(times) >= CONNECTIONS:
                text = f"Too many connections; limit is {CONNECTIONS} in 5 minutes."
                wait_ns = times[0] + CONNECTIONS_WINDOW_NS - time_ns
                raise _too_many(text, -(-wait_ns // 1_000_000_000))
            times.append(time_ns)

    def spend_orders(self, account_id: int, count: int, time_ns: int) -> None:
        """Count orders of one account; 429 with -1015 beyond a limit."""
        ten, minute = self._windows(account_id)
        within = [ten.add(count, time_ns), minute.add(count, time_ns)]
        if not all(within) and self._is_enforced:
            late = ten if not within[0] else minute
            text = f"Too many new orders; current limit is {late.limit} orders."
            raise _too_many(text, late.rest_seconds(time_ns), code=-1015)

    def headers(
        self, address: str, account_id: int, *, with_orders: bool
    ) -> dict[str, str]:
        """Return the counts as the venue's response headers."""
        headers = {"X-MBX-USED-WEIGHT-1M": str(self._address(address).weight.used)}
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


def _banned(used: _Address, time_ns: int) -> BinanceError:
    until_ns = used.banned_until_ns
    error = BinanceError(
        -1003,
        f"Way too many requests; IP banned until {until_ns // 1_000_000}. Please "
        "use the websocket for live updates to avoid bans.",
        status=418,
    )
    error.retry_after_seconds = -(-(until_ns - time_ns) // 1_000_000_000)
    return error


def _too_many(text: str, seconds: int, *, code: int = -1003) -> BinanceError:
    error = BinanceError(code, text, status=429)
    error.retry_after_seconds = seconds
    return error
