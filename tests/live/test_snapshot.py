"""A snapshot is what was written, of what is wanted, or it is not used."""

import asyncio
import logging
from dataclasses import fields, replace

import numpy as np
import pytest

from cryptoquantix.live import snapshot as module
from cryptoquantix.live.snapshot import (
    Identity,
    Snapshot,
    SnapshotStore,
    SnapshotWriter,
    refuse_large,
)

WHOSE = Identity(
    key="trend.binance.BTCUSDT-PERP",
    code="cqx_driver_step_1",
    build="0.1+abc",
    params="Params(a=1)",
    layout="State(bars:int)",
    bar_seconds=60,
    warmup_bars=1_440,
    source="http://127.0.0.1:1",
)
ONE = Snapshot(
    warmup_from_ns=60 * 10**9,
    bar_close_ns=1_700_000_040 * 10**9,
    bars=7,
    price=0.1 + 0.2,
    target=-1.25,
    sequence=3,
    state=bytes(range(256)) * 4,
)


@pytest.fixture
def store(tmp_path):
    return SnapshotStore(tmp_path / "snapshots")


def test_what_was_written_is_read(store):
    assert store.read(WHOSE) is None
    store.write(WHOSE, ONE)
    assert store.read(WHOSE) == ONE
    store.write(WHOSE, replace(ONE, bars=8))
    assert store.read(WHOSE).bars == 8
    assert len(list(store.path(WHOSE.key).parent.iterdir())) == 1


def test_a_target_that_is_no_number_is_kept_too(store):
    store.write(WHOSE, replace(ONE, target=float("nan")))
    found = store.read(WHOSE)
    assert np.isnan(found.target)


@pytest.mark.parametrize("name", [field.name for field in fields(Identity)])
def test_a_snapshot_of_anything_else_is_refused(store, caplog, name):
    store.write(WHOSE, ONE)
    other = {"bar_seconds": 300, "warmup_bars": 2_880}.get(name, "other")
    wanted = replace(WHOSE, **{name: other})
    if name == "key":  # as if one file had been put in the place of another
        store.path(WHOSE.key).rename(store.path("other"))
    assert store.read(wanted) is None
    assert "snapshot refused" in caplog.text
    assert f"another {name}" in caplog.records[-1].reason


def test_a_torn_file_is_refused_wherever_it_is_torn(store, caplog):
    store.write(WHOSE, ONE)
    path = store.path(WHOSE.key)
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        assert store.read(WHOSE) is None
    assert len(caplog.records) == len(range(0, len(whole), 7))
    path.write_bytes(whole)
    assert store.read(WHOSE) == ONE


def test_one_flipped_bit_is_refused(store):
    store.write(WHOSE, ONE)
    path = store.path(WHOSE.key)
    whole = path.read_bytes()
    for at in np.random.default_rng(3).integers(0, len(whole) * 8, 300).tolist():
        broken = bytearray(whole)
        broken[at // 8] ^= 1 << at % 8
        path.write_bytes(bytes(broken))
        assert store.read(WHOSE) is None


def test_a_kill_while_writing_leaves_the_one_before(store, monkeypatch):
    store.write(WHOSE, ONE)

    def half(path, data):
        path.write_bytes(data[: len(data) // 2])
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "write_draft", half)
    with pytest.raises(KeyboardInterrupt):
        store.write(WHOSE, replace(ONE, bars=8))
    assert store.read(WHOSE) == ONE
    monkeypatch.undo()
    store.write(WHOSE, replace(ONE, bars=9))
    assert store.read(WHOSE).bars == 9
    assert [p.suffix for p in store.path(WHOSE.key).parent.iterdir()] == [".state"]


def test_a_file_that_cannot_be_read_is_no_snapshot(store, caplog):
    store.path(WHOSE.key).mkdir(parents=True)
    assert store.read(WHOSE) is None
    assert "snapshot refused" in caplog.text


def test_a_name_with_a_slash_stays_in_its_directory(store):
    odd = replace(WHOSE, key="trend.binance.A/../../B")
    store.write(odd, ONE)
    assert store.path(odd.key).parent == store.path(WHOSE.key).parent
    assert store.read(odd) == ONE


def test_a_large_state_is_refused():
    refuse_large(b"x")
    with pytest.raises(module.StateCorrupt, match="bytes, more than"):
        refuse_large(bytes(module.SNAPSHOT_BYTES_MAX + 1))


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(module, "_DELAY_SECONDS", 0.01)
    monkeypatch.setattr(module, "_PAUSE_SECONDS", 0.01)


@pytest.mark.usefixtures("quick")
async def test_quick_bars_are_written_once_as_they_stand_at_last(store):
    writer = SnapshotWriter(store)
    task = asyncio.create_task(writer.run())
    asked = []
    for bars in range(1000):

        def take(bars=bars):
            asked.append(bars)
            return replace(ONE, bars=bars)

        writer.mark(WHOSE, take)
    async with asyncio.timeout(5):
        while writer.written < 1:  # noqa: ASYNC110 - a test's patience
            await asyncio.sleep(0.005)
    assert asked == [999]
    assert store.read(WHOSE).bars == 999
    task.cancel()


@pytest.mark.usefixtures("quick")
async def test_a_full_disk_is_told_once_and_outlived(store, monkeypatch, caplog):
    def full(path, data):
        raise OSError(28, "No space left on device")

    caplog.set_level(logging.WARNING)
    writer = SnapshotWriter(store)
    task = asyncio.create_task(writer.run())
    monkeypatch.setattr(module, "write_draft", full)
    for _ in range(3):
        writer.mark(WHOSE, lambda: ONE)
        await asyncio.sleep(0.1)
    assert len(caplog.records) == 1
    assert "No space left" in caplog.records[0].reason
    monkeypatch.undo()
    writer.mark(WHOSE, lambda: ONE)
    async with asyncio.timeout(5):
        while writer.written < 1:  # noqa: ASYNC110 - a test's patience
            await asyncio.sleep(0.005)
    assert store.read(WHOSE) == ONE
    task.cancel()
