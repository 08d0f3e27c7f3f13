"""Which owner acts at which venue; it opens no account."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from cryptoquantix.core.clock import Clock
from cryptoquantix.core.errors import SettingsError
from cryptoquantix.drills.account import AccountOwner
from cryptoquantix.drills.binance_owner import BinanceOwner
from cryptoquantix.drills.bybit_owner import BybitOwner
from cryptoquantix.drills.deribit_owner import DeribitOwner

_OWNERS: Final[Mapping[str, Callable[[str, str, str, Clock], AccountOwner]]] = {
    "binance": BinanceOwner,
    "bybit": BybitOwner,
    "deribit": DeribitOwner,
}
VENUES: Final = tuple(_OWNERS)


def owner_of(venue: str, where: Mapping[str, Any], clock: Clock) -> AccountOwner:
    """
    Return the owner of the account at ``venue``.

    ``where`` has ``rest``, ``key`` and ``secret``, as the simulator's line does.

    Raises
    ------
    SettingsError
        If drills know no such venue.
    """
    if venue not in _OWNERS:
        msg = f"drills know {', '.join(VENUES)}, not {venue!r}"
        raise SettingsError(msg)
    return _OWNERS[venue](where["rest"], where["key"], where["secret"], clock)
