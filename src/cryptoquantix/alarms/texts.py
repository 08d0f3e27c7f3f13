"""Every sentence the alarms process sends, in one place; it sends none."""

from __future__ import annotations

from datetime import UTC, datetime

from cryptoquantix.control.status import Alarm
from cryptoquantix.core.clock import NS_PER_SECOND

TEXT_LENGTH_MAX = 4096
NO_CHANNEL = (
    "no alarm channel is configured (see alarms.telegram in the settings): "
    "alarms are only logged here and stay undelivered in the daemon"
)
_CUT = " [cut]"


def alarm_text(alarm: Alarm) -> str:
    """Return the message for one alarm of the daemon, at most 4096 characters."""
    return _message(alarm.severity, alarm.time_ns, alarm.text)


def silence_text(time_ns: int, seconds: float, problem: str) -> str:
    """Return the alarm about a daemon that has not been heard for ``seconds``."""
    return _message(
        "critical",
        time_ns,
        f"the risk daemon has been silent for {seconds:.0f} s: {problem}. "
        f"Without it nothing opens new positions, and nobody watches the open ones.",
    )


def heard_again_text(time_ns: int, seconds: float) -> str:
    """Return the all-clear after a silence of ``seconds``."""
    text = f"the risk daemon answers again after {seconds:.0f} s of silence"
    return _message("info", time_ns, text)


def _message(severity: str, time_ns: int, text: str) -> str:
    when = datetime.fromtimestamp(time_ns / NS_PER_SECOND, UTC)
    message = f"{severity.upper()} {when:%Y-%m-%d %H:%M:%S} UTC\n{text}"
    if len(message) <= TEXT_LENGTH_MAX:
        return message
    return message[: TEXT_LENGTH_MAX - len(_CUT)] + _CUT
