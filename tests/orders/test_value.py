"""Dollars are dollars: an inverse lot's worth does not move with the price."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from cryptoquantix.core.instrument import Instrument, InstrumentId
from cryptoquantix.core.order import Fill, Side
from cryptoquantix.orders.ledger import LedgerEntry, apply_fill
from cryptoquantix.orders.value import lot_quote, pnl, wanted_lots

INVERSE = Instrument(
    id=InstrumentId.parse("deribit:BTCUSD-PERP"),
    tick_size=Decimal("0.5"),
    lot_size=Decimal(10),
    notional_min=Decimal(10),
    settlement="BTC",
    base="BTC",
    quote="USD",
    is_inverse=True,
)


@given(st.integers(1, 10**6))
def test_an_inverse_target_is_a_number_of_dollars_at_any_price(price):
    assert wanted_lots(-0.5, Decimal(1000), Decimal(price), INVERSE) == -50
    assert lot_quote(INVERSE, Decimal(price)) == 10


@given(
    st.lists(
        st.tuples(st.booleans(), st.integers(1, 100), st.integers(1000, 100_000)),
        min_size=1,
        max_size=30,
    )
)
def test_an_inverse_ledger_earns_the_coins_that_its_fills_paid(fills):
    """Coins: each dollar bought at p costs 1/p coins of short exposure."""
    entry, coins, held = LedgerEntry(), Decimal(0), 0
    for number, (is_buy, lots, price) in enumerate(fills):
        side = Side.BUY if is_buy else Side.SELL
        fill = Fill(
            str(number),
            "x",
            INVERSE.id,
            side,
            lots,
            Decimal(price),
            Decimal(0),
            "BTC",
            0,
        )
        entry = apply_fill(entry, fill, INVERSE.lot_size, is_inverse=True)
        coins += side.sign * lots * INVERSE.lot_size / Decimal(price)
        held += side.sign * lots
    mark = Decimal(50_000)
    worth = coins - held * INVERSE.lot_size / mark
    unrealized = Decimal(0)
    if held:
        unrealized = pnl(True, held * INVERSE.lot_size, entry.entry_price, mark)
    assert abs(entry.pnl_realized + unrealized - worth) < Decimal("1e-18")
    assert entry.size_lots == held
