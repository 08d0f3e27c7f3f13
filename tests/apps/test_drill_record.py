"""Results of drills go to the daemon's audit log, or wait beside its store."""

from __future__ import annotations

from cryptoquantix.apps.drill_record import (
    keep_results,
    last_kept,
    results_of,
    with_kept_drill,
)
from cryptoquantix.apps.settings import RiskSettings, Settings
from cryptoquantix.control.permit import PermitMode
from cryptoquantix.control.status import DrillResult, RiskState, RiskStatus
from cryptoquantix.core.clock import NS_PER_SECOND, ManualClock

NOW = 1_700_000_000 * NS_PER_SECOND
NOWHERE = "http://127.0.0.1:1"


def one(name, *, passed=True):
    times = {"detected_ms": 300.0, "sent_ms": 400.0, "flat_ms": 900.0}
    return {"drill": name, "passed": passed, "notes": "n" * 900, **times}


def settings(tmp_path, directory="deployment"):
    return Settings(directory=tmp_path / directory, risk=RiskSettings(url=NOWHERE))


def status(drill=None):
    return RiskStatus(
        state=RiskState.ARMED,
        permit_mode=PermitMode.TRADE,
        reason="",
        sequence=1,
        time_ns=NOW,
        equity=None,
        high_water_mark=None,
        drawdown=None,
        limit="0.03",
        formula="",
        last_complete_reading_age_ms=None,
        loop_age_ms=None,
        holder="",
        trip=None,
        remaining_orders=(),
        remaining_positions=(),
        is_flat=None,
        not_flat="",
        alarms_undelivered=0,
        is_store_corrupt=False,
        build="b",
        drill=drill,
        drill_age_ms=None if drill is None else 1,
    )


def test_of_many_drills_the_last_entry_says_how_many_passed():
    clock = ManualClock(NOW)
    found = results_of({"drills": [one("a"), one("b", passed=False)]}, clock)
    assert [(r.drill, r.passed) for r in found] == [
        ("a", True),
        ("b", False),
        ("all", False),
    ]
    assert found[-1].notes == "1 of 2 drills passed"
    assert len(found[0].notes) == 400
    assert found[0].flat_ms == 900


def test_one_drill_is_remembered_alone():
    (found,) = results_of({"drills": [one("a")]}, ManualClock(NOW))
    assert (found.drill, found.time_ns) == ("a", NOW)


def test_without_a_daemon_the_results_wait_beside_its_store(tmp_path):
    where = settings(tmp_path)
    where.directory.mkdir()
    clock = ManualClock(NOW)
    file, why = keep_results(where, {"drills": [one("a"), one("b")]}, clock)
    assert file == str(where.directory / "risk" / "drills.json")
    assert "cannot reach the risk daemon" in why
    kept = last_kept(where)
    assert (kept.drill, kept.passed) == ("all", True)
    shown = with_kept_drill(status(), where, NOW + 60 * NS_PER_SECOND)
    assert (shown.drill, shown.drill_age_ms) == (kept, 59_999)


def test_without_a_deployment_nothing_is_written(tmp_path):
    where = settings(tmp_path)
    assert keep_results(where, {"drills": [one("a")]}, ManualClock(NOW)) == ("", "")
    assert list(tmp_path.iterdir()) == []


def test_the_newer_of_log_and_file_is_shown(tmp_path):
    where = settings(tmp_path)
    where.directory.mkdir()
    keep_results(where, {"drills": [one("a")]}, ManualClock(NOW))
    newer = DrillResult("b", passed=True, time_ns=NOW + 1)
    assert with_kept_drill(status(newer), where, NOW + 9).drill is newer
    older = DrillResult("b", passed=True, time_ns=NOW - 1)
    assert with_kept_drill(status(older), where, NOW + 9).drill.drill == "a"


def test_a_file_that_is_none_is_no_result(tmp_path):
    where = settings(tmp_path)
    (where.directory / "risk").mkdir(parents=True)
    for text in ("", "{}", "[]", '{"drills": []}', '{"drills": [{"x": 1}]}'):
        (where.directory / "risk" / "drills.json").write_text(text)
        assert last_kept(where) is None
        assert with_kept_drill(status(), where, NOW).drill is None
