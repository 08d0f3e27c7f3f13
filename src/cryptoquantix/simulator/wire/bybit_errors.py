"""A refusal in Bybit's words: ``retCode`` and text; it decides nothing."""

from __future__ import annotations

from cryptoquantix.simulator.refusals import CommandRefusedError, Refusal


class BybitError(Exception):
    """What goes back as ``retCode`` and ``retMsg``; HTTP 200 unless said otherwise."""

    def __init__(self, code: int, text: str, *, status: int = 200) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code
        self.text = text
        self.status = status


UNKNOWN_ORDER = "order not exists or too late to cancel"

# Codes from the venue's error page. Post-only and fill-or-kill are missing: the
# venue accepts such orders and cancels them with a reason.
_REFUSALS: dict[Refusal, tuple[int, str]] = {
    Refusal.UNKNOWN_SYMBOL: (10001, "params error: symbol invalid"),
    Refusal.UNKNOWN_ORDER: (110001, UNKNOWN_ORDER),
    Refusal.DUPLICATE_CLIENT_ID: (110072, "OrderLinkedID is duplicate"),
    Refusal.REDUCE_ONLY: (
        110017,
        "current position is zero, cannot fix reduce-only order qty",
    ),
    Refusal.MARGIN: (110007, "ab not enough for new order"),
    Refusal.NOTIONAL: (110094, "Order does not meet minimum order value {}USDT"),
    Refusal.WOULD_TRIGGER: (110093, "trigger price is already reached"),
    Refusal.TOO_MANY_ORDERS: (110020, "too many active orders"),
    Refusal.SIZE_MAX: (
        10001,
        "The number of contracts exceeds maximum limit allowed: too large",
    ),
    Refusal.SIZE_MIN: (10001, "params error: qty is below the minimum"),
    Refusal.MARKET_BAND: (110003, "Order price exceeds the allowable range"),
    Refusal.HALTED: (110074, "This contract is not live"),
    Refusal.POSITION_SIDE: (10001, "position idx not match position mode"),
    Refusal.MODE_BUSY: (
        110024,
        "You have an existing position or order, so position mode cannot be switched",
    ),
    Refusal.MODE_SAME: (110025, "Position mode is not modified"),
    Refusal.PRICE_HIGH: (110003, "Order price exceeds the allowable range: max {}"),
    Refusal.PRICE_LOW: (110003, "Order price exceeds the allowable range: min {}"),
    Refusal.AMEND_NOTHING: (
        10001,
        (
            "The order remains unchanged as the parameters entered match the "
            "existing ones."
        ),
    ),
}


def bybit_error(error: CommandRefusedError) -> BybitError:
    """Return the venue's own error for a refused command."""
    code, text = _REFUSALS.get(error.refusal, (10001, f"params error: {error}"))
    return BybitError(code, text.format(error.detail))


def bad_parameter(text: str) -> BybitError:
    """Return 10001, the venue's code for any parameter it does not take."""
    return BybitError(10001, f"params error: {text}")
