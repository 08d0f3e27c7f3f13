"""Names of Deribit's channels taken apart; it sends nothing."""

from __future__ import annotations

import re
from typing import NamedTuple

_NAME = r"[A-Za-z0-9_]{1,20}-PERPETUAL"
_COIN = r"[A-Za-z]{2,6}"
_WIDE = (
    rf"(?:(?P<symbol>{_NAME})"
    rf"|(?P<kind>any|future|option|spot|combo|future_combo|option_combo)"
    rf"\.(?P<coin>{_COIN}))"
)
_PUBLIC = re.compile(
    rf"(?:(?P<plain>trades|ticker)\.(?P<s1>{_NAME})\.(?P<i1>raw|100ms|agg2)"
    rf"|book\.(?P<s2>{_NAME})\."
    r"(?:(?P<group>none|1|2|5|10|25|100|250)\.(?P<depth>1|10|20)\.)?"
    r"(?P<i2>raw|100ms|agg2)"
    rf"|quote\.(?P<s3>{_NAME})"
    rf"|perpetual\.(?P<s5>{_NAME})\.(?P<i5>raw|100ms|agg2)"
    r"|deribit_price_index\.(?P<index>[a-z0-9]{2,20}_[a-z]{2,6})"
    rf"|chart\.trades\.(?P<s4>{_NAME})\.(?P<resolution>\d{{1,3}}|1D))\Z"
)
_PRIVATE = re.compile(
    rf"user\.(?:(?P<what>orders|trades|changes)\.{_WIDE}\.(?P<interval>raw|100ms|agg2)"
    rf"|portfolio\.(?P<currency>{_COIN}))\Z"
)


class Channel(NamedTuple):
    """
    What a channel is of: ``symbol`` or ``coin`` are empty where it is of any.

    ``interval`` is ``raw`` where every change is told at once; ``resolution`` is a
    bar's, or the name of a price index.
    """

    name: str
    what: str
    symbol: str = ""
    coin: str = ""
    interval: str = "raw"
    resolution: str = ""
    depth: int = 0
    is_perpetual: bool = True

    @property
    def is_private(self) -> bool:
        """Whether it tells of an account."""
        return self.name.startswith("user.")

    @property
    def is_raw(self) -> bool:
        """Whether only somebody logged in may have it."""
        return not self.is_private and self.name.endswith(".raw")

    def covers(self, symbol: str, settlement: str) -> bool:
        """Return whether an instrument belongs to a channel of an account."""
        if not self.is_perpetual:
            return False
        return self.symbol in {"", symbol} and self.coin in {"", settlement}


def parse_channel(name: str) -> Channel | None:
    """
    Return the channel of a name, None if there is no such kind of channel.

    Examples
    --------
    >>> parse_channel("book.BTC-PERPETUAL.100ms").what
    'book'
    >>> parse_channel("user.trades.any.BTC.raw").coin
    'BTC'
    >>> parse_channel("weather.BTC-PERPETUAL") is None
    True
    """
    return _private(name) if name.startswith("user.") else _public(name)


def _public(name: str) -> Channel | None:
    found = _PUBLIC.match(name)
    if found is None:
        return None
    part = found.groupdict()
    what = "levels" if part["depth"] else "book"
    depth = int(part["depth"] or 0)
    resolution = part["resolution"] or ""
    kinds = (
        (part["s1"], Channel(name, part["plain"], part["s1"], interval=part["i1"])),
        (part["s2"], Channel(name, what, part["s2"], interval=part["i2"], depth=depth)),
        (part["s3"], Channel(name, "quote", part["s3"])),
        (part["s4"], Channel(name, "chart", part["s4"], resolution=resolution)),
        (part["s5"], Channel(name, "perpetual", part["s5"], interval=part["i5"])),
        (part["index"], Channel(name, "index", resolution=part["index"])),
    )
    return next(channel for is_it, channel in kinds if is_it)


def _private(name: str) -> Channel | None:
    found = _PRIVATE.match(name)
    if found is None:
        return None
    part = found.groupdict()
    if part["currency"]:
        coin = part["currency"].upper()
        return Channel(name, "portfolio", coin="" if coin == "ANY" else coin)
    coin = (part["coin"] or "").upper()
    return Channel(
        name,
        part["what"],
        part["symbol"] or "",
        "" if coin == "ANY" else coin,
        part["interval"],
        is_perpetual=part["kind"] in {None, "any", "future"},
    )
