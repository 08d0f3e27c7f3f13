"""Whether an address is on this machine: what `cqx up` and arming look at alone."""

from __future__ import annotations

from cryptoquantix.apps.addresses import is_loopback
from cryptoquantix.apps.settings import Settings
from cryptoquantix.core.errors import SettingsError

__all__ = ["is_loopback", "live_addresses", "refuse_live"]


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
