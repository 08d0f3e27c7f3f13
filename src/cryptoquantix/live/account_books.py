"""
What a venue's account earned by our fills and funding; it knows no strategy.

Strategies that hold an instrument against each other have open trades where the account
is flat, so that what the account realized is no sum of theirs. And venues keep money
to eight decimals: they book each fill rounded, and rounding once at the end would
leave the journal off by a unit or two a fill, of an inverse contract above all, whose
value in coins never divides evenly.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final

from cryptoquantix.core.quantity import from_steps
from cryptoquantix.journal.records import FillRecord, FlowRecord

# Binance, Bybit and Deribit all tell balances with eight decimals, of every coin.
_UNIT: Final = Decimal("1e-8")


@dataclass(slots=True)
class Earned:
    """What a venue's account earned in one coin up to a time, by our fills."""

    time_ns: int
    venue: str
    currency: str
    pnl: Decimal = Decimal(0)
    fees: Decimal = Decimal(0)
    funding: Decimal = Decimal(0)

    @property
    def net(self) -> Decimal:
        """The change of the balance that our fills and funding explain."""
        return self.pnl - self.fees + self.funding


@dataclass(slots=True)
class AccountPosition:
    """
    What the account holds of one instrument, at its cost.

    ``lots`` is signed, and ``cost`` has its sign: the value, in the settlement coin,
    of what is held when it was opened. A fill's value is rounded once, and so are the
    part of it that closes and the cost that this releases; what opens is the rest.
    """

    lots: int = 0
    cost: Decimal = Decimal(0)

    def take(self, fill: FillRecord) -> Decimal:
        """Apply a fill; return the PnL it realized, as the venue books it."""
        sign = fill.side.sign
        value = _value(fill, fill.size_lots)
        closing = 0
        if self.lots * sign < 0:
            closing = min(abs(self.lots), fill.size_lots)
        closed = released = Decimal(0)
        if closing:
            closed = _value(fill, closing)
            released = _booked(self.cost * closing / abs(self.lots))
        self.cost += sign * (value - closed) - released
        self.lots += sign * fill.size_lots
        gained = -sign * closed - released
        return -gained if fill.is_inverse else gained


class AccountBooks:
    """Every account's positions and earnings; ``earned`` grows with each booking."""

    def __init__(self) -> None:
        self._positions: dict[str, AccountPosition] = defaultdict(AccountPosition)
        self._earned: dict[tuple[str, str], Earned] = {}
        self.earned: list[Earned] = []

    def take_fill(self, fill: FillRecord) -> None:
        """Apply a fill: what it realized, and its fee."""
        realized = self._positions[fill.instrument].take(fill)
        fee, at_ns = Decimal(fill.fee), fill.venue_time_ns
        currency = fill.settlement or fill.fee_currency
        if fill.fee_currency == currency:
            self._earn(fill.instrument, currency, at_ns, pnl=realized, fees=fee)
        else:
            self._earn(fill.instrument, currency, at_ns, pnl=realized)
            self._earn(fill.instrument, fill.fee_currency, at_ns, fees=fee)

    def take_flow(self, flow: FlowRecord) -> None:
        """Apply funding."""
        cash, at_ns = Decimal(flow.cash), flow.venue_time_ns
        self._earn(flow.instrument, flow.currency, at_ns, funding=cash)

    def _earn(
        self, instrument: str, currency: str, time_ns: int, **amounts: Decimal
    ) -> None:
        if not any(amounts.values()):
            return
        venue = instrument.partition(":")[0]
        before = self._earned.get((venue, currency), Earned(0, venue, currency))
        after = Earned(
            time_ns=time_ns,
            venue=venue,
            currency=currency,
            pnl=before.pnl + amounts.get("pnl", 0),
            fees=before.fees + amounts.get("fees", 0),
            funding=before.funding + amounts.get("funding", 0),
        )
        self._earned[venue, currency] = after
        self.earned.append(after)


def _value(fill: FillRecord, lots: int) -> Decimal:
    """Return what ``lots`` of a fill were worth, in the coin it settles in."""
    size, price = from_steps(lots, Decimal(fill.lot_size)), Decimal(fill.price)
    return _booked(size / price if fill.is_inverse else size * price)


def _booked(value: Decimal) -> Decimal:
    return value.quantize(_UNIT, ROUND_HALF_EVEN)
