"""Bars become arrays only if they are bars; what is missing is said."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from cryptoquantix.core.clock import NS_PER_DAY, NS_PER_SECOND
from cryptoquantix.core.errors import DataError, DisorderError, GapError
from cryptoquantix.data.schema import TIME
from cryptoquantix.research.history import days_of, find_gaps, from_frame
from histories import START_NS, cut, walk

EIGHT_HOURS_NS = 8 * 3600 * NS_PER_SECOND


def frame_of(history) -> pl.DataFrame:
    columns = {
        "open_time": history.open_time_ns,
        "close_time": history.close_time_ns,
        **{n: getattr(history, n) for n in ("open", "high", "low", "close", "volume")},
    }
    times = (pl.col(name).cast(TIME) for name in ("open_time", "close_time"))
    return pl.DataFrame(columns).with_columns(times)


def funding_of(times_ns, rate=1e-4) -> pl.DataFrame:
    frame = pl.DataFrame({"time": times_ns, "rate": [rate] * len(times_ns)})
    return frame.with_columns(pl.col("time").cast(TIME))


def test_a_frame_of_bars_comes_back_as_it_was():
    history = walk(1, 500)
    again = from_frame(frame_of(history))
    for was, found in zip(history[:7], again[:7], strict=True):
        np.testing.assert_array_equal(was, found)
        assert not found.flags.writeable


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("low", 1e9),
        ("high", 0.0),
        ("close", float("nan")),
        ("open", -1.0),
        ("volume", None),
    ],
)
def test_what_is_no_bar_is_refused_with_its_time(column, value):
    frame = frame_of(walk(1, 10))
    broken = frame.with_columns(
        pl.when(pl.int_range(10) == 4)
        .then(pl.lit(value))
        .otherwise(column)
        .alias(column)
    )
    with pytest.raises(DataError, match="opens at 2023-11-15T00:04:00Z is not one"):
        from_frame(broken)


def test_an_empty_frame_and_disorder_are_refused():
    frame = frame_of(walk(1, 10))
    with pytest.raises(DataError, match="no bar"):
        from_frame(frame.head(0))
    with pytest.raises(DisorderError):
        from_frame(frame.reverse())
    with pytest.raises(DisorderError):
        from_frame(pl.concat((frame, frame.tail(1))))


def test_gaps_are_counted_in_bars():
    history = walk(1, 100)
    frame = frame_of(history)
    holed = from_frame(pl.concat((frame[:20], frame[25:60], frame[61:])))
    assert find_gaps(holed) == (2, 6)
    assert find_gaps(history) == (0, 0)


def test_days_hold_the_bars_that_open_in_them_and_empty_days_count():
    history = walk(1, 3 * 1440 + 10)
    days = days_of(history)
    assert (days.count, days.stops.tolist()) == (4, [1440, 2880, 4320, 4330])
    assert days.start_ns(1) == START_NS + NS_PER_DAY
    without = cut(history, 0, 1440)
    holed = type(history)(
        *(np.concatenate((a, b[2880:])) for a, b in zip(without, history, strict=True))
    )
    assert days_of(holed).stops.tolist() == [1440, 1440, 2880, 2890]


def test_funding_falls_on_the_bar_that_closes_at_its_time_despite_late_stamps():
    frame = frame_of(walk(1, 1440))
    late = 6_000_000  # venues stamp 00:00:00.006
    times = [START_NS + i * EIGHT_HOURS_NS + late for i in range(1, 4)]
    history = from_frame(frame, funding_of(times))
    charged = np.flatnonzero(history.funding_rate)
    assert charged.tolist() == [479, 959, 1439]
    assert history.close_time_ns[479] == START_NS + EIGHT_HOURS_NS


def test_funding_that_is_missing_is_an_error_and_not_zero():
    frame = frame_of(walk(1, 2 * 1440))
    times = [START_NS + i * EIGHT_HOURS_NS for i in range(7) if i != 3]
    with pytest.raises(
        GapError, match=r'2023-11-15T16.*2023-11-16T08.*funding = "none"'
    ):
        from_frame(frame, funding_of(times))
    with pytest.raises(GapError):
        from_frame(frame, funding_of([]))
    with pytest.raises(GapError):
        from_frame(frame, funding_of(times[:2]))


def test_two_charges_within_one_bar_add_up():
    frame = frame_of(walk(1, 4, seconds=4 * 3600))
    hours = [START_NS + i * 3600 * NS_PER_SECOND for i in range(1, 17)]
    history = from_frame(frame, funding_of(hours))
    assert history.funding_rate == pytest.approx(np.full(4, 4e-4))
