"""Money moved is not money lost."""

from __future__ import annotations

from decimal import Decimal

import pytest

from cryptoquantix.core.clock import NS_PER_SECOND
from cryptoquantix.core.errors import StateCorrupt
from cryptoquantix.core.exposure import LedgerEntry
from cryptoquantix.risk.book import Book, from_json, opened, to_json
from cryptoquantix.risk.flows import observe, take_ledger
from cryptoquantix.risk.rules import Limits
from risk.readings import held, reading

LIMITS = Limits()
S = NS_PER_SECOND


def start(*readings):
    return opened({r.venue: r for r in readings})


def see(book, found, second):
    return observe(book, {found.venue: found}, second * S, LIMITS)


def ledger(book, second, *entries):
    return take_ledger(book, "binance", entries, now_ns=second * S, limits=LIMITS)


def transfer(cash, *, entry_id="t1", time_ns=5):
    return LedgerEntry(entry_id, True, Decimal(cash), time_ns)


@pytest.mark.parametrize("cash", [-40_000, 40_000])
def test_a_transfer_changes_units_and_not_the_value(cash):
    book = start(reading(100_000))
    book = see(book, reading(100_000 + cash), 1)
    assert book.value == 1
    assert book.suspended == cash
    book = ledger(book, 1, transfer(cash))
    assert book.value == 1
    assert book.units == 100_000 + cash
    assert not book.suspense


def test_a_withdrawal_stops_entries_only_until_the_ledger_names_it():
    book = see(start(reading(100_000)), reading(60_000), 1)
    assert book.has_large_drop(LIMITS)
    assert not ledger(book, 2, transfer(-40_000)).has_large_drop(LIMITS)


def test_a_drop_that_nothing_explains_is_a_loss_after_15_seconds():
    book = see(start(reading(100_000)), reading(60_000), 1)
    book = see(book, reading(60_000), 15)
    assert book.value == 1
    book = see(book, reading(60_000), 16)
    assert book.value == Decimal("0.6")


def test_a_real_loss_of_marks_counts_while_another_drop_is_in_suspense():
    book = start(reading(100_000, held("A", 100, 100, 100)))
    book = see(book, reading(60_000, held("A", 100, 100, 100)), 1)
    book = see(book, reading(60_000, held("A", 100, 50, 100)), 2)
    if_withdrawn = pytest.approx(Decimal(55_000) / 60_000)
    assert book.value == if_withdrawn
    assert book.ceiling == Decimal("0.95"), "what is lost for sure"


def test_a_loss_the_ledger_names_counts_at_once():
    book = see(start(reading(100_000, time_ns=10)), reading(95_000, time_ns=20), 1)
    fee = LedgerEntry("f1", False, Decimal(-5000), 15)
    assert ledger(book, 1, fee).value == Decimal("0.95")


def test_a_transfer_that_the_ledger_shows_first_waits_for_its_jump():
    book = ledger(start(reading(100_000)), 1, transfer(-40_000))
    assert book.value == 1
    book = see(book, reading(60_000), 2)
    assert book.value == 1
    assert book.units == 60_000


def test_the_same_ledger_entry_counts_once():
    book = see(start(reading(100_000)), reading(60_000), 1)
    for second in (1, 2, 3):
        book = ledger(book, second, transfer(-40_000))
    assert book.units == 60_000


def test_a_deposit_never_raises_the_value_while_it_is_unexplained():
    book = see(start(reading(100_000)), reading(900_000), 1)
    assert book.value == 1


def test_a_late_ledger_takes_back_what_was_counted_as_loss():
    book = see(start(reading(100_000)), reading(60_000), 1)
    book = see(book, reading(60_000), 20)
    assert book.value == Decimal("0.6")
    book = ledger(book, 21, transfer(-40_000))
    book = see(book, reading(60_000), 40)
    assert book.value == pytest.approx(1)


def test_money_between_own_venues_is_not_lost_on_the_way():
    one, two = reading(50_000, venue="binance"), reading(50_000, venue="bybit")
    book = start(one, two)
    book = see(book, reading(40_000, venue="binance"), 1)
    book = take_ledger(book, "binance", [transfer(-10_000)], now_ns=S, limits=LIMITS)
    assert book.value == 1
    book = see(book, reading(60_000, venue="bybit"), 5)
    book = take_ledger(
        book, "bybit", [transfer(10_000, entry_id="t2")], now_ns=5 * S, limits=LIMITS
    )
    assert book.value == 1
    assert book.units == 100_000


def test_withdrawing_everything_leaves_no_units_and_no_value():
    book = see(start(reading(100_000)), reading(0), 1)
    book = ledger(book, 1, transfer(-100_000))
    assert book.units == 0
    assert book.value is None


def test_an_account_that_was_emptied_goes_on_at_its_old_value_when_filled():
    book = see(start(reading(80_000, held("A", 100, 100, 100))), reading(90_000), 1)
    before = book.value
    book = see(book, reading(0), 30)
    book = ledger(book, 30, transfer(-90_000))
    assert book.value is None
    book = from_json(to_json(book, 31 * S), 31 * S)
    book = see(book, reading(50_000), 40)
    assert book.value == pytest.approx(before)
    book = see(book, reading(50_000 + 9), 41)
    book = ledger(book, 41, transfer(50_000, entry_id="t2"))
    book = see(book, reading(50_000 + 9), 60)
    assert book.value == pytest.approx(before, rel=Decimal("0.001"))
    assert not book.assumed


def test_an_empty_book_has_no_value():
    assert Book().value is None


def test_a_book_is_read_back_as_written_with_its_waiting_times():
    book = see(start(reading(100_000, held("A", 1, 100, 90))), reading(60_000), 1)
    book = ledger(book, 2, transfer(-1), transfer(7, entry_id="t2"))
    back = from_json(to_json(book, 3 * S), 103 * S)
    assert back.suspense[0].since_ns == 101 * S
    assert to_json(back, 103 * S) == to_json(book, 3 * S)
    assert back.last == book.last


def test_a_withdrawal_before_a_restart_is_no_loss_after_it():
    book = see(start(reading(100_000)), reading(60_000), 1)
    book = from_json(to_json(book, 2 * S), 2 * S)
    assert ledger(see(book, reading(60_000), 3), 3, transfer(-40_000)).value == 1


def test_what_moved_before_the_baseline_is_in_it():
    book = opened({"binance": reading(100_000)}, opened_ns=10)
    book = ledger(book, 1, transfer(-40_000, time_ns=10))
    assert not book.ahead
    assert book.units == 100_000


def test_what_cannot_be_read_is_corrupt():
    with pytest.raises(StateCorrupt):
        from_json('{"units": "x"}', 0)
