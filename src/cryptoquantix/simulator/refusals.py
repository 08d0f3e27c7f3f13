"""Why a venue refuses a command, in no venue's own words; it refuses nothing."""

from __future__ import annotations

from enum import StrEnum


class Refusal(StrEnum):
    """A reason; each wire has its own code and text for it."""

    UNKNOWN_SYMBOL = "unknown symbol"
    UNKNOWN_ORDER = "unknown order"
    DUPLICATE_CLIENT_ID = "duplicate client order id"
    REDUCE_ONLY = "nothing to reduce"
    MARGIN = "insufficient margin"
    NOTIONAL = "below the minimum notional"
    POST_ONLY = "would take liquidity"
    FOK = "cannot be filled at once"
    WOULD_TRIGGER = "would trigger at once"
    TOO_MANY_ORDERS = "too many open orders"
    SIZE_MIN = "below the minimum size"
    SIZE_MAX = "above the maximum size"
    PRICE_HIGH = "limit price too high"
    PRICE_LOW = "limit price too low"
    MARKET_BAND = "best price outside the band of market orders"
    HALTED = "the market stands still"
    AMEND_NOTHING = "nothing to amend"
    POSITION_SIDE = "position side does not fit the position mode"
    MODE_BUSY = "position mode cannot change with positions or orders open"
    MODE_SAME = "position mode is that already"
    MODE_UNKNOWN = "no such position mode"


class CommandRefusedError(Exception):
    """The venue refuses a command; nothing has changed."""

    def __init__(self, refusal: Refusal, detail: str = "") -> None:
        super().__init__(f"{refusal.value} {detail}".rstrip())
        self.refusal = refusal
        self.detail = detail
