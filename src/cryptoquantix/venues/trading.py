"""The venue port and the private stream of a venue, by its name; it opens none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from cryptoquantix.core.clock import Clock
from cryptoquantix.core.instrument import Venue
from cryptoquantix.venues.ccxt_bybit import CcxtBybit
from cryptoquantix.venues.ccxt_deribit import CcxtDeribit
from cryptoquantix.venues.ccxt_venue import CcxtBinance
from cryptoquantix.venues.hints import (
    BinanceHints,
    BybitHints,
    DeribitHints,
    HintDialect,
)

type TradingPort = CcxtBinance | CcxtBybit | CcxtDeribit

_PORTS: Final[Mapping[Venue, type[CcxtBinance | CcxtBybit | CcxtDeribit]]] = {
    Venue.BINANCE: CcxtBinance,
    Venue.BYBIT: CcxtBybit,
    Venue.DERIBIT: CcxtDeribit,
}


def trading_port(
    venue: Venue, *, rest: str, key: str, secret: str, clock: Clock
) -> TradingPort:
    """Return the account of ``key`` at ``venue`` as execution needs it."""
    return _PORTS[venue](rest=rest, key=key, secret=secret, clock=clock)


def hint_dialect(
    port: TradingPort,
    *,
    ws: str,
    key: str,
    secret: str,
) -> HintDialect:
    """Return how the private stream of ``port``'s account is opened."""
    if isinstance(port, CcxtBinance):
        return BinanceHints(ws, port.listen_key, port.keep_listen_key)
    kind = BybitHints if isinstance(port, CcxtBybit) else DeribitHints
    return kind(ws, key, secret, port.venue_time_ms)
