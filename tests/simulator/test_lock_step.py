"""A tape in lock-step plays what it is told to and holds; a fixed spread stays."""

from decimal import Decimal

import pytest

from cryptoquantix.core.clock import NS_PER_SECOND, ManualClock
from cryptoquantix.simulator.build import Options, Plan, build_world
from cryptoquantix.simulator.exchange import Print
from cryptoquantix.simulator.generator import Generated
from cryptoquantix.simulator.keys import generate_keys
from cryptoquantix.simulator.listing import Listing
from cryptoquantix.simulator.maker import fixed_spread, ladder
from cryptoquantix.simulator.tape import Tape, TapeEntry
from processes import start_simulator, wait_for

HOUR_NS = 3600 * NS_PER_SECOND
BTC = Listing("BTCUSDT", "BTC", "USDT", Decimal("0.1"), Decimal("0.001"))


def entries(*times):
    return iter(
        TapeEntry("BTCUSDT", Print(t, 600_000 + n, 5, is_buyer_maker=n % 2 == 0))
        for n, t in enumerate(times)
    )


def played(tape, limit=100):
    return [entry.trade.tape_ns for entry in tape.due(0, limit)]


def test_a_step_plays_what_lies_before_a_time_and_then_holds():
    """Wall time passes in vain; a trade at the very time is of what comes next."""
    tape = Tape(entries(10, 20, 30, 40), start_ns=0, monotonic_ns=0)
    tape.step(30)
    assert not tape.is_standing
    assert played(tape) == [10, 20]
    assert (tape.is_standing, tape.played_ns, tape.next_ns) == (True, 30, 30)
    assert tape.due(10**15, 100) == []
    tape.step(30, trades=1)
    assert played(tape) == [30]
    assert (tape.is_standing, tape.next_ns) == (True, 40)
    tape.step(10**9)
    assert played(tape) == [40]
    assert (tape.is_finished, tape.is_standing, tape.next_ns) == (True, True, None)


def test_a_long_step_is_played_in_bursts():
    tape = Tape(entries(*range(1, 11)), start_ns=0, monotonic_ns=0)
    tape.step(8, trades=2)
    found = [played(tape, limit=3) for _ in range(4)]
    assert found == [[1, 2, 3], [4, 5, 6], [7, 8, 9], []]
    assert tape.is_standing


@pytest.mark.parametrize(
    ("is_sold", "bid", "ask"), [(True, 600, 601), (False, 599, 600)]
)
def test_the_last_print_stood_on_one_side_of_a_fixed_spread(is_sold, bid, ask):
    rule = fixed_spread(1)
    assert rule.stressed(50.0) is rule, "whatever the weather"
    book = ladder(BTC, 600, rule, is_sold=is_sold)
    assert max(price for sign, price in book if sign > 0) == bid
    assert min(price for sign, price in book if sign < 0) == ask
    assert min(book.values()) * 60 * 0.001 > 1e8, "deep"


def test_funding_is_charged_where_the_tape_stands_before_any_trade_says_so():
    """What is read at a bar's close has that close's funding in it, as in research."""
    clock = ManualClock(1_700_000_000 * NS_PER_SECOND)
    start = 8 * HOUR_NS - 60 * NS_PER_SECOND
    due = 8 * HOUR_NS
    plan = Plan(
        [Generated(BTC, 600_000)],
        entries(start, due - 1, due + 1),
        start,
    )
    world = build_world(
        plan, generate_keys(), clock, Options(is_paused=True, spread_ticks=1)
    )
    market = world.venues["binance"].exchange.markets["BTCUSDT"]
    world.tape.step(due - 1)
    world.play()
    assert market.fundings == []
    world.tape.step(due)
    world.play()
    [paid] = market.fundings
    assert (paid.time_ns, paid.mark_ticks) == (due, 600_001)
    world.tape.step(due, trades=1)
    world.play()
    assert len(market.fundings) == 1, "once"


def test_the_admin_api_steps_a_tape_and_says_where_it_stands(tmp_path):
    options = ("--generate", "3", "--start", "2024-01-01", "--lock-step")
    with start_simulator(tmp_path, *options, "--fixed-spread", "1") as venue:
        tape = wait_for(lambda: _standing(venue))
        assert tape["lock_step"]
        first = tape["next_ns"]
        venue.admin("/tape", {"until_ns": first + 60 * NS_PER_SECOND, "trades": 1})
        after = wait_for(lambda: _standing(venue))
        assert after["time_ns"] >= first + 60 * NS_PER_SECOND
        assert after["next_ns"] > after["time_ns"]


def _standing(venue):
    tape = venue.admin("/state")["tape"]
    return tape if tape["standing"] else None
