"""
Frames on their way to one reader, and what faults do to them; it writes none.

A frame is delayed, repeated, swapped with the next one, or lost. Without a fault
under way it passes untouched.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence
from enum import StrEnum

from cryptoquantix.simulator.fault_kinds import FRAMES, Kind
from cryptoquantix.simulator.faults import Active, FaultBoard

HELD_MAX = 10_000
REORDER_NS = 1_000_000_000  # a frame waits no longer for another to overtake it


class FrameClass(StrEnum):
    """What a frame is to its reader."""

    PRIVATE = "private"
    BOOK = "book"
    PUBLIC = "public"
    PONG = "pong"
    ANSWER = "answer"


# In the order they are tried, over a payload's beginning.
_CLASSES: tuple[tuple[FrameClass, re.Pattern[bytes]], ...] = (
    (
        FrameClass.PRIVATE,
        re.compile(
            rb'"e":"(?:ORDER_TRADE_UPDATE|ALGO_UPDATE|ACCOUNT_UPDATE|TRADE_LITE'
            rb'|MARGIN_CALL|ACCOUNT_CONFIG_UPDATE|listenKeyExpired)"'
            rb'|"topic":"(?:order|execution|position|wallet|dcp)[."]'
            rb'|"channel":"user\.'
        ),
    ),
    (
        FrameClass.BOOK,
        re.compile(rb'"e":"depthUpdate"|"topic":"orderbook\.|"channel":"book\.'),
    ),
    (FrameClass.PONG, re.compile(rb'"(?:op|ret_msg)":"pong"')),
    (FrameClass.PUBLIC, re.compile(rb'"e":"|"topic":"|"method":"subscription"')),
)


def payload_of(frame: bytes) -> bytes:
    r"""
    Return the payload of one unmasked frame.

    Examples
    --------
    >>> payload_of(b"\x81\x02hi")
    b'hi'
    """
    size = frame[1] & 0x7F
    return frame[{126: 4, 127: 10}.get(size, 2) :]


def frame_class(payload: bytes) -> FrameClass:
    """Return what a payload is to its reader."""
    head = payload[:400]
    for found, pattern in _CLASSES:
        if pattern.search(head):
            return found
    return FrameClass.ANSWER


_EVENTS = frozenset({FrameClass.PRIVATE})
_DATA = frozenset({FrameClass.PRIVATE, FrameClass.BOOK, FrameClass.PUBLIC})
# What each fault acts on where its filter names nothing.
_ACTS_ON: dict[Kind, frozenset[FrameClass]] = {
    Kind.DELAYED_EVENTS: _EVENTS,
    Kind.DUPLICATED_EVENTS: _EVENTS,
    Kind.REORDERED_EVENTS: _EVENTS,
    Kind.BOOK_GAP: frozenset({FrameClass.BOOK}),
    Kind.FROZEN_FEED: _DATA,
    Kind.HALF_OPEN: frozenset(FrameClass),
    Kind.NO_PONG: frozenset({FrameClass.PONG}),
}


class FrameGate:
    """The way out of one connection."""

    __slots__ = ("_board", "_delayed", "_swapped", "_venue")

    def __init__(self, board: FaultBoard, venue: str) -> None:
        self._board = board
        self._venue = venue
        self._delayed: deque[tuple[int, bytes]] = deque()
        self._swapped: deque[tuple[int, bytes]] = deque()

    def is_half_open(self, now_ns: int) -> bool:
        """Return whether nothing at all may leave."""
        if self._board.is_quiet:
            return False
        kinds = (Kind.HALF_OPEN,)
        return bool(self._board.under_way(kinds, self._venue, now_ns))

    def pass_frames(self, frames: list[bytes], now_ns: int) -> list[bytes]:
        """Return what leaves now, in order; the rest is kept or lost."""
        if self._board.is_quiet and not self._delayed and not self._swapped:
            return frames
        active = self._board.under_way(FRAMES, self._venue, now_ns)
        leaving: list[bytes] = []
        while self._delayed and self._delayed[0][0] <= now_ns:
            leaving.append(self._delayed.popleft()[1])
        for frame in frames:
            leaving.extend(self._one(frame, active, now_ns))
        while self._swapped and self._swapped[0][0] <= now_ns:
            leaving.append(self._swapped.popleft()[1])
        return leaving

    def _one(self, frame: bytes, active: Sequence[Active], now_ns: int) -> list[bytes]:
        payload = payload_of(frame)
        kind = frame_class(payload)
        struck = self._struck(payload, kind, active)
        if struck is None:
            passing = [frame]
        elif struck.kind is Kind.DUPLICATED_EVENTS:
            passing = [frame, frame]
        elif struck.kind is Kind.DELAYED_EVENTS:
            self._hold(frame, now_ns + struck.wait_ns())
            return []
        elif struck.kind is Kind.REORDERED_EVENTS and len(self._swapped) < HELD_MAX:
            self._swapped.append((now_ns + REORDER_NS, frame))
            return []
        else:
            return []
        if kind is FrameClass.PRIVATE:
            # What was held back to be overtaken has been: it follows.
            passing += [held for _, held in self._swapped]
            self._swapped.clear()
        return passing

    @staticmethod
    def _struck(
        payload: bytes, kind: FrameClass, active: Sequence[Active]
    ) -> Active | None:
        text = payload.decode(errors="replace")
        for fault in active:
            chosen = fault.fault.match or kind in _ACTS_ON[fault.kind]
            if chosen and fault.strikes(text):
                return fault
        return None

    def _hold(self, frame: bytes, due_ns: int) -> None:
        # Delayed frames keep their order among themselves.
        last = self._delayed[-1][0] if self._delayed else 0
        if len(self._delayed) < HELD_MAX:
            self._delayed.append((max(due_ns, last), frame))
