"""Scripted prices: paths, gaps, files, and two real days told in round figures."""

from __future__ import annotations

import csv
from datetime import UTC, datetime
from fractions import Fraction
from itertools import pairwise

import pytest

from cryptoquantix.core.errors import SettingsError
from cryptoquantix.simulator.fault_kinds import Kind
from cryptoquantix.simulator.scenario import (
    ListedName,
    PricePath,
    ScenarioPlayer,
    load_scenario,
    parse_scenario,
    scenario_names,
)

NS = 1_000_000_000
LISTED = [
    ListedName("binance", "BTCUSDT", "BTC"),
    ListedName("binance", "ETHUSDT", "ETH"),
    ListedName("deribit", "BTC-PERPETUAL", "BTC"),
]
BUILT_IN = [
    "2024-08-05",
    "2025-10-10",
    "flash-crash",
    "gap-at-open",
    "one-venue-de-peg",
    "slow-bleed",
]


def player(text: str, start_ns: int = 0) -> ScenarioPlayer:
    return ScenarioPlayer(parse_scenario("test", text), start_ns, LISTED)


def test_a_path_is_straight_lines_and_gaps():
    path = PricePath(points=[(10, 0), (20, -10), (20, -20), (40, 0)])
    assert path.factor(0) == path.factor(10) == 1
    assert path.factor(15) == Fraction(95, 100)
    assert path.factor(19.999) > Fraction(89, 100)
    assert path.factor(20) == Fraction(80, 100)
    assert path.factor(30) == Fraction(90, 100)
    assert path.factor(1e9) == 1


def test_steps_multiply_to_the_path_whenever_they_are_asked():
    script = player("[[path]]\nsymbol = 'BTC'\npoints = [[0, 0], [60, -30]]")
    product = {name.symbol: Fraction(1) for name in LISTED}
    for second in (0, 0.1, 7, 7.3, 31, 59, 90):
        for step in script.steps(int(second * NS)):
            product[step.symbol] *= step.factor
    assert product["BTCUSDT"] == product["BTC-PERPETUAL"] == Fraction(70, 100)
    assert product["ETHUSDT"] == 1
    assert script.is_finished


def test_one_venue_can_go_alone():
    script = player("[[path]]\nvenue = 'deribit'\npoints = [[0, -5]]")
    steps = script.steps(0)
    assert [(s.venue, s.symbol) for s in steps] == [("deribit", "BTC-PERPETUAL")]


def test_faults_come_at_their_second_and_once():
    text = """
    [[fault]]
    at = 5
    kind = "503"
    [[fault]]
    at = 2
    kind = "disconnect"
    code = 1006
    """
    script = player(text, start_ns=100 * NS)
    assert script.faults(101 * NS) == []
    assert [f.kind for f in script.faults(103 * NS)] == [Kind.DISCONNECT]
    assert [f.kind for f in script.faults(500 * NS)] == [Kind.OVERLOADED]
    assert script.faults(900 * NS) == []


@pytest.mark.parametrize(
    "text",
    [
        "points",
        "[[path]]\npoints = []",
        "[[path]]\npoints = [[5, 0], [1, 0]]",
        "[[path]]\npoints = [[-1, 0]]",
        "[[path]]\npoints = [[0, -100]]",
        "[[path]]\npoints = [[0, 0]]\ncolor = 'red'",
        "volatility_per_day = 99",
        "[[fault]]\nkind = 'fire'",
        "[[fault]]\nkind = '503'\nat = -1",
        "[[fault]]\nkind = '503'\nat = 'noon'",
    ],
)
def test_what_is_no_scenario_is_one_sentence(text):
    with pytest.raises(SettingsError, match=r"^scenario test: "):
        parse_scenario("test", text)


def test_the_built_in_ones_are_there_and_hold_together():
    assert scenario_names() == BUILT_IN
    for name in BUILT_IN:
        scenario = load_scenario(name)
        assert scenario.about
        assert scenario.paths
        assert scenario.seconds > 0
    with pytest.raises(SettingsError, match="flash-crash"):
        load_scenario("no-such-thing")


def test_the_flash_crash_falls_and_rebounds():
    (path,) = load_scenario("flash-crash").paths
    factors = [float(path.factor(s)) for s in range(120)]
    lowest = min(factors)
    assert lowest == pytest.approx(0.88)
    assert (factors[-1] - lowest) / (1 - lowest) == pytest.approx(0.5, abs=0.01)


def test_the_bleed_never_moves_much_in_a_minute():
    (path,) = load_scenario("slow-bleed").paths
    factors = [float(path.factor(60 * m)) for m in range(241)]
    assert factors[-1] == pytest.approx(0.9)
    assert max(abs(b / a - 1) for a, b in pairwise(factors)) < 0.002


# The two real days. A path of round figures is not the market: it may be off by
# this much of the day's first price, at the close of a bar and at the day's low.
TOLERANCE_CLOSE = 0.025
TOLERANCE_MEAN = 0.007
TOLERANCE_LOW = 0.01


def compare(name: str, bars: list[tuple[int, float, float]]) -> None:
    """Hold the path against bars of (close time ms, low, close)."""
    scenario = load_scenario(name)
    (path,) = scenario.paths
    start = datetime.fromisoformat(scenario.start).replace(tzinfo=UTC)
    start_ms = int(start.timestamp() * 1000)
    first = next(close for at, _, close in bars if at >= start_ms)
    day = [b for b in bars if start_ms < b[0] <= start_ms + scenario.seconds * 1000]
    assert len(day) >= 20
    ours = [float(path.factor((at - start_ms) / 1000)) for at, _, _ in day]
    wrong = [abs(o - close / first) for o, (_, _, close) in zip(ours, day, strict=True)]
    assert max(wrong) <= TOLERANCE_CLOSE
    assert sum(wrong) / len(wrong) <= TOLERANCE_MEAN
    low = min(float(path.factor(s)) for s in range(int(scenario.seconds) + 1))
    assert low == pytest.approx(min(b[1] for b in day) / first, abs=TOLERANCE_LOW)


@pytest.mark.real_data
def test_5_august_2024_has_the_shape_of_the_real_day(real_data):
    feather = pytest.importorskip("pyarrow.feather")
    file = "freqtrade-feather/binance-spot_BTC_USDT-1m_2024-08.feather"
    table = feather.read_table(real_data / "market-data/ohlcv" / file)
    times = [int(t.timestamp() * 1000) for t in table["date"].to_pylist()]
    lows, closes = table["low"].to_pylist(), table["close"].to_pylist()
    minutes = [
        (t + 60_000, lo, c) for t, lo, c in zip(times, lows, closes, strict=True)
    ]
    compare("2024-08-05", minutes)


@pytest.mark.real_data
def test_10_october_2025_has_the_shape_of_the_real_day(real_data):
    file = real_data / "market-data/ohlcv/binance-perp-1h-2025-10/BTCUSDT_1h.csv"
    with file.open() as lines:
        rows = list(csv.DictReader(lines))
    hours = [
        (int(r["timestamp"]) + 3_600_000, float(r["low"]), float(r["close"]))
        for r in rows
    ]
    compare("2025-10-10", hours)


def test_a_script_goes_on_after_a_restart_and_repeats_nothing():
    text = """
about = "Down a tenth, then a fault."
[[path]]
points = [[0, 0], [10, -10], [20, -10], [30, 0]]
[[fault]]
at = 5
kind = "frozen-feed"
[[fault]]
at = 25
kind = "book-gap"
"""
    listed = [ListedName("binance", "BTCUSDT", "BTC")]

    def player() -> ScenarioPlayer:
        return ScenarioPlayer(parse_scenario("test", text), 0, listed)

    def factor_of(steps) -> Fraction:
        product = Fraction(1)
        for step in steps:
            product *= step.factor
        return product

    whole, first, second = player(), player(), player()
    at = [n * 1_000_000_000 for n in range(31)]
    wanted = factor_of(s for t in at for s in whole.steps(t))
    before = factor_of(s for t in at[:16] for s in first.steps(t))
    assert [f.kind for t in at[:16] for f in first.faults(t)] == ["frozen-feed"]
    assert second.mark["script"] == first.mark["script"]
    second.resume(first.mark["start_ns"], at[15])
    after = factor_of(s for t in at[15:] for s in second.steps(t))
    assert before * after == wanted
    assert [f.kind for t in at[15:] for f in second.faults(t)] == ["book-gap"]
