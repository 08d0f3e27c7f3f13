"""What can fail, and where each kind takes effect; it makes nothing fail."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Kind(StrEnum):
    """What can fail. The comment behind a group says where it takes effect."""

    # A REST request, before it is carried out (or after it: a lost answer).
    LATENCY = "latency"
    LOST_ANSWER = "lost-answer"
    LATE_ANSWER = "late-answer"
    WRONG_NUMBERS = "wrong-numbers"
    TOO_MANY_REQUESTS = "429"
    BANNED = "418"
    FORBIDDEN = "403"
    BAD_GATEWAY = "502"
    OVERLOADED = "503"
    KEEP_ALIVE_REFUSED = "keep-alive-refused"
    # Login: a request or a WebSocket message.
    SLOW_AUTH = "slow-auth"
    AUTH_REFUSED = "auth-refused"
    # A WebSocket handshake.
    HANDSHAKE_REFUSED = "handshake-429"
    # Frames on their way out.
    DELAYED_EVENTS = "delayed-events"
    DUPLICATED_EVENTS = "duplicated-events"
    REORDERED_EVENTS = "reordered-events"
    BOOK_GAP = "book-gap"
    FROZEN_FEED = "frozen-feed"
    HALF_OPEN = "half-open"
    NO_PONG = "no-pong"
    # Something that happens once, to every connection or to the account.
    DISCONNECT = "disconnect"
    RESET = "reset"
    ERROR_FRAME = "error-frame"
    UNKNOWN_CHANNEL = "unknown-channel"
    SESSION_EXPIRED = "session-expired"
    POSITION_MODE = "position-mode"
    DEPOSIT = "deposit"
    WITHDRAWAL = "withdrawal"
    EXTERNAL_FILL = "external-fill"
    ADL = "adl"
    # Something that happens once the account is flat, within the fault's time.
    LATE_FILL = "late-fill"
    # A state that holds for the fault's time.
    CLOCK_SKEW = "clock-skew"
    PRICE_BAND = "price-band"
    MAINTENANCE = "maintenance"
    OUTAGE = "outage"


ANSWERS: Final = frozenset(
    {
        Kind.TOO_MANY_REQUESTS,
        Kind.BANNED,
        Kind.FORBIDDEN,
        Kind.BAD_GATEWAY,
        Kind.OVERLOADED,
        Kind.KEEP_ALIVE_REFUSED,
        Kind.AUTH_REFUSED,
        Kind.MAINTENANCE,
    }
)
WAITS: Final = frozenset({Kind.LATENCY, Kind.SLOW_AUTH})
FRAMES: Final = frozenset(
    {
        Kind.DELAYED_EVENTS,
        Kind.DUPLICATED_EVENTS,
        Kind.REORDERED_EVENTS,
        Kind.BOOK_GAP,
        Kind.FROZEN_FEED,
        Kind.HALF_OPEN,
        Kind.NO_PONG,
    }
)
ONCE: Final = frozenset(
    {
        Kind.DISCONNECT,
        Kind.RESET,
        Kind.ERROR_FRAME,
        Kind.UNKNOWN_CHANNEL,
        Kind.SESSION_EXPIRED,
        Kind.POSITION_MODE,
        Kind.DEPOSIT,
        Kind.WITHDRAWAL,
        Kind.EXTERNAL_FILL,
        Kind.ADL,
    }
)
OUTAGES: Final = ("refuse", "hang", "503")

# Kinds that a seed may plan: those that hurt and pass, not those that move money.
SEEDED: Final = (
    Kind.LATENCY,
    Kind.LOST_ANSWER,
    Kind.TOO_MANY_REQUESTS,
    Kind.BAD_GATEWAY,
    Kind.OVERLOADED,
    Kind.DELAYED_EVENTS,
    Kind.DUPLICATED_EVENTS,
    Kind.REORDERED_EVENTS,
    Kind.BOOK_GAP,
    Kind.FROZEN_FEED,
    Kind.HALF_OPEN,
    Kind.NO_PONG,
    Kind.DISCONNECT,
    Kind.RESET,
    Kind.ERROR_FRAME,
    Kind.UNKNOWN_CHANNEL,
    Kind.SESSION_EXPIRED,
    Kind.MAINTENANCE,
)
