"""What a method of Deribit's API gets to see, and how it is registered; no method."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from cryptoquantix.simulator.conditional import ConditionalExchange
from cryptoquantix.simulator.listing import Listing
from cryptoquantix.simulator.market import Market
from cryptoquantix.simulator.wire.deribit_auth import Gate
from cryptoquantix.simulator.wire.deribit_errors import (
    DeribitError,
    invalid_parameter,
)
from cryptoquantix.simulator.wire.deribit_requests import Parameters
from cryptoquantix.simulator.wire.deribit_session import Session

# Coins the venue knows; an account has money in those its instruments settle in.
CURRENCIES = {
    "BTC": "Bitcoin",
    "ETH": "Ethereum",
    "USDC": "USD Coin",
    "SOL": "Solana",
    "USDT": "Tether USD",
}
KINDS = {
    "any",
    "future",
    "option",
    "spot",
    "future_combo",
    "option_combo",
    "combo",
}


class Subscriptions(Protocol):
    """Who listens to what, as methods change it."""

    def subscribe(self, session: Session, names: Sequence[str]) -> list[str]:
        """Add channels to a connection and return those it has of them."""

    def unsubscribe(self, session: Session, names: Sequence[str]) -> list[str]:
        """Take channels from a connection and return those it had of them."""


@dataclass(slots=True)
class VenueState:
    """
    What the wire keeps beside the core.

    ``cancels_on_disconnect`` are accounts whose new connections start with the
    dead-man's switch on. ``days`` are the last 24 hours of instruments, as a ticker
    tells of them.
    """

    exchange: ConditionalExchange
    gate: Gate
    cancels_on_disconnect: set[int] = field(default_factory=set)
    subscriptions: Subscriptions | None = None
    days: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Call:
    """One checked call: who, when and what."""

    state: VenueState
    parameters: Parameters
    session: Session
    time_ns: int

    @property
    def exchange(self) -> ConditionalExchange:
        """The venue's core."""
        return self.state.exchange

    @property
    def account_id(self) -> int:
        """The account that calls."""
        return self.session.account_id

    def market(self, name: str = "instrument_name") -> Market:
        """Return the instrument a parameter names; 10020 if there is none."""
        symbol = self.parameters.text(name)
        market = self.exchange.markets.get(symbol)
        if market is None:
            raise DeribitError(10020, "invalid_or_unsupported_instrument")
        return market

    def currency(self, default: str | None = None) -> str:
        """Return the coin asked for, or ``any``; -32602 for one nobody knows."""
        coin = self.parameters.text("currency", default).upper()
        if coin == "ANY":
            return "any"
        if coin not in CURRENCIES:
            raise invalid_parameter(name="currency", reason="invalid currency")
        return coin

    def is_perpetual_wanted(self) -> bool:
        """Return whether the kind asked for includes perpetuals, the only ones."""
        return self.parameters.choice("kind", KINDS, "any") in {"any", "future"}

    def listed(self, coin: str) -> list[Market]:
        """Return the instruments that settle in ``coin`` and are of the kind asked."""
        if not self.is_perpetual_wanted():
            return []
        return [
            market
            for market in self.exchange.markets.values()
            if coin in {"any", market.listing.settlement}
        ]


class Method(NamedTuple):
    """One method: what carries it out and what it asks of the caller."""

    handler: Callable[[Call], object]
    parameters: frozenset[str] = frozenset()
    right: str = ""
    is_matching: bool = False
    is_socket_only: bool = False


def public(handler: Callable[[Call], object], *parameters: str) -> Method:
    """Return a method anybody may call."""
    return Method(handler, frozenset(parameters))


def private(
    handler: Callable[[Call], object],
    *parameters: str,
    right: str = "trade:read",
    is_matching: bool = False,
) -> Method:
    """Return a method that needs a login with ``right``."""
    return Method(handler, frozenset(parameters), right, is_matching)


def is_within(listing: Listing, coin: str) -> bool:
    """Return whether an instrument settles in ``coin``, which may be ``any``."""
    return coin in {"any", listing.settlement}
