"""The audit log and the readings: chained, pruned, checked from outside."""

from __future__ import annotations

import json
import sqlite3
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryptoquantix.control.status import RiskState
from cryptoquantix.core.clock import NS_PER_SECOND
from cryptoquantix.core.errors import SettingsError
from cryptoquantix.risk import readings
from cryptoquantix.risk.samples import SampleRow, condensed
from cryptoquantix.risk.state import Latch
from cryptoquantix.risk.store import RiskStore
from cryptoquantix.risk.verify import newest_entries, verify
from cryptoquantix.risk.window import HighWaterMark

START_NS = 10**18
BLOCK_SECONDS = 30
KEPT_SECONDS = 780


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """Blocks a tenth as long, kept for minutes: a test need not write a day."""
    monkeypatch.setattr(readings, "BLOCK_NS", BLOCK_SECONDS * NS_PER_SECOND)
    monkeypatch.setattr(readings, "AROUND_NS", 6 * NS_PER_SECOND)
    monkeypatch.setattr(readings, "KEPT_NS", KEPT_SECONDS * NS_PER_SECOND)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "risk.sqlite"


def opened(path):
    return RiskStore.open(path, now_ns=START_NS)


def text_of(second):
    rows = [
        [f"S{n}USDT", "BOTH", "1", f"{100 + second / 7:.4f}", "100"] for n in range(9)
    ]
    return json.dumps([["binance", "reading", second, {"positions": rows}]])


def add(store, second, value="100"):
    number = Decimal(value)
    row = SampleRow(START_NS + second * NS_PER_SECOND, True, number, number)
    store.add_sample(row, "{}", text_of(second))


def filled(path, seconds, step=1):
    store = opened(path)
    store.write_latch(Latch(RiskState.ARMED, "armed"), START_NS, "rearm")
    for second in range(0, seconds, step):
        add(store, second)
    return store


def damage(path, statement, *values):
    connection = sqlite3.connect(path)
    for trigger in ("audit_keeps", "audit_stands"):
        connection.execute(f"DROP TRIGGER IF EXISTS {trigger}")
    connection.execute(statement, values)
    connection.commit()
    connection.close()


def test_a_whole_store_is_as_written_and_says_what_it_holds(path):
    store = filled(path, 70)
    found = verify(path)  # beside the daemon that holds it
    store.close()
    assert found.problem == ""
    assert found.samples == found.readings == 70
    assert found.blocks == 2
    assert found.entries == 4  # created, rearm, two blocks


@pytest.mark.parametrize(
    ("statement", "sentence"),
    [
        ("UPDATE audit SET content = '{}' WHERE sequence = 2", "entry 2 of the audit"),
        ("DELETE FROM audit WHERE sequence = 2", "of the audit log is not"),
        ("UPDATE samples SET equity = '1' WHERE sequence = 9", "sample 9 is not"),
        ("UPDATE latch SET content = replace(content, 'ARMED', 'HALTED')", "the latch"),
        ("UPDATE book SET content = '[]'", "the book is not"),
        ("UPDATE checkpoint SET content = '{}'", "the checkpoint is not"),
    ],
)
def test_the_first_thing_that_was_changed_is_named(path, statement, sentence):
    filled(path, 70).close()
    damage(path, statement)
    found = verify(path)
    assert not found.is_good
    assert sentence in found.problem


@pytest.mark.parametrize(
    ("statement", "sentence"),
    [
        ("UPDATE readings SET content = x'00' WHERE number = 1", "cannot be read"),
        ("UPDATE readings SET time_ns = time_ns + 1 WHERE number = 5", "not what was"),
        ("DELETE FROM readings WHERE number = 30", "block 1 are not what was written"),
        ("DELETE FROM readings WHERE block = 1", "block 1 are missing"),
        ("UPDATE readings SET digest = 'x' WHERE number = 65", "in block 3"),
    ],
)
def test_a_reading_that_was_changed_is_named(path, statement, sentence):
    filled(path, 70).close()
    damage(path.with_name("readings.sqlite"), statement)
    assert sentence in verify(path).problem


def test_what_is_pruned_leaves_its_hash_and_the_chain_still_holds(path):
    store = filled(path, KEPT_SECONDS + 20 * BLOCK_SECONDS, BLOCK_SECONDS)
    store.close()
    found = verify(path)
    assert found.problem == ""
    assert found.blocks_pruned > 10
    assert found.blocks > 20


def test_readings_around_a_change_of_state_are_kept_for_good(path):
    store = filled(path, 65)
    trip_ns = START_NS + 62 * NS_PER_SECOND
    store.write_latch(Latch(RiskState.TRIPPED, "r"), trip_ns, "trip")
    for second in range(90, 90 + KEPT_SECONDS + 30 * BLOCK_SECONDS, BLOCK_SECONDS):
        add(store, second)
    store.close()
    found = verify(path)
    assert found.problem == ""
    log = sqlite3.connect(path.with_name("readings.sqlite"))
    kept = {at for block in (2, 3) for at, _, _ in readings.rows(log, block)}
    log.close()
    assert {trip_ns + n * NS_PER_SECOND for n in range(-6, 3)} <= kept


def test_a_block_goes_on_over_a_restart(path):
    filled(path, 12).close()
    store = opened(path)
    for second in range(12, 40):
        add(store, second)
    store.close()
    found = verify(path)
    assert found.problem == ""
    assert (found.blocks, found.readings) == (1, 40)


def test_lost_readings_cost_no_latch_and_are_said(path):
    filled(path, 70).close()
    path.with_name("readings.sqlite").write_bytes(b"no database" * 999)
    store = opened(path)
    assert store.latch.state is RiskState.ARMED
    assert store.readings.has_lost
    add(store, 71)
    store.close()
    assert "block 1 are missing" in verify(path).problem


def test_a_start_goes_on_from_the_checkpoint_with_the_same_peak(path):
    store = filled(path, 0)
    for second in range(150):
        add(store, second, f"{100 + (second * 37) % 101}")
    whole = HighWaterMark(
        [
            (row[0], Decimal(row[1]))
            for row in store._connection.execute("SELECT time_ns, value FROM samples")
        ]
    )
    store.close()
    again = opened(path)
    assert HighWaterMark(again.values(0, 0)).peak == whole.peak
    assert len(again.values(0, 0)) < 60
    again.close()


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, 20), max_size=40), st.integers(1, 20), st.integers(1, 9))
def test_condensed_samples_give_the_same_peak_in_every_later_window(
    values, later, window
):
    """Cut anywhere, condensed and gone on with: the same peak as with all of them."""
    rows = [(n, n, Decimal(value)) for n, value in enumerate(values, start=1)]
    kept = [(at, value) for _, at, value in condensed(rows)]
    whole = HighWaterMark([(at, v) for _, at, v in rows], window_ns=window)
    short = HighWaterMark(kept, window_ns=window)
    at = len(values) + 1
    assert whole.add(at, Decimal(later)) == short.add(at, Decimal(later))


def test_a_store_of_the_first_version_is_brought_up_and_keeps_all(path):
    store = filled(path, 5)
    store._connection.execute("DROP TABLE checkpoint")
    store._connection.execute("DROP INDEX audit_by_kind")
    store._connection.execute("PRAGMA user_version = 1")
    store.close()
    again = opened(path)
    assert again.latch.state is RiskState.ARMED
    assert len(again.values(0, 0)) == 1
    again.close()
    assert verify(path).problem == ""


def test_no_store_is_one_sentence(tmp_path):
    with pytest.raises(SettingsError, match="there is no risk store"):
        verify(tmp_path / "none.sqlite")


def test_the_newest_entries_are_listed_beside_a_running_daemon(path):
    store = filled(path, 3)
    kinds = [entry.kind for entry in newest_entries(path, 2)]
    store.close()
    assert kinds == ["created", "latch"]
