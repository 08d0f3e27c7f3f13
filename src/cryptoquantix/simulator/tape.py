"""
The tape and its clock: which trades are due now; it prints none.

Tape time runs at ``speed`` times wall time while it is not paused. A tape that
falls behind (the machine is slower than the speed asked for, or somebody held it)
goes on from where it is: it never owes a burst without bound.

In lock-step it has no clock: it plays what it is told to, as fast as it can, and holds.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from cryptoquantix.simulator.exchange import Print

SPEED_MAX = 1_000_000_000.0
LAG_MAX_NS = 50_000_000  # of wall time, beyond which the tape stops catching up


class TapeEntry(NamedTuple):
    """One trade of the tape and the symbol it belongs to."""

    symbol: str
    trade: Print


class Tape:
    """An iterator of trades in tape order, played by a clock of its own."""

    def __init__(
        self,
        entries: Iterator[TapeEntry],
        *,
        start_ns: int,
        monotonic_ns: int,
        speed: float = 1.0,
        paused: bool = False,
    ) -> None:
        _check_speed(speed)
        self._entries = entries
        self._next = next(entries, None)
        self._anchor_tape_ns = start_ns
        self._anchor_ns = monotonic_ns
        self._played_ns = start_ns
        self._until_ns = start_ns
        self._extra = 0  # trades to play beyond, in lock-step
        self.speed = speed
        self.is_paused = paused
        self.is_lock_step = False
        self._is_asked = False  # to play something, and has not done so yet

    @property
    def is_finished(self) -> bool:
        """True once the last trade has been played."""
        return self._next is None

    @property
    def played_ns(self) -> int:
        """Tape time up to which every trade has been played."""
        return self._played_ns

    def note_played(self, tape_ns: int) -> None:
        """Say that trades up to here were played from elsewhere."""
        self._played_ns = max(self._played_ns, tape_ns)

    @property
    def next_ns(self) -> int | None:
        """Tape time of the next trade, None after the last."""
        return None if self._next is None else self._next.trade.tape_ns

    @property
    def is_standing(self) -> bool:
        """True where, in lock-step, all that was asked for has been played."""
        return self.is_lock_step and self._is_done() and not self._is_asked

    def step(self, until_ns: int, trades: int = 0) -> None:
        """
        Play every trade before ``until_ns``, then ``trades`` more, and hold there.

        From the first step on the tape is in lock-step for good. A time that was
        played already adds nothing.
        """
        self.is_lock_step = True
        self.is_paused = False
        self._until_ns = max(self._until_ns, until_ns)
        self._extra += trades
        self._is_asked = True

    def set_speed(self, speed: float, monotonic_ns: int) -> None:
        """Change the speed from here on; ``ValueError`` if it is no speed."""
        _check_speed(speed)
        self._anchor(monotonic_ns)
        self.speed = speed

    def set_paused(self, monotonic_ns: int, *, paused: bool) -> None:
        """Stop or go on, from here."""
        self._anchor(monotonic_ns)
        self.is_paused = paused

    def hold(self, monotonic_ns: int) -> None:
        """Let no tape time pass until the next call (a reader is too slow)."""
        self._anchor_tape_ns = self._played_ns
        self._anchor_ns = monotonic_ns

    def due(self, monotonic_ns: int, limit: int) -> list[TapeEntry]:
        """Return up to ``limit`` trades whose time has come, and count them played."""
        if self.is_paused:
            return []
        if self.is_lock_step:
            return self._asked(limit)
        now_ns = self._now_ns(monotonic_ns)
        due: list[TapeEntry] = []
        entry = self._next
        entries = self._entries
        while entry is not None and entry.trade.tape_ns <= now_ns and len(due) < limit:
            due.append(entry)
            entry = next(entries, None)
        self._next = entry
        if len(due) == limit:
            self._played_ns = max(self._played_ns, due[-1].trade.tape_ns)
            if now_ns - self._played_ns > LAG_MAX_NS * self.speed:
                self.hold(monotonic_ns)
        elif entry is not None:
            self._played_ns = max(self._played_ns, now_ns)
        elif due:
            self._played_ns = max(self._played_ns, due[-1].trade.tape_ns)
        return due

    def wait_seconds(self, monotonic_ns: int, longest: float) -> float:
        """Return how long nothing is due, at most ``longest`` seconds."""
        if self.is_lock_step:
            return 0.0
        if self.is_paused or self._next is None:
            return longest
        ahead_ns = self._next.trade.tape_ns - self._now_ns(monotonic_ns)
        return min(longest, max(0.0, ahead_ns / self.speed / 1e9))

    def _is_done(self) -> bool:
        entry = self._next
        if entry is None:
            return True
        return not self._extra and entry.trade.tape_ns >= self._until_ns

    def _asked(self, limit: int) -> list[TapeEntry]:
        """Return up to ``limit`` of the trades that lock-step was told to play."""
        due: list[TapeEntry] = []
        entry = self._next
        while entry is not None and len(due) < limit:
            if entry.trade.tape_ns >= self._until_ns:
                if not self._extra:
                    break
                self._extra -= 1
            due.append(entry)
            entry = next(self._entries, None)
        self._next = entry
        played_ns = due[-1].trade.tape_ns if due else self._played_ns
        self._is_asked = not self._is_done()
        if not self._is_asked:
            played_ns = max(played_ns, self._until_ns)
        self._played_ns = max(self._played_ns, played_ns)
        return due

    def _now_ns(self, monotonic_ns: int) -> int:
        passed = monotonic_ns - self._anchor_ns
        if self.speed == 1.0:
            return self._anchor_tape_ns + passed
        return self._anchor_tape_ns + int(passed * self.speed)

    def _anchor(self, monotonic_ns: int) -> None:
        if not self.is_paused and self._next is not None:
            # A tape that is behind goes on from what it has played.
            behind = self._next.trade.tape_ns <= self._now_ns(monotonic_ns)
            now_ns = self._played_ns if behind else self._now_ns(monotonic_ns)
            self._played_ns = max(self._played_ns, now_ns)
        self.hold(monotonic_ns)


def _check_speed(speed: float) -> None:
    if not 0 < speed <= SPEED_MAX:
        msg = f"speed must be within (0, {SPEED_MAX:.0e}], was {speed}"
        raise ValueError(msg)
