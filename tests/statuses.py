"""Statuses for tests."""

from __future__ import annotations

from dataclasses import replace

from cryptoquantix.control.permit import PermitMode
from cryptoquantix.control.status import RiskState, RiskStatus

WELL = RiskStatus(
    state=RiskState.ARMED,
    permit_mode=PermitMode.TRADE,
    reason="",
    sequence=7,
    time_ns=1,
    equity="99000",
    high_water_mark="100000",
    drawdown="0.01",
    limit="0.03",
    formula="drawdown = 1 - equity / high-water mark = 1 - 99000 / 100000 = 0.01",
    last_complete_reading_age_ms=400,
    loop_age_ms=300,
    holder="execution",
    trip=None,
    remaining_orders=(),
    remaining_positions=(),
    is_flat=None,
    not_flat="",
    alarms_undelivered=0,
    is_store_corrupt=False,
    build="1+abc",
)


def status(**changes) -> RiskStatus:
    return replace(WELL, **changes)
