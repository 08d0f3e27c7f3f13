"""Which API keys a deployment needs before it starts; it asks no venue about them."""

from __future__ import annotations

from cryptoquantix.apps.addresses import is_loopback
from cryptoquantix.apps.settings import KeySettings, Settings
from cryptoquantix.core.errors import SettingsError


def missing_keys(settings: Settings) -> list[str]:
    """
    Return the settings of keys that are empty, by their names.

    Execution's are needed where a strategy trades, the risk daemon's where the daemon
    runs on this machine.
    """
    wanted: dict[str, KeySettings] = {}
    for name, venue in settings.venues.items():
        if settings.strategies:
            wanted[f"venues.{name}"] = venue
        if is_loopback(settings.risk.url):
            wanted[f"venues.{name}.risk"] = venue.risk
    return [
        f"{table}.{part}"
        for table, keys in wanted.items()
        for part, value in (("key", keys.key), ("secret", keys.secret))
        if not value.get_secret_value()
    ]


def refuse_keyless(settings: Settings) -> None:
    """
    Let a deployment pass whose services will find their keys.

    Raises
    ------
    SettingsError
        If a key is empty. A paper account makes its own up.
    """
    is_paper = settings.simulator.source == "venue"
    missing = [] if is_paper else missing_keys(settings)
    if missing:
        msg = (
            f"no value for {', '.join(missing)}: the venue's own, or a simulator's "
            f"(`cqx init --simulator-json` writes those of `cqx simulate --json`)"
        )
        raise SettingsError(msg)
