"""
How restless one instrument's price is now, against its ordinary days; it quotes none.

Market makers ask it how far to stand off and how little to show. It is an
exponentially weighted mean of squared returns over tape time, so a jump is felt at
once and forgotten over some minutes.
"""

from __future__ import annotations

import math
from typing import Final

HALF_LIFE_SECONDS: Final = 60.0
STRESS_MAX: Final = 8.0
CALM_PER_DAY: Final = 0.06  # what a maker takes in its stride
_DECAY_PER_NS: Final = math.log(2) / HALF_LIFE_SECONDS / 1e9
_CALM_PER_NS: Final = CALM_PER_DAY**2 / 86_400e9


class Volatility:
    """The price's recent variance per nanosecond of tape time."""

    __slots__ = ("_price_ticks", "_tape_ns", "_variance")

    def __init__(self) -> None:
        self._variance = 0.0
        self._price_ticks = 0
        self._tape_ns = 0

    def see(self, price_ticks: int, tape_ns: int) -> None:
        """Take in a price; the first one only starts it."""
        before = self._price_ticks
        self._price_ticks = price_ticks
        passed = max(0, tape_ns - self._tape_ns)
        self._tape_ns = max(self._tape_ns, tape_ns)
        if not before:
            return
        # One tick up and down is the book's grain, not a move.
        change = max(0, abs(price_ticks - before) - 1) / before
        fading = math.exp(-passed * _DECAY_PER_NS)
        self._variance = self._variance * fading + change * change * _DECAY_PER_NS

    def stress(self, tape_ns: int) -> float:
        """
        Return volatility over the calm one, within 1..8.

        Examples
        --------
        >>> still = Volatility()
        >>> still.see(60_000, 0)
        >>> still.stress(0)
        1.0
        """
        passed = max(0, tape_ns - self._tape_ns)
        variance = self._variance * math.exp(-passed * _DECAY_PER_NS)
        return min(STRESS_MAX, max(1.0, math.sqrt(variance / _CALM_PER_NS)))
