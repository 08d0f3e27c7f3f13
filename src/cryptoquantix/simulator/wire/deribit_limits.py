"""
Deribit's two budgets of credits, for an account or for whoever is not logged in.

A request that is not for the matching engine costs 500 of 50 000 credits, which come
back at 10 000 a second; one that is costs a fifth of a second's share of 5 requests a
second with a burst of 20 (the default tier). It refuses; it ends no session.
"""

from __future__ import annotations

from cryptoquantix.simulator.wire.deribit_errors import too_many_requests

CREDITS_MAX = 50_000
CREDITS_PER_REQUEST = 500
CREDITS_PER_SECOND = 10_000
MATCHING_BURST = 20
MATCHING_PER_SECOND = 5
CONNECTIONS_MAX = 32  # of one address at once
SESSIONS_MAX = 16  # named ones of one key
IDLE_NS = 600_000_000_000  # without a word of the client
_NS = 1_000_000_000


class _Bucket:
    """Credits × nanoseconds that are left, refilled as time passes."""

    __slots__ = ("_at_ns", "_full", "_left", "_rate")

    def __init__(self, capacity: int, per_second: int, time_ns: int) -> None:
        self._full = capacity * _NS
        self._left = self._full
        self._rate = per_second
        self._at_ns = time_ns

    def spend(self, cost: int, time_ns: int) -> bool:
        """Take ``cost`` credits; return whether they were there."""
        passed = max(0, time_ns - self._at_ns)
        self._left = min(self._full, self._left + passed * self._rate)
        self._at_ns = max(self._at_ns, time_ns)
        if self._left < cost * _NS:
            return False
        self._left -= cost * _NS
        return True


class CreditLimits:
    """The budgets of every account; account zero is everybody without a login."""

    def __init__(self, *, is_enforced: bool = True) -> None:
        self._is_enforced = is_enforced
        self._requests: dict[int, _Bucket] = {}
        self._matching: dict[int, _Bucket] = {}

    @property
    def is_enforced(self) -> bool:
        """Whether anything is refused."""
        return self._is_enforced

    def spend(self, account_id: int, time_ns: int, *, is_matching: bool) -> None:
        """
        Count one request.

        Raises
        ------
        DeribitError
            10028 if its budget is spent.
        """
        if is_matching:
            bucket = self._matching.get(account_id)
            if bucket is None:
                bucket = _Bucket(MATCHING_BURST, MATCHING_PER_SECOND, time_ns)
                self._matching[account_id] = bucket
            is_within = bucket.spend(1, time_ns)
        else:
            bucket = self._requests.get(account_id)
            if bucket is None:
                bucket = _Bucket(CREDITS_MAX, CREDITS_PER_SECOND, time_ns)
                self._requests[account_id] = bucket
            is_within = bucket.spend(CREDITS_PER_REQUEST, time_ns)
        if not is_within and self._is_enforced:
            raise too_many_requests()
