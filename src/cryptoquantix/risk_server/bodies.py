"""What a request's body must say, checked before anything is done with it; no acts."""

from __future__ import annotations

import json
import math
from typing import Any, Final

from cryptoquantix.control.status import DrillResult

TEXT_MAX: Final = 500
DRILL_NAME_MAX: Final = 60
_TIMES: Final = ("detected_ms", "sent_ms", "flat_ms")


class BadRequest(ValueError):  # noqa: N818 - it names an answer
    """The body or the query is not what was asked for; the text says what is."""


def named(text: str) -> tuple[str, str]:
    """
    Return who and why, from the body of a command.

    Raises
    ------
    BadRequest
        If one of them is missing.
    """
    value = _object(text)
    who, reason = value.get("who"), value.get("reason")
    if not (isinstance(who, str) and isinstance(reason, str)):
        msg = "who and reason must both be text"
        raise BadRequest(msg)
    if not (who.strip() and reason.strip()):
        msg = "who and reason must both be given: the audit log names them"
        raise BadRequest(msg)
    return who.strip()[:TEXT_MAX], reason.strip()[:TEXT_MAX]


def drill_result(text: str, now_ns: int) -> DrillResult:
    """
    Return the result of a drill, from the body that reports it.

    Raises
    ------
    BadRequest
        If it is none.
    """
    value = _object(text)
    name, passed = value.get("drill"), value.get("passed")
    if not isinstance(name, str) or not 0 < len(name.strip()) <= DRILL_NAME_MAX:
        msg = f"drill must be a name of at most {DRILL_NAME_MAX} characters"
        raise BadRequest(msg)
    if not isinstance(passed, bool):
        msg = f"passed must be true or false, was {passed!r}"
        raise BadRequest(msg)
    return DrillResult(
        drill=name.strip(),
        passed=passed,
        time_ns=now_ns,
        who=str(value.get("who") or "")[:TEXT_MAX],
        notes=str(value.get("notes") or "")[:TEXT_MAX],
        **{field: _milliseconds(field, value.get(field)) for field in _TIMES},
    )


def _milliseconds(field: str, value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        msg = f"{field} must be a number of milliseconds, was {value!r}"
        raise BadRequest(msg)
    if not math.isfinite(value) or value < 0:
        msg = f"{field} must be finite and not negative, was {value}"
        raise BadRequest(msg)
    return float(value)


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text or "null")
    except ValueError as error:
        msg = f"the body is not JSON: {error}"
        raise BadRequest(msg) from None
    if not isinstance(value, dict):
        msg = "the body must be a JSON object"
        raise BadRequest(msg)
    return value
