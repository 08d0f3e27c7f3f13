"""
``cqx alarms ack``: a person has seen the alarms; it ends their repetition alone.

It speaks to the alarms process of this machine through a file, so that it works while
everything else is down, that process included.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Final

from cryptoquantix.alarms.duties import NOTES, write_note
from cryptoquantix.alarms.keeper import read_progress
from cryptoquantix.apps.settings import load_settings
from cryptoquantix.core.clock import NS_PER_SECOND, SystemClock
from cryptoquantix.core.errors import SettingsError

FOLDER: Final = "alarms"
WATCH_FOLDER: Final = "alarms-watch"
_TAKEN_SECONDS: Final = 5.0


def acknowledge(config: Path | None, who: str | None) -> dict[str, Any]:
    """
    Leave a note for every alarms process of this deployment on this machine.

    Returns
    -------
    dict
        ``waiting``: the alarms nobody had acknowledged; ``taken``: whether each
        process has taken the note within 5 s (else it does at its next start).

    Raises
    ------
    SettingsError
        If nobody is named, no alarms process has ever run here, or the note cannot
        be written.
    """
    if not (who and who.strip()):
        msg = "cqx alarms ack needs a person: --who NAME"
        raise SettingsError(msg)
    directory = load_settings(config).directory
    folders = [directory / FOLDER, directory / WATCH_FOLDER]
    known = {f: p for f in folders if (p := read_progress(f)) is not None}
    if not known:
        msg = f"no alarms process has run in {directory}"
        raise SettingsError(msg)
    waiting = [one.text for progress in known.values() for one in progress.unseen]
    clock = SystemClock()
    try:
        notes = [write_note(f / NOTES, who.strip(), clock.time_ns()) for f in known]
    except OSError as error:
        msg = f"cannot leave a note in {directory}: {error.strerror}"
        raise SettingsError(msg) from None
    return {"waiting": waiting, "taken": _are_taken(notes), "who": who.strip()}


def text(result: dict[str, Any]) -> str:
    """Return `acknowledge`'s answer for a person."""
    lines = [one.replace("\n", " ") for one in result["waiting"]]
    lines.append(
        f"{len(lines)} alarms acknowledged by {result['who']}"
        if lines
        else "no alarm waited for anybody"
    )
    if not result["taken"]:
        lines.append("cqx alarms does not run here: it takes this at its next start")
    return "\n".join(lines)


def _are_taken(notes: list[Path]) -> bool:
    deadline_ns = SystemClock().monotonic_ns() + int(_TAKEN_SECONDS * NS_PER_SECOND)
    while any(note.exists() for note in notes):
        if SystemClock().monotonic_ns() > deadline_ns:
            return False
        time.sleep(0.05)
    return True
