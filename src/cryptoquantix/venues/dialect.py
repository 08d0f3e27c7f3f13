"""
What a venue must say of itself to be fed from; it holds no connection.

The feed's core is the same for every venue. What differs is in one small module each:
which sockets and subscriptions there are, how a frame is read, how a connection is
asked whether it lives, and whether trade ids leave no number out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import batched
from typing import Final, Literal, NamedTuple, Protocol

from cryptoquantix.core.instrument import Instrument, Venue
from cryptoquantix.core.market import Bar

ROWS_PER_PAGE: Final = 1_000
# Fewer than any venue allows (200, 500 and more): bursts stay apart.
SYMBOLS_PER_SOCKET: Final = 100
# Where prints share a match's number: how many ids each match has.
MATCH_IDS: Final = 1 << 16


class SocketPlan(NamedTuple):
    """
    One socket: where it dials and what it subscribes to.

    ``trade_symbols`` and ``quote_symbols`` are those whose trades and best quotes it
    carries; at most one of the two is filled. Marks come with either.
    """

    url: str
    streams: list[str]
    trade_symbols: list[str]
    quote_symbols: list[str]
    mark_symbols: Sequence[str] = ()


def sharded(
    symbols: Sequence[str],
    *,
    trades: tuple[str, Sequence[str]],
    quotes: tuple[str, Sequence[str]],
    spell: Callable[[str], str] = str,
    marks_come_with: Literal["trades", "quotes"] = "quotes",
) -> list[SocketPlan]:
    """
    Return two sockets for each hundred symbols: one for trades, one for quotes.

    Each is an address and its streams, in which ``{}`` stands for the symbol as
    ``spell`` writes it; marks are among the streams of ``marks_come_with``.

    Examples
    --------
    >>> plans = sharded(["A"], trades=("x", ["t.{}"]), quotes=("y", ["q.{}", "m.{}"]))
    >>> [(plan.url, plan.streams) for plan in plans]
    [('x', ['t.A']), ('y', ['q.A', 'm.A'])]
    """
    plans = []
    for shard in batched(symbols, SYMBOLS_PER_SOCKET):
        carried = list(shard)
        of_trades, of_quotes = (
            [stream.format(spell(symbol)) for stream in streams for symbol in shard]
            for _, streams in (trades, quotes)
        )
        plans += [
            SocketPlan(
                trades[0],
                of_trades,
                carried,
                [],
                carried if marks_come_with == "trades" else (),
            ),
            SocketPlan(
                quotes[0],
                of_quotes,
                [],
                list(carried),
                carried if marks_come_with == "quotes" else (),
            ),
        ]
    return plans


class Answer(NamedTuple):
    """
    The venue's answer to request ``id``: done, or an ``error``.

    ``streams`` are those it confirmed, None where it does not name them.
    """

    id: int
    error: str = ""
    streams: tuple[str, ...] | None = None


class Reply(NamedTuple):
    """A frame that the venue wants sent back."""

    payload: bytes


class PingPolicy(NamedTuple):
    """
    How a connection is asked whether it lives.

    ``message`` is the text to send, None for a WebSocket ping frame; ``mark`` is in
    its answer. ``is_periodic`` where the venue wants it whether data flow or not.
    """

    message: bytes | None = None
    mark: bytes = b""
    is_periodic: bool = False


class StreamDialect(Protocol):
    """One venue's streams."""

    @property
    def ping(self) -> PingPolicy:
        """How to ask whether a connection lives."""
        ...

    def sockets(self, ws_url: str, symbols: Sequence[str]) -> list[SocketPlan]:
        """Return the sockets that carry trades, quotes and marks of ``symbols``."""
        ...

    def requests(self, streams: Sequence[str]) -> list[tuple[bytes, list[str]]]:
        """
        Return what to send on a new socket, each with the streams it asks for.

        Requests are numbered from 1 and answered in that order.
        """
        ...


class Request(NamedTuple):
    """A public REST request and what it weighs of the venue's budget."""

    path: str
    query: dict[str, str]
    weight: int = 1


class WireTrade(NamedTuple):
    """A trade print as the venue wrote it; prices and sizes text or numbers."""

    time_ns: int
    price: str | float
    size: str | float
    is_buyer_maker: bool
    trade_id: int


class TradePage(NamedTuple):
    """
    Prints in order, oldest first.

    ``has_more`` where the venue holds further ones after them.
    """

    trades: list[WireTrade]
    has_more: bool


class RestDialect(Protocol):
    """
    One venue's public REST interface, as requests and readings of answers.

    Readings raise :class:`~cryptoquantix.core.errors.VenueError` where the answer is
    not of the documented shape, or of the kind that says whether to try again.
    ``is_dense`` where trade ids leave no number out. ``weight_per_second`` and
    ``weight_burst`` are half of what the venue allows an address.
    """

    venue: Venue
    is_dense: bool
    weight_per_second: float
    weight_burst: float

    def instruments(self, cursor: str) -> Request:
        """Return the request for a page of instruments; the first has no cursor."""
        ...

    def parse_instruments(self, data: bytes) -> tuple[dict[str, Instrument], str]:
        """Return what trades, by symbol, and the cursor of the next page or ""."""
        ...

    def interval_name(self, bar_seconds: int) -> str:
        """Return the venue's name of a bar length; SettingsError if it keeps none."""
        ...

    def bars_max(self) -> int:
        """Return how many bars a page has at most."""
        ...

    def bars(
        self, instrument: str, interval: str, span_ns: tuple[int, int], count: int
    ) -> Request:
        """Return the request for the last ``count`` bars that open within a span."""
        ...

    def parse_bars(self, data: bytes, symbol: str, interval_ns: int) -> list[Bar]:
        """Return bars, oldest first, the open one included."""
        ...

    def newest_trades(self, symbol: str) -> Request:
        """Return the request whose answer holds the newest print whole."""
        ...

    def trades(self, symbol: str, after_id: int, before_id: int) -> Request:
        """Return the request for prints between two ids, from the lower one on."""
        ...

    def parse_trades(self, data: bytes) -> TradePage:
        """Return the prints of an answer."""
        ...

    def time(self) -> Request:
        """Return the request for the venue's clock."""
        ...

    def parse_time(self, data: bytes) -> int:
        """Return the venue's time in ns."""
        ...
