"""What was written is on the disk, once, and what was not written is said."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import textwrap
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cryptoquantix.core.errors import JournalError, SettingsError, StateCorrupt
from cryptoquantix.core.instrument import InstrumentId
from cryptoquantix.core.order import Increase, OrderState, OrderType, Side, TimeInForce
from cryptoquantix.journal.records import (
    Baseline,
    FillRecord,
    OrderNote,
    OrderRecord,
    Report,
)
from cryptoquantix.journal.store import Journal

BTC = InstrumentId.parse("binance:BTCUSDT-PERP")
LOT = Decimal("0.001")


def record(name="cqx-1", attempt=0, **changes):
    values = {
        "client_order_id": name,
        "account": "main",
        "strategy": "trend_breakout",
        "instrument": str(BTC),
        "bar_ns": 60,
        "attempt": attempt,
        "kind": "increase",
        "side": Side.BUY,
        "size_lots": 3,
        "type": OrderType.MARKET,
        "price_ticks": None,
        "time_in_force": TimeInForce.GTC,
        "lot_size": "0.001",
        "target": 0.5,
        "reference_price": "60000.1",
        "wanted_lots": 3,
        "held_lots": 0,
        "created_ns": 100 + attempt,
        "build": "test",
    }
    return OrderRecord(**values | changes)


def fill(trade_id="1", lots=3, side=Side.BUY, lot_size="0.001"):
    return FillRecord(
        instrument=str(BTC),
        trade_id=trade_id,
        venue_order_id="77",
        client_order_id="cqx-1",
        side=side,
        size_lots=lots,
        lot_size=lot_size,
        price="60000.10",
        fee="0.012",
        fee_currency="USDT",
        venue_time_ns=5,
        recorded_ns=6,
    )


@pytest.fixture
def journal(tmp_path):
    journal = Journal(tmp_path / "journal" / "journal.sqlite")
    yield journal
    journal.close()


def fill_the_disk(journal):
    """Let SQLite find the disk full, at its own seam: no page more may be had."""
    execute = journal._connection.exec_driver_sql
    execute("PRAGMA max_page_count = 1")
    journal._connection.commit()


def test_an_order_comes_back_as_it_was_written(journal):
    journal.record_order(record())
    standing = journal.order("cqx-1")
    assert standing.record == record()
    assert standing.state is OrderState.JOURNALED
    assert standing.record.order() == Increase("cqx-1", BTC, Side.BUY, 3)
    assert "cqx-1" in journal
    assert "cqx-2" not in journal


def test_the_same_id_or_the_same_attempt_cannot_be_written_twice(journal):
    journal.record_order(record())
    with pytest.raises(JournalError):
        journal.record_order(record())
    with pytest.raises(JournalError):
        journal.record_order(record("cqx-other", attempt=0))
    journal.record_order(record("cqx-2", attempt=1))
    assert len(journal.unfinished()) == 2


def test_a_write_is_durable_before_it_returns(journal):
    pragma = journal._connection.exec_driver_sql
    assert pragma("PRAGMA journal_mode").scalar_one() == "wal"
    assert pragma("PRAGMA synchronous").scalar_one() == 2  # FULL
    journal._connection.commit()


def test_what_was_written_survives_sigkill(tmp_path):
    path = tmp_path / "journal.sqlite"
    script = textwrap.dedent(
        f"""
        import sys
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from pathlib import Path
        from test_store import Journal, record
        journal = Journal(Path({str(path)!r}))
        for attempt in range(10_000):
            journal.record_order(record(f"cqx-{{attempt}}", attempt=attempt))
            print(attempt, flush=True)
        """
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True
    )
    seen = -1
    for line in process.stdout:
        seen = int(line)
        if seen >= 50:
            process.send_signal(signal.SIGKILL)
            break
    rest = process.stdout.read().split()
    process.stdout.close()
    process.wait()
    seen = int(rest[-1]) if rest else seen
    journal = Journal(path)
    kept = {standing.record.attempt for standing in journal.unfinished()}
    journal.close()
    assert set(range(seen + 1)) <= kept
    assert len(kept) <= seen + 2


def test_a_full_disk_is_an_error_and_leaves_the_journal_whole(journal):
    journal.record_order(record())
    fill_the_disk(journal)

    def write_many():
        for attempt in range(1, 200):
            journal.record_order(record(f"cqx-{attempt + 1}", attempt=attempt))

    with pytest.raises(JournalError, match="full"):
        write_many()
    written = len(journal.unfinished())
    assert f"cqx-{written + 1}" not in journal
    journal._connection.exec_driver_sql("PRAGMA max_page_count = 1000000")
    journal._connection.commit()
    journal.record_order(record("cqx-later", attempt=999))
    assert "cqx-later" in journal


def test_an_order_id_of_one_venue_is_not_anothers(journal):
    """Every venue may count from one, and Binance does so for each symbol."""
    names = {}
    for number, name in enumerate(
        ["binance:BTCUSDT-PERP", "binance:ETHUSDT-PERP", "deribit:BTCUSD-PERP"]
    ):
        ours = f"cqx-{number}"
        journal.record_order(record(ours, instrument=name, attempt=number))
        note = OrderNote(ours, 7, "seen", OrderState.FILLED, "", 3, "77")
        journal.record_note(note)
        names[InstrumentId.parse(name)] = {"77": ours}
    for instrument, found in names.items():
        assert journal.client_order_ids(instrument, ["77"]) == found


def test_notes_move_the_state_and_are_all_kept(journal):
    journal.record_order(record())
    for state in (OrderState.IN_FLIGHT, OrderState.FILLED):
        note = OrderNote("cqx-1", 7, "seen", state, "why", 3, "77")
        journal.record_note(note)
    standing = journal.order("cqx-1")
    assert (standing.state, standing.filled_lots) == (OrderState.FILLED, 3)
    assert journal.unfinished() == []
    assert journal.client_order_ids(BTC, ["77", "78", ""]) == {"77": "cqx-1"}
    with sqlite3.connect(journal.path) as connection:
        assert connection.execute("SELECT count(*) FROM order_events").fetchone() == (
            2,
        )
    connection.close()


def test_a_fill_is_kept_once_however_often_it_comes(journal):
    assert journal.record_fills([fill("1"), fill("1"), fill("2")]) == [
        fill("1"),
        fill("2"),
    ]
    assert journal.record_fills([fill("2"), fill("3", side=Side.SELL)]) == [
        fill("3", side=Side.SELL)
    ]
    assert journal.size_filled_lots(BTC, LOT) == 3
    assert journal.last_trade_id(BTC) == "3"
    assert [f.trade_id for f in journal.iter_fills(BTC)] == ["1", "2", "3"]


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(ids=st.lists(st.integers(1, 20), max_size=40), cut=st.integers(0, 40))
def test_fills_told_twice_and_out_of_order_count_once(tmp_path_factory, ids, cut):
    journal = Journal(tmp_path_factory.mktemp("j") / "journal.sqlite")
    try:
        for part in (ids[:cut], ids[cut:], ids):
            journal.record_fills([fill(str(i), lots=i) for i in part])
        assert journal.size_filled_lots(BTC, LOT) == sum(set(ids))
    finally:
        journal.close()


def test_attempts_of_one_bar_are_listed_in_their_order(journal):
    journal.record_order(record("cqx-b", attempt=1))
    journal.record_order(record("cqx-a", attempt=0))
    journal.record_order(record("cqx-c", bar_ns=120))
    found = journal.attempts(
        account="main", strategy="trend_breakout", instrument=BTC, bar_ns=60
    )
    assert [s.record.attempt for s in found] == [0, 1]


def test_baseline_and_reports_come_back(journal):
    assert journal.baseline(BTC) is None
    journal.record_baseline(Baseline(str(BTC), -5, "12", 9))
    assert journal.baseline(BTC) == Baseline(str(BTC), -5, "12", 9)
    with pytest.raises(JournalError):
        journal.record_baseline(Baseline(str(BTC), 0, "", 9))
    journal.record_report(Report(1, "foreign", str(BTC), "an order we did not send"))
    assert [r.kind for r in journal.iter_reports()] == ["foreign"]


def test_a_second_process_is_refused_in_one_sentence(journal):
    with pytest.raises(SettingsError, match="in use by another execution"):
        Journal(journal.path)


def test_a_file_that_is_no_journal_is_refused_and_left_as_it_is(tmp_path):
    path = tmp_path / "journal.sqlite"
    path.write_bytes(b"this is not a database" * 100)
    with pytest.raises(StateCorrupt, match="cannot be read"):
        Journal(path)
    assert path.read_bytes() == b"this is not a database" * 100


def test_a_journal_of_another_version_is_refused(tmp_path):
    path = tmp_path / "journal.sqlite"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StateCorrupt, match="version 99"):
        Journal(path)


def test_a_journal_opens_again_with_what_it_held(tmp_path):
    path = tmp_path / "journal.sqlite"
    first = Journal(path)
    first.record_order(record())
    first.close()
    second = Journal(path)
    assert [s.record.client_order_id for s in second.unfinished()] == ["cqx-1"]
    second.close()
