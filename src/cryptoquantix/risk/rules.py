"""
The judge: values in, verdicts out; it reads no clock, sends nothing, keeps nothing.

Every number of the kill switch's policy is a field of :class:`Limits`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Context, Decimal, localcontext
from enum import Enum

from cryptoquantix.control.permit import PermitMode
from cryptoquantix.control.status import RiskState
from cryptoquantix.core.clock import NS_PER_DAY, NS_PER_MS, NS_PER_SECOND
from cryptoquantix.core.errors import SettingsError

_WIDE = Context(prec=60)


@dataclass(frozen=True, slots=True)
class Limits:
    """
    The policy. Fractions are of the 24 h peak, or of the trip limit where said.

    ``collateral_moves`` says whether the price move of a coin held as collateral
    counts in the drawdown (dollar coins always count). ``rate_*`` bound the rate of a
    coin: how far a vote may lie from the median, a dollar coin that one venue alone
    rates from 1, and another such coin from its last second. ``transit_ns`` is how long
    money may be on its way between own venues, ``transit_fee_fraction`` how much of it
    the way may cost.

    Raises
    ------
    SettingsError
        If a limit is out of range: one sentence.
    """

    drawdown_fraction_max: Decimal = Decimal("0.03")
    warning_fractions: tuple[Decimal, ...] = (Decimal("0.5"), Decimal("0.8"))
    hard_multiple: Decimal = Decimal(2)
    unexplained_look_fraction: Decimal = Decimal("0.0002")
    unexplained_drop_of_limit: Decimal = Decimal("0.1")
    unexplained_ns: int = 15 * NS_PER_SECOND
    blind_ns: int = 5 * NS_PER_SECOND
    blind_cancel_ns: int = 60 * NS_PER_SECOND
    orphan_ns: int = 10 * NS_PER_SECOND
    confirm_ns: int = 250 * NS_PER_MS
    reading_ns: int = 700 * NS_PER_MS
    stale_ns: int = 5 * NS_PER_SECOND
    collateral_moves: bool = True
    rate_outlier_fraction: Decimal = Decimal("0.01")
    rate_bound_fraction: Decimal = Decimal("0.01")
    rate_step_fraction: Decimal = Decimal("0.05")
    transit_ns: int = NS_PER_DAY
    transit_fee_fraction: Decimal = Decimal("0.002")

    def __post_init__(self) -> None:
        for name, least, most in _BOUNDS:
            value = getattr(self, name)
            if not (Decimal(value).is_finite() and least < value <= most):
                msg = (
                    f"risk.{name} must be above {least} and at most {most}, was {value}"
                )
                raise SettingsError(msg)
        wrong = [f for f in self.warning_fractions if not 0 < f < 1]
        if wrong:
            msg = f"risk.warning_fractions must lie between 0 and 1, was {wrong[0]}"
            raise SettingsError(msg)
        if list(self.warning_fractions) != sorted(set(self.warning_fractions)):
            msg = (
                "risk.warning_fractions must rise from one to the next, was "
                + ", ".join(map(str, self.warning_fractions))
            )
            raise SettingsError(msg)

    @property
    def hard_fraction(self) -> Decimal:
        """The drawdown beyond which an explained drop needs no second read."""
        return self.drawdown_fraction_max * self.hard_multiple


_BOUNDS: tuple[tuple[str, int, int], ...] = (
    ("drawdown_fraction_max", 0, 1),
    ("hard_multiple", 1, 1000),
    ("unexplained_look_fraction", 0, 1),
    ("unexplained_drop_of_limit", 0, 1),
    ("unexplained_ns", 0, 600 * NS_PER_SECOND),
    ("blind_ns", 0, 600 * NS_PER_SECOND),
    ("blind_cancel_ns", 0, NS_PER_DAY),
    ("orphan_ns", 0, NS_PER_DAY),
    ("confirm_ns", 0, NS_PER_SECOND),
    ("reading_ns", 0, NS_PER_SECOND),
    ("stale_ns", 0, 600 * NS_PER_SECOND),
    ("rate_outlier_fraction", 0, 1),
    ("rate_bound_fraction", 0, 1),
    ("rate_step_fraction", 0, 1),
    ("transit_ns", 0, 30 * NS_PER_DAY),
    ("transit_fee_fraction", 0, 1),
)
"""Above what and up to what each limit may lie."""


class Verdict(Enum):
    """What one unit value means against the peak."""

    CLEAR = "clear"
    BREACH = "breach"
    HARD_BREACH = "hard_breach"


def reaches(value: Decimal, peak: Decimal, fraction: Decimal) -> bool:
    """
    Return whether ``value`` lies ``fraction`` or more below ``peak``: inclusive.

    In products, not quotients: no rounding decides.

    Examples
    --------
    >>> reaches(Decimal("97.00"), Decimal(100), Decimal("0.03"))
    True
    >>> reaches(Decimal("97.01"), Decimal(100), Decimal("0.03"))
    False
    """
    return _WIDE.subtract(peak, value) >= _WIDE.multiply(fraction, peak)


def judge(value: Decimal, peak: Decimal, limits: Limits) -> Verdict:
    """Return the verdict on a complete, flow-adjusted value."""
    if not reaches(value, peak, limits.drawdown_fraction_max):
        return Verdict.CLEAR
    if reaches(value, peak, limits.hard_fraction):
        return Verdict.HARD_BREACH
    return Verdict.BREACH


def drawdown(value: Decimal, peak: Decimal) -> Decimal:
    """Return ``1 - value / peak`` as a positive fraction, 0 without a peak.

    Rounded down at the 8th place: what is shown never reaches a limit that the
    value did not reach.
    """
    if peak <= 0:
        return Decimal(0)
    with localcontext(prec=60):
        fraction = max(Decimal(0), (peak - value) / peak)
        return fraction.quantize(Decimal("1e-8"), rounding=ROUND_FLOOR)


def warning_level(value: Decimal, peak: Decimal, limits: Limits) -> int:
    """Return how many of the warning fractions the drawdown has reached."""
    return sum(
        reaches(value, peak, fraction * limits.drawdown_fraction_max)
        for fraction in limits.warning_fractions
    )


def is_large_drop(loss: Decimal, equity: Decimal, limits: Limits) -> bool:
    """Return whether an unexplained ``loss`` (negative) stops entries at once."""
    bound = limits.unexplained_drop_of_limit * limits.drawdown_fraction_max
    return -loss >= bound * abs(equity) and loss < 0


def permit(state: RiskState, concerns: Mapping[str, str]) -> tuple[PermitMode, str]:
    """
    Return what a holder may do, and why not more.

    ``concerns`` are named reasons that stop entries while the daemon stays armed.
    """
    if state.is_halt:
        return PermitMode.HALTED, "halted: only a named person ends it (cqx rearm)"
    if state is RiskState.LOCKED:
        return PermitMode.REDUCE_ONLY, "locked: a named person must arm (cqx rearm)"
    if concerns:
        return PermitMode.REDUCE_ONLY, next(iter(concerns.values()))
    if state is RiskState.BLIND:
        return PermitMode.REDUCE_ONLY, "blind: no complete reading"
    return PermitMode.TRADE, ""
