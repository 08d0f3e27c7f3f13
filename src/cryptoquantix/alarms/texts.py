"""Every sentence the alarms process sends, in one place; it sends none."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Final

from cryptoquantix.control.status import Alarm, RiskStatus, VenueStatus
from cryptoquantix.core.clock import NS_PER_SECOND

TEXT_LENGTH_MAX: Final = 4096
NO_CHANNEL: Final = (
    "no alarm channel is configured (see [alarms] in the settings): "
    "alarms are only logged here and stay undelivered in the daemon"
)
CONSEQUENCE: Final = {
    "silent": (
        "Without it nothing opens new positions, and nobody watches the open ones."
    ),
    "reading": "Until one is complete, no drawdown is measured.",
    "queue": "`cqx alarms` is not running, or reaches nobody.",
}
HELP: Final = (
    "/status - what the risk daemon knows\n"
    "/halt - stop: cancel, close every position, verify flat, stay halted\n"
    "/flatten - cancel and close everything, then LOCKED\n"
    "/ack - you have seen the critical alarms; they are not repeated\n"
    "/help - this\n"
    "/halt and /flatten ask for a code first. From here risk can only be reduced."
)
REARM: Final = (
    "From a chat risk can only be reduced. On a machine of the deployment, a named "
    "person rearms: cqx rearm --who NAME --reason TEXT"
)
_CUT: Final = " [cut]"


def alarm_text(alarm: Alarm) -> str:
    """Return the message for one alarm of the daemon, at most 4096 characters."""
    return message(alarm.severity, alarm.time_ns, alarm.text)


def silence_text(time_ns: int, seconds: float, problem: str) -> str:
    """Return the alarm about a daemon that has not been heard for ``seconds``."""
    text = f"the risk daemon has been silent for {seconds:.0f} s: {problem}. "
    return message("critical", time_ns, text + CONSEQUENCE["silent"])


def reading_text(time_ns: int, seconds: float, problem: str = "") -> str:
    """Return the alarm about a daemon whose last complete reading is too old."""
    text = f"the risk daemon answers, but has no complete reading for {seconds:.0f} s. "
    if problem:
        text = (
            f"the risk daemon lives, but its status cannot be read for "
            f"{seconds:.0f} s: {problem}. "
        )
    return message("critical", time_ns, text + CONSEQUENCE["reading"])


def queue_text(time_ns: int, seconds: float, undelivered: int) -> str:
    """Return the alarm about alarms that nobody takes."""
    text = (
        f"{undelivered} alarms of the risk daemon are undelivered, the oldest for "
        f"{seconds:.0f} s. "
    )
    return message("critical", time_ns, text + CONSEQUENCE["queue"])


def again_text(name: str, time_ns: int, seconds: float) -> str:
    """Return the all-clear after a silence of ``seconds``."""
    text = {
        "silent": f"the risk daemon answers again after {seconds:.0f} s of silence",
        "reading": f"complete readings are back after {seconds:.0f} s",
        "queue": f"alarms are delivered again after {seconds:.0f} s",
    }[name]
    return message("info", time_ns, text)


def service_text(time_ns: int, name: str, problem: str) -> str:
    """Return the alarm about a service that says what is wrong with it."""
    return message("warning", time_ns, f"the {name} has a problem: {problem}")


def service_again_text(time_ns: int, name: str) -> str:
    """Return the all-clear of a service."""
    return message("info", time_ns, f"the {name} is well again")


def told_text(time_ns: int, what: str, more: int) -> str:
    """Return the alarm about something that execution reports to a person."""
    others = f" (and {more} more like it)" if more else ""
    return message("warning", time_ns, f"execution reports: {what}{others}")


def digest(texts: Sequence[str], let_go: int = 0) -> str:
    """Return several messages as one, at most 4096 characters."""
    parts = [f"{let_go} older messages were let go"] if let_go else []
    return _bounded("\n\n".join([*parts, *texts]))


def escalation_text(time_ns: int, texts: Sequence[str], minutes: float) -> str:
    """Return the repetition of alarms that nobody has acknowledged."""
    count = len(texts)
    what = "a critical alarm" if count == 1 else f"{count} critical alarms"
    head = message(
        "critical",
        time_ns,
        f"nobody has acknowledged {what} for {minutes:.0f} minutes. Acknowledge with "
        f"/ack in the chat or `cqx alarms ack`.",
    )
    return digest([head, *texts])


def seen_text(time_ns: int, who: str, count: int) -> str:
    """Return who has acknowledged, for those who were called."""
    return message("info", time_ns, f"{who} has acknowledged {_alarms(count)}")


def report_text(
    time_ns: int,
    status: RiskStatus | None,
    problems: Sequence[str],
    remarks: Sequence[str],
) -> str:
    """Return the daily report: the all-clear, or why there is none."""
    head = "all clear" if not problems else "NOT CLEAR"
    lines = [f"daily report: {head}"]
    lines += [f"PROBLEM: {problem}" for problem in problems]
    if status is not None:
        lines += figures(status)
    lines += [f"note: {remark}" for remark in remarks]
    return message("info" if not problems else "critical", time_ns, "\n".join(lines))


def watchdog_text(time_ns: int, status: RiskStatus | None, url: str) -> str:
    """Return the daily report of the outside watchdog, which judges two things only."""
    if status is None:
        return message("critical", time_ns, f"watchdog: {url} does not answer")
    age = _seconds(status.last_complete_reading_age_ms)
    text = f"watchdog: the daemon answers ({status.state}), last reading {age} ago"
    return message("info", time_ns, text)


def figures(status: RiskStatus) -> list[str]:
    """Return the numbers of a status, a line each."""
    lines = [
        f"state {status.state}, permit {status.permit_mode}",
        f"equity {_money(status.equity)} USD",
        f"drawdown {_percent(status.drawdown)} of at most {_percent(status.limit)}",
        f"last complete reading {_seconds(status.last_complete_reading_age_ms)} ago",
        _drill(status),
    ]
    lines += [_venue(venue) for venue in status.venues]
    return lines


def status_text(
    status: RiskStatus, problems: Sequence[str], remarks: Sequence[str]
) -> str:
    """Return the answer to ``/status``."""
    lines = figures(status)
    if status.reason:
        lines.insert(1, status.reason)
    lines.append(status.formula)
    lines += [f"PROBLEM: {problem}" for problem in problems]
    lines += [f"note: {remark}" for remark in remarks]
    if not problems:
        lines.append("The guard is well.")
    return _bounded("\n".join(lines))


def message(severity: str, time_ns: int, text: str) -> str:
    """Return ``text`` under its severity and time, at most 4096 characters."""
    when = datetime.fromtimestamp(time_ns / NS_PER_SECOND, UTC)
    return _bounded(f"{severity.upper()} {when:%Y-%m-%d %H:%M:%S} UTC\n{text}")


def _bounded(text: str) -> str:
    if len(text) <= TEXT_LENGTH_MAX:
        return text
    return text[: TEXT_LENGTH_MAX - len(_CUT)] + _CUT


def _venue(venue: VenueStatus) -> str:
    parts = [f"{venue.venue}: {_money(venue.equity)} USD"]
    if venue.problem:
        parts.append(venue.problem)
    if venue.dead_man_armed is False:
        parts.append(f"DEAD-MAN'S SWITCH ABSENT ({venue.dead_man})")
    elif venue.dead_man_armed is None:
        parts.append(f"dead-man's switch not verified ({venue.dead_man})")
    return ", ".join(parts)


def _drill(status: RiskStatus) -> str:
    if status.drill is None or status.drill_age_ms is None:
        return "no drill has been run"
    outcome = "passed" if status.drill.passed else "FAILED"
    hours = status.drill_age_ms / 3_600_000
    age = f"{hours:.0f} h" if hours < 72 else f"{hours / 24:.0f} days"
    return f"last drill {status.drill.drill} {outcome}, {age} ago"


def _alarms(count: int) -> str:
    return "1 alarm" if count == 1 else f"{count} alarms"


def _seconds(age_ms: int | None) -> str:
    return "never" if age_ms is None else f"{age_ms / 1000:.1f} s"


def _money(value: str | None) -> str:
    return _formatted(value, "{:,.2f}", Decimal(1))


def _percent(value: str | None) -> str:
    return _formatted(value, "{:.2f} %", Decimal(100))


def _formatted(value: str | None, form: str, factor: Decimal) -> str:
    if value is None:
        return "unknown"
    try:
        return form.format(Decimal(value) * factor)
    except InvalidOperation:
        return value
