"""
What users of such systems complained of, each complaint a test.

The numbers in the names are those of the table in ``docs/kill-switch.md``; ``ft`` is
freqtrade, ``hb`` hummingbot, ``pb`` passivbot, ``nt`` nautilus_trader and ``gt``
go-trader; the others are named there.
"""

from __future__ import annotations

from decimal import Decimal

import pytest

from cryptoquantix.core.clock import NS_PER_DAY, NS_PER_SECOND
from cryptoquantix.risk import formula
from cryptoquantix.risk.rules import drawdown
from risk.readings import Table, account, linear

D = Decimal


def book(balance, *positions, coins=(), venue="binance", rates=()):
    return account(
        venue, {"USDT": balance} | dict(coins), *positions, rates=dict(rates)
    )


def long(mark, size=1000, entry=100, symbol="AUSDT"):
    return linear(symbol, size, mark, entry)


def shown(table):
    return drawdown(table.book.value, table.peak)


def test_b1_04_the_drawdown_is_of_the_account_and_not_of_summed_trades():
    """ft 11726, 8373: a limit of 2 % paused at 0.79 %."""
    table = Table(book(100_000, long(100, 10), long(100, 10, symbol="BUSDT")))
    sight = table.second(book(100_000, long(60, 10), long(60, 10, symbol="BUSDT")))
    assert not sight.is_trip, "two trades at -40 % are 0.8 % of the account"
    assert shown(table) == D("0.008")


def test_b1_05_a_winning_trade_never_triggers():
    """ft 7170: the lock came again after a winning trade."""
    table = Table(book(100_000, long(100)))
    table.second(book(100_000, long("97.5")))
    for mark in ("97.6", "98", "99", "101"):
        sight = table.second(book(100_000, long(mark)))
        assert not sight.is_trip
        assert table.rounds == 1
    assert sight.value == D("1.01")


def test_b1_06_what_is_measured_is_said_with_every_number():
    """ft 9545: a user cannot tell what the protection measures."""
    table = Table(book(60_000, long(100)), book(40_000, venue="bybit"))
    table.second(book(60_000, long(99)), book(40_000, venue="bybit"))
    text = formula.text(table.book, table.peak, table.limits)
    for part in (
        "drawdown = 1 - 99000.00 / 100000.00",
        "= 1.0000 %",
        "trips at 3.00 %",
        "equity = binance 59000.00 + bybit 40000.00",
        "USDT 1? (? by one venue alone)",
    ):
        assert part in text


def test_b1_07_losses_that_are_not_realized_count():
    """ft 6171: drawdown counted realized profit only."""
    table = Table(book(100_000, long(100)))
    assert table.second(book(100_000, long(97))).is_trip


@pytest.mark.parametrize("value", ["0", "0.5", "1", "3"])
def test_b1_08_no_drawdown_beyond_all_that_there_was(value):
    """ft 3988: a drawdown of 200 %."""
    assert 0 <= drawdown(D(value), D(2)) <= 1


def test_b1_09_the_peak_is_of_equity_and_not_of_closed_profit():
    """ft 12835: account equity, open profit included, makes the peak."""
    table = Table(book(100_000, long(100)))
    table.second(book(100_000, long(102)))
    assert table.peak == D("1.02")
    assert table.second(book(100_000, long("98.9"))).is_trip


def test_b1_11_closing_a_position_by_hand_is_no_loss():
    """ft 7731: a forced exit tripped the drawdown protection."""
    table = Table(book(100_000, long(98)))
    sight = table.second(book(98_000))
    assert not sight.is_trip
    assert sight.value == 1
    assert not table.concerns.texts


def test_b1_13_what_another_program_moves_is_no_drawdown():
    """hb 1145: the switch fired without a trade, two bots on one account."""
    table = Table(book(100_000))
    assert not table.second(book(60_000)).is_trip
    assert "do not explain" in table.concerns.texts["unexplained"]
    table.ledger("binance", table.moved(-40_000, "USDT"))
    for _ in range(30):
        assert not table.second(book(60_000)).is_trip
    assert not table.concerns.texts


def test_b1_14_a_flat_account_never_fires_and_never_again_after_a_start():
    """hb 1866: fired with no open position, and on every start."""
    table = Table(book(100_000))
    for _ in range(3):
        for _ in range(20):
            sight = table.second(book(100_000))
            assert not sight.is_trip
            assert table.rounds == 1
        table.restart()
    assert sight.value == 1


def test_b1_15_the_loss_is_from_the_peak_and_not_from_the_start():
    """hb 2969: gave back 23 % of profit and 10 % more."""
    table = Table(book(100_000, long(100)))
    for mark in (102, 104, 106):
        table.second(book(100_000, long(mark)))
    sight = table.second(book(100_000, long("102.8")))
    assert sight.is_trip
    assert sight.value > 1


def test_b1_18_warnings_come_at_50_and_80_percent_of_the_limit_once_each():
    """gt 25: asked for a warning before the switch."""
    table = Table(book(100_000, long(100)))
    for mark in ("98.5", "98.4", "97.6", "97.5"):
        table.second(book(100_000, long(mark)))
    found = [alarm for alarm in table.alarms if "% or more of the limit" in alarm]
    assert ["50 %" in found[0], "80 %" in found[1], len(found)] == [True, True, 2]


def test_b1_21_one_leveraged_position_counts_as_what_it_is_of_the_whole():
    """gt 1448: one position latched the whole book."""
    table = Table(book(100_000, long(100, 10, symbol="MEMEUSDT")))
    sight = table.second(book(100_000, long(55, 10, symbol="MEMEUSDT")))
    assert not sight.is_trip
    assert shown(table) == D("0.0045")


def test_b1_24_one_bad_equity_read_is_no_drawdown():
    """Forven 92: a phantom -5.2 % halted everything."""
    table = Table(book(100_000, long(100)))
    good = book(100_000, long(100))
    sight = table.second(book(94_800, long(100)), again=(good,))
    assert not sight.is_trip
    assert sight.value == 1
    assert table.peak == 1


def test_b1_25_a_missing_reading_takes_back_no_drawdown():
    """Forven 108: the repair of false halts had suppressed true ones."""
    table = Table(book(100_000, long(100)))
    table.second("binance")
    assert table.second(book(100_000, long(97)), again=("binance",)).is_trip


def test_b1_25_what_is_cached_is_not_fresh():
    """Forven 108: an old aggregate counted as new."""
    table = Table(book(60_000, long(100)), book(40_000, venue="bybit"))
    sight = table.second(book(60_000, long(99)), "bybit")
    assert not sight.is_complete
    assert table.judgement.complete_ns < table.clock.monotonic_ns()
    assert table.peak == 1


def test_b1_26_a_part_of_the_venues_makes_no_peak():
    """Auramaur 337: partial syncs ratcheted phantom peaks."""
    table = Table(book(60_000, long(100)), book(40_000, venue="bybit"))
    for _ in range(30):
        table.second(book(60_000, long(105)), "bybit")
        table.second("binance", book(90_000, venue="bybit"))
    assert table.peak == 1


def test_b1_27_midnight_resets_nothing():
    """chrisleekr 777: a loss just before midnight was forgotten after it."""
    table = Table(book(100_000, long(100)))
    to_midnight_ns = NS_PER_DAY - table.clock.time_ns() % NS_PER_DAY
    seconds = to_midnight_ns // NS_PER_SECOND - 1
    table.second(book(100_000, long(100)), seconds=seconds)
    table.second(book(100_000, long(98)))
    assert table.second(book(100_000, long(97)), seconds=5).is_trip


def test_b1_27_the_peak_is_forgotten_after_24_hours_and_not_before():
    table = Table(book(100_000, long(103)))
    table.second(book(100_000, long(103)))
    for _ in range(23):
        table.second(book(100_000, long("100.5")), seconds=3600)
    assert shown(table) > D("0.02")
    table.second(book(100_000, long("100.5")), seconds=3601)
    assert shown(table) == 0


def test_b1_30_nan_disables_nothing_for_ever():
    """Helios-x 23: one NaN price switched the check off."""
    table = Table(book(100_000, long(100)))
    for number in ("NaN", "Infinity"):
        broken = book(100_000, long(100))
        broken = Table.broken(broken, number)
        assert not table.second(broken).is_complete
    assert table.second(book(100_000, long(97))).is_trip


def test_b1_32_a_position_that_only_falls_is_stopped():
    """pb 477: a position at -1000 % was never stopped."""
    table = Table(book(100_000, long(100)))
    mark, seconds = D(100), 0
    while not table.second(book(100_000, long(mark))).is_trip:
        mark, seconds = mark - D("0.1"), seconds + 1
        assert seconds < 60
    assert mark == 97


def test_b4_4299_deposits_and_withdrawals_are_neither_gain_nor_loss():
    """ft 4299: how is profit updated after a deposit?"""
    table = Table(book(100_000))
    balance = 100_000
    for number, cash in enumerate((50_000, -120_000, 3_000, -10_000)):
        balance += cash
        table.second(book(balance))
        table.ledger("binance", table.moved(cash, "USDT", f"t{number}"))
        assert table.second(book(balance)).value == pytest.approx(1)
        assert table.peak == pytest.approx(1)


def test_b4_8532_a_coin_that_appears_is_no_profit():
    """ft 8532: 51.98 % of profit, for there were other coins in the wallet."""
    table = Table(book(10_000), book(10_000, venue="bybit"))
    extra = {"rates": {"ETH": 3000}, "coins": {"ETH": 4}}
    for _ in range(20):
        sight = table.second(book(10_000, **extra), book(10_000, venue="bybit"))
        assert sight.value == pytest.approx(1)
    assert table.peak == pytest.approx(1)


def test_b4_6207_changing_one_coin_into_another_changes_nothing():
    """ft 6207: the starting capital was wrong after a change of currency."""
    rates = {"BTC": 60_000}
    table = Table(book(100_000, coins={"BTC": 0}, rates=rates))
    for _ in range(20):
        sight = table.second(book(40_030, coins={"BTC": "0.999"}, rates=rates))
        assert not sight.is_trip
    assert sight.value == pytest.approx(1, abs=D("0.001"))
    assert not table.concerns.texts


def test_b4_12210_equity_is_what_the_venues_say():
    """ft 12210, 12417: the balance differed from the exchange's."""
    first = book(60_000, long(103), coins={"ETH": 2}, rates={"ETH": 3000})
    second = book(40_000, long(99), venue="bybit", rates={"ETH": 3000})
    table = Table(first, second)
    assert table.book.equity == first.equity + second.equity
    assert table.book.worth == {"binance": first.equity, "bybit": second.equity}


def test_b4_592_profit_counted_twice_is_no_reading():
    """pb 592: ``usdValue`` held the unrealized profit already."""
    table = Table(book(100_000, long(100)))
    sight = table.second(Table.doubled(book(100_000, long(110))))
    assert not sight.is_complete
    assert "is not balance" in sight.problem
    assert table.peak == 1


def test_b4_1769_several_fills_in_one_second_are_no_loss():
    """nt 1769: a wrong balance after several fills."""
    table = Table(book(100_000, long(100)))
    filled = long("99.5", 400, entry=100, symbol="AUSDT")
    cash = 100_000 + 600 * (D("99.8") - 100) - 30
    sight = table.second(book(cash, filled))
    assert not table.book.suspense
    assert sight.value > D("0.99")


def test_b4_1145_what_two_programs_share_is_named_until_it_is_a_loss():
    """hb 1145: unexplained is reduce-only at once, and a loss after 15 s."""
    table = Table(book(100_000))
    for _ in range(15):
        assert not table.second(book(90_000)).is_trip
        assert "unexplained" in table.concerns.texts
    assert table.second(book(90_000)).is_trip
