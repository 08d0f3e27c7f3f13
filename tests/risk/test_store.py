"""The daemon's memory: what survives, and what is never believed."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from dataclasses import replace
from decimal import Decimal

import pytest

from cryptoquantix.control.status import RiskState
from cryptoquantix.core.clock import NS_PER_DAY, NS_PER_SECOND
from cryptoquantix.core.errors import SettingsError, StateCorrupt
from cryptoquantix.risk.samples import SAMPLES_KEPT_NS, SampleRow
from cryptoquantix.risk.state import Latch
from cryptoquantix.risk.store import RiskStore


@pytest.fixture
def path(tmp_path):
    return tmp_path / "risk" / "risk.sqlite"


def opened(path, now_ns=1):
    return RiskStore.open(path, now_ns=now_ns)


def armed(path):
    store = opened(path)
    store.write_latch(Latch(RiskState.ARMED, "armed by ann"), 2, "rearm")
    return store


def sample(store, time_ns, value):
    number = Decimal(value)
    store.add_sample(SampleRow(time_ns, True, number, number), "{}")


def test_the_first_start_is_locked(path):
    store = opened(path)
    assert store.latch.state is RiskState.LOCKED
    assert "first start" in store.latch.reason
    assert not store.latch.is_store_corrupt
    store.close()


def test_armed_and_intact_resumes_armed_with_its_peak(path):
    store = armed(path)
    for second, value in enumerate(("100", "120", "90")):
        sample(store, second + 1, value)
    sequence = store.sequence
    store.close()
    again = opened(path)
    assert again.latch.state is RiskState.ARMED
    assert again.sequence == sequence
    assert max(v for _, v in again.values(0, 0)) == 120
    again.close()


def test_an_empty_volume_is_locked_and_never_armed(path):
    armed(path).close()
    for part in path.parent.iterdir():
        part.unlink()
    store = opened(path)
    assert store.latch.state is RiskState.LOCKED
    store.close()


def damage_header(path):
    path.write_bytes(b"not a database" * 100)


def damage_middle(path):
    content = bytearray(path.read_bytes())
    content[4096 : 4096 + 3000] = b"\x55" * 3000
    path.write_bytes(content)


def damage_truncate(path):
    path.write_bytes(path.read_bytes()[:5000])


def damage_empty(path):
    path.write_bytes(b"")


def damage_latch(path):
    with sqlite3.connect(path) as connection:
        connection.execute(
            "UPDATE latch SET content = replace(content, 'TRIPPED', 'ARMED')"
        )
    connection.close()


def damage_sample(path):
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE samples SET value = '1'")
    connection.close()


def damage_no_latch(path):
    with sqlite3.connect(path) as connection:
        connection.execute("DELETE FROM latch")
    connection.close()


@pytest.mark.parametrize(
    "damage",
    [
        damage_header,
        damage_middle,
        damage_truncate,
        damage_empty,
        damage_latch,
        damage_sample,
        damage_no_latch,
    ],
)
def test_a_corrupt_store_is_locked_set_aside_and_kept(path, damage):
    store = opened(path)
    store.write_latch(Latch(RiskState.TRIPPED, "r"), 2, "trip")
    sample(store, 5, "100")
    store.close()
    damage(path)
    damaged = path.read_bytes()
    store = opened(path, now_ns=77)
    assert store.latch.state is RiskState.LOCKED
    assert store.latch.is_store_corrupt
    aside = path.with_name("risk.sqlite.corrupt-77")
    assert aside.name in store.latch.reason
    assert aside.read_bytes() == damaged or not damaged
    store.close()
    again = opened(path)
    assert again.latch.is_store_corrupt, "still said after another restart"
    again.close()


FULL = """
import resource, signal, sys
from pathlib import Path
from cryptoquantix.core.errors import SettingsError
from cryptoquantix.risk.store import RiskStore
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    RiskStore.open(Path(sys.argv[1]), now_ns=77)
except SettingsError as error:
    print(error)
"""


def opened_on_a_full_disk(path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(path)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert not done.stderr, done.stderr
    return done.stdout


def test_a_halt_outlasts_a_restart_on_a_full_disk(path):
    store = opened(path)
    tripped = Latch(RiskState.CLOSING, "a crash", goal=RiskState.HALTED)
    store.write_latch(tripped, 2, "trip")
    store.close()
    assert "cannot be opened" in opened_on_a_full_disk(path)
    again = opened(path)
    assert again.latch.state is RiskState.CLOSING
    assert not list(path.parent.glob("*.corrupt-*"))


def test_a_first_start_on_a_full_disk_is_one_sentence(path):
    assert "cannot be opened" in opened_on_a_full_disk(path)
    assert opened(path).latch.state is RiskState.LOCKED


def test_a_store_that_another_program_is_at_is_not_corrupt(path):
    armed(path).close()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(SettingsError, match="cannot be opened: database is locked"):
        opened(path)
    other.close()
    assert opened(path).latch.state is RiskState.ARMED


def test_only_one_daemon_holds_a_store(path):
    store = opened(path)
    with pytest.raises(SettingsError, match="another risk daemon holds the store"):
        opened(path)
    store.close()
    opened(path).close()


def test_every_entry_raises_the_sequence_and_alarms_do_not(path):
    store = armed(path)
    before = store.sequence
    sample(store, 1, "1")
    store.record(2, "event", {})
    assert store.sequence == before + 2
    store.queue_alarm(3, "info", "x")
    store.acknowledge(1, 4)
    assert store.sequence == before + 2
    store.close()
    again = opened(path)
    assert again.sequence == before + 2
    again.close()


def test_a_latch_can_be_numbered_above_what_others_have_seen(path):
    store = opened(path)
    latch = replace(store.latch, reason="lost its memory")
    store.write_latch(latch, 2, "lost", sequence_floor=5000)
    assert store.sequence == 5001
    store.close()
    again = opened(path)
    assert again.sequence == 5001
    again.close()


def test_a_write_that_fails_leaves_everything_as_it_was(path):
    store = armed(path)
    before = store.sequence
    store._connection.execute("PRAGMA query_only = ON")
    with pytest.raises(sqlite3.OperationalError):
        store.write_latch(Latch(RiskState.TRIPPED, "r"), 3, "trip")
    assert store.latch.state is RiskState.ARMED
    assert store.sequence == before
    store._connection.execute("PRAGMA query_only = OFF")
    store.write_latch(Latch(RiskState.TRIPPED, "r"), 3, "trip")
    assert store.verify_audit() == 3
    store.close()


def test_the_audit_log_is_append_only(path):
    store = armed(path)
    for statement in ("DELETE FROM audit", "UPDATE audit SET content = ''"):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            store._connection.execute(statement)
    store.close()


def test_a_changed_audit_entry_breaks_the_chain(path):
    store = armed(path)
    store.record(3, "event", {"note": "true"})
    store._connection.execute("DROP TRIGGER audit_stands")
    store._connection.execute("UPDATE audit SET kind = 'x' WHERE sequence = 2")
    with pytest.raises(StateCorrupt, match="entry 2"):
        store.verify_audit()
    store.close()


def test_alarms_wait_until_they_are_acknowledged(path):
    store = opened(path)
    store.queue_alarm(1, "critical", "tripped")
    store.queue_alarm(2, "info", "flat")
    first, second = store.alarms()
    assert (first.text, second.severity) == ("tripped", "info")
    assert store.acknowledge(first.id, 9)
    assert store.acknowledge(first.id, 10), "again is no error"
    assert not store.acknowledge(999, 9)
    assert [alarm.text for alarm in store.alarms()] == ["flat"]
    assert store.alarms_undelivered() == 1
    store.close()


def test_samples_are_kept_26_hours(path):
    store = opened(path)
    sample(store, 1, "1")
    sample(store, 2 + SAMPLES_KEPT_NS, "2")
    assert [s.equity for s in store.samples(0, 10)] == ["2"]
    store.close()


def test_the_peak_outlasts_any_time_without_a_complete_reading(path):
    store = armed(path)
    sample(store, NS_PER_SECOND, "100")
    sample(store, 2 * NS_PER_SECOND, "90")
    for day in range(1, 4):
        for seconds in (0, 1, 400, 401):  # what is read in part makes blocks too
            time_ns = day * NS_PER_DAY + seconds * NS_PER_SECOND
            store.add_sample(SampleRow(time_ns, is_complete=False), "{}", "x")
        store.close()
        store = opened(path)
    assert [value for _, value in store.values(0, 0)] == [100, 90]
    # once there is sight again, it ages as ever
    for seconds in range(2):
        time_ns = 5 * NS_PER_DAY + seconds * NS_PER_SECOND
        number = Decimal(80 - seconds)
        store.add_sample(SampleRow(time_ns, True, number, number), "{}", "x")
    later_ns = 5 * NS_PER_DAY + 400 * NS_PER_SECOND
    store.add_sample(SampleRow(later_ns, is_complete=False), "{}", "x")
    store.close()
    store = opened(path)
    assert [value for _, value in store.values(0, 0)] == [80, 79]
    store.close()


def test_samples_before_the_baseline_do_not_count(path):
    store = opened(path)
    sample(store, 1, "999")
    latch = store.write_baseline(
        Latch(RiskState.ARMED, "r"),
        "rearm",
        row=SampleRow(2, True, Decimal(1)),
        book="{}",
    )
    sample(store, 3, "100")
    found = store.values(0, latch.baseline_sequence)
    assert found == [(3, Decimal(100))]
    store.close()


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="cannot be opened"):
        opened(tmp_path / "file" / "risk.sqlite")
