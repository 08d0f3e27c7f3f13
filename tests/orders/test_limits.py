"""What stops an increase never stops a reduction; only a check approves."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryptoquantix.control.permit import Permit, PermitAnswer, PermitMode
from cryptoquantix.core.instrument import Instrument, InstrumentId
from cryptoquantix.core.order import Increase, Reduction, Side
from cryptoquantix.orders.exposure import Exposure
from cryptoquantix.orders.limits import (
    ORDERS_PER_TEN_SECONDS_MAX,
    Approved,
    LimitSettings,
    Refused,
    Surroundings,
    check_order,
    order_max_lots,
    room_lots,
)

BTC = InstrumentId.parse("binance:BTCUSDT-PERP")
INSTRUMENT = Instrument(
    id=BTC,
    tick_size=Decimal("0.1"),
    lot_size=Decimal("0.001"),
    notional_min=Decimal(5),
    settlement="USDT",
    base="BTC",
    quote="USDT",
    size_market_max_lots=120_000,
)
SETTINGS = LimitSettings(
    leverage_max=Decimal(3),
    price_collar_fraction=Decimal("0.05"),
    orders_per_minute_max=60,
)
NOW = 1_000_000_000_000


def permit(mode=PermitMode.TRADE, age_ns=0):
    return Permit(PermitAnswer("n", mode, "h", "b", 1, "because"), NOW - age_ns)


def account(equity=100_000, gross=0, *, net=0):
    equity, gross, net = Decimal(equity), Decimal(gross), Decimal(net)
    return Exposure(equity, gross, net, -net)


AROUND = Surroundings(
    instrument=INSTRUMENT,
    mark_price=Decimal(60_000),
    reference_price=Decimal(60_000),
    account=account(),
    sent_monotonic_ns=(),
    known_ids=frozenset(),
    permit=permit(),
    monotonic_now_ns=NOW,
)
BUY = Increase("cqx-1", BTC, Side.BUY, 1000)
SELL = Reduction("cqx-2", BTC, Side.SELL, 1000)

AGAINST_ENTERING = {
    "no permit": {"permit": None},
    "reduce-only permit": {"permit": permit(PermitMode.REDUCE_ONLY)},
    "halted": {"permit": permit(PermitMode.HALTED)},
    "expired permit": {"permit": permit(age_ns=5_000_000_000)},
    "a permit of the future": {"permit": permit(age_ns=-1)},
    "throttle": {"sent_monotonic_ns": (NOW - 1,) * 60},
    "no mark": {"mark_price": None},
    "mark beyond the collar": {"mark_price": Decimal(56_000)},
    "no target price": {"reference_price": Decimal(0)},
    "a target price that is no number": {"reference_price": Decimal("NaN")},
    "leverage": {"account": account(gross=250_000)},
    "no equity": {"account": account(0)},
    "equity that is no number": {"account": account("NaN")},
    "a mark that is no number": {"mark_price": Decimal("NaN")},
    "negative equity": {"account": account(-1)},
}


def test_an_order_that_breaks_nothing_is_approved():
    assert check_order(BUY, AROUND, SETTINGS).order == BUY
    assert isinstance(check_order(BUY, AROUND, SETTINGS), Approved)


@pytest.mark.parametrize("case", AGAINST_ENTERING, ids=str)
def test_each_limit_refuses_an_increase_and_lets_a_reduction_through(case):
    around = replace(AROUND, **AGAINST_ENTERING[case])
    verdict = check_order(BUY, around, SETTINGS)
    assert isinstance(verdict, Refused)
    assert verdict.reason
    assert isinstance(check_order(SELL, around, SETTINGS), Approved)


def test_the_same_client_id_is_never_approved_twice():
    around = replace(AROUND, known_ids={"cqx-1", "cqx-2"})
    assert isinstance(check_order(BUY, around, SETTINGS), Refused)
    assert isinstance(check_order(SELL, around, SETTINGS), Refused)


def test_an_increase_larger_than_one_market_order_may_be_is_refused():
    large = replace(BUY, size_lots=120_001)
    around = replace(AROUND, account=account(10**9))
    assert isinstance(check_order(large, around, SETTINGS), Refused)


def test_an_increase_beyond_the_largest_order_is_refused_to_the_lot():
    settings = replace(SETTINGS, order_max=Decimal("0.5"))
    equity = AROUND.account.equity_quote
    most = order_max_lots(AROUND, settings)
    assert most == int(equity / 2 / (AROUND.price * AROUND.instrument.lot_size))
    assert isinstance(
        check_order(replace(BUY, size_lots=most), AROUND, settings), Approved
    )
    verdict = check_order(replace(BUY, size_lots=most + 1), AROUND, settings)
    assert isinstance(verdict, Refused)
    assert f"exceed the {most} of one order" in verdict.reason


def test_an_instrument_that_is_named_has_a_cap_of_its_own():
    settings = replace(
        SETTINGS,
        instrument_max=Decimal(2),
        instrument_max_of={str(BTC): Decimal("0.2")},
    )
    assert room_lots(AROUND, settings, Side.BUY) == 333  # 0.2 x 100 000 / 60
    verdict = check_order(replace(BUY, size_lots=334), AROUND, settings)
    assert isinstance(verdict, Refused)
    assert f"beyond 0.2 × equity 100000.00 in {BTC}" in verdict.reason
    ether = replace(INSTRUMENT, id=InstrumentId.parse("binance:ETHUSDT-PERP"))
    other = replace(AROUND, instrument=ether)
    assert room_lots(other, settings, Side.BUY) == 3_333


def test_the_throttle_counts_ten_seconds_and_a_minute():
    settings = replace(SETTINGS, orders_per_minute_max=600)
    burst = (NOW - 5_000_000_000,) * ORDERS_PER_TEN_SECONDS_MAX
    assert isinstance(
        check_order(BUY, replace(AROUND, sent_monotonic_ns=burst), settings), Refused
    )
    earlier = (NOW - 11_000_000_000,) * ORDERS_PER_TEN_SECONDS_MAX
    assert isinstance(
        check_order(BUY, replace(AROUND, sent_monotonic_ns=earlier), settings), Approved
    )


def test_nobody_else_approves():
    with pytest.raises(ValueError, match="only check_order"):
        Approved(BUY)


@given(
    gross=st.integers(0, 400_000),
    equity=st.integers(-1000, 200_000),
    mark=st.integers(1, 100_000),
)
def test_what_fits_under_the_cap_passes_it_and_one_lot_more_does_not(
    gross, equity, mark
):
    around = replace(
        AROUND,
        account=account(equity, gross),
        mark_price=Decimal(mark),
        reference_price=Decimal(mark),
        instrument=replace(INSTRUMENT, size_market_max_lots=0),
    )
    room = room_lots(around, SETTINGS, Side.BUY)
    if room:
        verdict = check_order(replace(BUY, size_lots=room), around, SETTINGS)
        assert isinstance(verdict, Approved)
    verdict = check_order(replace(BUY, size_lots=room + 1), around, SETTINGS)
    assert isinstance(verdict, Refused)


CAPPED = replace(
    SETTINGS, portfolio_gross_max=Decimal("1.5"), portfolio_net_max=Decimal(1)
)


@pytest.mark.parametrize(
    ("portfolio", "side", "fits"),
    [
        (account(300_000, 380_000), Side.BUY, True),  # 60 000 of 450 000 - 380 000
        (account(300_000, 400_000), Side.BUY, False),
        (account(300_000, 240_000, net=240_000), Side.BUY, True),
        (account(300_000, 250_000, net=250_000), Side.BUY, False),
        (account(300_000, 250_000, net=250_000), Side.SELL, True),
        (account(300_000, 250_000, net=-250_000), Side.SELL, False),
        (account("NaN"), Side.BUY, False),
        (account(0), Side.BUY, False),
        (None, Side.BUY, False),  # a venue that nobody has read yet
    ],
)
def test_a_cap_over_all_venues_holds_wherever_the_order_goes(portfolio, side, fits):
    around = replace(AROUND, portfolio=portfolio)
    order = replace(BUY, side=side)
    verdict = check_order(order, around, CAPPED)
    assert isinstance(verdict, Approved if fits else Refused)
    assert (room_lots(around, CAPPED, side) >= 1000) == fits
    assert isinstance(check_order(SELL, around, CAPPED), Approved)
    assert isinstance(check_order(order, around, SETTINGS), Approved)


def test_an_order_is_valued_at_the_dearer_of_mark_and_target_price():
    around = replace(AROUND, account=account(gross=240_000))
    assert isinstance(check_order(BUY, around, SETTINGS), Approved)
    for prices in ({"mark_price": 60_001}, {"reference_price": 60_001}):
        dear = replace(around, **{name: Decimal(p) for name, p in prices.items()})
        assert isinstance(check_order(BUY, dear, SETTINGS), Refused)
        assert room_lots(dear, SETTINGS, Side.BUY) == 999
