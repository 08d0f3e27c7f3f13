"""Where venues are, and whether an address is on this machine; it resolves no name."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

# Addresses of each venue's documentation: (testnet, live), REST before streams.
ADDRESSES: Final = {
    "binance": (
        ("https://testnet.binancefuture.com", "wss://fstream.binancefuture.com"),
        ("https://fapi.binance.com", "wss://fstream.binance.com"),
    ),
    "bybit": (
        ("https://api-testnet.bybit.com", "wss://stream-testnet.bybit.com"),
        ("https://api.bybit.com", "wss://stream.bybit.com"),
    ),
    "deribit": (
        ("https://test.deribit.com", "wss://test.deribit.com"),
        ("https://www.deribit.com", "wss://www.deribit.com"),
    ),
}


def _spelled(*schemes: str) -> AfterValidator:
    """Check that a setting is an address of ``schemes``; it may hold a password."""

    def check(url: str) -> str:
        try:
            parts = urlsplit(url)
            _ = parts.port  # raises where it is none
            is_address = bool(parts.scheme in schemes and parts.hostname)
        except ValueError:
            is_address = False
        if not is_address:
            spelled = " or ".join(f"{one}://host:port" for one in schemes)
            # A type of its own: the value is not repeated.
            kind = "address"
            raise PydanticCustomError(kind, "must be {spelled}", {"spelled": spelled})
        return url

    return AfterValidator(check)


Web = Annotated[str, _spelled("http", "https")]
WebSocket = Annotated[str, _spelled("ws", "wss")]
Bus = Annotated[str, _spelled("nats", "tls", "ws", "wss")]


def is_loopback(url: str) -> bool:
    """
    Return whether ``url`` points to this machine; a name we cannot judge does not.

    Examples
    --------
    >>> is_loopback("http://127.0.0.1:80"), is_loopback("https://fapi.binance.com")
    (True, False)
    """
    try:
        host = urlsplit(url).hostname or ""
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
