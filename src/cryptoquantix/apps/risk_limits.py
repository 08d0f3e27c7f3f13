"""``[risk]`` as the daemon's policy: seconds become nanoseconds; it judges nothing."""

from __future__ import annotations

from decimal import Decimal

from cryptoquantix.apps.settings import RiskSettings
from cryptoquantix.core.clock import NS_PER_SECOND
from cryptoquantix.core.errors import SettingsError
from cryptoquantix.risk.rules import Limits


def limits_of(settings: RiskSettings) -> Limits:
    """
    Return the policy that ``settings`` describe.

    Raises
    ------
    SettingsError
        If a limit is out of range, or two contradict each other: one sentence.
    """
    if settings.blind_cancel_seconds < settings.blind_seconds:
        msg = (
            f"risk.blind_cancel_seconds ({settings.blind_cancel_seconds}) must not be "
            f"shorter than risk.blind_seconds ({settings.blind_seconds})"
        )
        raise SettingsError(msg)
    if settings.reading_seconds + settings.confirm_seconds > 1:
        msg = (
            "risk.reading_seconds and risk.confirm_seconds must fit in a second "
            f"together, were {settings.reading_seconds} and {settings.confirm_seconds}"
        )
        raise SettingsError(msg)
    return Limits(
        drawdown_fraction_max=settings.drawdown_fraction_max,
        warning_fractions=settings.warning_fractions,
        hard_multiple=settings.hard_multiple,
        unexplained_look_fraction=settings.unexplained_look_fraction,
        unexplained_drop_of_limit=settings.unexplained_drop_of_limit,
        unexplained_ns=_ns(settings.unexplained_seconds),
        blind_ns=_ns(settings.blind_seconds),
        blind_cancel_ns=_ns(settings.blind_cancel_seconds),
        orphan_ns=_ns(settings.orphan_seconds),
        confirm_ns=_ns(settings.confirm_seconds),
        reading_ns=_ns(settings.reading_seconds),
        stale_ns=_ns(settings.stale_seconds),
        collateral_moves=settings.collateral_moves,
        rate_outlier_fraction=settings.rate_outlier_fraction,
        rate_bound_fraction=settings.rate_bound_fraction,
        rate_step_fraction=settings.rate_step_fraction,
        transit_ns=_ns(settings.transit_seconds),
        transit_fee_fraction=settings.transit_fee_fraction,
    )


def _ns(seconds: Decimal) -> int:
    return int(seconds * NS_PER_SECOND)
