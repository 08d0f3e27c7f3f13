"""
One connection's state: who is logged in, its channels, heartbeat and switches.

A request over HTTP is a connection of its own that ends with its answer.
"""

from __future__ import annotations

from cryptoquantix.simulator.wire.deribit_auth import Login
from cryptoquantix.simulator.wire.deribit_requests import encode
from cryptoquantix.simulator.wire.frames import text_frame
from cryptoquantix.simulator.wire.messages import Subscriber

HEARTBEAT_SECONDS_MIN = 10
CHANNELS_MAX = 500
NORMAL_CLOSURE = 1000
GOING_AWAY = 1001
POLICY_VIOLATION = 1008
_FIN_CLOSE = 0x88
_SECOND_NS = 1_000_000_000


class Session(Subscriber):
    """A connection of a client; number zero is any request over HTTP."""

    __slots__ = (
        "_beat_due_ns",
        "_has_spoken",
        "_heartbeat_ns",
        "_is_tested",
        "address",
        "cancels_on_disconnect",
        "channels",
        "id",
        "login",
    )

    def __init__(self, number: int = 0, login: Login | None = None) -> None:
        super().__init__()
        self.id = number
        self.address = ""
        self.login = login
        self.channels: set[str] = set()
        self.cancels_on_disconnect = False
        self._heartbeat_ns = 0
        self._beat_due_ns = 0
        self._is_tested = False
        self._has_spoken = False

    @property
    def is_socket(self) -> bool:
        """Whether this is a WebSocket connection."""
        return self.id != 0

    @property
    def account_id(self) -> int:
        """The account logged in, zero for nobody."""
        return self.login.key.account_id if self.login else 0

    @property
    def role(self) -> str:
        """Whose key is logged in."""
        return self.login.key.role if self.login else "none"

    def send(self, payload: bytes) -> None:
        """Queue one message."""
        self.frames.append(text_frame(payload))

    def end(self, code: int) -> None:
        """Have the connection closed, after what waits has been written."""
        if self.close_code is None:
            self.close_code = code
            self.frames.append(bytes((_FIN_CLOSE, 2)) + code.to_bytes(2))

    def hear(self) -> None:
        """Note that the client said something."""
        self._has_spoken = True
        self._is_tested = False

    def set_heartbeat(self, seconds: int, time_ns: int) -> None:
        """Beat every ``seconds`` from now on; zero stops it."""
        self._heartbeat_ns = seconds * _SECOND_NS
        self._beat_due_ns = time_ns + self._heartbeat_ns
        self._is_tested = False

    def beat(self, time_ns: int) -> None:
        """
        Send a heartbeat that is due, or ask a silent client for a sign of life.

        A client that said nothing for an interval is asked with ``test_request``;
        one that says nothing for another interval is disconnected.
        """
        if not self._heartbeat_ns or time_ns < self._beat_due_ns:
            return
        self._beat_due_ns = time_ns + self._heartbeat_ns
        if self._is_tested:
            self.end(GOING_AWAY)
            return
        self._is_tested = not self._has_spoken
        kind = "heartbeat" if self._has_spoken else "test_request"
        self._has_spoken = False
        message = {"jsonrpc": "2.0", "method": "heartbeat", "params": {"type": kind}}
        self.send(encode(message))
