"""Orders of one turn share a commit, and none is out before its own is on the disk."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing

import pytest

from cryptoquantix.core.errors import JournalError
from cryptoquantix.journal.group import OrderGroup
from cryptoquantix.journal.store import Journal
from journal.test_store import record


@pytest.fixture
def journal(tmp_path):
    journal = Journal(tmp_path / "journal" / "journal.sqlite")
    yield journal
    journal.close()


def on_disk(journal):
    """What another process sees: nothing that is not committed."""
    with closing(sqlite3.connect(journal.path)) as connection:
        rows = connection.execute("SELECT client_order_id FROM orders").fetchall()
    return {name for (name,) in rows}


def orders(count):
    return [record(f"cqx-{n}", attempt=n) for n in range(count)]


async def test_orders_of_one_turn_share_a_commit(journal):
    group, statements = OrderGroup(journal.record_orders), []
    journal._driver.set_trace_callback(statements.append)
    await asyncio.gather(*(group.add(one) for one in orders(5)))
    assert statements.count("COMMIT") == 1
    assert on_disk(journal) == {f"cqx-{n}" for n in range(5)}


async def test_an_order_is_on_the_disk_when_its_turn_to_be_sent_comes(journal):
    seen = {}

    async def send(one):
        await journal.record_order_soon(one)
        seen[one.client_order_id] = on_disk(journal)

    await asyncio.gather(*(send(one) for one in orders(3)))
    assert len(seen) == 3
    assert all(name in found for name, found in seen.items())


async def test_an_order_that_cannot_be_written_takes_no_other_with_it(journal):
    journal.record_order(record("cqx-1", attempt=1))
    results = await asyncio.gather(
        *(journal.record_order_soon(one) for one in orders(3)), return_exceptions=True
    )
    assert [type(one) for one in results] == [type(None), JournalError, type(None)]
    assert on_disk(journal) == {"cqx-0", "cqx-1", "cqx-2"}


async def test_a_journal_that_cannot_write_refuses_every_order_of_the_turn(journal):
    journal._driver.execute("PRAGMA query_only = ON")
    results = await asyncio.gather(
        *(journal.record_order_soon(one) for one in orders(3)), return_exceptions=True
    )
    assert all(isinstance(one, JournalError) for one in results)
    assert on_disk(journal) == set()


async def test_a_commit_that_fails_leaves_none_of_its_orders(journal):
    """The last moment at which a disk can say no is the commit itself."""
    journal._driver.executescript(
        """
        PRAGMA foreign_keys = ON;
        CREATE TABLE parent (id INTEGER PRIMARY KEY);
        CREATE TABLE child (id REFERENCES parent DEFERRABLE INITIALLY DEFERRED);
        CREATE TRIGGER doom AFTER INSERT ON orders BEGIN
            INSERT INTO child VALUES (1);
        END;
        """
    )
    results = await asyncio.gather(
        *(journal.record_order_soon(one) for one in orders(2)), return_exceptions=True
    )
    assert all(isinstance(one, JournalError) for one in results)
    assert on_disk(journal) == set()
    journal._driver.execute("DROP TRIGGER doom")
    await journal.record_order_soon(record("cqx-later", attempt=9))
    assert on_disk(journal) == {"cqx-later"}


async def test_an_order_given_up_before_its_commit_is_not_written(journal):
    given_up = asyncio.create_task(journal.record_order_soon(orders(2)[0]))
    kept = asyncio.create_task(journal.record_order_soon(orders(2)[1]))
    await asyncio.sleep(0)
    given_up.cancel()
    await asyncio.gather(given_up, kept, return_exceptions=True)
    assert given_up.cancelled()
    assert on_disk(journal) == {"cqx-1"}


async def test_a_defect_leaves_no_order_waiting():
    def broken(_records):
        msg = "a defect"
        raise TypeError(msg)

    group = OrderGroup(broken)
    results = await asyncio.gather(
        *(group.add(one) for one in orders(2)), return_exceptions=True
    )
    assert [type(one) for one in results] == [TypeError, TypeError]
