"""
A venue's order budget, kept before it is spent; it sends nothing and reads no answer.

Token buckets (a burst at once, then a steady rate) and rolling windows. Whoever calls
first passes first, so the caller's order is the order of what matters.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from typing import Final

from cryptoquantix.core.exposure import Act, Pace

MARGIN: Final = 0.99
"""Of a documented rate: two clocks do not run alike."""

WINDOW_MARGIN_SECONDS: Final = 0.05
"""A call that arrives late is counted late."""

GRANTS_KEPT: Final = 1_000


class Pacer:
    """
    Lets acts pass as fast as the venue's documented budgets allow.

    Canceling a wait gives its turn back.
    """

    def __init__(self, paces: Mapping[Act, Pace]) -> None:
        self._paces = dict(paces)
        self._grants: dict[str, deque[float]] = {
            pace.bucket: deque(maxlen=GRANTS_KEPT) for pace in paces.values()
        }
        self._waiting = 0

    @property
    def is_holding(self) -> bool:
        """Whether anything waits for its turn."""
        return self._waiting > 0

    async def turn(self, act: Act) -> None:
        """Return when one more ``act`` may be sent."""
        pace = self._paces.get(act)
        if pace is None:
            return
        now = asyncio.get_running_loop().time()
        grants = self._grants[pace.bucket]
        at = _next(grants, pace, now)
        grants.append(at)
        wait = at - now
        if wait <= 0:
            return
        self._waiting += 1
        try:
            await asyncio.sleep(wait)
        except asyncio.CancelledError:
            grants.remove(at)
            raise
        finally:
            self._waiting -= 1

    def seconds(self, acts: Iterable[Act]) -> float:
        """Return how long the last of ``acts`` would have to wait, sent now."""
        counts: dict[str, int] = defaultdict(int)
        paces: dict[str, Pace] = {}
        for act in acts:
            pace = self._paces.get(act)
            if pace is not None:
                counts[pace.bucket] += 1
                paces[pace.bucket] = pace
        waits = [
            (counts[name] - pace.burst) / (pace.per_second * MARGIN)
            for name, pace in paces.items()
        ]
        return max([0.0, *waits])


def _next(grants: deque[float], pace: Pace, now: float) -> float:
    """Return when the next act may go out, after those granted so far."""
    if pace.window_seconds:
        if len(grants) < pace.burst:
            return now
        window = pace.window_seconds + WINDOW_MARGIN_SECONDS
        return max(now, grants[-pace.burst] + window)
    # The bucket as the time at which it is full again (a leaky bucket's meter).
    step = 1 / (pace.per_second * MARGIN)
    full_at = 0.0
    for at in grants:
        full_at = max(full_at, at) + step
    return max(now, full_at - (pace.burst - 1) * step)
