"""Whether an address is on this machine: what `cqx up` and arming look at alone."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

from cryptoquantix.apps.settings import Settings
from cryptoquantix.core.errors import SettingsError


def is_loopback(url: str) -> bool:
    """
    Return whether ``url`` points to this machine; a name we cannot judge does not.

    Examples
    --------
    >>> is_loopback("http://127.0.0.1:80"), is_loopback("https://fapi.binance.com")
    (True, False)
    """
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def live_addresses(settings: Settings) -> list[str]:
    """Return the venue addresses that are not on this machine."""
    return [
        url
        for venue in settings.venues.values()
        for url in (venue.rest, venue.ws)
        if not is_loopback(url)
    ]


def refuse_live(settings: Settings, *, is_live: bool, act: str) -> None:
    """
    Let ``act`` pass if every venue is on this machine or ``--live`` was given.

    Raises
    ------
    SettingsError
        If it is a live venue's address and nobody said so.
    """
    live = live_addresses(settings)
    if live and not is_live:
        msg = (
            f"{act} would trade real money at {live[0]}: say --live if that is "
            f"meant, or point [venues] at a simulator"
        )
        raise SettingsError(msg)
