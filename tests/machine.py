"""What the machine takes from every process, so that a measured time is our own."""

from __future__ import annotations

import threading
import time
from typing import Self

_STEP_SECONDS = 0.002
# Less is the ordinary lateness of a thread that wakes up.
_LATE_SECONDS = 0.005


class Pauses:
    """
    How long the machine stood still, as a thread sees that only sleeps.

    A program that blocks its own loop does not make this thread late; a machine that
    has no time for either does. Times are those of ``time.monotonic``.
    """

    def __init__(self) -> None:
        self._pauses: list[tuple[float, float]] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def between(self, start: float, end: float) -> float:
        """The seconds of pauses from ``start`` to ``end``."""
        return sum(
            max(0.0, min(end, until) - max(start, since))
            for since, until in self._pauses
        )

    def _watch(self) -> None:
        now = time.monotonic()
        while not self._ended.is_set():
            due = now + _STEP_SECONDS
            time.sleep(_STEP_SECONDS)
            now = time.monotonic()
            if now - due > _LATE_SECONDS:
                self._pauses.append((due, now))
