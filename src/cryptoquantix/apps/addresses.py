"""Whether an address is on this machine; it resolves no name."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit


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
