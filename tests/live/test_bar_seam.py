"""No bar is missing and none is doubled, wherever fetched bars meet live ticks."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryptoquantix.bars.rule import HOLE_NS
from cryptoquantix.bars.stream import BarBuilder
from cryptoquantix.core.market import Bar, Tick
from cryptoquantix.live.bar_seam import (
    DUPLICATES_MAX,
    LATER_NS,
    BarSeam,
    SeamState,
    Span,
    fill_flat,
)

INTERVAL = 60
TICK, LOT = Decimal("0.1"), Decimal("0.001")


def ticks_at(times, first_id=1):
    return [
        Tick(time, 1000 + (7 * i) % 13, 1 + i % 5, False, first_id + i)
        for i, time in enumerate(times)
    ]


def bars_of(ticks):
    """The venue's bars: closed ones, and the one in progress."""
    builder = BarBuilder(INTERVAL, TICK, LOT)
    bars = [bar for tick in ticks for bar in builder.add(tick)]
    return bars, builder.advance(ticks[-1].venue_time_ns + INTERVAL)


def answer(span: Span, ticks: list[Tick]) -> list[Bar]:
    """What a venue that has seen ``ticks`` answers."""
    bars = bars_of(ticks)[0]
    low = 0 if span.from_ns is None else span.from_ns
    return [
        b for b in bars if low <= b.open_time_ns and b.close_time_ns <= span.until_ns
    ]


class Runner:
    """Feeds a seam; answers each request ``lag`` ticks later."""

    def __init__(self, ticks, lag=0, seam=None):
        self.all = ticks
        self.lag = lag
        self.seam = seam or BarSeam(INTERVAL)
        self.out: list[Bar] = []
        self.asked = None

    def run(self, lost=frozenset()):
        for index, tick in enumerate(self.all):
            if index in lost:
                continue
            self.out += self.seam.add(tick, TICK, LOT)
            self._serve(index)
        self.lag = -1
        self._serve(len(self.all) - 1)
        return self.out

    def _serve(self, index):
        while (wanted := self.seam.wanted()) is not None:
            if self.asked is None:
                self.asked = (index, wanted)
            asked_at, span = self.asked
            if index - asked_at < self.lag:
                return
            self.asked = None
            if not self.seam.is_current(span):
                continue
            bars = answer(span, self.all[: index + 1])
            if span.from_ns is None:
                self.out = []
            self.out += bars
            self.out += self.seam.complete(span)


TIMES = st.lists(st.integers(0, 40), min_size=3, max_size=120).map(
    lambda steps: [1_000_000 + sum(steps[: i + 1]) for i in range(len(steps))]
)


@settings(max_examples=300, deadline=None)
@given(TIMES, st.data())
def test_bars_equal_those_of_a_run_without_loss(times, data):
    ticks = ticks_at(times)
    lost = data.draw(st.sets(st.integers(1, len(ticks) - 1), max_size=len(ticks) // 2))
    lost -= {len(ticks) - 1}
    lag = data.draw(st.integers(0, 10))
    runner = Runner(ticks, lag)
    out = runner.run(lost)
    expected = bars_of(ticks)[0]
    expected = [
        bar for bar in expected if bar.close_time_ns <= (runner.seam.close_ns or 0)
    ]
    assert out == expected


@settings(max_examples=200, deadline=None)
@given(TIMES, st.integers(0, 119))
def test_a_seam_joined_anywhere_gives_every_bar_from_the_start(times, joined):
    ticks = ticks_at([*times, times[-1] + 2 * INTERVAL, times[-1] + 4 * INTERVAL])
    joined %= len(times)
    runner = Runner(ticks)
    out = runner.run(set(range(joined)))
    assert out == bars_of(ticks)[0]
    assert runner.seam.state is SeamState.LIVE


def test_a_duplicate_changes_nothing():
    ticks = ticks_at(range(0, 600, 7))
    twice = [tick for tick in ticks for _ in range(2)]
    runner = Runner(ticks)
    runner.all = twice
    seam = runner.seam
    out = []
    for tick in twice:
        out += seam.add(tick, TICK, LOT)
        while (span := seam.wanted()) is not None and seam.is_current(span):
            out += answer(span, ticks) + seam.complete(span)
    assert out == bars_of(ticks)[0]
    assert seam.duplicates == len(ticks)
    assert seam.gaps == 0


def test_a_venue_that_numbers_anew_is_noticed_and_nothing_old_is_kept():
    old = ticks_at(range(9_000_000, 9_001_000, 10), first_id=500_000)
    new = ticks_at(range(0, 60 * DUPLICATES_MAX, 30))
    runner = Runner(old)
    runner.run()
    assert runner.seam.state is SeamState.LIVE
    runner.all = new
    out = runner.run()
    assert out == bars_of(new)[0]
    assert runner.seam.gaps == 1


def test_a_feed_that_says_so_makes_the_venue_new_at_once():
    seam = BarSeam(INTERVAL)
    for tick in ticks_at(range(100_000, 101_000, 10), first_id=500_000):
        seam.add(tick, TICK, LOT)
    first, second = ticks_at([0, 10])
    seam.add(first, TICK, LOT, -1)
    seam.add(second, TICK, LOT, first.trade_id)
    assert (seam.gaps, seam.duplicates) == (1, 0)


def test_lower_ids_of_a_later_time_are_a_venue_that_numbers_anew():
    """A feed that is new itself takes its first print for one that follows."""
    old = ticks_at(range(1_000, 2_000, 10), first_id=500_000)
    again = old[40:60]
    new = ticks_at(range(2_000 + LATER_NS, 3_000 + LATER_NS, 10))
    runner = Runner(old)
    runner.run()
    seam = runner.seam
    for tick in again:
        assert seam.add(tick, TICK, LOT, tick.trade_id - 1) == []
    assert (seam.gaps, seam.duplicates, seam.state) == (0, 20, SeamState.LIVE)
    for tick in new:
        seam.add(tick, TICK, LOT, tick.trade_id - 1)
    assert (seam.gaps, seam.duplicates) == (1, 20)
    assert seam.wanted().from_ns == bars_of(old)[0][-1].close_time_ns


def test_a_span_that_was_overtaken_is_refused():
    seam = BarSeam(INTERVAL)
    seam.add(Tick(1_000, 1, 1, False, 1), TICK, LOT)
    span = seam.wanted()
    seam.complete(span)
    assert seam.wanted() is None
    assert not seam.is_current(span)
    with pytest.raises(AssertionError):
        seam.complete(span)


def test_ticks_kept_while_bars_are_fetched_are_bounded_and_none_is_lost_silently():
    ticks = ticks_at(range(0, 6_000, 10))
    runner = Runner(ticks, lag=100, seam=BarSeam(INTERVAL, ticks_kept_max=20))
    out = runner.run()
    assert runner.seam.gaps > 0
    closed = runner.seam.close_ns
    assert out == [bar for bar in bars_of(ticks)[0] if bar.close_time_ns <= closed]


def test_a_changed_tick_size_starts_a_new_bridge():
    seam = BarSeam(INTERVAL)
    ticks = ticks_at(range(0, 200, 10))
    for tick in ticks:
        seam.add(tick, TICK, LOT)
        while (span := seam.wanted()) is not None:
            seam.complete(span)
    assert seam.state is SeamState.LIVE
    seam.add(Tick(201, 1, 1, False, ticks[-1].trade_id + 1), Decimal("0.01"), LOT)
    assert seam.state is SeamState.BRIDGING
    assert seam.gaps == 1


def test_intervals_a_venue_left_out_are_flat_and_a_hole_stays_a_hole():
    first = Bar(0, 60, 1.0, 2.0, 0.5, 1.5, 3.0, 0.0)
    later = Bar(180, 240, 9.0, 9.0, 9.0, 9.0, 1.0, 0.0)
    flat = (1.5, 1.5, 1.5, 1.5, 0.0, 0.0)
    assert fill_flat([first, later], 60) == [
        first,
        Bar(60, 120, *flat),
        Bar(120, 180, *flat),
        later,
    ]
    day_ns = 86_400 * 10**9
    minute = 60 * 10**9
    a = Bar(0, minute, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0)
    b = Bar(2 * day_ns, 2 * day_ns + minute, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0)
    assert fill_flat([a, b], minute) == [a, b]


def live_seam():
    runner = Runner(ticks_at([10, 20, 70, 130]))
    runner.run()
    assert runner.seam.state is SeamState.LIVE
    return runner.seam


def test_a_quiet_bar_closes_only_by_the_last_print_and_a_time_beyond_it():
    seam = live_seam()
    assert not seam.is_over(179)
    assert seam.close_quiet(4, 179) == []
    assert seam.close_quiet(5, 180) == []  # a print that was not seen yet
    (bar,) = seam.close_quiet(4, 180)
    assert (bar.open_time_ns, bar.close_time_ns) == (120, 180)
    (flat,) = seam.close_quiet(4, 245)
    assert (flat.close_time_ns, flat.volume, flat.open) == (240, 0.0, bar.close)
    (last,) = seam.add(ticks_at([305], first_id=5)[0], TICK, LOT)
    assert (last.close_time_ns, last.volume, seam.late) == (300, 0.0, 0)


def test_after_a_day_of_silence_nothing_is_closed_by_time():
    seam = live_seam()
    assert seam.close_quiet(4, 130 + HOLE_NS + 1) == []
    assert seam.is_over(130 + HOLE_NS + 1)


def test_ids_that_rise_by_more_than_one_follow_where_the_feed_says_so():
    """Bybit's numbers jump; only what the feed did not vouch for is a gap."""
    ticks = ticks_at(range(0, 600, 7))
    sparse = [tick._replace(trade_id=tick.trade_id * 65_536) for tick in ticks]
    plain, told = BarSeam(INTERVAL), BarSeam(INTERVAL)
    for seam in (plain, told):
        seam.add(sparse[0], TICK, LOT)
        while (span := seam.wanted()) is not None:
            seam.complete(span)
    out, before = [], sparse[0].trade_id
    for index, tick in enumerate(sparse[1:], 1):
        out += told.add(tick, TICK, LOT, before)
        while (span := told.wanted()) is not None:
            out += answer(span, sparse[: index + 1])
            out += told.complete(span)
        plain.add(tick, TICK, LOT)
        before = tick.trade_id
    assert told.gaps == 0
    assert plain.gaps == len(sparse) - 1
    expected = bars_of(sparse)[0]
    assert out == expected[-len(out) :]
    assert len(out) > 5


def test_prints_seen_before_are_dropped_where_a_batch_begins_before_the_last():
    ticks = ticks_at(range(0, 300, 10))
    seam = BarSeam(INTERVAL)
    for tick in ticks[:20]:
        seam.add(tick, TICK, LOT)
    gaps, seen = seam.gaps, seam.ticks
    follows = ticks[9].trade_id
    for tick in ticks[10:]:  # a feed that was killed sends its last second again
        seam.add(tick, TICK, LOT, follows)
        follows = tick.trade_id
    assert (seam.gaps, seam.duplicates) == (gaps, 10)
    assert seam.ticks == seen + 10
