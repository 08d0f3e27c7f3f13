"""
Bybit's limits: requests per address in five seconds, calls per account and path.

Both windows roll. The figures are those of the venue's rate-limit page.
"""

from __future__ import annotations

from collections import deque

from cryptoquantix.simulator.wire.bybit_errors import BybitError

ADDRESS_REQUESTS = 600
ADDRESS_WINDOW_NS = 5_000_000_000
ADDRESS_BAN_NS = 600_000_000_000
ADDRESSES_MAX = 10_000
CONNECTIONS = 500
CONNECTIONS_WINDOW_NS = 300_000_000_000
SECOND_NS = 1_000_000_000


class _Rolling:
    """The times of what happened within the last ``window_ns``."""

    __slots__ = ("_times", "_window_ns")

    def __init__(self, window_ns: int) -> None:
        self._window_ns = window_ns
        self._times: deque[int] = deque()

    def used(self, time_ns: int) -> int:
        times = self._times
        while times and times[0] <= time_ns - self._window_ns:
            times.popleft()
        return len(times)

    def add(self, count: int, time_ns: int) -> None:
        self._times.extend([time_ns] * count)

    def free_ns(self, time_ns: int) -> int:
        """Return when the oldest of what counts leaves the window."""
        return self._times[0] + self._window_ns if self._times else time_ns


class RateLimits:
    """
    What addresses and accounts have used, as headers and as refusals.

    With ``is_enforced`` false it is counted and shown, and nothing is refused.
    """

    def __init__(self, *, is_enforced: bool = True) -> None:
        self._is_enforced = is_enforced
        self._addresses: dict[str, _Rolling] = {}
        self._banned: dict[str, int] = {}
        self._connections: dict[str, _Rolling] = {}
        self._calls: dict[tuple[int, str], _Rolling] = {}

    def spend_address(self, address: str, time_ns: int) -> None:
        """Count a request; HTTP 403 beyond the limit and for ten minutes after."""
        if not self._is_enforced:
            return
        window = _window(self._addresses, address, ADDRESS_WINDOW_NS)
        if time_ns < self._banned.get(address, 0):
            raise BybitError(10018, "403, access too frequent", status=403)
        if window.used(time_ns) >= ADDRESS_REQUESTS:
            if len(self._banned) >= ADDRESSES_MAX:
                self._banned.clear()
            self._banned[address] = time_ns + ADDRESS_BAN_NS
            raise BybitError(10018, "403, access too frequent", status=403)
        window.add(1, time_ns)

    def spend_connection(self, address: str, time_ns: int) -> None:
        """Count a WebSocket connection; HTTP 403 beyond 500 in five minutes."""
        if not self._is_enforced:
            return
        window = _window(self._connections, address, CONNECTIONS_WINDOW_NS)
        if window.used(time_ns) >= CONNECTIONS:
            raise BybitError(10018, "403, access too frequent", status=403)
        window.add(1, time_ns)

    def spend(
        self, account_id: int, path: str, limit: int, *, count: int, time_ns: int
    ) -> dict[str, str]:
        """Count calls of one path; return the headers, or raise 10006 with them."""
        window = self._calls.get((account_id, path))
        if window is None:
            window = self._calls[account_id, path] = _Rolling(SECOND_NS)
        used = window.used(time_ns)
        fits = used + count <= limit
        if fits or not self._is_enforced:
            window.add(min(count, limit), time_ns)
            used += count
        reset_ns = time_ns if fits else window.free_ns(time_ns)
        headers = {
            "X-Bapi-Limit": str(limit),
            "X-Bapi-Limit-Status": str(max(0, limit - used)),
            "X-Bapi-Limit-Reset-Timestamp": str(reset_ns // 1_000_000),
        }
        if not fits and self._is_enforced:
            raise LimitReachedError(headers)
        return headers


def _window(windows: dict[str, _Rolling], address: str, window_ns: int) -> _Rolling:
    """Return the window of an address; so many of them and all start afresh."""
    window = windows.get(address)
    if window is None:
        if len(windows) >= ADDRESSES_MAX:
            windows.clear()
        window = windows[address] = _Rolling(window_ns)
    return window


class LimitReachedError(BybitError):
    """Too many calls of one path by one account, with the headers that say so."""

    def __init__(self, headers: dict[str, str]) -> None:
        super().__init__(10006, "Too many visits. Exceeded the API Rate Limit.")
        self.headers = headers
