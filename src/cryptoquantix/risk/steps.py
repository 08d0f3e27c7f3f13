"""
The numbered steps of a halt, and the seam that tells when each is reached; no acts.

A daemon can be killed at any of them and started again: the campaigns do just that.
``cqx risk`` takes a step to die at (``risk.kill_at_step``) only where every venue is on
this machine.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable
from typing import Final

from cryptoquantix.core.errors import SettingsError

STEPS: Final = (
    "decided",  # the latch is set in memory: no permit from here on
    "latched",  # it is on the disk, or its deadline has passed
    "revoked",  # the venues' tasks start
    "canceling",
    "cancel-sent",  # the k-th cancel is about to be sent
    "cancel-answered",
    "closing",
    "close-sent",
    "close-answered",
    "rest",  # protective orders are next
    "verifying",
    "seen-once",  # the first of the two looks found nothing
    "verified",  # the second too, at one venue
    "halted",  # at every venue, and not written yet
    "halt-written",
)
"""In the order in which a halt reaches them; those between repeat by venue and call."""

type Reached = Callable[[str], None]


def nothing(step: str) -> None:
    """Let every step pass."""
    assert step in STEPS, step


class KillAt:
    """
    Kills this process, as ``kill -9`` does, the k-th time it reaches one step.

    ``text`` is ``NAME`` or ``NAME:K``.

    Raises
    ------
    SettingsError
        If ``text`` names no step.
    """

    def __init__(self, text: str) -> None:
        name, colon, number = text.partition(":")
        if name not in STEPS or (colon and not number.isdecimal()):
            msg = (
                f"risk.kill_at_step must be one of {', '.join(STEPS)}, with :K for the "
                f"K-th time, was {text!r}"
            )
            raise SettingsError(msg)
        self._name = name
        self._number = int(number or "1")
        self._seen: Counter[str] = Counter()

    def __call__(self, step: str) -> None:
        """Count ``step``, and end here if it is the one."""
        assert step in STEPS, step
        self._seen[step] += 1
        if step == self._name and self._seen[step] == self._number:
            os.kill(os.getpid(), signal.SIGKILL)
