"""One tape trades the same in research and live: bars, sides, lots, and the money."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cryptoquantix.apps.parity_case import catalog_case, generated_case, research
from cryptoquantix.core.errors import DataError, SettingsError
from cryptoquantix.core.instrument import InstrumentId
from cryptoquantix.data.ingest import ingest
from cryptoquantix.research.parity import Trade, Traded, compare

TESTS = Path(__file__).parents[1]
SPOT = InstrumentId.parse("binance:PEPEUSDT-SPOT")
PEPE = "market-data/ticks/binance-archive/spot-PEPEUSDT-aggTrades-2024-10-27.zip"
SWING = ("--strategy", "agreement.swing")


def cqx_parity(tmp_path, *options, seconds=150):
    """Run ``cqx parity --json``; return what it printed, its exit code, its words."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "cryptoquantix", "parity", "--json", *options),
            *("--directory", str(tmp_path / "parity")),
        ],
        env=dict(os.environ) | {"PYTHONPATH": str(TESTS)},
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    print(done.stderr[-4_000:])  # shown where a test fails
    return json.loads(done.stdout), done.returncode, done.stderr


def traded(result, who):
    rows = [
        Trade(row["bar_ns"], lots * sign, row[who]["price"], row[who]["fee"])
        for row in result["differences"]
        for sign in ((1 if row["side"] == "buy" else -1),)
        for lots in (row[who]["lots"],)
    ]
    return Traded(rows, result[f"pnl_{who}"])


@pytest.mark.timeout(180)
def test_a_generated_tape_trades_the_same_in_research_and_live(tmp_path):
    """Sizes that change with every bar, flips, a band: to the lot and the cent."""
    result, code, words = cqx_parity(tmp_path, "--bars", "24", *SWING)
    assert (result["ok"], code, result["problems"]) == (True, 0, [])
    assert "limit 100% of the equity: loopback" in words
    assert result["trades"] >= 10
    assert {row["side"] for row in result["differences"]} == {"buy", "sell"}
    assert result["worst_ticks"] <= 1.0
    assert abs(result["pnl_live"] - result["pnl_research"]) < 0.001
    assert result["fees_live"] == pytest.approx(result["fees_research"], abs=1e-5)
    # And had one fill been two ticks off, or a lot short, that would be no parity.
    ours, theirs = (traded(result, who) for who in ("research", "live"))
    steps = generated_case(tmp_path / "catalog", 24).steps
    assert compare(ours, theirs, steps).is_ok
    first = theirs.trades[0]
    for shifted in (
        first._replace(price=first.price + 2 * steps.tick_size),
        first._replace(lots=first.lots - 1),
        first._replace(bar_ns=first.bar_ns + 60 * 10**9),
    ):
        changed = theirs._replace(trades=[shifted, *theirs.trades[1:]])
        assert not compare(ours, changed, steps).is_ok


@pytest.mark.slow
@pytest.mark.real_data
@pytest.mark.timeout(300)
def test_real_trades_are_traded_the_same_in_research_and_live(
    real_data, tmp_path, record_property
):
    """Forty minutes of a real day, with many trades in one millisecond."""
    root = tmp_path / "catalog"
    ingest(root, real_data / PEPE)
    result, code, _ = cqx_parity(
        tmp_path,
        *("--instrument", str(SPOT), "--catalog", str(root)),
        *("--start", "2024-10-27T12:00", "--end", "2024-10-27T12:41", *SWING),
        seconds=280,
    )
    record_property("pepe_parity", str({k: result[k] for k in list(result)[:8]}))
    assert (result["ok"], code, result["problems"]) == (True, 0, [])
    assert result["trades"] >= 10


def test_the_generated_tape_is_the_same_whatever_is_played_of_it(
    tmp_path, kernel_cache
):
    """Fewer bars are the first of the same, and the default trades often enough."""
    answers = [
        research(generated_case(tmp_path / str(bars), bars), kernel_cache)
        for bars in (240, 60)
    ]
    many, few = (answer.traded.trades for answer in answers)
    assert len(many) >= 10
    assert many[: len(few)] == few


def test_what_cannot_be_played_is_said_in_one_sentence(tmp_path):
    with pytest.raises(SettingsError, match="must span"):
        catalog_case(tmp_path, SPOT, 0, 60 * 10**9)
    with pytest.raises(SettingsError, match="elsewhere"):
        catalog_case(tmp_path, InstrumentId.parse("bybit:BTCUSDT-PERP"), 0, 10**15)
    with pytest.raises(DataError, match="neither ticks nor bars"):
        catalog_case(tmp_path, SPOT, 0, 100 * 60 * 10**9)
