"""What a supervised service is, and what is known of it; it runs nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

_LOG_BYTES_MAX: Final = 64 * 1024 * 1024
_TAIL_BYTES: Final = 16 * 1024
_SEARCH_BYTES: Final = 1024 * 1024
_SENTENCE_PREFIX: Final = "cqx: "


class Condition(StrEnum):
    """How a service is doing."""

    STARTING = "starting"
    READY = "ready"
    WAITING = "waiting"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class ServiceSpec:
    """
    How to run one service.

    ``environment`` is all it gets; it is ready once its log holds one of
    ``ready_words`` and ``ready``, asked until then, says True (what is not given is
    not asked for); ``stop_seconds`` is how long it may take to end after SIGTERM.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    log: Path
    ready: Callable[[], Awaitable[bool]] | None = None
    stop_seconds: float = 10.0
    ready_words: tuple[str, ...] = ()


@dataclass(slots=True)
class ServiceState:
    """
    What is known of one service now.

    ``since_ns`` is wall time of the last change of ``condition``; ``note`` is one
    sentence about the last end, or how it was found.
    """

    name: str
    condition: Condition = Condition.WAITING
    pid: int | None = None
    started_ticks: int | None = None
    restarts: int = 0
    since_ns: int = 0
    note: str = ""
    log: str = field(default="")


def bound_log(log: Path) -> None:
    """
    Keep a log and one predecessor, each at most 64 MiB.

    The file is copied and cut rather than renamed, because its process appends to
    the open file; a line written in that instant is lost.
    """
    if not log.exists() or log.stat().st_size <= _LOG_BYTES_MAX:
        return
    older = log.with_name(log.name + ".1")
    with log.open("rb") as source, older.open("wb") as target:
        while block := source.read(1024 * 1024):
            target.write(block)
    with log.open("r+b") as file:
        file.truncate(0)


def has_said(log: Path, offset: int, words: tuple[str, ...]) -> bool:
    """Return whether a log holds one of ``words`` in its first MiB after ``offset``."""
    try:
        with log.open("rb") as file:
            file.seek(offset)
            text = file.read(_SEARCH_BYTES).decode(errors="replace")
    except OSError:
        return False
    return any(word in text for word in words)


def last_sentence(log: Path, offset: int) -> str:
    """Return what a command said last on its way out (``cqx: …``), or ''."""
    try:
        with log.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(min(offset, size), size - _TAIL_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    said = [line for line in lines if line.startswith(_SENTENCE_PREFIX)]
    return said[-1].removeprefix(_SENTENCE_PREFIX) if said else ""
