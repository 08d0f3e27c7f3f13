"""When a service that ended is started again; it starts none."""

from __future__ import annotations

import signal
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """
    Exponential delays with a bound, forgotten after a stable run.

    There is no last attempt: a book that is not flat must not be left alone because
    a venue was down for an hour.
    """

    first_seconds: float = 0.2
    factor: float = 2.0
    longest_seconds: float = 30.0
    stable_seconds: float = 60.0

    def delay_seconds(self, failures: int) -> float:
        """Return how long to wait after the ``failures``-th failure in a row (≥ 1)."""
        # Bounded before the power, which would overflow after enough failures.
        exponent = min(failures - 1, 64)
        return min(self.first_seconds * self.factor**exponent, self.longest_seconds)

    def failures_after(self, failures: int, ran_seconds: float) -> int:
        """Return the failures in a row, one that ran ``ran_seconds`` now added."""
        return 1 if ran_seconds >= self.stable_seconds else failures + 1


def exit_text(code: int | None, sentence: str) -> str:
    """
    Return in one sentence how a service ended.

    Parameters
    ----------
    code : int or None
        The exit code; negative is the number of a signal, None of a process that is
        not our child, whose code nobody tells us.
    sentence : str
        What it said last (``cqx: …`` without the prefix), or nothing.
    """
    if code is not None and code < 0:
        return f"was killed by {_signal_name(-code)}"
    if sentence:
        return f"stopped: {sentence}"
    return "ended" if code is None else f"ended with exit code {code}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
