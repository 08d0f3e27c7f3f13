"""The mirror repeats the journal in order and once, whatever becomes of its server."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import asyncpg
import pytest

from cryptoquantix.core.errors import SettingsError
from cryptoquantix.core.order import OrderState
from cryptoquantix.journal.mirror import Mirror
from cryptoquantix.journal.reader import JournalReader
from cryptoquantix.journal.records import (
    Baseline,
    CrossRecord,
    FlowRecord,
    OrderNote,
    Report,
)
from cryptoquantix.journal.store import Journal
from cryptoquantix.journal.tables import MIRRORED
from journal.test_schema import VERSION_1, statements_of_version_3
from journal.test_store import fill, record
from postgresql import start_postgresql
from processes import end, wait_for

TABLES = tuple(table.name for table in MIRRORED)


@pytest.fixture(scope="module")
def server():
    with start_postgresql() as server:
        yield server


@pytest.fixture
def clean(server):
    server.query("DROP SCHEMA public CASCADE")
    server.query("CREATE SCHEMA public")
    return server


def write(journal, number):
    """One order's whole life, and what else a journal keeps."""
    name = f"cqx-{number}"
    journal.record_order(record(name, bar_ns=number))
    note = OrderNote(name, number, "seen_filled", OrderState.FILLED, "", 3, str(number))
    journal.record_note(note)
    journal.record_fills([fill(str(number)), fill(str(number))])
    flow = FlowRecord("binance:BTCUSDT-PERP", str(number), "-0.1", "USDT", number, 1)
    journal.record_flows([flow, flow])
    journal.record_crosses(
        [
            CrossRecord(
                instrument="binance:BTCUSDT-PERP",
                strategy=strategy,
                lots=lots,
                lot_size="0.001",
                price="60000.1",
                settlement="USDT",
                is_inverse=False,
                time_ns=number,
            )
            for strategy, lots in (("up", 3), ("down", -3))
        ]
    )
    journal.record_report(Report(number, "kind", "subject", "text"))


def rows(source, table):
    order = "client_order_id" if table == "orders" else "1"
    if isinstance(source, JournalReader):
        found = [tuple(r.values()) for r in source.rows(f"SELECT * FROM {table}")]
    else:
        found = source.query(f"SELECT * FROM {table} ORDER BY {order}")
    return sorted(found, key=repr)


def assert_same(path, server, *, is_full=False):
    reader = JournalReader(path)
    for table in TABLES:
        ours = [tuple(v for v in row) for row in rows(reader, table)]
        theirs = rows(server, table)
        assert len(ours) == len(theirs), table
        assert ours or not is_full, f"nothing in {table} was compared"
        assert sorted(map(str, map(_plain, ours))) == sorted(
            map(str, map(_plain, theirs))
        ), table


def _plain(row):
    return tuple(int(v) if isinstance(v, bool) else v for v in row)


def start_mirror(tmp_path, server):
    config = tmp_path / "cryptoquantix.toml"
    config.write_text(f'directory = "{tmp_path}"\n[journal]\nmirror = "{server.url}"\n')
    config.chmod(0o600)
    command = [sys.executable, "-m", "cryptoquantix", "mirror", "--config", str(config)]
    with (tmp_path / "mirror.log").open("ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=log)


def reached(server) -> int:
    try:
        return server.query("SELECT sequence FROM mirror_state")[0][0]
    except (asyncpg.PostgresError, OSError, IndexError):
        return -1


def last(path) -> int:
    query = "SELECT coalesce(max(sequence), 0) AS n FROM changes"
    return JournalReader(path).rows(query)[0]["n"]


@pytest.mark.slow
def test_a_server_that_stops_loses_nothing_and_delays_nothing(tmp_path, clean):
    path = tmp_path / "journal" / "journal.sqlite"
    mirror = start_mirror(tmp_path, clean)
    journal = Journal(path)
    journal.record_baseline(Baseline("binance:BTCUSDT-PERP", 0, "", 1))
    slowest = 0.0
    try:
        for number in range(300):
            started = time.perf_counter()
            write(journal, number)
            slowest = max(slowest, time.perf_counter() - started)
            if number == 100:
                wait_for(lambda: reached(clean) > 0, 30)
                clean.stop()
            if number == 200:
                clean.start()
        wait_for(lambda: reached(clean) == last(path), 40, 0.2)
        assert mirror.poll() is None
        # The mirror is killed in the middle and begun anew: nothing twice.
        mirror.kill()
        mirror.wait(10)
        for number in range(300, 330):
            write(journal, number)
        mirror = start_mirror(tmp_path, clean)
        wait_for(lambda: reached(clean) == last(path), 30, 0.2)
        assert_same(path, clean, is_full=True)
    finally:
        end(mirror)
        journal.close()
    # Six durable writes; a server that is away adds nothing to them.
    assert slowest < 1.0


async def test_a_mirror_begun_late_holds_what_was_before_versions(tmp_path, clean):
    path = tmp_path / "journal.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(VERSION_1)
    Journal(path).close()
    task = asyncio.create_task(Mirror(JournalReader(path), clean.url).run())
    try:
        await asyncio.to_thread(wait_for, lambda: reached(clean) == last(path), 20, 0.1)
        await asyncio.to_thread(assert_same, path, clean)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_mirror_of_version_3_grows_with_its_journal(tmp_path, clean):
    path = tmp_path / "journal.sqlite"
    journal = Journal(path)
    connection = await asyncpg.connect(clean.url)
    await connection.execute(statements_of_version_3())
    await connection.close()
    write(journal, 1)
    journal.record_order(record("cqx-2", bar_ns=2, price_ticks=7, tick_size="0.10"))
    task = asyncio.create_task(Mirror(JournalReader(path), clean.url).run())
    try:
        await asyncio.to_thread(wait_for, lambda: reached(clean) == last(path), 20, 0.1)
        await asyncio.to_thread(assert_same, path, clean)
        query = "SELECT tick_size FROM orders ORDER BY client_order_id"
        sizes = await asyncio.to_thread(clean.query, query)
        assert [tuple(row) for row in sizes] == [("",), ("0.10",)]
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        journal.close()


async def test_a_database_of_another_journal_is_refused(tmp_path, clean):
    for name in ("one", "two"):
        Journal(tmp_path / name / "journal.sqlite").close()
    first = JournalReader(tmp_path / "one" / "journal.sqlite")
    task = asyncio.create_task(Mirror(first, clean.url).run())
    await asyncio.to_thread(wait_for, lambda: reached(clean) >= 0, 20, 0.1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    second = JournalReader(tmp_path / "two" / "journal.sqlite")
    with pytest.raises(SettingsError, match="another journal's rows"):
        async with asyncio.timeout(20):
            await Mirror(second, clean.url).run()
