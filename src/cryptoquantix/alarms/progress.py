"""
What this process has told whom, as values and JSON; it writes and sends nothing.

An entry is one message on its way: to which channels it goes, which have it, and
whether the daemon must still be told. All lists are bounded: what is let go is counted.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Final, Self

from cryptoquantix.control.status import Alarm
from cryptoquantix.core.errors import StateCorrupt

ENTRIES_MAX: Final = 256
UNSEEN_MAX: Final = 100
STRANGERS_MAX: Final = 64
VERSION: Final = 1
CRITICAL: Final = "critical"


@dataclass(slots=True)
class Entry:
    """
    One message on its way.

    ``alarm_id`` is the daemon's number of it while the daemon still lists it as
    undelivered; None for what this process raised itself, or once it was told.
    """

    key: str
    text: str
    severity: str
    time_ns: int
    channels: list[str]
    delivered: list[str] = field(default_factory=list)
    alarm_id: int | None = None

    @property
    def is_delivered(self) -> bool:
        """Whether every channel has it."""
        return set(self.channels) <= set(self.delivered)


@dataclass(slots=True)
class Unseen:
    """A critical alarm that no person has acknowledged yet."""

    key: str
    text: str
    since_ns: int
    told_ns: int
    times: int = 0


@dataclass(slots=True)
class Health:
    """How a channel does: ``problem`` is empty while it takes what it is given."""

    problem: str = ""
    since_ns: int = 0
    is_told: bool = False
    let_go: int = 0


@dataclass(slots=True)
class Reading:
    """Up to which update of which bot what people wrote was read, and when."""

    bot_id: int = 0
    offset: int = 0
    time_ns: int = 0


@dataclass(slots=True)
class Told:
    """What was told last of one thing, and when."""

    time_ns: int
    text: str


@dataclass(slots=True)
class Progress:
    """
    Everything that survives a restart of this process.

    ``silences`` holds the key of the alarm that told of each silence that lasts,
    ``reports`` the keys of execution's reports that were taken, ``reports_told`` the
    newest alarm of each kind and subject of them.
    """

    entries: list[Entry] = field(default_factory=list)
    unseen: list[Unseen] = field(default_factory=list)
    channels: dict[str, Health] = field(default_factory=dict)
    silences: dict[str, str] = field(default_factory=dict)
    strangers: list[str] = field(default_factory=list)
    reading: Reading = field(default_factory=Reading)
    all_clear_day: str = ""
    raised: int = 0
    time_ns: int = 0
    reports: list[str] = field(default_factory=list)
    reports_told: dict[str, Told] = field(default_factory=dict)

    def to_json(self) -> str:
        """Return it as it is written down."""
        return json.dumps({"version": VERSION, **asdict(self)})

    @classmethod
    def from_json(cls, text: str) -> Self:
        """
        Return what `to_json` wrote.

        Raises
        ------
        StateCorrupt
            If it is anything else.
        """
        try:
            value = _version_checked(json.loads(text))
            known = {item.name for item in fields(cls)}
            content: dict[str, Any] = {k: v for k, v in value.items() if k in known}
            content["entries"] = [Entry(**item) for item in content["entries"]]
            content["unseen"] = [Unseen(**item) for item in content["unseen"]]
            content["reading"] = Reading(**content["reading"])
            content["channels"] = {
                name: Health(**item) for name, item in content["channels"].items()
            }
            content["reports_told"] = {
                name: Told(**item)
                for name, item in content.get("reports_told", {}).items()
            }
            return cls(**content)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            msg = f"not the progress of an alarms process: {error}"
            raise StateCorrupt(msg) from None


def _version_checked(value: dict[str, Any]) -> dict[str, Any]:
    version = value["version"]
    if version != VERSION:
        msg = f"version {version}, expected {VERSION}"
        raise ValueError(msg)
    return value


def key_of(alarm: Alarm) -> str:
    """
    Return what tells ``alarm`` from every other one.

    Its number alone does not: a new store counts from one again.
    """
    return f"{alarm.id}@{alarm.time_ns}"


class Ledger:
    """
    The rules of who has what; every change of it is in ``progress`` at once.

    Parameters
    ----------
    channels : names of every channel
    required : channels that must have an alarm before it counts as delivered; empty:
        any one of ``channels``
    critical_only : channels that get critical ones alone
    """

    def __init__(
        self,
        progress: Progress,
        *,
        channels: Iterable[str],
        required: Iterable[str] = (),
        critical_only: Iterable[str] = (),
    ) -> None:
        self.progress = progress
        self.channels = list(channels)
        self.required = set(required)
        self.critical_only = set(critical_only)
        self._adopt()

    def _adopt(self) -> None:
        """Go on with what an earlier process left, under today's channels."""
        for entry in self.progress.entries:
            entry.channels = [one for one in entry.channels if one in self.channels]
            if entry.alarm_id is not None and not entry.channels:
                entry.channels = self._channels(entry.severity)
        known = self.progress.channels
        self.progress.channels = {
            name: known.get(name, Health()) for name in self.channels
        }
        self._forget()

    def knows(self, key: str) -> Entry | None:
        """Return the entry with ``key``, if it is on its way."""
        return next((e for e in self.progress.entries if e.key == key), None)

    def take(self, alarm: Alarm, text: str, now_ns: int) -> bool:
        """Take an alarm of the daemon on; False where there is no room for it."""
        entry = Entry(
            key=key_of(alarm),
            text=text,
            severity=alarm.severity,
            time_ns=alarm.time_ns,
            channels=self._channels(alarm.severity),
            alarm_id=alarm.id,
        )
        if not self._make_room():
            return False
        self.progress.entries.append(entry)
        self._expect_person(entry, now_ns)
        return True

    def raise_own(
        self,
        text: str,
        severity: str,
        now_ns: int,
        *,
        channels: Iterable[str] | None = None,
        needs_person: bool = True,
    ) -> str:
        """Put a message of this process on its way; return its key."""
        self.progress.raised += 1
        key = f"own-{self.progress.raised}@{now_ns}"
        wanted = self._channels(severity) if channels is None else list(channels)
        entry = Entry(key, text, severity, now_ns, wanted)
        if wanted and self._make_room():
            self.progress.entries.append(entry)
            if needs_person:
                self._expect_person(entry, now_ns)
        return key

    def waiting(self, channel: str) -> list[Entry]:
        """Return what ``channel`` has not got yet, oldest first."""
        return [
            entry
            for entry in self.progress.entries
            if channel in entry.channels and channel not in entry.delivered
        ]

    def delivered(self, channel: str, entries: Iterable[Entry]) -> None:
        """Note that ``channel`` has got ``entries``."""
        for entry in entries:
            if channel not in entry.delivered:
                entry.delivered.append(channel)
        self._forget()

    def is_satisfied(self, entry: Entry) -> bool:
        """Return whether enough channels have it to tell the daemon."""
        # Not what a channel got that is none any more, such as the log.
        has = set(entry.delivered) & set(entry.channels)
        needed = self.required & set(entry.channels)
        return needed <= has if needed else bool(has)

    def told_daemon(self, entry: Entry) -> None:
        """Note that the daemon knows (or lists it no longer)."""
        entry.alarm_id = None
        self._forget()

    def leave_to_another(self) -> int:
        """Let go what another process delivers now; return how many."""
        before = len(self.progress.entries)
        gone = {
            entry.key
            for entry in self.progress.entries
            if entry.alarm_id is not None and not entry.delivered
        }
        self._drop(gone)
        self.progress.unseen = [u for u in self.progress.unseen if u.key not in gone]
        for entry in self.progress.entries:
            entry.alarm_id = None
        self._forget()
        return before - len(self.progress.entries)

    def seen(self, keys: Iterable[str] | None = None) -> list[Unseen]:
        """Note that a person has seen the alarms of ``keys`` (None: all)."""
        wanted = None if keys is None else set(keys)
        found = [u for u in self.progress.unseen if wanted is None or u.key in wanted]
        self.progress.unseen = [u for u in self.progress.unseen if u not in found]
        return found

    def _channels(self, severity: str) -> list[str]:
        return [
            name
            for name in self.channels
            if severity == CRITICAL or name not in self.critical_only
        ]

    def _expect_person(self, entry: Entry, now_ns: int) -> None:
        if entry.severity != CRITICAL:
            return
        self.progress.unseen.append(Unseen(entry.key, entry.text, now_ns, now_ns))
        del self.progress.unseen[:-UNSEEN_MAX]

    def _make_room(self) -> bool:
        """Let the oldest go that the daemon does not keep for us."""
        if len(self.progress.entries) < ENTRIES_MAX:
            return True
        oldest = next((e for e in self.progress.entries if e.alarm_id is None), None)
        if oldest is None:
            return False
        for name in set(oldest.channels) - set(oldest.delivered):
            self.progress.channels[name].let_go += 1
        self._drop({oldest.key})
        return True

    def _forget(self) -> None:
        self._drop(
            {
                entry.key
                for entry in self.progress.entries
                if entry.alarm_id is None and entry.is_delivered
            }
        )

    def _drop(self, keys: set[str]) -> None:
        kept = [entry for entry in self.progress.entries if entry.key not in keys]
        self.progress.entries = kept
