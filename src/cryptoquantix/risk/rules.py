"""
The judge: values in, verdicts out; it reads no clock, sends nothing, keeps nothing.

Every number of the kill switch's policy is a field of :class:`Limits`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal, localcontext
from enum import Enum
from typing import Final

from cryptoquantix.control.permit import PermitMode
from cryptoquantix.control.status import RiskState
from cryptoquantix.core.clock import NS_PER_MS, NS_PER_SECOND
from cryptoquantix.core.errors import SettingsError
from cryptoquantix.core.exposure import HeldPosition, Reading

FILL_TOLERANCE: Final = Decimal("0.01")
"""How far beyond the marks of one second its fills may lie, fee included."""

CONSISTENCY_TOLERANCE: Final = Decimal("0.001")
"""How far, of equity, the parts of one reading may miss their sum."""


@dataclass(frozen=True, slots=True)
class Limits:
    """
    The policy. Fractions are of the 24 h peak, or of the trip limit where said.

    Raises
    ------
    SettingsError
        If a limit is out of range.
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

    def __post_init__(self) -> None:
        if not 0 < self.drawdown_fraction_max <= 1:
            msg = (
                "risk.drawdown_fraction_max must be above 0 and at most 1, "
                f"was {self.drawdown_fraction_max}"
            )
            raise SettingsError(msg)
        wrong = [f for f in self.warning_fractions if not 0 < f < 1]
        if wrong:
            msg = f"risk.warning_fractions must lie between 0 and 1, was {wrong[0]}"
            raise SettingsError(msg)

    @property
    def hard_fraction(self) -> Decimal:
        """The drawdown beyond which an explained drop needs no second read."""
        return self.drawdown_fraction_max * self.hard_multiple


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
    with localcontext(prec=60):
        return peak - value >= fraction * peak


def judge(value: Decimal, peak: Decimal, limits: Limits) -> Verdict:
    """Return the verdict on a complete, flow-adjusted value."""
    if reaches(value, peak, limits.hard_fraction):
        return Verdict.HARD_BREACH
    if reaches(value, peak, limits.drawdown_fraction_max):
        return Verdict.BREACH
    return Verdict.CLEAR


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


def blindness(reading: Reading) -> str:
    """
    Return why ``reading`` is no number to compare, or an empty text.

    NaN, infinity, zero and negative equity, positions without a mark, and parts that
    do not make the sum are *blind*: neither a drawdown nor an all-clear.
    """
    if not (reading.equity.is_finite() and reading.balance.is_finite()):
        return f"equity is {reading.equity}"
    if reading.equity <= 0:
        return f"equity is {reading.equity}"
    return inconsistency(reading)


def inconsistency(reading: Reading) -> str:
    """Return how the parts of ``reading`` contradict each other, or nothing."""
    for held in reading.positions:
        numbers = (held.size, held.mark_price, held.entry_price)
        if not all(number.is_finite() for number in numbers) or held.mark_price <= 0:
            return f"{held.symbol} has size {held.size} at mark {held.mark_price}"
    open_pnl = sum(
        (
            held.size * (held.mark_price - held.entry_price)
            for held in reading.positions
        ),
        Decimal(0),
    )
    missing = reading.equity - reading.balance - open_pnl
    if abs(missing) > CONSISTENCY_TOLERANCE * max(abs(reading.equity), Decimal(1)):
        return (
            f"equity {reading.equity} is not balance {reading.balance} plus open "
            f"PnL {open_pnl:f}"
        )
    return ""


def unexplained(before: Reading, after: Reading) -> Decimal:
    """
    Return the part of the change of equity that marks and fills do not explain.

    Held sizes move with their marks. A size that changed was filled somewhere between
    both marks, give or take ``FILL_TOLERANCE`` of what was traded, fee included: that
    makes a range of changes, and the result is the signed distance from it (0 inside).
    """
    low = high = Decimal(0)
    old = {(held.symbol, held.leg): held for held in before.positions}
    new = {(held.symbol, held.leg): held for held in after.positions}
    for key in old.keys() | new.keys():
        least, most = _range(old.get(key), new.get(key))
        low += least
        high += most
    change = after.equity - before.equity
    if change < low:
        return change - low
    if change > high:
        return change - high
    return Decimal(0)


def _range(
    old: HeldPosition | None, new: HeldPosition | None
) -> tuple[Decimal, Decimal]:
    """Return the least and most that one position can have moved equity."""
    size_old = old.size if old else Decimal(0)
    size_new = new.size if new else Decimal(0)
    some = new or old
    assert some is not None
    mark_new = new.mark_price if new else some.mark_price
    mark_old = old.mark_price if old else some.entry_price
    moved = size_old * (mark_new - mark_old)
    traded = size_new - size_old
    if not traded:
        return moved, moved
    fills = [traded * (mark_new - price) for price in (mark_old, mark_new)]
    slack = abs(traded) * max(mark_old, mark_new) * FILL_TOLERANCE
    return moved + min(fills) - slack, moved + max(fills) + slack


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
