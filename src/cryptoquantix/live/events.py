"""What goes into the execution engine and what comes out, as values; no behavior."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Final, Protocol

from cryptoquantix.control.permit import Permit
from cryptoquantix.core.account import Position
from cryptoquantix.core.instrument import Instrument, InstrumentId
from cryptoquantix.core.order import Increase, Reduction
from cryptoquantix.journal.records import CrossRecord, OrderRecord
from cryptoquantix.orders.limits import Approved, LimitSettings
from cryptoquantix.orders.styles import AT_MARKET, Working

# A target is renewed with every bar; after three bars of wall time without one the
# strategy or the bus is not well. (A tape may play faster, never slower, than wall
# time, so that this is the latest moment and not the earliest.)
STALE_BARS: Final = 3.0


@dataclass(frozen=True, slots=True)
class Subscription:
    """
    A strategy that trades an instrument here, and how often it speaks.

    ``weight`` is its part of the allotted equity, ``working`` how its orders are
    worked. Nothing is increased from a target that is older than ``bars_max`` bars, nor
    from one whose bar closed longer ago. ``is_tape``: the venue may play another time
    than ours, and what a target says of it counts.
    """

    strategy: str
    instrument: InstrumentId
    bar_seconds: int
    weight: Decimal = Decimal(1)
    working: Working = AT_MARKET
    bars_max: float = STALE_BARS
    is_tape: bool = False


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """
    The numbers the engine decides with.

    ``adopt`` are the instruments in which all that the venue holds counts as ours.
    """

    account: str
    equity_fraction: Decimal
    no_trade_band: Decimal
    limits: LimitSettings
    subscriptions: tuple[Subscription, ...]
    build: str
    adopt: frozenset[InstrumentId] = frozenset()


class OnStop(StrEnum):
    """What becomes of our resting orders when a person stops execution."""

    CANCEL_INCREASES = "cancel_increases"  # reductions go on doing their work
    CANCEL = "cancel"
    LEAVE = "leave"


@dataclass(frozen=True, slots=True)
class Wanted:
    """
    A strategy's target as it came, and what it came to in lots, decided once.

    ``market_ns`` is the venue's time when it was published, 0 where that is not told.
    """

    strategy: str
    target: float
    price: Decimal
    bar_ns: int
    sequence: int
    published_ns: int
    lots: int | None = None
    market_ns: int = 0


@dataclass(frozen=True, slots=True)
class Followed:
    """
    How far a strategy's newest target has been followed.

    ``is_idle``: it was sized, nothing of the instrument is under way and nothing is
    left to do about it.
    """

    strategy: str
    instrument: InstrumentId
    bar_ns: int
    sequence: int
    held_lots: int
    is_idle: bool


@dataclass(frozen=True, slots=True)
class Held:
    """
    What the venue said last that is held of an instrument, and our orders there.

    ``position`` is None where it holds none. ``is_traded`` is False of what no strategy
    here trades: it is shown, not touched.
    """

    instrument: Instrument
    position: Position | None
    orders: int
    is_traded: bool


class Numbered(Protocol):
    """A target, on the bus or as the engine takes it."""

    @property
    def sequence(self) -> int:
        """Its number among the targets of its strategy and instrument."""
        ...

    @property
    def published_ns(self) -> int:
        """Wall time at which it was made."""
        ...


def is_after(one: Numbered, other: Numbered) -> bool:
    """
    Return whether ``one`` came to be after ``other``, a target of the same key.

    The sequence says so where the wall clock was set back meanwhile, the wall clock
    where the bus lost its store and the sequence began anew.
    """
    return one.sequence > other.sequence or one.published_ns > other.published_ns


@dataclass(frozen=True, slots=True)
class Now:
    """The moment of an event: both clocks and the permit that holds."""

    time_ns: int
    monotonic_ns: int
    permit: Permit | None

    @property
    def may_increase(self) -> bool:
        """Whether a live permit to trade is held."""
        permit = self.permit
        return permit is not None and permit.allows_increase(self.monotonic_ns)


@dataclass(frozen=True, slots=True)
class SendOrder:
    """An approved order to journal and then send."""

    approved: Approved
    record: OrderRecord


@dataclass(frozen=True, slots=True)
class CancelOrder:
    """A resting order to cancel."""

    instrument: InstrumentId
    client_order_id: str


@dataclass(frozen=True, slots=True)
class Notice:
    """Something a person should know; told once until it changes."""

    kind: str
    subject: str
    text: str


@dataclass(frozen=True, slots=True)
class AskQuote:
    """The best prices of an instrument are needed to price an order."""

    instrument: InstrumentId


@dataclass(frozen=True, slots=True)
class AmendOrder:
    """A resting order of ours to be given another price, and nothing else."""

    order: Increase | Reduction


@dataclass(frozen=True, slots=True)
class CrossLots:
    """Strategies took positions over from each other: to journal, nothing to send."""

    records: tuple[CrossRecord, ...]


Effect = SendOrder | CancelOrder | AmendOrder | Notice | AskQuote | CrossLots


class PermitSource(Protocol):
    """Who asks the risk daemon; execution only looks at the newest answer."""

    def current(self) -> Permit | None:
        """Return the newest answer, or None."""
        ...

    def reconciled(self) -> None:
        """Say from now on that venue and journal were compared."""
        ...

    def unreconciled(self) -> None:
        """Say from now on that they are to be compared again."""
        ...
