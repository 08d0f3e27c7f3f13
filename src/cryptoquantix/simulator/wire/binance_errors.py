"""A refusal in Binance's words: HTTP status, code and text; it decides nothing."""

from __future__ import annotations

from cryptoquantix.simulator.refusals import CommandRefusedError, Refusal


class BinanceError(Exception):
    """What goes back as ``{"code": ..., "msg": ...}``."""

    def __init__(self, code: int, text: str, *, status: int = 400) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code
        self.text = text
        self.status = status
        self.retry_after_seconds = 0


# Codes and texts from the venue's error-code page.
_REFUSALS: dict[Refusal, tuple[int, str]] = {
    Refusal.UNKNOWN_SYMBOL: (-1121, "Invalid symbol."),
    Refusal.UNKNOWN_ORDER: (-2011, "Unknown order sent."),
    Refusal.DUPLICATE_CLIENT_ID: (-4116, "ClientOrderId is duplicated."),
    Refusal.REDUCE_ONLY: (-2022, "ReduceOnly Order is rejected."),
    Refusal.MARGIN: (-2019, "Margin is insufficient."),
    Refusal.NOTIONAL: (
        -4164,
        "Order's notional must be no smaller than {} (unless you choose reduce only).",
    ),
    Refusal.POST_ONLY: (
        -5022,
        (
            "Due to the order could not be executed as maker, the Post Only order "
            "will be rejected. The order will not be recorded in the order history."
        ),
    ),
    Refusal.FOK: (
        -5021,
        (
            "Due to the order could not be filled immediately, the FOK order has been "
            "rejected. The order will not be recorded in the order history."
        ),
    ),
    Refusal.WOULD_TRIGGER: (-2021, "Order would immediately trigger."),
    Refusal.TOO_MANY_ORDERS: (-2025, "Reach max open order limit."),
    Refusal.SIZE_MAX: (-4005, "Quantity greater than max quantity."),
    Refusal.PRICE_HIGH: (-4016, "Limit price can't be higher than {}."),
    Refusal.PRICE_LOW: (-4024, "Limit price can't be lower than {}."),
    Refusal.AMEND_NOTHING: (-5027, "No need to modify the order."),
    Refusal.SIZE_MIN: (-4004, "Quantity less than min quantity."),
    Refusal.MARKET_BAND: (
        -4131,
        ("The counterparty's best price does not meet the PERCENT_PRICE filter limit."),
    ),
    Refusal.HALTED: (
        -4108,
        "Symbol is on delivering or delivered or settling or closed or pre-trading.",
    ),
    Refusal.POSITION_SIDE: (
        -4061,
        "Order's position side does not match user's setting.",
    ),
    Refusal.MODE_BUSY: (
        -4068,
        "Position side cannot be changed if there exists position.",
    ),
    Refusal.MODE_SAME: (-4059, "No need to change position side."),
    Refusal.MODE_UNKNOWN: (-4060, "Invalid position side."),
}


def binance_error(error: CommandRefusedError) -> BinanceError:
    """Return the venue's own error for a refused command."""
    code, text = _REFUSALS[error.refusal]
    return BinanceError(code, text.format(error.detail))
