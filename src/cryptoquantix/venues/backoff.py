"""How long to wait before the next attempt; it never sleeps itself."""

from __future__ import annotations

import numpy as np


class Backoff:
    """
    Waits that double from ``seconds_min`` up to ``seconds_max``.

    Each is drawn evenly from the upper half of its bound, so that services that lost
    the same venue do not come back in the same instant. ``random`` is the seam: the
    same seed gives the same waits.

    Examples
    --------
    >>> backoff = Backoff(np.random.default_rng(1), seconds_min=1, seconds_max=4)
    >>> [1 >= backoff.next_seconds() > 0.5, 2 >= backoff.next_seconds() > 1]
    [True, True]
    """

    def __init__(
        self,
        random: np.random.Generator,
        *,
        seconds_min: float = 0.25,
        seconds_max: float = 30.0,
    ) -> None:
        self._random = random
        self._seconds_min = seconds_min
        self._seconds_max = seconds_max
        self._bound = seconds_min

    def next_seconds(self) -> float:
        """Return the wait before the next attempt; the one after is longer."""
        bound = self._bound
        self._bound = min(2 * bound, self._seconds_max)
        return bound * (1.0 - float(self._random.random()) / 2)

    def reset(self) -> None:
        """Start again from the shortest wait: an attempt succeeded."""
        self._bound = self._seconds_min
