"""Position is the sum of fills, and PnL is what came in less what went out."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from cryptoquantix.core.instrument import InstrumentId
from cryptoquantix.core.order import Fill, Side
from cryptoquantix.orders.ledger import LedgerEntry, apply_fill, replay

BTC = InstrumentId.parse("binance:BTCUSDT-PERP")
ETH = InstrumentId.parse("binance:ETHUSDT-PERP")
LOTS = {BTC: Decimal("0.001"), ETH: Decimal("0.01")}


def fill(number, instrument, side, lots, price, fee="0.1"):
    return Fill(
        trade_id=str(number),
        client_order_id="cqx-a",
        instrument=instrument,
        side=side,
        size_lots=lots,
        price=Decimal(price),
        fee=Decimal(fee),
        fee_currency="USDT",
        venue_time_ns=number,
    )


FILLS = st.lists(
    st.tuples(
        st.sampled_from([BTC, ETH]),
        st.sampled_from(list(Side)),
        st.integers(1, 1000),
        st.integers(1, 10_000),
    ),
    max_size=30,
).map(lambda rows: [fill(i, *row) for i, row in enumerate(rows)])


@given(FILLS)
def test_the_position_is_the_sum_of_the_fills(fills):
    entries = replay(fills, LOTS)
    for instrument in (BTC, ETH):
        total = sum(
            f.side.sign * f.size_lots for f in fills if f.instrument == instrument
        )
        assert entries.get(instrument, LedgerEntry()).size_lots == total


@given(FILLS)
def test_realized_and_open_value_equal_the_cash_that_moved(fills):
    entries = replay(fills, LOTS)
    for instrument, entry in entries.items():
        lot = LOTS[instrument]
        cash = sum(
            -f.side.sign * f.size_lots * lot * f.price
            for f in fills
            if f.instrument == instrument
        )
        open_value = entry.size_lots * lot * entry.entry_price
        assert abs(entry.pnl_realized - open_value - cash) < Decimal("1e-12")


@given(FILLS)
def test_replaying_twice_gives_the_same_ledger(fills):
    assert replay(fills, LOTS) == replay(fills, LOTS)


def test_a_fill_that_crosses_zero_opens_the_rest_at_its_own_price():
    held = apply_fill(LedgerEntry(), fill(1, BTC, Side.BUY, 10, "100"), LOTS[BTC])
    after = apply_fill(held, fill(2, BTC, Side.SELL, 15, "110"), LOTS[BTC])
    assert after.size_lots == -5
    assert after.entry_price == Decimal(110)
    assert after.pnl_realized == Decimal("0.10")
    assert after.fees == {"USDT": Decimal("0.2")}
