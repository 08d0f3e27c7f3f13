"""
Permits: what the risk daemon allows, and for how long; it neither asks nor grants.

A permit is the answer to a request. It lives five seconds from the *monotonic
send time of the request*, measured by the one who asked: a silent daemon, a broken
link, a buffered old answer or another build therefore end in reduce-only by
themselves.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Final, Self

PERMIT_LIFE_NS: Final = 5_000_000_000
PERMIT_INTERVAL_NS: Final = 1_000_000_000
RECEIVE_WINDOW_MS: Final = 2_000


class PermitMode(StrEnum):
    """What a holder may do; reductions are allowed in every mode."""

    TRADE = "trade"
    REDUCE_ONLY = "reduce_only"
    HALTED = "halted"


@dataclass(frozen=True, slots=True)
class PermitRequest:
    """
    What execution asks once a second.

    ``sequence_seen`` is the highest ``sequence`` of any answer the holder has ever
    kept: a daemon whose own store knows less has lost its memory and locks itself.
    """

    nonce: str
    holder: str
    build: str
    sequence_seen: int = 0
    is_reconciled: bool = False

    def to_json(self) -> str:
        """Return the message on the wire."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Return the message read from the wire; ``ValueError`` if it is none."""
        return cls(**_checked(text, _REQUEST_FIELDS))


@dataclass(frozen=True, slots=True)
class PermitAnswer:
    """
    What the daemon answers.

    ``sequence`` rises with every entry of the daemon's store; ``reason`` says in
    one sentence why the mode is not ``trade``.
    """

    nonce: str
    mode: PermitMode
    holder: str
    build: str
    sequence: int
    reason: str = ""

    def to_json(self) -> str:
        """Return the message on the wire."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Return the message read from the wire; ``ValueError`` if it is none."""
        fields = _checked(text, _ANSWER_FIELDS)
        fields["mode"] = PermitMode(fields["mode"])
        return cls(**fields)


@dataclass(frozen=True, slots=True)
class Permit:
    """An answer, and the monotonic time at which its request was sent."""

    answer: PermitAnswer
    requested_monotonic_ns: int

    def allows_increase(self, monotonic_now_ns: int) -> bool:
        """Return whether an ``Increase`` may be sent at this instant."""
        age_ns = monotonic_now_ns - self.requested_monotonic_ns
        return self.answer.mode is PermitMode.TRADE and 0 <= age_ns < PERMIT_LIFE_NS


_REQUEST_FIELDS: Final = {
    "nonce": str,
    "holder": str,
    "build": str,
    "sequence_seen": int,
    "is_reconciled": bool,
}
_ANSWER_FIELDS: Final = {
    "nonce": str,
    "mode": str,
    "holder": str,
    "build": str,
    "sequence": int,
    "reason": str,
}


def _checked(text: str | bytes, fields: dict[str, type]) -> dict[str, Any]:
    value = json.loads(text)
    if not isinstance(value, dict) or set(value) != set(fields):
        found = sorted(value) if isinstance(value, dict) else type(value).__name__
        msg = f"expected an object with the fields {sorted(fields)}, found {found}"
        raise ValueError(msg)
    for name, kind in fields.items():
        if type(value[name]) is not kind:
            msg = f"{name} must be {kind.__name__}, was {value[name]!r}"
            raise ValueError(msg)
    return value
