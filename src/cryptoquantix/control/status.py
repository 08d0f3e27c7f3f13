"""What the risk daemon says of itself, as messages; it decides nothing."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from typing import Any, Self

from cryptoquantix.control.permit import PermitMode


class RiskState(StrEnum):
    """
    Where the daemon stands.

    ``TRIPPED`` to ``VERIFYING`` are the steps of a halt that is being carried out;
    ``BLIND`` is an armed daemon without a complete reading.
    """

    LOCKED = "LOCKED"
    ARMED = "ARMED"
    BLIND = "BLIND"
    TRIPPED = "TRIPPED"
    CANCELING = "CANCELING"
    CLOSING = "CLOSING"
    VERIFYING = "VERIFYING"
    HALTED = "HALTED"

    @property
    def is_halt(self) -> bool:
        """True from the trip on, until a person rearms."""
        return self not in {RiskState.LOCKED, RiskState.ARMED, RiskState.BLIND}


@dataclass(frozen=True, slots=True)
class TripRecord:
    """
    One trip, with its times in wall nanoseconds (``None`` until reached).

    ``equity``, ``peak`` and ``drawdown`` are the confirmed reading it was decided
    on: quote currency, quote currency at today's units, positive fraction.
    ``sent_time_ns`` is when the last cancel and close of the first round was
    answered by the venue or given up.
    """

    trip_id: str
    cause: str
    decided_time_ns: int
    equity: str | None = None
    peak: str | None = None
    drawdown: str | None = None
    sent_time_ns: int | None = None
    flat_time_ns: int | None = None


@dataclass(frozen=True, slots=True)
class RemainingOrder:
    """An open order, as last read at its venue."""

    venue: str
    symbol: str
    order_id: str
    client_order_id: str
    order_class: str
    side: str
    size: str
    may_increase: bool


@dataclass(frozen=True, slots=True)
class RemainingPosition:
    """
    A position, as last read at its venue; ``size`` is signed.

    ``why_left`` says why the daemon does not close it, or nothing: dust, a dated
    future.
    """

    venue: str
    symbol: str
    leg: str
    size: str
    mark_price: str
    why_left: str = ""

    @property
    def is_dust(self) -> bool:
        """True where the venue takes no order this small."""
        return self.why_left == "dust"


@dataclass(frozen=True, slots=True)
class VenueStatus:
    """
    One venue, as the daemon sees it. ``problem`` is empty when it is readable.

    ``dead_man_armed`` is what the venue last said of its own switch over execution's
    orders (``None``: not asked yet, or it gives no way to ask), ``dead_man`` in words.
    """

    venue: str
    problem: str
    reading_age_ms: int | None
    equity: str | None
    dead_man_armed: bool | None = None
    dead_man: str = "not asked yet"


@dataclass(frozen=True, slots=True)
class SelfTest:
    """One check of the daemon's start; ``text`` says what was found."""

    name: str
    passed: bool
    text: str


@dataclass(frozen=True, slots=True)
class DrillResult:
    """
    The newest result of one drill, as somebody reported it.

    Times are milliseconds from the true crossing of the threshold.
    """

    drill: str
    passed: bool
    time_ns: int
    who: str = ""
    detected_ms: float | None = None
    sent_ms: float | None = None
    flat_ms: float | None = None
    notes: str = ""


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One entry of the audit log; ``content`` is the JSON text that was chained."""

    sequence: int
    time_ns: int
    kind: str
    content: str


@dataclass(frozen=True, slots=True)
class RiskStatus:
    """
    Everything ``cqx status`` shows.

    Decimals are text. ``equity`` is as read, ``high_water_mark`` the highest unit
    value of the last 24 h times today's units, ``drawdown`` a positive fraction;
    ``formula`` says how they hang together, with the numbers in it. ``not_flat`` is
    empty when the account is verified flat or no halt is on. ``drill`` is the newest
    result of any drill, ``self_tests`` what the start found. ``settings`` is a digest
    of those it began with, ``held_positions`` what the newest readings hold.
    """

    state: RiskState
    permit_mode: PermitMode
    reason: str
    sequence: int
    time_ns: int
    equity: str | None
    high_water_mark: str | None
    drawdown: str | None
    limit: str
    formula: str
    last_complete_reading_age_ms: int | None
    loop_age_ms: int | None
    holder: str
    trip: TripRecord | None
    remaining_orders: tuple[RemainingOrder, ...]
    remaining_positions: tuple[RemainingPosition, ...]
    is_flat: bool | None
    not_flat: str
    alarms_undelivered: int
    is_store_corrupt: bool
    build: str
    unexplained: str = "0"
    late_ms_max: int = 0
    missed_seconds: int = 0
    venues: tuple[VenueStatus, ...] = field(default=())
    self_tests: tuple[SelfTest, ...] = field(default=())
    drill: DrillResult | None = None
    drill_age_ms: int | None = None
    settings: str = ""
    held_positions: tuple[RemainingPosition, ...] = field(default=())

    def to_json(self) -> str:
        """Return the message on the wire."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """
        Return the message read from the wire.

        Fields this version does not know are left out at every level, so that a newer
        daemon can be asked by an older client; ``ValueError`` when one is missing or
        wrong.
        """
        value = json.loads(text)
        if not isinstance(value, dict):
            msg = f"expected an object, found {type(value).__name__}"
            raise ValueError(msg)  # noqa: TRY004 - one error class for bad messages
        try:
            content = _known(cls, value)
            content["state"] = RiskState(content["state"])
            content["permit_mode"] = PermitMode(content["permit_mode"])
            trip = content["trip"]
            content["trip"] = None if trip is None else _made(TripRecord, trip)
            drill = content.get("drill")
            content["drill"] = None if drill is None else _made(DrillResult, drill)
            for name, kind in _LISTS.items():
                found = content.get(name, ())
                content[name] = tuple(_made(kind, item) for item in found)
            return cls(**content)
        except (KeyError, TypeError) as error:
            msg = f"not a status of the risk daemon: {error}"
            raise ValueError(msg) from None


def _made(kind: type, value: object) -> Any:  # noqa: ANN401 - of ``kind``
    return kind(**_known(kind, value))


def _known(kind: type, value: object) -> dict[str, Any]:
    """Return of an object what ``kind`` has a field for."""
    if not isinstance(value, dict):
        msg = f"expected an object, found {type(value).__name__}"
        raise TypeError(msg)
    names = {item.name for item in fields(kind)}
    return {name: one for name, one in value.items() if name in names}


_LISTS: dict[str, type] = {
    "remaining_orders": RemainingOrder,
    "remaining_positions": RemainingPosition,
    "held_positions": RemainingPosition,
    "venues": VenueStatus,
    "self_tests": SelfTest,
}


@dataclass(frozen=True, slots=True)
class Alarm:
    """One alarm of the daemon's queue. ``severity``: info, warning or critical."""

    id: int
    time_ns: int
    severity: str
    text: str


@dataclass(frozen=True, slots=True)
class Sample:
    """
    One second of the daemon: ``complete`` False means it was blind.

    ``high_water_mark`` and ``drawdown`` are ``None`` while nothing was complete.
    """

    time_ns: int
    equity: str | None
    high_water_mark: str | None
    drawdown: str | None
    complete: bool
