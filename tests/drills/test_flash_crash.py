"""The kill switch ends flat and latched, and in time, with real processes."""

import pytest

from cryptoquantix.apps import drill
from cryptoquantix.apps.drill import DrillOptions
from cryptoquantix.core.errors import SettingsError
from cryptoquantix.drills.every import EVERY


@pytest.mark.slow
def test_a_crash_at_three_venues_ends_flat_and_latched():
    said = []
    result = drill.run("flash-crash", 1, lambda number, one: said.append(number))
    (summary,) = result["drills"]
    assert summary["passed"], summary["notes"]
    assert said == [1]
    for one in result["runs"]:
        assert one["positions"] == one["open_orders"] == 0
        assert one["drawdown"] >= 0.03
        assert 0 < one["detected_ms"] <= one["sent_ms"] <= one["flat_ms"]
    assert "flash-crash" in drill.table(result)


@pytest.mark.parametrize(
    ("name", "runs", "options", "says"),
    [
        ("nope", 1, DrillOptions(), "no drill 'nope', expected one of flash-crash, "),
        ("flash-crash", 0, DrillOptions(), "runs must be from 1 to 1000, was 0"),
        ("flash-crash", 5000, DrillOptions(), "runs must be from 1 to 1000, was 5000"),
        ("flash-crash", 1, DrillOptions(venues=("mtgox",)), "was 'mtgox'"),
        ("flash-crash", 1, DrillOptions(venues=()), "was ''"),
        (
            "one-venue-outage",
            1,
            DrillOptions(venues=("binance",)),
            "one-venue-outage needs 2 venues: name more",
        ),
        (
            "disk-full",
            1,
            DrillOptions(admin="http://127.0.0.1:1"),
            "disk-full needs a fresh daemon: leave --admin out",
        ),
    ],
)
def test_a_wrong_drill_is_one_sentence(name, runs, options, says):
    with pytest.raises(SettingsError, match=says):
        drill.run(name, runs, lambda number, one: None, options)


def test_no_drill_is_carried_out_at_a_live_venue(tmp_path):
    config = tmp_path / "cryptoquantix.toml"
    config.write_text(
        '[venues.binance]\nrest = "https://fapi.binance.com"\n'
        'ws = "wss://fstream.binance.com"\n'
    )
    options = DrillOptions(admin="http://127.0.0.1:1", config=config)
    with pytest.raises(SettingsError, match=r"not at https://fapi\.binance\.com"):
        drill.run("flash-crash", 1, lambda number, one: None, options)


def test_every_drill_of_the_list_is_there_and_says_what_it_does():
    names = (
        "flash-crash slow-bleed one-venue-outage all-venue-outage lost-ack "
        "band-refusal partial-fills ban-429 bad-reading deposit withdrawal "
        "transfer-in-transit adl-one-leg late-fill-after-flat daemon-killed "
        "empty-volume disk-full clock-step telegram-down second-execution"
    )
    assert names.split() == list(EVERY)
    assert all(one["about"] for one in drill.listed())
    assert all(name in drill.listing() for name in EVERY)
