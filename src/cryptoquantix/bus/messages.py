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
    trade_id)`` in the order of the venue, at least one; ``receipt_time_ns`` is the wall
    time at which their bytes were read.

    Nothing is missing within a batch. ``follows`` is the trade id of the print just
    before the first one: a consumer whose last id is lower has lost prints, one whose
    last id is higher has seen some of these. It is -1 where the feed does not know;
    then only an id one above the last is sure to follow it. (Ids rise with every print,
    at Binance and Deribit by one, at Bybit by more.)
    """

    venue: str
    name: str
    tick_size: str
    lot_size: str
    receipt_time_ns: int
    ticks: list[tuple[int, int, int, bool, int]]
    follows: int = -1

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


class MarkMessage(msgspec.Struct, array_like=True, tag="mark/1", gc=False):
    """
    What positions are valued at, and what they are charged.

    Prices are the venue's decimal text: they need not be whole ticks. ``funding_rate``
    is the fraction of notional due at ``next_funding_ns`` as it stands now, text too;
    where funding accrues all the time (Deribit) it is that of eight hours, and
    ``next_funding_ns`` is 0. What a message of the venue left unchanged is repeated.
    """

    venue: str
    name: str
    receipt_time_ns: int
    venue_time_ns: int
    mark_price: str
    index_price: str
    funding_rate: str
    next_funding_ns: int


class GapNotice(msgspec.Struct, array_like=True, tag="gap/1", gc=False):
    """
    Prints of one instrument that were not streamed.

    ``open``: newer prints are held back while the missing ones are fetched.
    ``filled``: all ``trades`` of them were published, in order, before newer ones.
    ``lost``: prints between the two ids are missing from the bus; how many is in
    ``trades``, -1 where the ids do not tell. Ids are of the last print before the gap
    (-1: none is known) and the first one after it.
    """

    venue: str
    name: str
    state: str
    after_id: int
    before_id: int
    from_ns: int
    until_ns: int
    trades: int
    noted_ns: int


class Target(msgspec.Struct, array_like=True, tag="target/1", frozen=True):
    """
    What a strategy wants after a bar.

    ``instrument`` is ``venue:NAME``; ``target`` a signed multiple of allotted equity;
    ``price`` the bar's close. ``sequence`` rises by one per target of this strategy
    and instrument, across restarts. ``warmup_from_ns`` is the open of the first bar
    the strategy's state was built from: a restart warms up from the same bar.
    ``market_ns`` is the venue's time of the newest trade heard when this was published,
    0 where that is not told: a tape's time is not ours.
    """

    strategy: str
    instrument: str
    bar_close_ns: int
    target: float
    price: float
    sequence: int
    published_ns: int
    warmup_from_ns: int = 0
    market_ns: int = 0


class StreamStatus(msgspec.Struct, array_like=True):
    """
    One instrument's streams, as the feed sees them.

    Ages are of the last message, in ns, -1 before the first. ``gaps`` counts jumps
    in the trade ids, ``trades_missing`` the prints within them that could not be
    fetched afterwards, ``backfilled`` those that were. ``trades_held`` wait for such a
    fetch. A stream is *proven* once its present subscription has brought data (for
    trades also: once the venue says there was none to bring).
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
    trades_held: int = 0
    backfilled: int = 0
    is_trade_proven: bool = False
    is_quote_proven: bool = False
    mark_age_ns: int = -1
    is_mark_proven: bool = False


class FeedStatus(msgspec.Struct, array_like=True, tag="feed/1"):
    """
    What a feed says of itself once a second.

    ``connected`` is True while every socket is up and every subscription was
    acknowledged. ``session`` is the feed's start time: another value means it was
    restarted. ``batches_dropped`` counts what NATS was too slow to take: the prints
    in them are missing from the bus, and their trade ids tell so. ``latency_ns`` is
    the receive time less the venue's event time of the newest message: transport
    delay plus the difference of the two clocks. ``clock_offset_ns`` is the venue's
    clock less ours, measured by asking, at most ``clock_error_ns`` wrong (-1: not
    measured yet).
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
    clock_offset_ns: int = 0
    clock_error_ns: int = -1


class RecorderStatus(msgspec.Struct, array_like=True, tag="recorder/1"):
    """
    What the recorder says of itself once a second.

    ``problem`` is empty while everything heard is written; else one sentence (a full
    disk), and ``ticks_dropped`` counts what was lost to it since the start.
    ``synced_ns`` is when what was heard last was known to be on disk, ``filled`` how
    many prints were fetched because they had not been heard.
    """

    time_ns: int
    build: str
    instruments: int
    ticks: int
    segments: int
    gaps: int
    ticks_dropped: int
    synced_ns: int
    problem: str
    filled: int = 0


# A strategy's state while it has too little history to say anything.
WARMING: Final = "warming"


class StrategyStatus(msgspec.Struct, array_like=True, tag="strategy/1"):
    """
    What the strategy service says of one strategy on one instrument.

    ``state`` is ``waiting`` (no tick yet), ``bridging`` (bars are being fetched),
    ``warming`` (fewer ``bars`` than ``warmup_bars`` without a hole: no target is
    published, ``target`` does not count) or ``live``. ``is_stale`` is True where no
    feed status or no connected feed was heard of lately: the target stands, it is
    neither lowered nor raised. ``bars_held`` wait until the venue tells what funding
    was charged in them.
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
    bars_held: int = 0
    warmup_bars: int = 0


class FollowedTarget(msgspec.Struct, array_like=True):
    """
    How far execution has followed a strategy's newest target.

    ``is_idle`` is True once it was sized and nothing is under way or left to do about
    its instrument. ``held_lots`` is the venue's position, signed.
    """

    strategy: str
    instrument: str
    bar_close_ns: int
    sequence: int
    held_lots: int
    is_idle: bool


class HeldPosition(msgspec.Struct, array_like=True):
    """
    What an account holds of an instrument, as it was read last.

    ``size`` is signed decimal text in ``unit`` (a coin; dollars of an inverse one),
    prices are in the quote coin, ``pnl_unrealized`` in ``currency``: empty where
    nothing is held. ``orders`` counts our own unfinished ones. ``is_traded`` is False
    of what no strategy here trades.
    """

    instrument: str
    size: str
    unit: str
    entry_price: str
    mark_price: str
    pnl_unrealized: str
    currency: str
    orders: int
    is_traded: bool


class ToldReport(msgspec.Struct, array_like=True):
    """Something a person should know, as the journal's table ``reports`` has it."""

    sequence: int
    time_ns: int
    kind: str
    subject: str
    text: str


class ExecutionStatus(msgspec.Struct, array_like=True, tag="execution/1"):
    """
    What execution says of itself once a second, and when it is asked.

    ``permit`` is the mode of the newest answer of the daemon, empty without one.
    ``read_ns`` is, by venue, the wall time at which the newest reading of the account
    was asked for (0: none yet in this trading loop). ``permit_age_ns`` is the time
    since that answer's request was sent, -1 without one: a permission lives five
    seconds of it. ``unreachable`` are the venues that do not answer. ``permit_reason``
    is the daemon's sentence of why it is not ``trade``; ``reports`` are the newest of
    the journal, oldest first.
    """

    time_ns: int
    build: str
    permit: str
    read_ns: dict[str, int]
    targets: list[FollowedTarget]
    permit_age_ns: int = -1
    unreachable: list[str] = []
    positions: list[HeldPosition] = []
    permit_reason: str = ""
    reports: list[ToldReport] = []


Message = (
    TickBatch
    | QuoteMessage
    | MarkMessage
    | GapNotice
    | Target
    | FeedStatus
    | StrategyStatus
    | RecorderStatus
    | ExecutionStatus
)

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
