"""What was heard is in the catalog, once and exactly, whatever is killed or full."""

import asyncio
import errno
import os
from decimal import Decimal

import polars as pl
import pytest

from cryptoquantix.bus.connection import connect
from cryptoquantix.bus.messages import (
    MessageDecoder,
    RecorderStatus,
    TickBatch,
    encode,
)
from cryptoquantix.bus.subjects import ticks as ticks_subject
from cryptoquantix.core.clock import SystemClock
from cryptoquantix.core.errors import SettingsError
from cryptoquantix.core.instrument import InstrumentId
from cryptoquantix.data import segments
from cryptoquantix.data.catalog import Catalog
from cryptoquantix.data.ingest import ingest
from cryptoquantix.data.layout import MARKER, DatasetKey, Marker
from cryptoquantix.data.quality import check
from cryptoquantix.data.schema import DatasetKind
from cryptoquantix.data.segments import recorded_gaps
from cryptoquantix.data.store import locked
from cryptoquantix.live import recorder as recorder_module
from cryptoquantix.live import tick_spool
from cryptoquantix.live.gap_watch import GapWatch
from cryptoquantix.live.recorder import Recorder
from cryptoquantix.live.recorder_lock import RecorderLock
from cryptoquantix.live.segment_builder import Segment
from processes import start_nats

BTC = InstrumentId.parse("binance:BTCUSDT-PERP")
BYBIT = InstrumentId.parse("bybit:BTCUSDT-PERP")
KEY = DatasetKey(DatasetKind.TICKS, BTC)
START_NS = 1_700_006_400 * 10**9  # a midnight UTC


def batch(ids, instrument=BTC, follows=None, start_ns=START_NS):
    ids = list(ids)
    made = [
        (start_ns + i * 10**6, 600_000 + i % 97, 1 + i % 1_009, i % 3 == 0, i)
        for i in ids
    ]
    before = ids[0] - 1 if follows is None else follows
    return TickBatch(
        instrument.venue.value, instrument.name, "0.1", "0.001", 0, made, before
    )


def a_recorder(tmp_path, client=None, source="aggTrades", **options):
    return Recorder(
        tmp_path / "catalog",
        tmp_path / "spool",
        [],
        lambda _: Marker(source),
        client,
        SystemClock(),
        **options,
    )


def hear(recorder, *batches):
    for one in batches:
        recorder.hear(f"ticks.{one.venue}.{one.name}", encode(one))


def store(recorder):
    recorder._end_spool()
    recorder._store_all()


def held(tmp_path, key=KEY):
    return Catalog(tmp_path / "catalog").scan(key).collect()


def ids_of(frame):
    return frame["trade_id"].to_list()


def test_what_was_heard_is_held_to_the_last_digit(tmp_path):
    recorder = a_recorder(tmp_path)
    sent = [batch(range(start, start + 50)) for start in range(1, 1_001, 50)]
    hear(recorder, *sent)
    store(recorder)
    rows = held(tmp_path).iter_rows(named=True)
    expected = [tick for one in sent for tick in one.ticks]
    for row, (time_ns, price, size, is_maker, trade_id) in zip(
        rows, expected, strict=True
    ):
        assert row["time"].timestamp() == time_ns / 10**9
        assert Decimal(repr(row["price"])) == price * Decimal("0.1")
        assert Decimal(repr(row["size"])) == size * Decimal("0.001")
        assert (row["is_buyer_maker"], row["trade_id"]) == (is_maker, trade_id)
    [dataset] = Catalog(tmp_path / "catalog").datasets()
    assert (dataset.rows, dataset.source) == (1_000, "aggTrades")
    assert check(Catalog(tmp_path / "catalog"), KEY).is_clean
    assert not list((tmp_path / "spool").iterdir())


def test_a_killed_recorder_loses_nothing_it_was_handed(tmp_path):
    """The spool file is left as it was, with half a record at its end."""
    killed = a_recorder(tmp_path)
    hear(killed, batch(range(1, 11)), batch(range(11, 21)))
    with killed._spool.path.open("ab") as file:
        file.write(b"\x40\x00\x00\x00\x01\x02\x03\x04half")
    after = a_recorder(tmp_path)
    hear(after, batch(range(21, 31)))
    after._store_all()
    store(after)
    assert ids_of(held(tmp_path)) == list(range(1, 31))
    assert recorded_gaps(tmp_path / "catalog", KEY) == []


def test_a_recorder_killed_between_catalog_and_spool_doubles_nothing(
    tmp_path, monkeypatch
):
    first = a_recorder(tmp_path)
    hear(first, batch(range(1, 11)), batch(range(15, 21)))
    monkeypatch.setattr("pathlib.Path.unlink", lambda *_, **__: None)
    store(first)
    assert ids_of(held(tmp_path)) == [*range(1, 11), *range(15, 21)]
    monkeypatch.undo()
    second = a_recorder(tmp_path)
    hear(second, batch(range(21, 25)))
    second._store_all()
    store(second)
    assert ids_of(held(tmp_path)) == [*range(1, 11), *range(15, 25)]
    assert len(recorded_gaps(tmp_path / "catalog", KEY)) == 1
    assert not list((tmp_path / "spool").iterdir())


def test_ticks_heard_twice_are_held_once(tmp_path):
    recorder = a_recorder(tmp_path)
    hear(recorder, batch(range(1, 11)), batch(range(6, 16)), batch(range(3, 9)))
    store(recorder)
    hear(recorder, batch(range(10, 18)))
    store(recorder)
    assert ids_of(held(tmp_path)) == list(range(1, 18))
    assert recorder.gaps == 0


def test_what_never_came_is_noted_beside_the_ticks(tmp_path):
    recorder = a_recorder(tmp_path)
    hear(recorder, batch(range(1, 11)), batch(range(21, 31)))
    store(recorder)
    [gap] = recorded_gaps(tmp_path / "catalog", KEY)
    assert (gap.after_id, gap.before_id, gap.why) == (10, 21, "not heard")
    report = check(Catalog(tmp_path / "catalog"), KEY)
    assert report.counts["gap"] == 10


def test_bybits_numbers_jump_and_only_what_the_feed_did_not_vouch_for_is_a_gap(
    tmp_path,
):
    recorder = a_recorder(tmp_path, source="trades")
    step = 65_536
    hear(
        recorder,
        batch([step, 2 * step], BYBIT, follows=-1),
        batch([5 * step, 9 * step], BYBIT, follows=2 * step),
        batch([20 * step], BYBIT, follows=-1),
    )
    store(recorder)
    key = DatasetKey(DatasetKind.TICKS, BYBIT)
    [gap] = recorded_gaps(tmp_path / "catalog", key)
    assert (gap.after_id, gap.before_id) == (9 * step, 20 * step)
    assert check(Catalog(tmp_path / "catalog"), key).counts["gap"] == 1


def test_a_venue_that_numbers_anew_behind_a_new_feed_is_recorded_and_noted(tmp_path):
    """The feed knows of no ids before: it vouches for what it cannot know."""
    recorder = a_recorder(tmp_path)
    hear(recorder, batch(range(5_000, 5_010)))
    again = batch(range(5_003, 5_006))
    new = [batch(range(i, i + 5), start_ns=START_NS + 60 * 10**9) for i in (1, 6, 11)]
    hear(recorder, again, *new, batch(range(14, 18), start_ns=START_NS + 60 * 10**9))
    store(recorder)
    assert ids_of(held(tmp_path)) == [*range(5_000, 5_010), *range(1, 18)]
    [gap] = recorded_gaps(tmp_path / "catalog", KEY)
    assert (gap.after_id, gap.before_id, gap.why) == (5_009, 1, "renumbered")


def test_the_days_archive_fills_what_was_missed_and_doubles_nothing(tmp_path):
    recorder = a_recorder(tmp_path)
    hear(recorder, batch(range(1, 101)), batch(range(151, 301)))
    store(recorder)
    assert check(Catalog(tmp_path / "catalog"), KEY).counts["gap"] == 50
    rows = [
        f"{i},{price * Decimal('0.1')},{size * Decimal('0.001')},{i},{i},"
        f"{time_ns // 10**6},{'true' if is_maker else 'false'}"
        for time_ns, price, size, is_maker, i in batch(range(1, 501)).ticks
    ]
    archive = tmp_path / "futures-um-BTCUSDT-aggTrades-2023-11-15.csv"
    archive.write_text("\n".join(rows) + "\n")
    found = ingest(tmp_path / "catalog", archive)
    assert (found.added, found.duplicates, found.conflicts) == (250, 250, 0)
    assert ids_of(held(tmp_path)) == list(range(1, 501))
    assert check(Catalog(tmp_path / "catalog"), KEY).is_clean
    hear(recorder, batch(range(301, 311)))  # late, and in the archive already
    store(recorder)
    again = a_recorder(tmp_path)
    hear(again, batch(range(491, 511)))
    store(again)
    assert ids_of(held(tmp_path)) == list(range(1, 511))


def fetched(ids):
    """Prints that the venue was asked for."""
    segment = Segment(BTC, Decimal("0.1"), Decimal("0.001"))
    segment.extend(batch(ids).ticks)
    return segment


@pytest.mark.parametrize(
    "again",
    [
        [range(11, 61), range(61, 101)],  # cut as before
        [range(11, 41), range(41, 81), range(81, 101)],  # in other pages
        [range(51, 101)],  # a venue that gives its newest alone
    ],
)
def test_a_recorder_killed_while_it_filled_a_gap_doubles_nothing(
    tmp_path, monkeypatch, again
):
    """Its fetched prints were stored, its note that they were was not."""
    killed = a_recorder(tmp_path)
    hear(killed, batch(range(1, 11)), batch(range(101, 111)))
    store(killed)

    def die(*_):
        raise SystemExit

    monkeypatch.setattr(segments, "_note", die)
    for ids in (range(11, 61), range(61, 71), range(71, 101)):
        with pytest.raises(SystemExit):
            killed._store_fill(fetched(ids), [])
    monkeypatch.undo()
    files = Catalog(tmp_path / "catalog").files(KEY, "2023-11-15")
    files[1].unlink()  # so that what is fetched again is not all there already
    [gap] = recorded_gaps(tmp_path / "catalog", KEY)
    after = a_recorder(tmp_path)
    expected = set(ids_of(held(tmp_path)))
    for ids in again:
        assert after._store_fill(fetched(ids), [gap._replace(why="filled")])
        expected |= set(ids)
        assert ids_of(held(tmp_path).sort("trade_id")) == sorted(expected)


def test_a_segment_over_midnight_is_two_files(tmp_path):
    recorder = a_recorder(tmp_path)
    hear(recorder, batch(range(1, 11), start_ns=START_NS - 5 * 10**6))
    store(recorder)
    assert len(Catalog(tmp_path / "catalog").dates(KEY)) == 2
    assert ids_of(held(tmp_path)) == list(range(1, 11))


def test_a_day_that_is_over_becomes_one_file(tmp_path):
    recorder = a_recorder(tmp_path)
    for start in range(1, 61, 10):
        hear(recorder, batch(range(start, start + 10)))
        store(recorder)
    day = 86_400 * 10**9
    hear(recorder, batch(range(61, 71), start_ns=START_NS + day))
    store(recorder)
    before = held(tmp_path)
    recorder._compact_all()
    catalog = Catalog(tmp_path / "catalog")
    first, last = catalog.dates(KEY)
    assert [file.name for file in catalog.files(KEY, first)] == ["part-00000.parquet"]
    assert len(catalog.files(KEY, last)) == 1
    assert held(tmp_path).equals(before)


def test_a_stop_waits_for_one_day_to_become_one_file_at_most(tmp_path, monkeypatch):
    recorder = a_recorder(tmp_path)
    day = 86_400 * 10**9
    for start in range(1, 81, 10):  # four days of two segments each
        ids = range(start, start + 10)
        hear(recorder, batch(ids, start_ns=START_NS + (start - 1) // 20 * day))
        store(recorder)
    compacted = []

    def stopped_meanwhile(_root, _key, date):
        compacted.append(date)
        recorder._is_ending.set()
        return 2

    monkeypatch.setattr(recorder_module, "compact", stopped_meanwhile)
    recorder._compact_all()
    assert compacted == Catalog(tmp_path / "catalog").dates(KEY)[:1]


def test_what_is_not_the_recorders_is_not_read(tmp_path):
    """A catalog of years takes no time, and a broken file in it stops nothing."""
    recorder = a_recorder(tmp_path)
    hear(recorder, batch(range(1, 11)))
    store(recorder)
    bars = tmp_path / "catalog" / DatasetKey(DatasetKind.BARS, BTC, "1m").path
    (bars / "date=2023-11-15").mkdir(parents=True)
    (bars / MARKER).write_text(Marker("klines").text())
    (bars / "date=2023-11-15" / "part-00000.parquet").write_bytes(b"PAR1 cut short")
    again = a_recorder(tmp_path)
    again._compact_all()
    assert again._newest == {BTC: (10, START_NS + 10 * 10**6)}


def test_a_catalog_somebody_writes_to_is_waited_for(tmp_path):
    recorder = a_recorder(tmp_path)
    hear(recorder, batch(range(1, 11)))
    recorder._end_spool()
    recorder._is_ending.set()
    (tmp_path / "catalog").mkdir()
    with locked(tmp_path / "catalog"):
        recorder._store_all()
        assert len(tick_spool.spool_files(tmp_path / "spool")) == 1
    recorder._store_all()
    assert ids_of(held(tmp_path)) == list(range(1, 11))


class Bus:
    """A bus whose messages the test hands on itself."""

    async def subscribe(self, subject, **options):
        pass

    async def publish(self, subject, payload):
        pass


async def test_a_start_that_waits_for_the_catalog_hears_and_misses_nothing(
    tmp_path, monkeypatch
):
    """As while history is ingested: what is heard is on disk, and gaps are known."""
    monkeypatch.setattr(recorder_module, "SYNC_SECONDS", 0.05)
    killed = a_recorder(tmp_path)
    hear(killed, batch(range(1, 11)))
    (tmp_path / "catalog").mkdir()
    recorder = a_recorder(tmp_path, Bus(), segment_seconds=0.05)
    wanted = []
    monkeypatch.setattr(recorder._filler, "begin", wanted.append)
    recorder._watch = GapWatch(wanted.append)
    with locked(tmp_path / "catalog"):
        task = asyncio.create_task(recorder.run())
        async with asyncio.timeout(5):
            while not recorder._is_waiting:  # noqa: ASYNC110 - a test's patience
                await asyncio.sleep(0.01)
            hear(recorder, batch(range(21, 31)), batch(range(28, 36)))
            while recorder.status().synced_ns == 0:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            hear(recorder, batch(range(41, 51)))
        assert recorder.status().ticks == 28
        assert not held(tmp_path).height
    async with asyncio.timeout(10):
        while held(tmp_path).height < 35:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    hear(recorder, batch(range(51, 61)))
    task.cancel()
    await asyncio.wait([task], timeout=5)
    missing = [*range(11, 21), *range(36, 41)]
    assert sorted({*range(1, 61)} - set(missing)) == ids_of(held(tmp_path))
    ids = {(one.gap.after_id, one.gap.before_id) for one in wanted}
    assert ids == {(10, 21), (35, 41)}, "each to be fetched"
    noted = recorded_gaps(tmp_path / "catalog", KEY)
    assert [(gap.after_id, gap.before_id) for gap in noted] == [(10, 21), (35, 41)]


async def test_a_start_that_waits_for_the_catalog_can_be_stopped(tmp_path):
    """A thread that waits on would keep the process from ending."""
    killed = a_recorder(tmp_path)
    hear(killed, batch(range(1, 11)))
    (tmp_path / "catalog").mkdir()
    recorder = a_recorder(tmp_path, Bus())
    with locked(tmp_path / "catalog"):
        task = asyncio.create_task(recorder.run())
        async with asyncio.timeout(5):
            while not recorder._storing.locked():  # noqa: ASYNC110 - a test's patience
                await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait([task], timeout=5)
        assert task.cancelled()
        has_ended = recorder._storing.acquire(timeout=5)
        recorder._is_ending.set()  # so that a failure does not keep pytest waiting
        assert has_ended
    assert len(tick_spool.spool_files(tmp_path / "spool")) == 1


def test_ticks_of_another_origin_are_never_mixed(tmp_path):
    real = a_recorder(tmp_path, source="aggTrades")
    hear(real, batch(range(1, 11)))
    store(real)
    simulated = a_recorder(tmp_path, source="simulator")
    hear(simulated, batch(range(11, 21)))
    store(simulated)
    assert ids_of(held(tmp_path)) == list(range(1, 11))
    assert simulated.ticks_dropped == 10


async def test_a_full_disk_is_told_and_what_is_written_stays_whole(
    tmp_path, monkeypatch
):
    """The disk takes half a record, then nothing; later there is room again."""
    recorder = a_recorder(tmp_path)
    hear(recorder, batch(range(1, 11)))
    write = os.write
    room = [20]

    def full(descriptor, data):
        if not room:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, data[: room.pop()])

    monkeypatch.setattr(tick_spool.os, "write", full)
    hear(recorder, batch(range(11, 21)), batch(range(21, 31)))
    assert "not recorded" in recorder.status().problem
    assert recorder.ticks_dropped == 20
    monkeypatch.undo()
    recorder._closed_until_ns = 0
    hear(recorder, batch(range(31, 41)))
    assert "not recorded" in recorder.status().problem, "nothing is synced yet"
    await recorder.sync()
    assert recorder.status().problem == ""
    store(recorder)
    assert ids_of(held(tmp_path)) == [*range(1, 11), *range(31, 41)]
    [gap] = recorded_gaps(tmp_path / "catalog", KEY)
    assert (gap.after_id, gap.before_id) == (10, 31)


def test_a_catalog_that_cannot_be_written_keeps_the_spool(tmp_path, monkeypatch):
    recorder = a_recorder(tmp_path)
    hear(recorder, batch(range(1, 11)))
    recorder._end_spool()
    recorder._is_ending.set()

    def full(*_args, **_options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pl.DataFrame, "write_parquet", full)
    recorder._store_all()
    assert "No space left" in recorder.status().problem
    assert not list((tmp_path / "catalog").rglob("*.parquet*"))
    monkeypatch.undo()
    recorder._store_all()
    assert ids_of(held(tmp_path)) == list(range(1, 11))


def test_one_recorder_at_a_time(tmp_path):
    lock = RecorderLock(tmp_path)
    with pytest.raises(SettingsError, match="another recorder"):
        RecorderLock(tmp_path)
    lock.release()
    RecorderLock(tmp_path).release()


async def test_the_bus_is_recorded_and_a_stop_leaves_nothing_behind(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(recorder_module, "SYNC_SECONDS", 0.05)
    statuses = []
    decoder = MessageDecoder(RecorderStatus)

    async def on_status(message):
        statuses.append(decoder.decode(message.data))

    with start_nats(tmp_path) as server:
        client = await connect(server.url, "recorder")
        sender = await connect(server.url, "test")
        await sender.subscribe("recorder", cb=on_status)
        recorder = a_recorder(tmp_path, client, segment_seconds=0.2)
        task = asyncio.create_task(recorder.run())
        async with asyncio.timeout(10):
            while not statuses:  # noqa: ASYNC110 - a test's patience
                await asyncio.sleep(0.01)
            for start in range(1, 501, 5):
                one = batch(range(start, start + 5))
                await sender.publish(ticks_subject(BTC), encode(one))
                await asyncio.sleep(0.005)
            while recorder.segments < 1:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            while recorder.ticks < 500:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait([task])
        await client.close()
        await sender.close()
    assert ids_of(held(tmp_path)) == list(range(1, 501))
    assert statuses[-1].problem == ""
    assert not list((tmp_path / "spool").iterdir())
