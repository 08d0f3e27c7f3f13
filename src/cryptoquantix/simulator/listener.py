"""One WebSocket connection to a reader: its frames, its gate, and how it ends."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from typing import Final

from cryptoquantix.simulator.delay import Outbox
from cryptoquantix.simulator.frame_gate import FrameGate
from cryptoquantix.simulator.wire.frames import text_frame
from cryptoquantix.simulator.wire.messages import Subscriber

BUFFER_BYTES_MAX: Final = 64 * 1_048_576  # waiting for one reader, then it is cut
BUFFER_BYTES_HIGH: Final = 2 * 1_048_576  # beyond this a fast tape waits
STALLED_NS: Final = 5_000_000_000  # without progress a reader is cut
NO_CLOSE_FRAME: Final = 1006
_CLOSE: Final = 0x88
_LINGER_ZERO: Final = struct.pack("ii", 1, 0)


class Listener:
    """One WebSocket connection: its subscriber and its transport."""

    __slots__ = (
        "_opened_ns",
        "_told_ns",
        "gate",
        "heard_ns",
        "moved_ns",
        "outbox",
        "path",
        "subscriber",
        "transport",
        "waiting",
    )

    def __init__(
        self,
        subscriber: Subscriber,
        transport: asyncio.Transport,
        gate: FrameGate,
        *,
        path: str,
        now_ns: int,
        outbox: Outbox | None = None,
    ) -> None:
        self.outbox = outbox
        self._opened_ns = self._told_ns = self.heard_ns = now_ns
        self.subscriber = subscriber
        self.transport = transport
        self.gate = gate
        self.path = path
        self.moved_ns = now_ns
        self.waiting = 0

    def flush(self, monotonic_ns: int, *, silent: bool) -> int:
        """Write what waits; return how many bytes the reader has not taken yet."""
        frames = self.subscriber.frames
        if self.transport.is_closing():
            frames.clear()
            return 0
        leaving = self.gate.pass_frames(frames, monotonic_ns)
        if leaving and not silent:
            self._send(b"".join(leaving), monotonic_ns)
        frames.clear()
        if self.outbox is not None and self.outbox.size:
            self._write(self.outbox.take(monotonic_ns), monotonic_ns)
        waiting = self.transport.get_write_buffer_size()
        if waiting < self.waiting or not waiting:
            self.moved_ns = monotonic_ns
        self.waiting = waiting
        stalled = monotonic_ns - self.moved_ns > STALLED_NS
        if waiting > BUFFER_BYTES_MAX or (waiting > BUFFER_BYTES_HIGH and stalled):
            self.transport.abort()
            return 0
        return waiting

    def _send(self, data: bytes, monotonic_ns: int) -> None:
        if self.outbox is None:
            self._write(data, monotonic_ns)
        else:
            self.outbox.put(data, monotonic_ns)

    def _write(self, data: bytes, monotonic_ns: int) -> None:
        if data:
            self._told_ns = monotonic_ns
            self.transport.write(data)

    def hurry(self) -> None:
        """Write what still waits for its time: the connection is about to end."""
        if self.outbox is not None and self.outbox.size:
            self.transport.write(self.outbox.take_all())

    def is_overdue(self, monotonic_ns: int) -> bool:
        """Return whether the venue's rules end the connection by now."""
        limits = self.subscriber
        if limits.life_ns and monotonic_ns - self._opened_ns >= limits.life_ns:
            return True
        last_ns = self.heard_ns
        if limits.is_kept_by_data:
            last_ns = max(last_ns, self._told_ns)
        return bool(limits.idle_ns) and monotonic_ns - last_ns >= limits.idle_ns

    def say(self, text: str) -> None:
        """Queue one message that no wire has made."""
        self.subscriber.frames.append(text_frame(text.encode()))

    def close(self, code: int) -> None:
        """Close with a code; with 1006 the connection just ends."""
        self.hurry()
        if code != NO_CLOSE_FRAME:
            self.transport.write(bytes((_CLOSE, 2)) + code.to_bytes(2))
        self.transport.close()

    def reset(self) -> None:
        """Cut the connection so that the reader's system sees a reset."""
        reset(self.transport)


def reset(transport: asyncio.Transport) -> None:
    """Cut a connection with a RST rather than an orderly end."""
    found = transport.get_extra_info("socket")
    if found is not None and not transport.is_closing():
        # The event loop's own socket object may not take options; its number does.
        with socket.socket(fileno=os.dup(found.fileno())) as own:
            own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
    transport.abort()
