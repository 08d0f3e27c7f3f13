"""The true drawdown of an account, at every change of its equity; it stops nothing."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from cryptoquantix.simulator.listing import divide_half_even, money_text


@dataclass(slots=True)
class Watch:
    """
    Peak and drawdown since the watch began, exact.

    ``crossed_ns`` is the wall time of the first change of equity at which the
    drawdown was at least ``threshold``.
    """

    threshold: Fraction
    equity_units: int
    peak_units: int
    peak_ns: int
    deepest: Fraction = Fraction(0)
    crossed_ns: int | None = None

    @classmethod
    def begin(cls, threshold: Fraction, equity_units: int, time_ns: int) -> Watch:
        """Start watching from the equity of now."""
        return cls(threshold, equity_units, equity_units, time_ns)

    def see(self, equity_units: int, time_ns: int) -> None:
        """Take one value of the account's equity."""
        self.equity_units = equity_units
        if equity_units >= self.peak_units:
            if equity_units > self.peak_units:
                self.peak_units, self.peak_ns = equity_units, time_ns
            return
        drawdown = self.drawdown
        self.deepest = max(self.deepest, drawdown)
        if self.crossed_ns is None and drawdown >= self.threshold:
            self.crossed_ns = time_ns

    def move(self, before_units: int, after_units: int) -> None:
        """Take money moved in or out, which is neither profit nor loss."""
        if before_units > 0:
            self.peak_units = divide_half_even(
                self.peak_units * after_units, before_units
            )
        self.equity_units = after_units

    @property
    def drawdown(self) -> Fraction:
        """Return 1 - equity / peak."""
        if self.peak_units <= 0:
            return Fraction(0)
        return Fraction(self.peak_units - self.equity_units, self.peak_units)

    def to_json(self) -> dict[str, Any]:
        """Return the watch as the admin API shows it."""
        return {
            "peak": money_text(self.peak_units),
            "peak_time_ns": self.peak_ns,
            "equity": money_text(self.equity_units),
            "drawdown": f"{float(self.drawdown):.10f}",
            "deepest": f"{float(self.deepest):.10f}",
            "threshold": str(float(self.threshold)),
            "crossed_time_ns": self.crossed_ns,
        }


class JointWatch:
    """
    One watch over the sum of several venues' accounts.

    Parameters
    ----------
    threshold : the drawdown that counts as crossed
    equities : what each venue's account is worth at the start, in units
    time_ns : wall time of the start
    """

    def __init__(
        self, threshold: Fraction, equities: dict[str, int], time_ns: int
    ) -> None:
        self._equities = dict(equities)
        self._is_held = False
        self.watch = Watch.begin(threshold, sum(equities.values()), time_ns)

    def see(self, venue: str, equity_units: int, time_ns: int) -> None:
        """Take one value of one venue's account."""
        self._equities[venue] = equity_units
        if not self._is_held:
            self.watch.see(sum(self._equities.values()), time_ns)

    def hold(self) -> None:
        """Look away while prices that move at one instant are set one by one."""
        self._is_held = True

    def release(self, time_ns: int) -> None:
        """Look again: what all prices together have made of the sum."""
        self._is_held = False
        self.watch.see(sum(self._equities.values()), time_ns)

    def move(self, venue: str, before_units: int, after_units: int) -> None:
        """Take money moved into or out of one venue's account."""
        others = sum(u for name, u in self._equities.items() if name != venue)
        self._equities[venue] = after_units
        self.watch.move(others + before_units, others + after_units)
