"""A real day of trades: the bars that come out of the live path are the archive's."""

import time

import pytest

from agreement.live_path import catalog_bars, play
from cryptoquantix.core.instrument import InstrumentId
from cryptoquantix.data.catalog import Catalog
from cryptoquantix.data.ingest import ingest
from cryptoquantix.strategies.stepper import Stepper

SPOT = InstrumentId.parse("binance:PEPEUSDT-SPOT")
TRADED = InstrumentId.parse("binance:PEPEUSDT-PERP")  # the simulator's name for it
FILE = "market-data/ticks/binance-archive/spot-PEPEUSDT-aggTrades-2024-10-27.zip"
PARAMS = {
    "gate_days": 1,
    "breakout_bars": 20,
    "exit_bars": 20,
    "atr_bars": 20,
    "volatility_bars": 60,
}
SPEED = 20_000.0


@pytest.mark.slow
@pytest.mark.real_data
@pytest.mark.timeout(300)
async def test_a_real_day_makes_the_same_bars_live_as_in_a_batch(
    real_data, tmp_path, record_property
):
    root = tmp_path / "catalog"
    started = time.perf_counter()
    ingest(root, real_data / FILE)
    ingested_seconds = time.perf_counter() - started
    catalog = Catalog(root)
    expected = catalog_bars(catalog, SPOT, 60)
    live = await play(
        tmp_path,
        tape=SPOT,
        traded=TRADED,
        catalog=root,
        params="{ " + ", ".join(f"{k} = {v}" for k, v in PARAMS.items()) + " }",
        speed=SPEED,
        until_ns=expected[-2].close_time_ns,  # nothing closes the day's last bar
    )
    rate = live.ticks / live.seconds
    figures = (
        f"{live.ticks} ticks and {len(expected)} bars ingested in "
        f"{ingested_seconds:.2f} s, played at {SPEED:g} × in {live.seconds:.1f} s "
        f"({rate:,.0f} ticks/s)"
    )
    record_property("pepe_day", figures)
    print(figures)
    assert live.feed.gaps == 0, live.log
    assert (live.feed.batches_dropped, live.feed.messages_refused) == (0, 0)
    assert live.bars == expected[:-1]
    stepper = Stepper("trend_breakout", PARAMS)
    targets = {
        bar.close_time_ns: (stepper.step(bar), bar.close) for bar in expected[:-1]
    }
    found = {t.bar_close_ns: (t.target, t.price) for t in live.targets}
    closes = sorted(targets)
    assert sorted(found) == closes[closes.index(min(found)) :]
    assert min(found) <= closes[2], "live from the first bars on"
    assert all(targets[close] == value for close, value in found.items())
    assert (live.strategy.gaps, live.strategy.bars) == (0, len(expected) - 1)
