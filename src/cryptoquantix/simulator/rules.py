"""How one venue's core differs from another's; it holds no state."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction

NS_PER_HOUR = 3_600_000_000_000


class SelfTrade(StrEnum):
    """What happens where an order would trade with one of the same account."""

    CANCEL_MAKER = "cancel maker"
    CANCEL_TAKER = "cancel taker"
    CANCEL_BOTH = "cancel both"
    ALLOW = "allow"


class PostOnly(StrEnum):
    """What happens to a post-only order that would take."""

    REFUSE = "refuse"  # it is never accepted
    CANCEL = "cancel"  # it is accepted and canceled at once
    ADJUST = "adjust"  # its price is moved to just behind the best opposite one


class Funding(StrEnum):
    """When funding is charged."""

    TIMES = "times"  # at every eighth hour of tape time
    CONTINUOUS = "continuous"  # accrues with time, booked with fills and daily


@dataclass(frozen=True, slots=True)
class VenueRules:
    """
    The laws of a venue's core.

    ``coins`` are the settlement coins, the first being what commands that name none
    mean; ``value_coin`` is what a coin is worth counted in. ``collateral`` are further
    coins that back positions in the first one, each with the part of its worth that
    counts. ``premium_limit`` bounds
    how far the mark may be from the index. Liquidation fees are a fraction of the
    value closed, zero meaning the taker's fee. A market order whose band the best
    opposite price lies outside of, and a fill-or-kill order that cannot be filled,
    are refused where ``..._refuses`` says so, else accepted and expired.
    """

    coins: tuple[str, ...] = ("USDT",)
    value_coin: str = "USDT"
    collateral: tuple[tuple[str, Fraction], ...] = ()
    self_trade: SelfTrade = SelfTrade.CANCEL_MAKER
    post_only: PostOnly = PostOnly.REFUSE
    funding: Funding = Funding.TIMES
    funding_interval_ns: int = 8 * NS_PER_HOUR
    funding_rate: Decimal = Decimal("0.0001")
    funding_damper: Decimal = Decimal("0.0005")
    funding_rate_max: Decimal = Decimal("0.02")
    premium_limit: Fraction = Fraction(1, 20)
    has_hedge_mode: bool = True
    are_client_ids_unique: bool = True
    market_band_refuses: bool = True
    fill_or_kill_refuses: bool = True
    liquidation_fee_rate: Decimal = Decimal(0)
    orders_open_max: int = 200

    @property
    def known_coins(self) -> tuple[str, ...]:
        """The coins an account may hold."""
        return *self.coins, *(coin for coin, _ in self.collateral)


BINANCE = VenueRules()
# Bybit: no self-match prevention unless an order asks for it, post-only orders are
# accepted and then canceled, market orders beyond the band too.
BYBIT = VenueRules(
    collateral=(
        ("USDC", Fraction(1)),
        ("BTC", Fraction(19, 20)),
        ("ETH", Fraction(19, 20)),
    ),
    self_trade=SelfTrade.ALLOW,
    post_only=PostOnly.CANCEL,
    market_band_refuses=False,
    fill_or_kill_refuses=False,
    orders_open_max=500,
)
# Deribit: an incoming order never trades with its own account, labels repeat, and
# funding accrues: within the damper of 0.025 % it is zero, 0.5 % at most.
DERIBIT = VenueRules(
    coins=("BTC", "ETH", "USDC"),
    value_coin="USDC",
    self_trade=SelfTrade.CANCEL_TAKER,
    post_only=PostOnly.ADJUST,
    funding=Funding.CONTINUOUS,
    funding_rate=Decimal(0),
    funding_damper=Decimal("0.00025"),
    funding_rate_max=Decimal("0.005"),
    premium_limit=Fraction(1, 200),
    has_hedge_mode=False,
    are_client_ids_unique=False,
    market_band_refuses=False,
    fill_or_kill_refuses=False,
    orders_open_max=500,
)
