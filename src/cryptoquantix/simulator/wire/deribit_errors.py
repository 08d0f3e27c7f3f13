"""A refusal in Deribit's words: code, message and data; it decides nothing."""

from __future__ import annotations

from typing import Any

from cryptoquantix.simulator.refusals import CommandRefusedError, Refusal


class DeribitError(Exception):
    """What goes back as ``{"error": {"code", "message", "data"}}``, HTTP 400."""

    def __init__(
        self, code: int, message: str, data: dict[str, Any] | None = None
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.data = data

    def json(self) -> dict[str, Any]:
        """Return the ``error`` member of a response."""
        body: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.data is not None:
            body["data"] = self.data
        return body


# Codes and names from the venue's list of JSON-RPC error codes. What it answers to a
# reduce-only order without a position and to a fill-or-kill order that cannot be
# filled is not in that list: both are `other_reject` here, with the reason.
_REFUSALS: dict[Refusal, tuple[int, str]] = {
    Refusal.UNKNOWN_SYMBOL: (10020, "invalid_or_unsupported_instrument"),
    Refusal.UNKNOWN_ORDER: (10004, "order_not_found"),
    Refusal.DUPLICATE_CLIENT_ID: (11030, "other_reject"),
    Refusal.REDUCE_ONLY: (11030, "other_reject"),
    Refusal.MARGIN: (10009, "not_enough_funds"),
    Refusal.NOTIONAL: (10002, "qty_too_low"),
    Refusal.POST_ONLY: (11054, "post_only_reject"),
    Refusal.FOK: (11030, "other_reject"),
    Refusal.WOULD_TRIGGER: (11036, "invalid_trigger_price"),
    Refusal.TOO_MANY_ORDERS: (11030, "other_reject"),
    Refusal.SIZE_MIN: (10002, "qty_too_low"),
    Refusal.SIZE_MAX: (10021, "invalid_amount"),
    Refusal.PRICE_HIGH: (10007, "price_too_high"),
    Refusal.PRICE_LOW: (10005, "price_too_low"),
    Refusal.HALTED: (13028, "temporarily_unavailable"),
    Refusal.AMEND_NOTHING: (11030, "other_reject"),
}


def deribit_error(refused: CommandRefusedError) -> DeribitError:
    """Return the venue's own error for a refused command."""
    code, message = _REFUSALS.get(refused.refusal, (11030, "other_reject"))
    data = {"reason": str(refused)} if code == 11030 else None
    if refused.detail and code in {10005, 10007}:
        message = f"{message} {refused.detail}"
    return DeribitError(code, message, data)


def invalid_parameter(name: str, reason: str) -> DeribitError:
    """Return the venue's error for a parameter that is missing or wrong."""
    return DeribitError(-32602, "Invalid params", {"reason": reason, "param": name})


def unauthorized(reason: str) -> DeribitError:
    """Return the venue's error for a call without (enough of) a login."""
    return DeribitError(13009, "unauthorized", {"reason": reason})


def invalid_credentials() -> DeribitError:
    """Return the venue's error for a wrong key, secret, signature or nonce."""
    return DeribitError(13004, "invalid_credentials")


def too_many_requests() -> DeribitError:
    """Return the venue's error for spent credits."""
    return DeribitError(10028, "too_many_requests")
