"""
``cqx logs``: the logs of all services as one, in order of time; it writes none.

Every service keeps a file of its own, so that one that floods or fails harms no other.
They are merged when somebody reads them. A line that is no record of ours (the bus
server's, a traceback) takes the time of the line before it.
"""

from __future__ import annotations

import heapq
import json
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from cryptoquantix.apps.settings import load_settings
from cryptoquantix.core.clock import SystemClock
from cryptoquantix.core.errors import SettingsError

LEVELS: Final = ("debug", "info", "warning", "error", "critical")
_POLL_SECONDS: Final = 0.2
_READ_MAX: Final = 1 << 20
_LINE_MAX: Final = 1 << 16
_SUFFIXES: Final = (".log.1", ".log")
_SHOWN_ELSEWHERE: Final = ("time", "level", "service", "event", "build", "logger")
_UNITS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


@dataclass(frozen=True, slots=True, order=True)
class LogLine:
    """One line of one service's log; lines sort by time, then by service."""

    time_ns: int
    service: str
    text: str = field(compare=False)
    record: dict[str, Any] | None = field(compare=False, default=None)

    @property
    def level(self) -> str:
        """Its level; what is no record of ours counts as ``info``."""
        return str(self.record.get("level", "info")) if self.record else "info"

    def shown(self) -> str:
        """Return the line for a person."""
        at = datetime.fromtimestamp(self.time_ns // 1_000_000 / 1_000, UTC)
        stamp = f"{at:%H:%M:%S}.{at.microsecond // 1_000:03d}"
        head = f"{stamp} {self.service:<14} {self.level:<8} "
        if self.record is None:
            return head + self.text
        more = " ".join(
            f"{name}={value}"
            for name, value in self.record.items()
            if name not in _SHOWN_ELSEWHERE
        )
        return f"{head}{self.record.get('event', '')} {more}".rstrip()

    def as_json(self) -> str:
        """Return the line as one JSON object with at least time, service, event."""
        if self.record is not None:
            return json.dumps({"service": self.service} | self.record)
        at = datetime.fromtimestamp(self.time_ns / 1e9, UTC).isoformat()
        plain = {"time": at, "service": self.service, "event": self.text}
        return json.dumps(plain)


def run(
    config: Path | None,
    write: Callable[[LogLine], None],
    *,
    services: tuple[str, ...] = (),
    level: str = "debug",
    since: str = "",
    is_following: bool = False,
) -> None:
    """
    Hand every line asked for to ``write``, oldest first; then those that come.

    Parameters
    ----------
    services : tuple of str
        Only these (``feed-binance``); all when empty.
    level : str
        The least level to show.
    since : str
        An age such as ``90s``, ``10m``, ``2h`` or ``1d``; all that is kept when empty.

    Raises
    ------
    SettingsError
        If there is no log yet, no such service or level, or ``since`` is no age.
    """
    directory = load_settings(config).log_directory
    names = _names(directory)
    if names or not is_following:
        _refuse_unknown(services, names, directory)
    if level not in LEVELS:
        msg = f"level must be one of {', '.join(LEVELS)}, was {level!r}"
        raise SettingsError(msg)
    since_ns = SystemClock().time_ns() - age_ns(since) if since else 0
    levels = LEVELS[LEVELS.index(level) :]
    tails = {name: Tail(name, directory) for name in services or names}

    def show(lines: Iterable[LogLine]) -> None:
        for line in lines:
            if line.time_ns >= since_ns and line.level in levels:
                write(line)

    show(heapq.merge(*(tail.kept() for tail in tails.values())))
    while is_following:
        time.sleep(_POLL_SECONDS)
        for name in set(_names(directory)) - tails.keys() if not services else ():
            tails[name] = Tail(name, directory)
        show(sorted(line for tail in tails.values() for line in tail.fresh()))


def _refuse_unknown(
    services: tuple[str, ...], names: Collection[str], directory: Path
) -> None:
    if not names:
        msg = f"no logs in {directory} yet: `cqx up` writes them"
        raise SettingsError(msg)
    for name in services:
        if name not in names:
            known = ", ".join(names)
            msg = f"no log of {name!r} in {directory}, there are: {known}"
            raise SettingsError(msg)


def age_ns(text: str) -> int:
    """
    Return ``90s``, ``10m``, ``2h`` or ``1d`` in nanoseconds.

    Raises
    ------
    SettingsError
        If ``text`` is something else.

    Examples
    --------
    >>> age_ns("10m") // 1_000_000_000
    600
    """
    number, unit = text[:-1], text[-1:]
    if not number.isdecimal() or unit not in _UNITS:
        msg = f"since must be an age such as 90s, 10m, 2h or 1d, was {text!r}"
        raise SettingsError(msg)
    return int(number) * _UNITS[unit] * 1_000_000_000


class Tail:
    """One service's log: what is kept, then what is appended."""

    def __init__(self, service: str, directory: Path) -> None:
        self._service = service
        self._files = [directory / (service + suffix) for suffix in _SUFFIXES]
        self._offset = 0
        self._rest = b""
        self._time_ns = 0

    def kept(self) -> Iterator[LogLine]:
        """Yield every line there is now, the older file first."""
        for file in self._files:
            try:
                with file.open("rb") as source:
                    while block := source.readline(_LINE_MAX):
                        if not block.endswith(b"\n") and len(block) < _LINE_MAX:
                            break  # half a line: the next look has the whole
                        if file is self._files[-1]:
                            self._offset = source.tell()
                        yield self._line(block)
            except OSError:
                continue

    def fresh(self) -> Iterator[LogLine]:
        """Yield what was appended since the last look, at most 1 MiB of it."""
        file = self._files[-1]
        try:
            if file.stat().st_size < self._offset:  # it was cut: begin anew
                self._offset, self._rest = 0, b""
            with file.open("rb") as source:
                source.seek(self._offset)
                block = self._rest + source.read(_READ_MAX)
                self._offset = source.tell()
        except OSError:
            return
        *lines, self._rest = block.split(b"\n")
        if len(self._rest) >= _LINE_MAX:
            lines, self._rest = [*lines, self._rest], b""
        for line in lines:
            yield self._line(line)

    def _line(self, block: bytes) -> LogLine:
        text = block.decode(errors="replace").rstrip("\n")
        record = _record(text)
        if record is not None:
            self._time_ns = max(self._time_ns, _time_ns(record))
        return LogLine(self._time_ns, self._service, text, record)


def _names(directory: Path) -> list[str]:
    return sorted(file.name.removesuffix(".log") for file in directory.glob("*.log"))


def _record(text: str) -> dict[str, Any] | None:
    if not text.startswith("{"):
        return None
    try:
        record = json.loads(text)
    except ValueError:
        return None
    return record if isinstance(record, dict) and "event" in record else None


def _time_ns(record: dict[str, Any]) -> int:
    try:
        at = datetime.fromisoformat(str(record["time"]))
    except (KeyError, ValueError):
        return 0
    return int(at.timestamp() * 1e6) * 1_000
