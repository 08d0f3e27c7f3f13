"""Generated bars, and that nobody can take them for real ones."""

from __future__ import annotations

from decimal import Decimal

import polars as pl
import pytest

from archives import HEADERS, klines, write
from cryptoquantix.core.errors import DataError
from cryptoquantix.core.instrument import InstrumentId
from cryptoquantix.data.catalog import Catalog
from cryptoquantix.data.generator import (
    generate_bars,
    generate_ticks,
    store_generated,
    store_generated_ticks,
)
from cryptoquantix.data.ingest import ingest
from cryptoquantix.data.schema import BARS, TICKS

PERP = InstrumentId.parse("binance:BTCUSDT-PERP")
START = 1_706_745_600_000_000_000
TICK_SIZE = Decimal("0.1")


def bars(seed=7, days=10):
    return generate_bars(seed, START, days, Decimal(42_000), tick_size=TICK_SIZE)


def test_the_seed_alone_decides():
    assert bars().equals(bars())
    assert not bars(1).equals(bars(2))


def test_bars_are_whole_and_contiguous():
    frame = bars()
    assert frame.schema == BARS
    assert len(frame) == 14_400
    assert frame["open_time"][1:].equals(frame["close_time"][:-1], check_names=False)
    assert frame["open"][1:].equals(frame["close"][:-1], check_names=False)
    sound = frame.select(
        (pl.min_horizontal("open", "close") >= pl.col("low"))
        & (pl.max_horizontal("open", "close") <= pl.col("high"))
        & (pl.col("low") > 0)
        & (pl.col("volume") > 0)
    )
    assert sound.to_series().all()


def test_volatility_clusters_and_tails_are_heavy():
    frame = bars(days=60)
    moves = frame.select((pl.col("close") / pl.col("open")).log()).to_series()
    sizes = pl.DataFrame(
        {"now": moves.abs(), "then": moves.abs().shift(30)}
    ).drop_nulls()
    assert sizes.select(pl.corr("now", "then")).item() > 0.1
    assert moves.kurtosis() > 1.0
    assert 0.01 < moves.std() * 1440**0.5 < 0.1


def test_generated_bars_are_marked_and_never_mixed_with_real_ones(tmp_path):
    store_generated(tmp_path, PERP, bars(days=1))
    [dataset] = Catalog(tmp_path).datasets()
    assert dataset.generated
    assert dataset.source == "generated"
    path = tmp_path / "futures-um-BTCUSDT-1m-2024-02-01.csv"
    write(path, klines(5), HEADERS["klines"])
    with pytest.raises(DataError, match="do not mix"):
        ingest(tmp_path, path)
    ingest(tmp_path / "real", path)
    with pytest.raises(DataError, match="do not mix"):
        store_generated(tmp_path / "real", PERP, bars(days=1))


@pytest.mark.parametrize(
    "wrong",
    [{"days": 0}, {"price": Decimal(0)}, {"start_ns": 1}, {"tick_size": Decimal(0)}],
)
def test_a_wrong_argument_is_refused(wrong):
    right = {"days": 1, "price": Decimal(1), "start_ns": 0, "tick_size": TICK_SIZE}
    with pytest.raises(ValueError, match="must be"):
        generate_bars(1, **(right | wrong))


def ticks(seed=7, minutes=600):
    return generate_ticks(seed, START, minutes, Decimal(42_000), tick_size=TICK_SIZE)


def test_generated_ticks_are_whole_in_order_and_in_every_minute(tmp_path):
    """Their sides are those of their moves, and their bars have no hole."""
    frame = ticks()
    assert frame.equals(ticks())
    assert frame.schema == TICKS
    times = frame["time"].to_physical()
    assert (times.diff().drop_nulls() > 0).all()
    assert frame["trade_id"].to_list() == list(range(1, len(frame) + 1))
    steps = frame["price"] / 0.1
    assert (steps - steps.round()).abs().max() < 1e-6
    moves = frame["price"].diff().fill_null(0.0)
    assert frame["is_buyer_maker"].to_list() == (moves < 0).to_list()
    store_generated_ticks(tmp_path, PERP, frame)
    [dataset] = Catalog(tmp_path).datasets()
    assert dataset.generated
    built = Catalog(tmp_path).bars(PERP, 60).collect()
    assert len(built) == 600
    assert (built["volume"] > 0).all()


def test_bad_generated_ticks_are_refused():
    with pytest.raises(ValueError, match="must be positive"):
        ticks(minutes=0)
    with pytest.raises(ValueError, match="whole minute"):
        generate_ticks(1, START + 1, 5, Decimal(1), tick_size=TICK_SIZE)
