"""Fills are told in their order, and orders until all their fills are booked."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest

from cryptoquantix.core.order import OrderState, Side
from cryptoquantix.journal.records import OrderNote
from cryptoquantix.journal.store import Journal
from journal.test_store import BTC, fill, record

LOT = Decimal("0.001")


@pytest.fixture
def journal(tmp_path):
    journal = Journal(tmp_path / "journal.sqlite")
    yield journal
    journal.close()


def one(trade_id, lots, client_order_id="", lot_size="0.001", instrument=BTC):
    return msgspec.structs.replace(
        fill(),
        instrument=str(instrument),
        trade_id=str(trade_id),
        client_order_id=client_order_id,
        side=Side.of(lots),
        size_lots=abs(lots),
        lot_size=lot_size,
    )


def test_every_fill_is_told_once_in_its_order_however_many_there_are(journal):
    count = 700  # more than are read at once, two times
    journal.record_fills([one(n, n + 1, "cqx-1" * (n % 2)) for n in range(count)])
    told = list(journal.filled.iter_lots(BTC, LOT))
    assert told == [(n + 1, bool(n % 2)) for n in range(count)]


def test_fills_of_before_a_change_of_the_lot_size_are_converted(journal):
    journal.record_fills([one(1, 5, lot_size="0.1"), one(2, -10, lot_size="0.01")])
    assert [lots for lots, _ in journal.filled.iter_lots(BTC, Decimal("0.01"))] == [
        50,
        -10,
    ]


def test_small_fills_of_before_a_larger_lot_size_add_up(journal):
    journal.record_fills([one(n, 1, "cqx-1", lot_size="0.001") for n in range(10)])
    told = list(journal.filled.iter_lots(BTC, Decimal("0.01")))
    assert sum(lots for lots, _ in told) == 1
    journal.record_fills([one(n, -1, lot_size="0.001") for n in range(10, 25)])
    told = list(journal.filled.iter_lots(BTC, Decimal("0.01")))
    assert [sum(n for n, ours in told if ours is who) for who in (True, False)] == [
        1,
        -1,
    ]


def test_an_order_is_pending_until_it_ended_and_its_fills_are_booked(journal):
    def note(state, filled):
        journal.record_note(OrderNote("cqx-0", 1, "seen", state, "", filled, "7"))

    def pending():
        return [tuple(p)[2:] for p in journal.filled.pending(BTC)]

    journal.record_order(record("cqx-0", 0, side=Side.SELL, size_lots=9))
    assert pending() == [(0, 0, False)]
    note(OrderState.WORKING, 4)
    journal.record_fills([one(1, -4, "cqx-0")])
    assert pending() == [(4, 4, False)]
    note(OrderState.FILLED, 9)
    assert pending() == [(9, 4, True)]
    assert journal.filled.booked_lots("cqx-0") == 4
    journal.record_fills([one(2, -5, "cqx-0")])
    assert pending() == []
