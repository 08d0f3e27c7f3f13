"""
What Bybit tells about orders and positions that the core does not keep.

It only listens to the core's events: prices at an order's creation, realized PnL
over a position's whole life, funding as executions. It decides nothing.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from cryptoquantix.simulator.accounts import Holding, Leg
from cryptoquantix.simulator.conditional import ConditionalExchange
from cryptoquantix.simulator.market import Market
from cryptoquantix.simulator.orders import (
    AlgoChanged,
    AlgoOrder,
    FillDetail,
    FundsChanged,
    ModeChanged,
    OrderChanged,
    VenueEvent,
    VenueOrder,
)
from cryptoquantix.simulator.wire.bybit_ids import UNNAMED, trimmed

FACTS_KEPT = 100_000
CHARGES_KEPT = 10_000
_DAY_FIGURES_NS = 1_000_000_000


class Charge(NamedTuple):
    """Funding charged to one position, as it was then; ``units`` as booked."""

    id: int
    held: Holding
    mark_ticks: int
    units: int
    time_ns: int


@dataclass(slots=True)
class PositionFacts:
    """Realized PnL of one position, with fees and funding, in units."""

    created_ns: int
    current_units: int = 0
    total_units: int = 0


@dataclass(frozen=True, slots=True)
class Protection:
    """Take profit and stop loss of a position, in ticks; zero is none."""

    take_profit_ticks: int = 0
    stop_loss_ticks: int = 0
    take_profit_by: str = "CONTRACT_PRICE"
    stop_loss_by: str = "CONTRACT_PRICE"


class DayFigures(NamedTuple):
    """What the last 24 hours, and the last one, were like, in ticks and lots."""

    open: int
    hour_open: int
    high: int
    low: int
    lots: int
    value: int


@dataclass(slots=True)
class DeadMan:
    """The disconnection protection of one account."""

    window_seconds: int
    since_ns: int | None = None


@dataclass(slots=True)
class BybitState:
    """What the wire keeps beside the core."""

    exchange: ConditionalExchange
    seed: str = ""
    now_ns: int = 0
    created_ticks: dict[int, int] = field(default_factory=dict)
    created_algo_ticks: dict[int, int] = field(default_factory=dict)
    positions: dict[tuple[int, str, Leg], PositionFacts] = field(default_factory=dict)
    charges: dict[int, deque[Charge]] = field(default_factory=dict)
    attached: dict[int, Protection] = field(default_factory=dict)
    dead_men: dict[int, DeadMan] = field(default_factory=dict)
    client_ids_made: int = 0
    charges_made: int = 0
    connections_made: int = 0
    _days: dict[str, tuple[int, DayFigures]] = field(default_factory=dict)

    def new_client_id(self) -> str:
        """Return a client id for an order that was sent without one."""
        self.client_ids_made += 1
        return f"{UNNAMED}{self.client_ids_made}"

    def attach(self, order_id: int, protection: Protection) -> None:
        """Note what an order's first fill is to be protected by."""
        _keep(self.attached, order_id, protection)

    def parent_of(self, order: VenueOrder) -> AlgoOrder | None:
        """Return the conditional order that ``order`` was before it triggered."""
        algo = self.exchange.find_algo(order.account_id, order.request.client_id)
        if algo is None or algo.triggered_ns > order.created_ns:
            return None
        return algo if algo.triggered_ns else None

    def funding_rate_text(self, market: Market) -> str:
        """Return the rate of the next funding, as a fraction."""
        return trimmed(f"{market.funding_rate(self.exchange.rules):f}")

    def past_fundings(self, market: Market) -> list[tuple[int, str]]:
        """Return (time, rate) of every funding so far, oldest first."""
        return [(paid.time_ns, trimmed(f"{paid.rate:f}")) for paid in market.fundings]

    def open_interest_lots(self, market: Market) -> int:
        """Return the lots that accounts hold long, which the makers hold short."""
        symbol = market.listing.symbol
        return sum(
            max(0, account.size_lots(symbol, leg))
            for account in self.exchange.clearing.accounts.values()
            for leg in Leg
        )

    def day_of(self, market: Market, time_ns: int) -> DayFigures:
        """
        Return the figures of the last day, a second old at most.

        Of hundreds of instruments they are older, a second for each twenty: a day is
        1 440 bars to add up.
        """
        symbol = market.listing.symbol
        known = self._days.get(symbol)
        age_ns = _DAY_FIGURES_NS * max(1, len(self.exchange.markets) // 20)
        if known is not None and 0 <= time_ns - known[0] < age_ns:
            return known[1]
        figures = day_figures(market)
        self._days[symbol] = time_ns, figures
        return figures

    # What happened.

    def take(self, events: Iterable[VenueEvent]) -> list[Charge]:
        """Note what events tell, and return the funding charges among them."""
        charges: list[Charge] = []
        for event in events:
            if isinstance(event, OrderChanged):
                self._take_order(event)
            elif isinstance(event, AlgoChanged):
                _keep(
                    self.created_algo_ticks,
                    event.algo.id,
                    self.exchange.markets[event.algo.listing.symbol].price_ticks,
                )
            elif isinstance(event, FundsChanged) and event.reason == "FUNDING_FEE":
                charges += self._take_charge(event)
            elif isinstance(event, ModeChanged):
                for symbol in [event.symbol] if event.symbol else self.exchange.markets:
                    self._take_mode(event.account_id, symbol)
        return charges

    def _take_order(self, event: OrderChanged) -> None:
        order = event.order
        if event.fill is not None:
            self._take_fill(event.fill)
        elif event.execution == "NEW":
            market = self.exchange.markets[order.listing.symbol]
            _keep(self.created_ticks, order.id, market.price_ticks)

    def _take_fill(self, fill: FillDetail) -> None:
        request = fill.order.request
        key = fill.order.account_id, request.symbol, request.leg
        facts = self.positions.get(key)
        if facts is None:
            facts = self.positions[key] = PositionFacts(fill.time_ns)
        before = fill.position_after - request.side.sign * fill.size_lots
        if before * fill.position_after <= 0 and fill.position_after:
            # Opened, or turned round: a new position that begins with its fee.
            facts.total_units += fill.realized_units
            facts.created_ns = fill.time_ns
            facts.current_units = 0
        else:
            facts.current_units += fill.realized_units
            facts.total_units += fill.realized_units
        facts.current_units -= fill.fee_units
        facts.total_units -= fill.fee_units

    def _take_mode(self, account_id: int, symbol: str) -> None:
        """Hand what a position has realized to the leg it has become."""
        found = [self.positions.pop((account_id, symbol, leg), None) for leg in Leg]
        known = [facts for facts in found if facts is not None]
        if not known:
            return
        account = self.exchange.clearing.accounts[account_id]
        legs = account.legs(symbol)
        leg = next((x for x in legs if account.size_lots(symbol, x)), legs[0])
        self.positions[account_id, symbol, leg] = PositionFacts(
            min(facts.created_ns for facts in known),
            sum(facts.current_units for facts in known),
            sum(facts.total_units for facts in known),
        )

    def _take_charge(self, event: FundsChanged) -> list[Charge]:
        held = self._charged(event)
        if held is None:
            return []
        self.charges_made += 1
        charge = Charge(
            self.charges_made,
            copy.copy(held),
            self.exchange.markets[event.symbol].mark_ticks,
            event.change_units,
            event.time_ns,
        )
        kept = self.charges.setdefault(event.account_id, deque(maxlen=CHARGES_KEPT))
        kept.append(charge)
        facts = self.positions.get((event.account_id, event.symbol, held.leg))
        if facts is not None:
            facts.current_units += event.change_units
            facts.total_units += event.change_units
        return [charge]

    def _charged(self, event: FundsChanged) -> Holding | None:
        """Return the position that was charged; of two legs only one pays."""
        account = self.exchange.clearing.accounts[event.account_id]
        legs = [account.held(event.symbol, leg) for leg in account.legs(event.symbol)]
        held = [h for h in legs if h is not None and h.size_lots]
        if len(held) < 2:
            return held[0] if held else None
        rate = self.exchange.markets[event.symbol].funding_rate(self.exchange.rules)
        payer = 1 if rate > 0 else -1
        sign = payer if event.change_units < 0 else -payer
        return next((h for h in held if h.sign == sign), None)


def day_figures(market: Market) -> DayFigures:
    """Return the figures of the last 1 440 minutes of the tape."""
    price = market.price_ticks
    bars = market.history.bars("1m", None, None, 1440)
    if not bars:
        return DayFigures(price, price, price, price, 0, 0)
    return DayFigures(
        open=bars[0].open,
        hour_open=bars[-60 if len(bars) >= 60 else 0].open,
        high=max(b.high for b in bars),
        low=min(b.low for b in bars),
        lots=sum(b.lots for b in bars),
        value=sum(b.value for b in bars),
    )


def _keep[Fact](facts: dict[int, Fact], number: int, value: Fact) -> None:
    facts.setdefault(number, value)
    if len(facts) > FACTS_KEPT:
        del facts[next(iter(facts))]
