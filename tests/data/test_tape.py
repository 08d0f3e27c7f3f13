"""History as a stream of trades."""

from __future__ import annotations

from decimal import Decimal
from itertools import islice

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archives import HEADERS, trades, write
from cryptoquantix.bars.stream import BarBuilder
from cryptoquantix.core.errors import DataError
from cryptoquantix.core.instrument import InstrumentId
from cryptoquantix.core.market import Tick
from cryptoquantix.core.quantity import to_steps
from cryptoquantix.data.catalog import Catalog
from cryptoquantix.data.generator import generate_bars, store_generated
from cryptoquantix.data.ingest import ingest
from cryptoquantix.data.layout import DatasetKey, Marker
from cryptoquantix.data.schema import BARS, TIME, DatasetKind
from cryptoquantix.data.store import put
from cryptoquantix.data.tape import tape, tape_source

PERP = InstrumentId.parse("binance:BTCUSDT-PERP")
MINUTE = 60_000_000_000
START = 1_706_745_600_000_000_000
COLUMNS = ["open_time", "close_time", "open", "high", "low", "close", "volume"]


def rebuilt(catalog, instrument, interval_ns=MINUTE):
    """The bars of a tape, tick by tick."""
    source = tape_source(catalog, instrument)
    builder = BarBuilder(interval_ns, source.tick_size, source.lot_size)
    bars = []
    for number, trade in enumerate(tape(catalog, instrument)):
        price = to_steps(trade.price, source.tick_size)
        size = to_steps(trade.size, source.lot_size)
        tick = Tick(trade.time_ns, price, size, trade.is_buyer_maker, number)
        bars += builder.add(tick)
    bars += builder.advance(2**62)
    assert builder.late == 0
    rows = [tuple(bar)[:7] for bar in bars]
    schema = {name: BARS[name] for name in COLUMNS}
    ints = {
        name: pl.Int64 if name.endswith("time") else t for name, t in schema.items()
    }
    return pl.DataFrame(rows, schema=ints, orient="row").cast(schema)


def frame_of(rows):
    """Bars from (low, spans, lots) in ticks of 0.01 and lots of 0.001."""
    values, close = [], 10_000
    for number, (low, spans, lots) in enumerate(rows):
        open_ns = START + number * MINUTE
        if not lots and number:  # as venues publish an interval without a trade
            prices = (close,) * 4
        else:
            a, b, over = spans
            high = low + max(a, b) + over
            prices = (low + a, high, low, low + b)
        close = prices[3]
        quotes = [price / 100 for price in prices]
        volume = max(lots, not number) / 1000
        values.append((open_ns, open_ns + MINUTE, *quotes, volume, volume, lots))
    schema = {
        name: pl.Int64 if dtype == TIME else dtype for name, dtype in BARS.items()
    }
    return pl.DataFrame(values, schema=schema, orient="row").cast(dict(BARS))


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.integers(1, 10**9),
            st.tuples(st.integers(0, 50), st.integers(0, 50), st.integers(0, 50)),
            st.one_of(st.integers(0, 5), st.integers(0, 10**9)),
        ),
        min_size=1,
        max_size=40,
    )
)
def test_a_bar_expands_to_trades_that_rebuild_it_exactly(tmp_path_factory, rows):
    root = tmp_path_factory.mktemp("catalog")
    bars = frame_of(rows)
    put(root, DatasetKey(DatasetKind.BARS, PERP, "1m"), bars, Marker("klines"))
    # The last flat bars have no trade after them that would bring them back.
    traded = bars.with_row_index().filter(pl.col("volume") > 0)["index"].max()
    expected = bars.head(int(traded) + 1).select(COLUMNS)
    assert rebuilt(Catalog(root), PERP).head(len(expected)).equals(expected)


def test_a_bar_with_fewer_lots_than_prices_gets_finer_lots(tmp_path):
    bars = frame_of([(100, (5, 6, 7), 1), (100, (5, 6, 7), 2000)])
    put(tmp_path, DatasetKey(DatasetKind.BARS, PERP, "1m"), bars, Marker("klines"))
    source = tape_source(Catalog(tmp_path), PERP)
    assert source.lot_size == Decimal("0.0001")
    assert sum(t.size for t in tape(Catalog(tmp_path), PERP)) == Decimal("2.001")


def test_trades_lie_within_their_bar_dip_before_they_rise_and_are_sorted(tmp_path):
    up = (100, (5, 9, 3), 4000)  # opens 1.05, low 1.00, high 1.12, closes 1.09
    down = (100, (9, 5, 3), 4000)
    bars = frame_of([up, down])
    put(tmp_path, DatasetKey(DatasetKind.BARS, PERP, "1m"), bars, Marker("klines"))
    played = list(tape(Catalog(tmp_path), PERP))
    assert [str(t.price) for t in played] == [
        *("1.05", "1.00", "1.12", "1.09"),
        *("1.09", "1.12", "1.00", "1.05"),
    ]
    assert all(START <= t.time_ns < START + MINUTE for t in played[:4])
    assert all(START + MINUTE <= t.time_ns < START + 2 * MINUTE for t in played[4:])
    assert [t.time_ns for t in played] == sorted(t.time_ns for t in played)
    assert [t.is_buyer_maker for t in played[1:4]] == [True, False, True]


def test_ticks_are_played_as_they_were_and_before_bars(tmp_path):
    path = tmp_path / "futures-um-BTCUSDT-trades-2024-02-01.csv"
    lines = trades(100)
    ingest(tmp_path / "c", write(path, lines, HEADERS["trades"]))
    store_generated(
        tmp_path / "c",
        PERP,
        generate_bars(1, START, 1, Decimal(42_000), tick_size=Decimal("0.1")),
    )
    played = list(tape(Catalog(tmp_path / "c"), PERP))
    for line, trade in zip(lines, played, strict=True):
        _, price, size, _, time_ms, maker = line.split(",")
        assert trade == (
            int(time_ms) * 10**6,
            Decimal(price),
            Decimal(size),
            maker == "true",
        )


def test_a_range_is_half_open(tmp_path):
    path = tmp_path / "futures-um-BTCUSDT-trades-2024-02-01.csv"
    ingest(tmp_path / "c", write(path, trades(100), HEADERS["trades"]))
    start, end = START + 10 * 10**9, START + 20 * 10**9
    played = list(tape(Catalog(tmp_path / "c"), PERP, start, end))
    assert [t.time_ns for t in played] == list(range(start, end, 10**9))


def test_nothing_to_play_is_said_before_the_first_trade(tmp_path):
    with pytest.raises(DataError, match="neither ticks nor bars of binance:BTCUSDT"):
        tape(Catalog(tmp_path), PERP)


def test_a_bar_that_closes_beyond_its_high_is_refused(tmp_path):
    bars = frame_of([(100, (5, 6, 7), 5)]).with_columns(high=pl.lit(0.5))
    put(tmp_path, DatasetKey(DatasetKind.BARS, PERP, "1m"), bars, Marker("klines"))
    with pytest.raises(DataError, match="beyond its high or low"):
        list(tape(Catalog(tmp_path), PERP))


def test_a_long_tape_is_lazy(tmp_path):
    bars = generate_bars(1, START, 60, Decimal(42_000), tick_size=Decimal("0.1"))
    store_generated(tmp_path, PERP, bars)
    assert len(list(islice(tape(Catalog(tmp_path), PERP), 5))) == 5


def test_the_real_day_plays_whole(tmp_path, real_data):
    folder = real_data / "market-data/ticks/binance-archive"
    ingest(tmp_path, folder / "spot-PEPEUSDT-aggTrades-2024-10-27.zip")
    instrument = InstrumentId.parse("binance:PEPEUSDT-SPOT")
    catalog = Catalog(tmp_path)
    source = tape_source(catalog, instrument)
    assert (str(source.tick_size), str(source.lot_size)) == ("1E-8", "1")
    played = list(tape(catalog, instrument))
    assert len(played) == 57_229
    assert played[0] == (
        1_729_987_202_368_000_000,
        Decimal("0.00000908"),
        Decimal(3_591_711),
        False,
    )
    bars = catalog.bars(instrument, 60).select(COLUMNS).collect()
    assert rebuilt(catalog, instrument).equals(bars)


def test_real_bars_come_back_from_their_tape(tmp_path, real_data):
    folder = real_data / "market-data/ohlcv/binance-archive"
    ingest(tmp_path, folder / "futures-um-FILUSDT-1m-2023-08.csv")
    instrument = InstrumentId.parse("binance:FILUSDT-PERP")
    catalog = Catalog(tmp_path)
    bars = catalog.bars(instrument, 60).select(COLUMNS).collect()
    assert rebuilt(catalog, instrument).equals(bars)
