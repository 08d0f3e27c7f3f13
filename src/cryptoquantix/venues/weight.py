"""
Our share of a venue's request weight; it sends nothing and orders nothing.

Venue limits count per address, and the risk daemon lives at the same one: other
services keep to half of the documented limit, so that its emergency budget is there.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator
from typing import Final

from cryptoquantix.core.clock import NS_PER_SECOND, Clock
from cryptoquantix.core.exposure import Pace

# Binance USD-M documents 2 400 a minute an address.
BINANCE_WEIGHT_PER_MINUTE: Final = 2_400 // 2
_WINDOW_NS: Final = 60 * NS_PER_SECOND
_STEP_SECONDS: Final = 0.05
_MIN_SECONDS: Final = 0.001
_LOOK_SECONDS: Final = 0.004


class WeightBudget:
    """
    Weight spent in the last minute, and who must wait for it to pass.

    Parameters
    ----------
    weight_max : int
        Weight that may be spent within ``window_ns``.
    """

    def __init__(
        self, clock: Clock, weight_max: int, window_ns: int = _WINDOW_NS
    ) -> None:
        self._clock = clock
        self._max = weight_max
        self._window_ns = window_ns
        self._spent: deque[tuple[int, int]] = deque()
        self._total = 0
        self._closed_until_ns = 0

    @property
    def used(self) -> int:
        """Weight spent within the window."""
        since = self._clock.monotonic_ns() - self._window_ns
        while self._spent and self._spent[0][0] <= since:
            self._total -= self._spent.popleft()[1]
        return self._total

    def close_for(self, delay_ns: int) -> None:
        """Let nobody but the urgent pass for ``delay_ns``: the venue asked for it."""
        until = self._clock.monotonic_ns() + delay_ns
        self._closed_until_ns = max(self._closed_until_ns, until)

    async def take(self, weight: int, *, is_urgent: bool = False) -> None:
        """
        Return once ``weight`` may be spent, and count it.

        What is urgent (reductions, cancels) is counted and never waits. Cancellation
        while waiting spends nothing.
        """
        # Time alone frees weight, so there is no event to wait for.
        while not is_urgent and not self._fits(weight):  # noqa: ASYNC110 - see above
            await asyncio.sleep(_STEP_SECONDS)
        self._spent.append((self._clock.monotonic_ns(), weight))
        self._total += weight

    def _fits(self, weight: int) -> bool:
        if self._clock.monotonic_ns() < self._closed_until_ns:
            return False
        return self.used + weight <= self._max


class ActGuard:
    """
    A venue's budget of acts as the venue itself must see it, to the safe side.

    The caller paces acts when it starts them; a busy machine may bunch them on their
    way. Here an act counts from its answer on, which the venue gave after counting it,
    and all the while it is on its way: what passes cannot be too early.
    """

    def __init__(self, clock: Clock, pace: Pace) -> None:
        self._clock = clock
        self._pace = pace
        self._on_their_way = 0
        self._answered: deque[int] = deque(maxlen=pace.burst)
        self._left = float(pace.burst)
        self._at_ns = clock.monotonic_ns()

    @contextlib.asynccontextmanager
    async def turn(self, seconds_max: float) -> AsyncIterator[bool]:
        """
        Wait for a turn and hold it while an act is on its way; False: none came.

        Cancellation while waiting spends nothing.
        """
        until_ns = self._clock.monotonic_ns() + int(seconds_max * NS_PER_SECOND)
        # Time and answers free turns; looking every few ms is soon enough for both.
        while not (is_free := self._is_free()):
            if self._clock.monotonic_ns() >= until_ns:
                break
            await asyncio.sleep(_LOOK_SECONDS)
        if not is_free:
            yield False
            return
        self._on_their_way += 1
        try:
            yield True
        finally:
            self._on_their_way -= 1
            self._count()

    def _is_free(self) -> bool:
        now_ns = self._clock.monotonic_ns()
        if self._pace.window_seconds:
            since_ns = now_ns - int(self._pace.window_seconds * NS_PER_SECOND)
            counted = sum(at_ns > since_ns for at_ns in self._answered)
            return counted + self._on_their_way < self._pace.burst
        return self._refilled(now_ns) - self._on_their_way >= 1

    def _count(self) -> None:
        now_ns = self._clock.monotonic_ns()
        self._left = self._refilled(now_ns) - 1
        self._at_ns = now_ns
        self._answered.append(now_ns)

    def _refilled(self, now_ns: int) -> float:
        fresh = (now_ns - self._at_ns) / NS_PER_SECOND * self._pace.per_second
        return min(self._pace.burst, self._left + fresh)


class ReadBudget:
    """
    A bucket of ``burst`` requests (or weight), refilled by ``per_second``.

    What is dear (over a tenth of ``reserve``) leaves ``reserve`` for what is cheap, so
    that the reading of an account never waits behind a list of all orders. Cancellation
    while waiting spends nothing.
    """

    def __init__(
        self, clock: Clock, *, burst: float, per_second: float, reserve: float = 0
    ) -> None:
        self._clock = clock
        self._burst = burst
        self._per_second = per_second
        self._reserve = reserve
        self._left = burst
        self._at_ns = clock.monotonic_ns()

    @property
    def left(self) -> float:
        """What may be spent at once."""
        now_ns = self._clock.monotonic_ns()
        fresh = (now_ns - self._at_ns) / NS_PER_SECOND * self._per_second
        self._left = min(self._burst, self._left + fresh)
        self._at_ns = now_ns
        return self._left

    def cap(self, left: float) -> None:
        """Let no more than ``left`` be there: the venue has counted more than we."""
        self._left = min(self.left, left)

    async def take(self, cost: float = 1) -> None:
        """Return once ``cost`` may be spent, and count it."""
        is_dear = cost * 10 > self._reserve
        wanted = min(cost + (self._reserve if is_dear else 0), self._burst)
        # Time alone frees it, so there is no event to wait for.
        while (missing := wanted - self.left) > 0:  # noqa: ASYNC110 - see above
            await asyncio.sleep(missing / self._per_second + _MIN_SECONDS)
        self._left -= cost
