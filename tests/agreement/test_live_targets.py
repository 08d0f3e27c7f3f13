"""Published targets are those of a plain run over the catalog's bars, to the bit."""

import hashlib

import pytest

from agreement.live_path import catalog_bars, play
from cryptoquantix.core.clock import NS_PER_DAY
from cryptoquantix.core.instrument import InstrumentId
from cryptoquantix.data.catalog import Catalog, utc_date
from cryptoquantix.data.ingest import ingest
from cryptoquantix.research.passes import load_passes
from cryptoquantix.strategies import registry
from cryptoquantix.strategies.stepper import Stepper
from cryptoquantix.strategies.trend_breakout import parse_params
from histories import history_of
from plain_strategy import plain_digest

NEAR = InstrumentId.parse("binance:NEARUSDT-PERP")
FILE = "market-data/ohlcv/binance-archive/futures-um-NEARUSDT-1m-2025-02.csv"
PARAMS = {
    "gate_days": 2,
    "gate_band": 0.0,
    "breakout_bars": 60,
    "exit_bars": 60,
    "exit_atr": 6.0,
    "atr_bars": 60,
    "volatility_bars": 240,
}
HISTORY_DAYS, LIVE_DAYS = 4, 3
SPEED = 10_000.0


async def played(real_data, tmp_path, kill_at_bars=None):
    """Play the tape; return what came, and the plain run over the same bars."""
    root = tmp_path / "catalog"
    ingest(root, real_data / FILE)
    bars = catalog_bars(Catalog(root), NEAR, 60)
    start_ns = bars[0].open_time_ns + HISTORY_DAYS * NS_PER_DAY
    until_ns = start_ns + LIVE_DAYS * NS_PER_DAY
    kill_at = {
        start_ns + bar * 60 * 10**9: name for bar, name in (kill_at_bars or {}).items()
    }
    live = await play(
        tmp_path,
        tape=NEAR,
        traded=NEAR,
        catalog=root,
        params="{ " + ", ".join(f"{k} = {v}" for k, v in PARAMS.items()) + " }",
        speed=SPEED,
        start=utc_date(start_ns),
        warmup_days=HISTORY_DAYS + 1,  # more than there is: from the first bar on
        until_ns=until_ns,
        kill_at=kill_at,
    )
    stepper = Stepper("trend_breakout", PARAMS)
    targets = {
        bar.close_time_ns: (stepper.step(bar), bar.close)
        for bar in bars
        if bar.close_time_ns <= until_ns
    }
    found = {
        t.bar_close_ns: (t.target, t.price)
        for t in live.targets
        if t.bar_close_ns <= until_ns
    }
    assert live.targets[0].warmup_from_ns == bars[0].open_time_ns
    assert len({target for target, _ in found.values()}) > 5, "it trades"
    expected = [bar for bar in bars if start_ns <= bar.open_time_ns < until_ns]
    return live, targets, found, expected


def assert_one_rule(tmp_path, targets) -> None:
    """The matrix and plain Python arrive at these targets on the same bars."""
    bars = catalog_bars(Catalog(tmp_path / "catalog"), NEAR, 60)[: len(targets)]
    assert [bar.close_time_ns for bar in bars] == list(targets)
    history = history_of(bars)
    passes = load_passes(registry.load("trend_breakout"), tmp_path / "kernels")
    matrix = passes.targets(history, parse_params(PARAMS), len(bars))
    assert matrix.tolist() == [target for target, _ in targets.values()]
    digest = hashlib.sha256(matrix.tobytes()).hexdigest()
    assert plain_digest(history, PARAMS, tmp_path) == digest


@pytest.mark.slow
@pytest.mark.real_data
@pytest.mark.timeout(300)
async def test_live_targets_equal_a_plain_run_over_the_same_real_bars(
    real_data, tmp_path
):
    """Four days of warm-up, three live, from a catalog that holds them all."""
    live, targets, found, expected = await played(real_data, tmp_path)
    assert_one_rule(tmp_path, targets)
    assert found == {close: targets[close] for close in found}
    closes = [close for close in sorted(targets) if close >= min(found)]
    assert sorted(found) == closes, "no bar missing"
    assert len(closes) >= LIVE_DAYS * 1440
    assert live.bars[: len(expected)] == expected
    assert live.strategy.gaps == 0


@pytest.mark.slow
@pytest.mark.real_data
@pytest.mark.timeout(300)
async def test_services_killed_in_the_middle_change_no_target(real_data, tmp_path):
    """A killed feed leaves a gap, a killed strategy starts anew; both end up equal."""
    kills = {700: "feed", 1700: "strategy", 2700: "feed"}
    live, targets, found, _ = await played(real_data, tmp_path, kills)
    assert found == {close: targets[close] for close in found}
    assert max(found) == max(targets)
    sequences = [target.sequence for target in live.targets]
    assert sequences == list(range(1, len(sequences) + 1))
    assert len({target.warmup_from_ns for target in live.targets}) == 1
