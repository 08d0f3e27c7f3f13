"""Where venues are, and whether an address is on this machine; it resolves no name."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

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
