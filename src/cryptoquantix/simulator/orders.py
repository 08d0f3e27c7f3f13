"""Orders as a venue keeps them, and what happens to them; they decide nothing."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, fields
from enum import StrEnum
from operator import attrgetter
from typing import NamedTuple, Self

from cryptoquantix.core.order import Side, TimeInForce
from cryptoquantix.simulator.accounts import Holding, Leg
from cryptoquantix.simulator.listing import Listing
from cryptoquantix.simulator.rules import PostOnly, SelfTrade


class Status(StrEnum):
    """Where an order stands, in the words most venues share."""

    NEW = "NEW"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"
    EXPIRED_IN_MATCH = "EXPIRED_IN_MATCH"

    @property
    def is_open(self) -> bool:
        """True while the order can still trade."""
        return self in {Status.NEW, Status.PARTIALLY_FILLED}


class Origin(StrEnum):
    """Who made an order."""

    CLIENT = "client"
    LIQUIDATION = "liquidation"  # the venue, closing what margin no longer covers
    ADL = "adl"  # the venue, reducing a counterparty of a liquidation
    EXTERNAL = "external"  # the account's owner by another way than this API


class EndReason(StrEnum):
    """Why an order ended without being filled to the last lot."""

    NONE = ""
    USER = "user"
    UNFILLED = "unfilled"  # an immediate order found no (more) counterparty
    SELF_TRADE = "self trade"
    POST_ONLY = "post only"
    REDUCE_ONLY = "reduce only"
    LIQUIDATION = "liquidation"
    DEAD_MAN = "dead man"  # a dead-man's switch or a lost connection
    POSITION_MODE = "position mode"


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """
    What a client asks for, already in ticks and lots.

    ``price_ticks`` is None for a market order. ``order_type`` is the name the
    client gave it, kept to be shown again. ``leg`` is BOTH in one-way mode, LONG or
    SHORT in hedge mode, where an order against its leg can only close it.
    ``self_trade`` and ``post_only`` are None for what the venue does by default.
    """

    symbol: str
    side: Side
    size_lots: int
    client_id: str
    price_ticks: int | None = None
    time_in_force: TimeInForce = TimeInForce.GTC
    order_type: str = "LIMIT"
    original_type: str = ""
    is_reduce_only: bool = False
    is_close_position: bool = False
    stop_price_ticks: int = 0
    working_type: str = "CONTRACT_PRICE"
    leg: Leg = Leg.BOTH
    self_trade: SelfTrade | None = None
    post_only: PostOnly | None = None
    origin: Origin = Origin.CLIENT
    reduces: bool = field(init=False)  # it can only close a position

    def __post_init__(self) -> None:
        closes = self.leg.sign * self.side.sign < 0
        object.__setattr__(self, "reduces", self.is_reduce_only or closes)


@dataclass(slots=True)
class VenueOrder:
    """
    One order and what it has done so far.

    ``value_units`` is of its fills, ``fee_units`` what they cost in fees.
    """

    id: int
    account_id: int
    listing: Listing
    request: OrderRequest
    size_lots: int
    price_ticks: int
    created_ns: int
    updated_ns: int
    status: Status = Status.NEW
    filled_lots: int = 0
    value_units: int = 0
    fee_units: int = 0
    end_reason: EndReason = EndReason.NONE

    @property
    def remaining_lots(self) -> int:
        """Lots not filled yet."""
        return self.size_lots - self.filled_lots

    def snapshot(self) -> Self:
        """Return a copy that later fills do not change."""
        # copy.copy() of an object with slots takes five times as long.
        return type(self)(*_ORDER_VALUES(self))


_ORDER_VALUES = attrgetter(*(each.name for each in fields(VenueOrder)))


class AlgoStatus(StrEnum):
    """Where a conditional order stands."""

    NEW = "NEW"
    TRIGGERING = "TRIGGERING"
    TRIGGERED = "TRIGGERED"
    FINISHED = "FINISHED"
    CANCELED = "CANCELED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"


@dataclass(frozen=True, slots=True)
class AlgoRequest:
    """
    A conditional order, in ticks and lots.

    It becomes ``order`` once the price reaches ``trigger_ticks``: upward if
    ``is_trigger_above``. ``callback_bps`` makes it a trailing stop, whose trigger
    follows the price from ``activation_ticks`` on. ``size_lots`` of ``order`` is
    ignored with ``is_close_position``.
    """

    order: OrderRequest
    trigger_ticks: int
    is_trigger_above: bool
    working_type: str = "CONTRACT_PRICE"
    callback_bps: int = 0
    activation_ticks: int = 0


@dataclass(slots=True)
class AlgoOrder:
    """One conditional order; ``child`` is the order it became."""

    id: int
    account_id: int
    listing: Listing
    request: AlgoRequest
    trigger_ticks: int
    created_ns: int
    updated_ns: int
    status: AlgoStatus = AlgoStatus.NEW
    triggered_ns: int = 0
    extreme_ticks: int = 0
    child: VenueOrder | None = None

    def snapshot(self) -> Self:
        """Return a copy that later changes do not touch."""
        taken = copy.copy(self)
        if taken.child is not None:
            taken.child = taken.child.snapshot()
        return taken

    def is_reached_by(self, price_ticks: int) -> bool:
        """Return whether ``price_ticks`` triggers it."""
        if self.request.is_trigger_above:
            return price_ticks >= self.trigger_ticks
        return price_ticks <= self.trigger_ticks


class FillDetail(NamedTuple):
    """
    One fill of one order.

    ``fee_units`` and ``realized_units`` are booked, in ``coin``; ``position_after``
    is of the order's leg. ``match_id`` is the same for both sides of a match.
    """

    trade_id: int
    order: VenueOrder
    price_ticks: int
    size_lots: int
    value_units: int
    fee_units: int
    realized_units: int
    is_maker: bool
    position_after: int
    time_ns: int
    coin: str = ""
    match_id: int = 0
    mark_ticks: int = 0
    index_ticks: int = 0
    funding_units: int = 0  # that had accrued, booked before the fill


class OrderChanged(NamedTuple):
    """
    ``execution`` is NEW, TRADE, AMENDMENT, CANCELED, EXPIRED or CALCULATED.

    CALCULATED is a fill that no book made: ADL, or a position taken over by the
    venue in a liquidation.
    """

    order: VenueOrder
    execution: str
    time_ns: int
    fill: FillDetail | None = None


class FundsChanged(NamedTuple):
    """
    A wallet or positions changed for ``reason``.

    Reasons: ORDER (a fill, shown by its own event; ``change_units`` is zero),
    FUNDING_FEE, DEPOSIT, WITHDRAW, INSURANCE_CLEAR (a liquidation's fee),
    MODE (a forced change of the position mode closed what was long and short).
    """

    account_id: int
    reason: str
    wallet_units: int
    change_units: int
    holdings: tuple[tuple[Holding, int], ...]  # with its mark in ticks
    time_ns: int
    coin: str = ""
    symbol: str = ""


class ModeChanged(NamedTuple):
    """The position mode of a symbol (or with "" of all) is now another."""

    account_id: int
    symbol: str
    is_hedged: bool
    time_ns: int


class LeverageChanged(NamedTuple):
    """The leverage of a symbol is now another."""

    account_id: int
    symbol: str
    leverage: int
    time_ns: int


class AlgoChanged(NamedTuple):
    """A conditional order changed."""

    algo: AlgoOrder
    time_ns: int


class WentFlat(NamedTuple):
    """The account now has neither a position nor an open order of any class."""

    account_id: int
    time_ns: int


type VenueEvent = (
    OrderChanged | FundsChanged | AlgoChanged | ModeChanged | LeverageChanged | WentFlat
)
