"""What a journal comes to is what its rows come to, however many there are."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cryptoquantix.core.instrument import InstrumentId
from cryptoquantix.core.order import OrderState, Side
from cryptoquantix.journal.records import CrossRecord, OrderNote
from cryptoquantix.journal.store import Journal
from cryptoquantix.orders.attribution import attributed, decode_shares, encode_shares
from journal.test_store import BTC, LOT, fill, record

ETH = InstrumentId.parse("binance:ETHUSDT-PERP")
NAMES = ("", "trend", 'a "quoted", one', "carry")
lots = st.integers(1, 50)
orders = st.fixed_dictionaries(
    {
        "instrument": st.sampled_from([BTC, ETH]),
        "side": st.sampled_from(list(Side)),
        "size": lots,
        "filled": st.integers(0, 50),
        "state": st.sampled_from(list(OrderState)),
        # Of version 1 there are no shares; else one owner or more.
        "shares": st.one_of(
            st.none(),
            st.dictionaries(
                st.sampled_from(NAMES), st.integers(-20, 50).filter(bool), min_size=1
            ).filter(lambda shares: sum(shares.values()) > 0),
        ),
    }
)


@pytest.fixture
def journal(tmp_path):
    journal = Journal(tmp_path / "journal.sqlite")
    yield journal
    journal.close()


def write(journal, number, order):
    """Journal an order; return what it gave to whom, by the rule of one order."""
    side, size = order["side"], order["size"]
    shares = order["shares"]
    text = ""
    if shares is not None:
        shares = {name: side.sign * part for name, part in shares.items()}
        text = encode_shares(shares)
    name = f"cqx-{number}"
    one = record(
        name,
        number,
        instrument=str(order["instrument"]),
        side=side,
        size_lots=size,
        shares=text,
    )
    journal.record_order(one)
    filled = min(order["filled"], size)
    note = OrderNote(name, 1, "seen", order["state"], "", filled, str(number))
    journal.record_note(note)
    if not order["state"].is_terminal:
        return {}
    whole = side.sign * size
    return attributed(decode_shares(text, one.strategy, whole), whole, filled)


@given(st.lists(orders, max_size=8))
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_what_strategies_hold_is_what_each_order_gave_them(tmp_path_factory, orders):
    path = tmp_path_factory.mktemp("journal") / "journal.sqlite"
    expected = Counter()
    journal = Journal(path)
    try:
        for number, order in enumerate(orders):
            for name, part in write(journal, number, order).items():
                expected[str(order["instrument"]), name] += part
        found = Counter()
        for owned in journal.owned_lots([BTC, ETH]):
            found[owned.instrument, owned.strategy] += owned.lots
        for one in journal.iter_shared([BTC, ETH]):
            shares = decode_shares(one.shares, "", one.order_lots)
            for name, part in attributed(
                shares, one.order_lots, one.filled_lots
            ).items():
                found[one.instrument, name] += part
        assert {k: v for k, v in found.items() if v} == {
            k: v for k, v in expected.items() if v
        }
        assert {o.instrument for o in journal.owned_lots([BTC])} <= {str(BTC)}
        assert {o.instrument for o in journal.iter_shared([ETH])} <= {str(ETH)}
    finally:
        journal.close()


def test_what_was_crossed_is_held_too(journal):
    crossed = [
        CrossRecord(str(BTC), name, part, "0.001", "1", "USDT", False, time)
        for time, sign in ((1, 1), (2, 2))
        for name, part in (("bull", 3 * sign), ("bear", -3 * sign))
    ]
    journal.record_crosses(crossed)
    assert {o.strategy: o.lots for o in journal.owned_lots([BTC])} == {
        "bull": 9,
        "bear": -9,
    }


def test_fills_are_added_up_once_each_and_found_again_after_a_restart(journal):
    assert journal.size_filled_lots(BTC, LOT) == 0
    assert journal.last_trade_id(BTC) == ""
    journal.record_fills([fill("9", 5), fill("8", 2, Side.SELL)])
    journal.record_fills([fill("9", 5)])
    assert (journal.size_filled_lots(BTC, LOT), journal.last_trade_id(BTC)) == (3, "8")
    assert journal.size_filled_lots(ETH, LOT) == 0
    journal.close()
    again = Journal(journal.path)
    assert (again.size_filled_lots(BTC, LOT), again.last_trade_id(BTC)) == (3, "8")
    again.record_fills([fill("10", 1)])
    assert (again.size_filled_lots(BTC, LOT), again.last_trade_id(BTC)) == (4, "10")
    again.close()


def test_fills_in_lots_of_several_sizes_are_added_up_by_their_sizes(journal):
    """5 × 0.1 and 10 × 0.01 are 0.6, whatever a lot is now."""
    journal.record_fills([fill("1", 5, lot_size="0.1")])
    assert journal.size_filled_lots(BTC, Decimal("0.1")) == 5
    journal.record_fills([fill("2", 10, lot_size="0.01")])
    journal.close()
    again = Journal(journal.path)
    assert again.size_filled_lots(BTC, Decimal("0.01")) == 60
    again.record_fills([fill("3", 1, Side.SELL, "0.1")])
    assert again.size_filled_lots(BTC, Decimal("0.001")) == 500
    assert again.last_trade_id(BTC) == "3"
    again.close()


def test_what_strategies_hold_names_the_size_of_its_lots(journal):
    for number, lot_size in enumerate(("0.1", "0.01")):
        one = record(f"cqx-{number}", number, size_lots=10, lot_size=lot_size)
        journal.record_order(one)
        note = OrderNote(f"cqx-{number}", 1, "seen", OrderState.FILLED, "", 10, "7")
        journal.record_note(note)
    cross = CrossRecord(str(BTC), "bear", -3, "0.01", "1", "USDT", False, 1)
    journal.record_crosses([cross])
    found = {(o.strategy, o.lot_size): o.lots for o in journal.owned_lots([BTC])}
    assert found == {
        ("trend_breakout", "0.1"): 10,
        ("trend_breakout", "0.01"): 10,
        ("bear", "0.01"): -3,
    }
