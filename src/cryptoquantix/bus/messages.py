"""
What travels on the bus, as msgpack arrays; it sends nothing.

Every message starts with a tag that names its kind and version, so that a message
of another kind or of an incompatible build is refused rather than misread. New
fields are added at the end with a default, which older messages then lack.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

import msgspec

from cryptoquantix.core.market import Tick


class TickBatch(msgspec.Struct, array_like=True, tag="ticks/1", gc=False):
    """
    Trade prints of one instrument that arrived together.

    ``ticks`` holds ``(venue_time_ns, price_ticks, size_lots, is_buyer_maker,
    trade_id)`` in the order of arrival, at least one; ``receipt_time_ns`` is the wall
    time at which their bytes were read. A consumer finds losses by ``trade_id``.
    """

    venue: str
    name: str
    tick_size: str
    lot_size: str
    receipt_time_ns: int
    ticks: list[tuple[int, int, int, bool, int]]

    def iter_ticks(self) -> list[Tick]:
        """Return the prints as :class:`Tick`."""
        return [Tick(*tick) for tick in self.ticks]


class QuoteMessage(msgspec.Struct, array_like=True, tag="quote/1", gc=False):
    """The newest best bid and ask; older ones of the same turn are not sent."""

    venue: str
    name: str
    tick_size: str
    lot_size: str
    receipt_time_ns: int
    venue_time_ns: int
    bid_price_ticks: int
    bid_size_lots: int
    ask_price_ticks: int
    ask_size_lots: int

    def bid(self) -> Decimal:
        """Return the best bid's price."""
        return self.bid_price_ticks * Decimal(self.tick_size)

    def ask(self) -> Decimal:
        """Return the best ask's price."""
        return self.ask_price_ticks * Decimal(self.tick_size)


class Target(msgspec.Struct, array_like=True, tag="target/1", frozen=True):
    """
    What a strategy wants after a bar.

    ``instrument`` is ``venue:NAME``; ``target`` a signed multiple of allotted equity;
    ``price`` the bar's close. ``sequence`` rises by one per target of this strategy
    and instrument, across restarts. ``warmup_from_ns`` is the open of the first bar
    the strategy's state was built from: a restart warms up from the same bar.
    """

    strategy: str
    instrument: str
    bar_close_ns: int
    target: float
    price: float
    sequence: int
    published_ns: int
    warmup_from_ns: int = 0


class StreamStatus(msgspec.Struct, array_like=True):
    """
    One instrument's streams, as the feed sees them.

    Ages are of the last message, in ns, -1 before the first. ``gaps`` counts jumps
    in the trade ids, ``trades_missing`` the prints within them, since the start.
    """

    name: str
    trade_id: int
    venue_time_ns: int
    trade_age_ns: int
    quote_age_ns: int
    trades: int
    gaps: int
    trades_missing: int
    duplicates: int


class FeedStatus(msgspec.Struct, array_like=True, tag="feed/1"):
    """
    What a feed says of itself once a second.

    ``connected`` is True while every socket is up and every subscription was
    acknowledged. ``session`` is the feed's start time: another value means it was
    restarted. ``batches_dropped`` counts what NATS was too slow to take: the prints
    in them are missing from the bus, and their trade ids tell so. ``latency_ns`` is
    the receive time less the venue's event time of the newest message: transport
    delay plus the difference of the two clocks.
    """

    venue: str
    build: str
    session: int
    time_ns: int
    connected: bool
    last_message_age_ns: int
    gaps: int
    reconnects: int
    batches_dropped: int
    messages_refused: int
    latency_ns: int
    streams: list[StreamStatus]


class StrategyStatus(msgspec.Struct, array_like=True, tag="strategy/1"):
    """
    What the strategy service says of one strategy on one instrument.

    ``state`` is ``waiting`` (no tick yet), ``bridging`` (bars are being fetched) or
    ``live``. ``is_stale`` is True where no feed status or no connected feed was heard
    of lately: the target stands, it is neither lowered nor raised.
    """

    strategy: str
    instrument: str
    build: str
    time_ns: int
    state: str
    is_stale: bool
    bars: int
    bar_close_ns: int
    target: float
    sequence: int
    gaps: int
    rebuilds: int
    ticks: int
    ticks_late: int
    messages_refused: int
    targets_unpublished: int


Message = TickBatch | QuoteMessage | Target | FeedStatus | StrategyStatus

_ENCODER: Final = msgspec.msgpack.Encoder()


def encode(message: Message) -> bytes:
    """Return ``message`` as its bytes on the bus."""
    return _ENCODER.encode(message)


class MessageDecoder[M: Message]:
    """
    Reads one kind of message; what is not of that kind is counted and dropped.

    Examples
    --------
    >>> decoder = MessageDecoder(Target)
    >>> decoder.decode(b"not a target") is None, decoder.refused
    (True, 1)
    """

    def __init__(self, kind: type[M]) -> None:
        self._decoder = msgspec.msgpack.Decoder(kind)
        self.refused = 0

    def decode(self, data: bytes) -> M | None:
        """Return the message in ``data``, or None where it holds no such message."""
        try:
            return self._decoder.decode(data)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            self.refused += 1
            return None
