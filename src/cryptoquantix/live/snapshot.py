"""
Snapshots of strategy states: one file a strategy and instrument, written as a whole.

A snapshot spares a restart the replay of the warm-up, and nothing more: it is used
only if its checksum holds and it belongs to the same strategy, code, parameters, bars
and venue. Anything else is refused with a line in the log, and the state is built
anew from bars. It is therefore not forced to disk (fsync), which would make
execution's journal wait on the same disk; and it is written after the target is out.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import struct
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from cryptoquantix.core.errors import StateCorrupt

# What a snapshot may weigh; a larger state is built anew at every start.
SNAPSHOT_BYTES_MAX: Final = 8 * 1024 * 1024
_MAGIC: Final = b"cqx-state/1\n"
_LENGTH: Final = struct.Struct("<I")
_SUM_BYTES: Final = hashlib.sha256().digest_size
# The target and the orders that follow it go first; bars that follow quickly meet.
_DELAY_SECONDS: Final = 0.1
_PAUSE_SECONDS: Final = 0.2

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Identity:
    """
    What a state belongs to; with another value of any it is of no use.

    ``code`` names the compiled strategy, ``build`` all of this package, ``layout``
    what the state's bytes mean, ``source`` where the bars come from. ``warmup_bars``
    were asked for: one of fewer may have windows that are empty.
    """

    key: str
    code: str
    build: str
    params: str
    layout: str
    bar_seconds: int
    warmup_bars: int
    source: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """
    A strategy's state and where it stands.

    ``state`` is what it was after the bar that closed at ``bar_close_ns`` at
    ``price``, the ``bars``-th since ``warmup_from_ns``; ``target`` was decided then,
    and ``sequence`` is that of the last target told.
    """

    warmup_from_ns: int
    bar_close_ns: int
    bars: int
    price: float
    target: float
    sequence: int
    state: bytes


class SnapshotStore:
    """The snapshots in ``directory``, which is made when the first is written."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def path(self, key: str) -> Path:
        """Return where the snapshot of a target's key is kept."""
        return self._directory / f"{key.replace('/', '%')}.state"

    def write(self, identity: Identity, snapshot: Snapshot) -> None:
        """
        Put a snapshot in the place of the one before, as a whole.

        Raises
        ------
        OSError
            If it cannot be written; the one before is kept.
        """
        path = self.path(identity.key)
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".draft")  # one name: what a kill leaves is replaced
        write_draft(draft, _bytes(identity, snapshot))
        draft.replace(path)

    def read(self, identity: Identity) -> Snapshot | None:
        """Return the snapshot of ``identity``, or None where none can be used."""
        path = self.path(identity.key)
        try:
            with path.open("rb") as file:
                return _parse(file.read(2 * SNAPSHOT_BYTES_MAX), identity)
        except FileNotFoundError:
            return None
        except (StateCorrupt, OSError) as error:
            _log.warning(
                "snapshot refused: the state is built anew from bars",
                extra={"target_key": identity.key, "reason": str(error)},
            )
            return None


class SnapshotWriter:
    """
    Writes snapshots in the background: the newest of each key, one after the other.

    Parameters
    ----------
    store : SnapshotStore
        Where they are kept.
    """

    def __init__(self, store: SnapshotStore) -> None:
        self.written = 0
        self._store = store
        self._due: dict[str, tuple[Identity, Callable[[], Snapshot]]] = {}
        self._wake = asyncio.Event()
        self._problems: dict[str, str] = {}

    def mark(self, identity: Identity, take: Callable[[], Snapshot]) -> None:
        """Have ``take()`` written soon; it is called once, when it is its turn."""
        self._due[identity.key] = (identity, take)
        self._wake.set()

    async def run(self) -> None:
        """Write what is marked, for ever; cancellation drops what is due."""
        while True:
            await self._wake.wait()
            await asyncio.sleep(_DELAY_SECONDS)
            self._wake.clear()
            due, self._due = self._due, {}
            for identity, take in due.values():
                await self._write(identity, take)
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _write(self, identity: Identity, take: Callable[[], Snapshot]) -> None:
        try:
            snapshot = take()
            await asyncio.to_thread(self._store.write, identity, snapshot)
        except (OSError, StateCorrupt) as error:
            self._tell(identity.key, str(error))
        else:
            self.written += 1
            self._tell(identity.key, "")

    def _tell(self, key: str, problem: str) -> None:
        """Say once what keeps a snapshot from being written: a restart replays."""
        if problem and self._problems.get(key) != problem:
            extra = {"target_key": key, "reason": problem}
            _log.warning("snapshot not written: a restart replays", extra=extra)
        self._problems[key] = problem


def refuse_large(state: bytes) -> None:
    """
    Refuse a state that is too large to be kept bar by bar.

    Raises
    ------
    StateCorrupt
        If it is larger than ``SNAPSHOT_BYTES_MAX``.
    """
    if len(state) > SNAPSHOT_BYTES_MAX:
        msg = f"the state has {len(state)} bytes, more than {SNAPSHOT_BYTES_MAX}"
        raise StateCorrupt(msg)


def write_draft(path: Path, data: bytes) -> None:
    """Write ``data``; apart from the rest so that a test can end it half-way."""
    path.write_bytes(data)


def _bytes(identity: Identity, snapshot: Snapshot) -> bytes:
    standing = asdict(snapshot)
    del standing["state"]
    head = json.dumps({"of": asdict(identity), "at": standing}).encode()
    body = _MAGIC + _LENGTH.pack(len(head)) + head + snapshot.state
    return body + hashlib.sha256(body).digest()


def _parse(data: bytes, wanted: Identity) -> Snapshot:
    body, found_sum = data[:-_SUM_BYTES], data[-_SUM_BYTES:]
    start = len(_MAGIC) + _LENGTH.size
    if hashlib.sha256(body).digest() != found_sum or len(body) < start:
        msg = "its checksum does not hold"
        raise StateCorrupt(msg)
    if not body.startswith(_MAGIC):
        msg = "it is of another format"
        raise StateCorrupt(msg)
    (length,) = _LENGTH.unpack_from(body, len(_MAGIC))
    try:
        head = json.loads(body[start : start + length])
        found, at = head["of"], head["at"]
        for name, value in asdict(wanted).items():
            if found[name] != value:
                msg = f"it is of another {name}: {found[name]}, not {value}"
                raise StateCorrupt(msg)
        return Snapshot(**at, state=body[start + length :])
    except (ValueError, KeyError, TypeError) as error:
        msg = f"it cannot be read: {error!r}"
        raise StateCorrupt(msg) from None
