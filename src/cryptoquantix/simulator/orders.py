"""Orders as a venue keeps them, and what happens to them; they decide nothing."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, Self

from cryptoquantix.core.order import Side, TimeInForce
from cryptoquantix.simulator.accounts import Holding
from cryptoquantix.simulator.listing import Listing


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


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """
    What a client asks for, already in ticks and lots.

    ``price_ticks`` is None for a market order. ``order_type`` is the name the
    client gave it, kept to be shown again.
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


@dataclass(slots=True)
class VenueOrder:
    """One order and what it has done so far. ``value_units`` is of its fills."""

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

    @property
    def remaining_lots(self) -> int:
        """Lots not filled yet."""
        return self.size_lots - self.filled_lots

    def snapshot(self) -> Self:
        """Return a copy that later fills do not change."""
        return copy.copy(self)


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
    """One fill of one order. ``fee_units`` and ``realized_units`` are booked."""

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


class OrderChanged(NamedTuple):
    """``execution`` is NEW, TRADE, AMENDMENT, CANCELED or EXPIRED."""

    order: VenueOrder
    execution: str
    time_ns: int
    fill: FillDetail | None = None


class FundsChanged(NamedTuple):
    """The wallet or positions changed for ``reason``; positions by symbol."""

    account_id: int
    reason: str
    wallet_units: int
    change_units: int
    holdings: tuple[tuple[Holding, int], ...]  # with its mark in ticks
    time_ns: int


class AlgoChanged(NamedTuple):
    """A conditional order changed."""

    algo: AlgoOrder
    time_ns: int


class WentFlat(NamedTuple):
    """The account now has neither a position nor an open order of any class."""

    account_id: int
    time_ns: int


type VenueEvent = OrderChanged | FundsChanged | AlgoChanged | WentFlat
