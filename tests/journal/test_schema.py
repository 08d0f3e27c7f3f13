"""A journal grows from version to version and keeps every row; half-grown is none."""

from __future__ import annotations

import io
import json
import sqlite3
from contextlib import closing

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from cryptoquantix.core.errors import StateCorrupt
from cryptoquantix.core.order import OrderState, OrderType
from cryptoquantix.journal import opening, schema
from cryptoquantix.journal.records import OrderNote
from cryptoquantix.journal.store import Journal
from cryptoquantix.journal.tables import META
from journal.test_store import BTC, fill, record

# The tables of version 1 as its own build made them, word for word.
VERSION_1 = """
CREATE TABLE orders (
    client_order_id TEXT NOT NULL,
    account TEXT NOT NULL,
    strategy TEXT NOT NULL,
    instrument TEXT NOT NULL,
    bar_ns BIGINT NOT NULL,
    attempt BIGINT NOT NULL,
    kind TEXT NOT NULL,
    side TEXT NOT NULL,
    size_lots BIGINT NOT NULL,
    type TEXT NOT NULL,
    price_ticks BIGINT,
    time_in_force TEXT NOT NULL,
    lot_size TEXT NOT NULL,
    target FLOAT NOT NULL,
    reference_price TEXT NOT NULL,
    wanted_lots BIGINT NOT NULL,
    held_lots BIGINT NOT NULL,
    created_ns BIGINT NOT NULL,
    build TEXT NOT NULL,
    state TEXT NOT NULL,
    filled_lots BIGINT DEFAULT '0' NOT NULL,
    venue_order_id TEXT DEFAULT '' NOT NULL,
    updated_ns BIGINT NOT NULL,
    PRIMARY KEY (client_order_id),
    UNIQUE (account, strategy, instrument, bar_ns, attempt)
);
CREATE INDEX ix_orders_state ON orders (state);
CREATE INDEX ix_orders_venue_order_id ON orders (venue_order_id);
CREATE TABLE fills (
    sequence INTEGER NOT NULL,
    instrument TEXT NOT NULL,
    trade_id TEXT NOT NULL,
    venue_order_id TEXT NOT NULL,
    client_order_id TEXT NOT NULL,
    side TEXT NOT NULL,
    size_lots BIGINT NOT NULL,
    lot_size TEXT NOT NULL,
    price TEXT NOT NULL,
    fee TEXT NOT NULL,
    fee_currency TEXT NOT NULL,
    venue_time_ns BIGINT NOT NULL,
    recorded_ns BIGINT NOT NULL,
    PRIMARY KEY (sequence),
    UNIQUE (instrument, trade_id)
);
CREATE INDEX ix_fills_client_order_id ON fills (client_order_id);
CREATE TABLE baselines (
    instrument TEXT NOT NULL,
    size_lots BIGINT NOT NULL,
    trade_id TEXT NOT NULL,
    time_ns BIGINT NOT NULL,
    PRIMARY KEY (instrument)
);
CREATE TABLE reports (
    sequence INTEGER NOT NULL,
    time_ns BIGINT NOT NULL,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    text TEXT NOT NULL,
    PRIMARY KEY (sequence)
);
CREATE TABLE order_events (
    sequence INTEGER NOT NULL,
    client_order_id TEXT,
    time_ns BIGINT NOT NULL,
    event TEXT NOT NULL,
    state TEXT NOT NULL,
    detail TEXT NOT NULL,
    PRIMARY KEY (sequence),
    FOREIGN KEY(client_order_id) REFERENCES orders (client_order_id)
);
CREATE INDEX ix_order_events_client_order_id ON order_events (client_order_id);
PRAGMA user_version = 1;
INSERT INTO orders VALUES ('cqx-old', 'main', 'trend_breakout', 'binance:BTCUSDT-PERP',
    60, 0, 'increase', 'buy', 3, 'market', NULL, 'gtc', '0.001', 0.5, '60000.1', 3, 0,
    100, 'old', 'filled', 3, '77', 101);
INSERT INTO order_events VALUES (7, 'cqx-old', 101, 'seen_filled', 'filled', 'FILLED');
INSERT INTO fills VALUES (5, 'binance:BTCUSDT-PERP', '1', '77', 'cqx-old', 'buy', 3,
    '0.001', '60000.1', '0.012', 'USDT', 5, 6);
INSERT INTO baselines VALUES ('binance:BTCUSDT-PERP', 0, '', 50);
INSERT INTO reports VALUES (2, 60, 'foreign order', 'x', 'y');
"""

VERSION_3_ORDER = """
INSERT INTO orders VALUES ('cqx-3', 'main', 'trend_breakout', 'binance:BTCUSDT-PERP',
    60, 0, 'increase', 'buy', 3, 'limit', 600001, 'gtc', '0.001', 0.5, '60000.1', 3, 0,
    100, 'old', 'working', 0, '77', 101, '', 'post_only')
"""


@pytest.fixture
def old(tmp_path):
    path = tmp_path / "journal.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(VERSION_1)
    return path


@pytest.fixture
def of_version_3(tmp_path):
    """A journal of the version before this one, with an order that has a limit."""
    path = tmp_path / "journal.sqlite"
    engine = sa.create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        config = schema._config()
        config.attributes["connection"] = connection
        command.upgrade(config, "0003")
        connection.exec_driver_sql(VERSION_3_ORDER)
        connection.exec_driver_sql("PRAGMA user_version = 3")
    engine.dispose()
    return path


def statements_of_version_3() -> str:
    """Return what made a PostgreSQL mirror of version 3."""
    config, output = schema._config(), io.StringIO()
    config.attributes |= {"dialect": "postgresql", "output": output}
    command.upgrade(config, "base:0003", sql=True)
    return output.getvalue()


def rows(path, query):
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


def test_a_journal_of_version_1_is_read_on_and_written_on(old):
    journal = Journal(old)
    standing = journal.order("cqx-old")
    assert (standing.state, standing.filled_lots) == (OrderState.FILLED, 3)
    assert (standing.record.style, standing.record.shares) == ("market", "")
    assert [f.trade_id for f in journal.iter_fills(BTC)] == ["1"]
    assert journal.record_fills([fill("1")]) == []
    assert len(journal.record_fills([fill("2")])) == 1
    journal.record_order(record("cqx-new", bar_ns=120))
    journal.close()
    assert rows(old, "PRAGMA user_version") == [(schema.SCHEMA_VERSION,)]
    Journal(old).close()


def test_a_journal_of_version_3_is_read_on_and_keeps_the_tick_size_from_now_on(
    of_version_3,
):
    journal = Journal(of_version_3)
    (before,) = journal.unfinished()
    assert (before.record.price_ticks, before.record.tick_size) == (600_001, "")
    note = OrderNote("cqx-3", 102, "seen_filled", OrderState.FILLED, "", 3, "77")
    journal.record_note(note)
    new = record(
        "cqx-4", bar_ns=120, type=OrderType.LIMIT, price_ticks=7, tick_size="0.10"
    )
    journal.record_order(new)
    assert journal.order("cqx-4").record == new
    journal.close()
    assert rows(of_version_3, "PRAGMA user_version") == [(4,)]
    told = rows(of_version_3, "SELECT row FROM changes WHERE table_name = 'orders'")
    assert [json.loads(row)["tick_size"] for (row,) in told] == ["", "0.10"]


def test_what_was_written_before_is_told_to_a_mirror_that_begins_now(old):
    Journal(old).close()
    told = rows(old, "SELECT table_name, row FROM changes ORDER BY sequence")
    names = [name for name, _ in told]
    assert names == ["orders", "order_events", "fills", "baselines", "reports"]
    assert json.loads(told[0][1])["client_order_id"] == "cqx-old"
    assert json.loads(told[1][1])["sequence"] == 7


def test_a_start_killed_while_it_grows_leaves_the_old_version(old, monkeypatch):
    def killed(connection, version):
        schema.upgrade(connection, version)
        msg = "killed"
        raise KeyboardInterrupt(msg)

    monkeypatch.setattr(opening, "upgrade", killed)
    with pytest.raises(KeyboardInterrupt):
        Journal(old)
    assert rows(old, "PRAGMA user_version") == [(1,)]
    tables = "SELECT name FROM sqlite_master WHERE name IN ('changes', 'flows')"
    assert rows(old, tables) == []


def test_the_versions_make_the_tables_that_the_code_reads(tmp_path):
    path = tmp_path / "journal.sqlite"
    Journal(path).close()
    engine = sa.create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, META) == []
    engine.dispose()


def test_a_journal_of_a_later_version_is_refused(tmp_path):
    path = tmp_path / "journal.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(StateCorrupt, match="of version 99"):
        Journal(path)


def test_the_mirror_of_version_1_gets_only_what_is_new():
    fresh, grown = (
        schema.postgresql_statements(None),
        schema.postgresql_statements("0001"),
    )
    assert "CREATE TABLE orders" in fresh
    assert "CREATE TABLE orders" not in grown
    assert "CREATE TABLE mirror_state" in grown


def test_the_mirror_of_version_3_gets_a_column_and_nothing_else():
    grown = schema.postgresql_statements("0003")
    assert "ALTER TABLE orders ADD COLUMN tick_size TEXT" in grown
    assert "CREATE" not in grown
