"""
What ``cqx status`` shows of the alarms process of this machine; it asks nobody.

It reads the file that process writes. One that runs elsewhere is not seen here, and
not missed: what the daemon still lists as undelivered is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from cryptoquantix.alarms.progress import Health, Progress
from cryptoquantix.core.clock import NS_PER_SECOND

_ALIVE_SECONDS: Final = 60


@dataclass(frozen=True, slots=True)
class AlarmsView:
    """The alarms process: rows of words, what is to be noted, and as an object."""

    rows: tuple[tuple[str, str], ...]
    remarks: tuple[str, ...]
    value: dict[str, Any] | None


def alarms_view(progress: Progress | None, now_ns: int) -> AlarmsView:
    """Return what ``progress`` says, in words; nothing of a process that never ran."""
    if progress is None:
        return AlarmsView((), (), None)
    seconds = (now_ns - progress.time_ns) / NS_PER_SECOND
    channels = {
        name: {"ok": not health.problem, "problem": health.problem}
        for name, health in progress.channels.items()
    }
    value = {
        "age_seconds": round(seconds, 1),
        "channels": channels,
        "unacknowledged": [one.text for one in progress.unseen],
        "silences": sorted(progress.silences),
    }
    words = [_channel(name, one) for name, one in progress.channels.items()]
    rows = [("alarm channels", ", ".join(words) or "none")]
    if progress.unseen:
        rows.append(("seen by nobody", f"{len(progress.unseen)} critical alarms"))
    return AlarmsView(tuple(rows), tuple(_remarks(progress, seconds)), value)


def _channel(name: str, health: Health) -> str:
    return f"{name} FAILS" if health.problem else f"{name} ok"


def _remarks(progress: Progress, seconds: float) -> Iterator[str]:
    if seconds > _ALIVE_SECONDS:
        yield f"cqx alarms has not run here for {seconds:.0f} s: nobody is told"
    for name, health in progress.channels.items():
        if health.problem:
            yield f"the alarm channel {name} fails: {health.problem}"
        elif name == "log":
            yield "no alarm channel is configured: nobody is told"
    if progress.unseen:
        first = progress.unseen[0].text.replace("\n", " ")
        yield (
            f"{len(progress.unseen)} critical alarms are not acknowledged "
            f"(`cqx alarms ack --who NAME`), the first: {first}"
        )
