"""How far the journal's mirror has come, in a file others read; it asks no server."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

NAME: Final = "mirror.json"


@dataclass(frozen=True, slots=True)
class MirrorProgress:
    """
    What ``cqx mirror`` says of itself once a second.

    ``sequence`` is the last row of the journal that is at the server, None before the
    server was reached; ``problem`` is empty while rows go there.
    """

    time_ns: int
    sequence: int | None
    problem: str


def write_progress(journal: Path, progress: MirrorProgress) -> None:
    """Write it beside the ``journal``, whole."""
    path = journal.with_name(NAME)
    fresh = path.with_name(NAME + ".new")
    fresh.write_text(json.dumps(asdict(progress)))
    fresh.replace(path)


def read_progress(journal: Path) -> MirrorProgress | None:
    """Return what the mirror of ``journal`` said last; None where there is none."""
    try:
        return MirrorProgress(**json.loads(journal.with_name(NAME).read_text()))
    except (OSError, ValueError, TypeError):
        return None
