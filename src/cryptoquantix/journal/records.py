"""
What the journal keeps, each record a struct; it reads and writes nothing.

Prices and fees are kept as decimal text, sizes as lots with the lot size beside them,
so that a record says what happened without any other file. Fields are added at the
end with a default, together with a version of the schema (``migrations``).
"""

from __future__ import annotations

from typing import Final

import msgspec

from cryptoquantix.core.instrument import InstrumentId
from cryptoquantix.core.order import (
    Increase,
    OrderState,
    OrderType,
    Reduction,
    Side,
    TimeInForce,
)

INCREASE: Final = "increase"
REDUCTION: Final = "reduction"


class OrderRecord(msgspec.Struct, frozen=True):
    """
    One order, as decided: written before it is sent and never changed.

    ``target`` and ``reference_price`` are what it was decided from, ``wanted_lots``
    and ``held_lots`` the signed positions between which it moves. ``shares`` says
    whose order it is where several strategies trade the instrument (see
    :mod:`cryptoquantix.orders.attribution`), ``style`` how it is worked. Its price is
    in ticks of ``tick_size``, which is empty in records of before version 4.
    """

    client_order_id: str
    account: str
    strategy: str
    instrument: str
    bar_ns: int
    attempt: int
    kind: str
    side: Side
    size_lots: int
    type: OrderType
    price_ticks: int | None
    time_in_force: TimeInForce
    lot_size: str
    target: float
    reference_price: str
    wanted_lots: int
    held_lots: int
    created_ns: int
    build: str
    shares: str = ""
    style: str = "market"
    tick_size: str = ""

    @property
    def is_increase(self) -> bool:
        """True where the order may open or grow a position."""
        return self.kind == INCREASE

    def order(self) -> Increase | Reduction:
        """Return the order itself."""
        cls = Increase if self.is_increase else Reduction
        return cls(
            client_order_id=self.client_order_id,
            instrument=InstrumentId.parse(self.instrument),
            side=self.side,
            size_lots=self.size_lots,
            type=self.type,
            price_ticks=self.price_ticks,
            time_in_force=self.time_in_force,
        )


class OrderStanding(msgspec.Struct, frozen=True):
    """Where a journalled order stands: its record and what was learned since."""

    record: OrderRecord
    state: OrderState
    filled_lots: int
    venue_order_id: str
    updated_ns: int


class OrderNote(msgspec.Struct, frozen=True):
    """One thing learned about an order, and the state after it."""

    client_order_id: str
    time_ns: int
    event: str
    state: OrderState
    detail: str = ""
    filled_lots: int | None = None
    venue_order_id: str | None = None


class FillRecord(msgspec.Struct, frozen=True):
    """
    One execution on the account, kept once by (instrument, trade id).

    ``client_order_id`` is empty where the order was not of this journal: the daemon's
    closes and orders by hand are fills of the same account. ``settlement`` is what
    profit is in, empty in records of version 1 (where it is the fee's currency).
    """

    instrument: str
    trade_id: str
    venue_order_id: str
    client_order_id: str
    side: Side
    size_lots: int
    lot_size: str
    price: str
    fee: str
    fee_currency: str
    venue_time_ns: int
    recorded_ns: int
    settlement: str = ""
    is_inverse: bool = False


class FlowRecord(msgspec.Struct, frozen=True):
    """
    Funding of an instrument, kept once by (instrument, flow id).

    ``cash`` is positive where received, in ``currency``.
    """

    instrument: str
    flow_id: str
    cash: str
    currency: str
    venue_time_ns: int
    recorded_ns: int


class CrossRecord(msgspec.Struct, frozen=True):
    """
    What a strategy took over from others of the same account, without an order.

    ``lots`` is signed, and those of one moment and instrument sum up to zero; kept
    once by (instrument, strategy, time). ``price`` is the mark.
    """

    instrument: str
    strategy: str
    lots: int
    lot_size: str
    price: str
    settlement: str
    is_inverse: bool
    time_ns: int


class Baseline(msgspec.Struct, frozen=True):
    """
    What an instrument held when this journal first met it.

    ``trade_id`` is the account's last fill at that moment (empty: none yet); fills
    after it are the journal's own. ``size_lots`` is signed and, where not zero, was
    not opened by any order of this journal.
    """

    instrument: str
    size_lots: int
    trade_id: str
    time_ns: int


class Report(msgspec.Struct, frozen=True):
    """Something a person should know: a foreign order, a difference, a refusal."""

    time_ns: int
    kind: str
    subject: str
    text: str
