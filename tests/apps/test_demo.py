"""The demo runs end to end, and the venue's log says that all of it happened."""

import json

import pytest

from cryptoquantix.apps import demo, demo_data
from cryptoquantix.apps.download import NetworkError
from cryptoquantix.core.errors import SettingsError

KEYS = {
    "data": {"source", "generated", "ticks", "bars"},
    "walk_forward": {"cells", "folds", "oos_sharpe", "seconds"},
    "kill": {
        "drawdown",
        "detected_ms",
        "sent_ms",
        "flat_ms",
        "open_orders",
        "positions",
        "latched",
        "alert_delivered",
    },
}


def assert_good(result):
    shown = json.loads(json.dumps(result.as_json()))
    assert shown["ok"] is True, shown
    assert set(shown) == {"ok", "orders", "fills", "seconds", *KEYS}
    for name, keys in KEYS.items():
        assert set(shown[name]) == keys
    kill = shown["kill"]
    assert kill["open_orders"] == kill["positions"] == 0
    assert kill["latched"] is True
    assert kill["alert_delivered"] is True
    assert kill["drawdown"] >= 0.03
    assert 0 < kill["detected_ms"] <= kill["sent_ms"] <= kill["flat_ms"] < 8_000
    assert shown["orders"] >= 2
    assert result.report.stat().st_size > 100_000
    return shown


@pytest.mark.slow
@pytest.mark.real_data
@pytest.mark.timeout(240)
def test_the_demo_on_a_real_month_ends_flat_latched_and_alarmed(real_data, tmp_path):
    folder = real_data / "market-data" / "ohlcv" / "binance-archive"
    shown = assert_good(demo.run(folder, tmp_path / "demo"))
    assert shown["data"]["generated"] is False
    assert shown["data"]["bars"] == 44_640


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_without_a_network_the_demo_runs_on_a_tape_labelled_generated(
    tmp_path, monkeypatch
):
    def no_network(*arguments, **options):
        msg = "cannot reach the archive"
        raise NetworkError(msg)

    monkeypatch.setattr(demo_data, "download", no_network)
    result = demo.run(None, tmp_path / "demo")
    shown = assert_good(result)
    assert shown["data"]["generated"] is True
    assert "GENERATED" in shown["data"]["source"]
    assert "GENERATED" in result.report.read_text().upper()


def test_a_folder_that_no_demo_wrote_is_left_alone(tmp_path):
    (tmp_path / "precious").write_text("mine")
    with pytest.raises(SettingsError, match="no demo wrote"):
        demo.run(None, tmp_path)
    assert (tmp_path / "precious").read_text() == "mine"
