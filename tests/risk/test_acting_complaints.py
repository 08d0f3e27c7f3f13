"""
What users of other systems complain of, where it is about acting: each a test.

The list, and what answers each, is in docs/kill-switch.md.
"""

from __future__ import annotations

import asyncio

import pytest

from cryptoquantix.control.permit import PermitMode
from cryptoquantix.control.status import RiskState
from cryptoquantix.core.exposure import OrderClass
from cryptoquantix.risk import commands, flatten
from cryptoquantix.risk.commands import Refusal
from cryptoquantix.risk.report import status
from risk.fake_venue import down, order, refused
from risk.test_daemon import Bench


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(flatten, "VERIFY_GAP_SECONDS", 0.01)
    monkeypatch.setattr(flatten, "PAUSES_SECONDS", (0.01,))


@pytest.fixture
async def bench(tmp_path):
    bench = Bench(tmp_path / "risk.sqlite")
    bench.venue.hold("A", 1000)
    await bench.arm()
    await bench.second(2)
    yield bench
    await bench.stop()


async def crashed(bench, mark=96):
    bench.venue.mark("A", mark)
    await bench.second()
    await bench.until(RiskState.HALTED)


async def test_stopped_means_positions_closed_and_not_entries_paused(bench):
    """Protection says "stopped", and positions go on (freqtrade 4837, 4430, 2968)."""
    await crashed(bench)
    assert not bench.venue.positions
    assert bench.permit().mode is PermitMode.HALTED


async def test_a_fault_in_the_switch_itself_creates_no_orders_and_does_not_end_it(
    bench,
):
    """The kill switch throws AttributeError, orders go on (hummingbot 2534)."""
    bench.venue.faults["open_orders"] = [AttributeError("order_tracker")]
    bench.venue.faults["market"] = [AttributeError("no such thing")]
    await crashed(bench)
    assert not bench.venue.positions
    assert bench.permit().mode is PermitMode.HALTED


async def test_a_restart_does_not_fire_it_again_and_does_not_forget_it(bench):
    """Fires again on every start (hummingbot 1866); counts from zero (natn 36)."""
    await crashed(bench)
    await bench.settle()
    closes = len(bench.venue.acts("market"))
    for _ in range(3):
        await bench.restart()
        await bench.second(2)
        assert bench.daemon.state is RiskState.HALTED
    assert len(bench.venue.acts("market")) == closes


async def test_what_it_resets_is_said_and_done_by_a_named_person(bench):
    """No reset procedure, or nobody knows what it resets (hummingbot 2497, gt 1191)."""
    await crashed(bench)
    with pytest.raises(ValueError, match="who and reason"):
        await commands.rearm(bench.daemon, "", "again")
    await commands.rearm(bench.daemon, "ann", "looked at it")
    await bench.second()
    assert bench.daemon.state is RiskState.ARMED
    assert status(bench.daemon, alarms_undelivered=0).drawdown == "0.00000000"
    entries = [text for kind, text in await bench.audit() if kind == "latch"]
    assert "rearm by ann: looked at it" in entries[-1]


async def test_a_reset_that_does_nothing_is_no_reset(bench):
    """``reset()`` is a no-op (shobhit727 49): this one changes what is on the disk."""
    await crashed(bench)
    await commands.rearm(bench.daemon, "ann", "go on")
    await bench.restart()
    await bench.second()
    assert bench.daemon.state is RiskState.ARMED


async def test_orders_that_come_after_the_stop_are_canceled(bench):
    """Orders are created, or not canceled, after ``stop`` (hummingbot 1508, 2955)."""
    await crashed(bench)
    for number, kind in enumerate(OrderClass):
        bench.venue.rest(order("A", number, order_class=kind))
    await bench.second(3)
    assert not bench.venue.orders


async def test_it_sends_orders_to_the_venue_and_not_to_its_own_books(bench):
    """The switch zeroed its own books and sent nothing (go-trader 345, 346, 347)."""
    await crashed(bench)
    (close,) = bench.venue.acts("market")
    assert (close.symbol, close.size) == ("A", 1000)


async def test_a_close_the_venue_did_not_do_is_not_called_done(bench):
    """Books say flat, the venue does not (go-trader 345)."""
    bench.venue.always = {"market": refused(), "ioc": refused()}
    bench.venue.mark("A", 96)
    await bench.second()
    await bench.settle()
    found = status(bench.daemon, alarms_undelivered=0)
    assert found.is_flat is False
    assert "1000 A" in found.not_flat
    bench.venue.always = {}
    await bench.until(RiskState.HALTED)


async def test_a_resting_order_on_a_flat_coin_is_not_flat(bench):
    """ "Confirmed flat" with a limit order resting (go-trader 1469)."""
    bench.venue.rest(order("OTHER", 5))
    bench.venue.always["cancel"] = down()
    bench.venue.mark("A", 96)
    await bench.second()
    await bench.settle()
    assert bench.daemon.state is not RiskState.HALTED
    assert "1 open orders" in status(bench.daemon, alarms_undelivered=0).not_flat
    bench.venue.always = {}
    await bench.until(RiskState.HALTED)


async def test_the_latch_has_a_way_out_without_any_chat(bench):
    """No recovery without a configured chat owner (go-trader 431)."""
    await crashed(bench)
    assert await commands.rearm(bench.daemon, "ann", "cli") is RiskState.ARMED


async def test_midnight_ends_no_halt(bench):
    """A daily limit resets at midnight UTC (binance-trading-bot 777)."""
    await crashed(bench)
    bench.clock.advance(26 * 3_600 * 10**9)
    await bench.second(2)
    assert bench.daemon.state is RiskState.HALTED


async def test_exits_are_never_stopped_by_what_stops_entries(bench):
    """The guard blocked the exits (natn 36, nautilus 4761)."""
    bench.venue.always["reading"] = down()
    await bench.second(6)
    assert bench.permit().mode is PermitMode.REDUCE_ONLY, "reductions need no permit"
    await commands.flatten(bench.daemon, "ann", "out")
    for _ in range(200):
        if not bench.venue.positions:
            break
        await asyncio.sleep(0.01)
    assert not bench.venue.positions, "closed, though flat cannot be verified yet"
    assert bench.daemon.state is RiskState.VERIFYING
    bench.venue.always = {}
    await bench.until(RiskState.LOCKED)


async def test_the_operators_own_flatten_works_during_a_halt(bench):
    """A trading halt denied the operator's flatten (nautilus 4761)."""
    await crashed(bench)
    bench.venue.hold("A", 3)
    await commands.flatten(bench.daemon, "ann", "again")
    await bench.until(RiskState.HALTED)
    assert not bench.venue.positions


async def test_a_partial_fill_does_not_make_the_next_close_fail(bench):
    """The emergency sell fails after a partial fill (freqtrade 6457)."""
    from decimal import Decimal

    bench.venue.fill_part = Decimal("0.6")
    await crashed(bench)
    sizes = [close.size for close in bench.venue.acts("market")]
    assert sizes[:2] == [1000, 400], "what is left, as the venue lists it"


async def test_a_market_order_refused_by_the_band_is_not_the_end(bench):
    """-4131 PERCENT_PRICE in a fast market (python-binance 1031, freqtrade 12598)."""
    bench.venue.faults["market"] = [refused("-4131")]
    await crashed(bench)
    assert bench.venue.acts("ioc")
    assert not bench.venue.positions


async def test_a_protective_order_that_blocks_the_close_goes_first(bench):
    """The exit was refused because of the stop that rested (freqtrade 10460, 4999)."""
    bench.venue.rest(order("A", 9, may_increase=False))
    bench.venue.faults["market"] = [refused("-2022")]
    await crashed(bench)
    names = [name for name, _ in bench.venue.log]
    assert names.index("cancel") < names.index("ioc")


async def test_nothing_is_closed_at_a_start(bench):
    """Without persistence it closes everything on start (jesse 371)."""
    await bench.stop()
    for part in bench.path.parent.glob("*"):
        part.unlink()
    bench.start()
    bench.venue.mark("A", 50)
    await bench.second(5)
    assert bench.daemon.state is RiskState.LOCKED
    assert bench.venue.positions


async def test_alarms_that_nobody_takes_stop_nothing_and_are_kept(bench):
    """Telegram down: no start, or the loop ends (freqtrade 4074, 113, 627)."""
    await crashed(bench)
    await bench.settle()
    before = await bench.alarms()
    await bench.restart()
    assert [text for text in await bench.alarms() if text in before] == before
    assert any("Flat is verified" in text for text in before)


async def test_orders_nobody_looks_after_are_canceled_without_a_switch(bench):
    """Asked for since years: a dead-man's switch (OctoBot 327, xud 1324)."""
    bench.venue.rest(order("A", 1))
    await bench.second(12)
    assert not bench.venue.orders


async def test_an_armed_switch_of_the_venue_is_left_its_time_and_then_not(bench):
    from cryptoquantix.core.exposure import DeadManSwitch

    bench.venue.switch = DeadManSwitch(True, "all orders of the account")
    await bench.daemon.upkeep.switches.ask(bench.venue)
    bench.venue.rest(order("A", 1))
    await bench.second(40)
    assert bench.venue.orders, "the venue says that it covers them"
    await bench.second(65)
    assert not bench.venue.orders, "and then they are not left to it for ever"


async def test_two_halts_at_once_are_one(bench):
    """The same word from a person and from the drawdown, in one moment."""
    bench.venue.mark("A", 96)
    bench.clock.advance(10**9)
    await asyncio.gather(
        bench.daemon.second(), commands.halt(bench.daemon, "ann", "now")
    )
    await bench.until(RiskState.HALTED)
    assert len(bench.venue.acts("market")) == 1


async def test_a_halt_while_the_last_order_is_lost_is_decided_by_positions(bench):
    """A timeout is not a failure and not a success (nautilus 4215, trade 43)."""

    def lost(close):
        del bench.venue.positions["A"]
        raise TimeoutError

    bench.venue.on_close = lost
    await crashed(bench)
    assert len(bench.venue.acts("market")) == 1


async def test_arming_twice_or_in_a_halt_is_refused_with_the_reason(bench):
    with pytest.raises(Refusal, match="armed already"):
        await bench.arm()
