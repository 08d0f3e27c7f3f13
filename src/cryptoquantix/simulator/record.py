"""
The simulator's own log: what was asked and what happened, in order; it judges none.

It is what drills and the demo take their figures from, so it holds what the venue
did, never what a client said it did.
"""

from __future__ import annotations

from collections import deque
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

import msgspec

from cryptoquantix.core.errors import SettingsError

RECORDS_KEPT = 100_000


class Record:
    """The latest records in memory, and all of them in a file if one is named."""

    def __init__(self, path: Path | None = None) -> None:
        # Encoded they take a third of the memory.
        self._records: deque[bytes] = deque(maxlen=RECORDS_KEPT)
        self._sequence = 0
        self._file: TextIO | None = None
        if path is not None:
            try:
                self._file = path.open("a", encoding="utf-8")
            except OSError as error:
                msg = f"cannot write the log {path}: {error.strerror}"
                raise SettingsError(msg) from None

    def add(self, kind: str, time_ns: int, **fields: object) -> None:
        """Add one record; ``time_ns`` is wall time."""
        self._sequence += 1
        record = {"sequence": self._sequence, "time_ns": time_ns, "kind": kind}
        record |= fields
        line = msgspec.json.encode(record)
        self._records.append(line)
        if self._file is not None:
            self._file.write(line.decode() + "\n")

    def flush(self) -> None:
        """Hand what was written to the file to the system."""
        if self._file is not None:
            self._file.flush()

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def after(self, sequence: int, limit: int) -> list[dict[str, Any]]:
        """Return up to ``limit`` records with a higher sequence, oldest first."""
        first = self._sequence - len(self._records) + 1
        skip = max(0, sequence + 1 - first)
        found = islice(self._records, skip, skip + limit)
        return [msgspec.json.decode(line) for line in found]
