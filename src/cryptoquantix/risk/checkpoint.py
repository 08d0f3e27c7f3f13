"""
How far a start may trust what it has checked before; it checks nothing itself.

Written with each finished block of readings: the end of the audit chain, and the few
samples of the 26 hours before the newest complete one that can still be the peak.
"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from decimal import Decimal
from typing import Self

from cryptoquantix.core.errors import StateCorrupt
from cryptoquantix.risk.audit import GENESIS
from cryptoquantix.risk.samples import Peak
from cryptoquantix.risk.state import digest


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Everything up to these entries was as written when it was made."""

    audit_sequence: int = 0
    audit_digest: str = GENESIS
    sample_sequence: int = 0
    peaks: tuple[Peak, ...] = ()

    @classmethod
    def read(cls, connection: sqlite3.Connection) -> Self:
        """
        Return the last checkpoint; one at the very beginning, where there is none.

        Raises
        ------
        StateCorrupt
            If it is not what was written.
        """
        row = connection.execute("SELECT content, digest FROM checkpoint").fetchone()
        if row is None:
            return cls()
        if digest("checkpoint", row[0]) != row[1]:
            msg = "the checkpoint is not what was written"
            raise StateCorrupt(msg)
        value = json.loads(row[0])
        peaks = tuple((n, at, Decimal(text)) for n, at, text in value.pop("peaks"))
        return cls(**value, peaks=peaks)

    def put(self, connection: sqlite3.Connection, number: int) -> None:
        """Write it, within the caller's transaction."""
        content = json.dumps(
            {
                "audit_sequence": self.audit_sequence,
                "audit_digest": self.audit_digest,
                "sample_sequence": self.sample_sequence,
                "peaks": [(n, at, f"{value:f}") for n, at, value in self.peaks],
            }
        )
        connection.execute(
            "INSERT OR REPLACE INTO checkpoint VALUES (1, ?, ?, ?)",
            (number, content, digest("checkpoint", content)),
        )
