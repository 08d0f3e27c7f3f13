"""What passes between a server and a venue's wire, in no venue's own words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class Key(NamedTuple):
    """One API key: its secret, the account it opens, and whose it is."""

    key: str
    secret: str
    account_id: int
    role: str


class Request(NamedTuple):
    """
    A request as it came off the wire; ``query`` and ``body`` undecoded.

    Names of ``headers`` are in lower case. ``api_key`` is what a caller without
    headers may give instead of the venue's own header. ``address`` is the client's.
    """

    method: str
    path: str
    query: str
    body: bytes
    api_key: str = ""
    headers: Mapping[str, str] = _NO_HEADERS
    address: str = ""


@dataclass(slots=True)
class Response:
    """What goes back, and what the log says of it."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    code: int = 0
    key_role: str = "none"
    summary: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    content_type: str = "application/json"


class Subscriber:
    """
    One WebSocket connection: whole frames waiting to be written, in order.

    Once ``close_code`` is set the server writes what waits and then closes with it.
    The server also closes a connection that is older than ``life_ns``, and one that
    said nothing for ``idle_ns`` (where ``is_kept_by_data``: and was told nothing);
    zero is no limit.
    """

    __slots__ = ("close_code", "frames", "idle_ns", "is_kept_by_data", "life_ns")

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.close_code: int | None = None
        self.life_ns = 0
        self.idle_ns = 0
        self.is_kept_by_data = False
