"""
Ticks from the bus into the catalog; it asks no venue and repairs nothing.

What is heard is on disk at once (:mod:`.tick_spool`) and in the catalog as a segment
within a minute. A kill loses what was not yet heard, a power cut the last second. What
never came is noted as a gap. A disk that is full is told, once a second, for as long as
it is: ticks are dropped then and counted, and what is written stays whole.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

import nats.errors
import polars as pl
from nats.aio.client import Client
from nats.aio.msg import Msg

from cryptoquantix.bus import subjects
from cryptoquantix.bus.connection import (
    SUBSCRIPTION_BYTES_MAX,
    SUBSCRIPTION_MESSAGES_MAX,
)
from cryptoquantix.bus.messages import MessageDecoder, RecorderStatus, TickBatch, encode
from cryptoquantix.control.build import build_stamp
from cryptoquantix.core.clock import NS_PER_SECOND, Clock
from cryptoquantix.core.errors import DataError, SettingsError
from cryptoquantix.core.instrument import InstrumentId
from cryptoquantix.data.catalog import Catalog
from cryptoquantix.data.layout import DatasetKey, Marker
from cryptoquantix.data.schema import DatasetKind
from cryptoquantix.data.segments import add_segment, check_origin, compact
from cryptoquantix.live.segment_builder import Segment, SegmentBuilder
from cryptoquantix.live.tick_spool import TickSpool, read_spool, spool_files

SYNC_SECONDS: Final = 1.0
SPOOL_BYTES_MAX: Final = 32 * 1024 * 1024
COMPACT_SECONDS: Final = 600.0
_BUSY_SECONDS: Final = 0.5
_LOCK: Final = "LOCK"

_log = logging.getLogger(__name__)


class RecorderLock:
    """
    The right to be the one recorder of a folder, until :meth:`release` or the end.

    Raises
    ------
    SettingsError
        If another process records here, or the folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            msg = f"cannot write to {folder}: {error.strerror}"
            raise SettingsError(msg) from None
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._descriptor)
            msg = f"another recorder writes to {folder}"
            raise SettingsError(msg) from None

    def release(self) -> None:
        """Let another recorder begin."""
        os.close(self._descriptor)


class Recorder:
    """
    Records the ticks of instruments.

    Parameters
    ----------
    catalog : Path
        Where ticks end up.
    spool : Path
        Where they are until then; one recorder at a time.
    instruments : list of InstrumentId
        Which; empty for all that are on the bus.
    marker : callable
        Gives what to say of an instrument's dataset, whose decimals are added.
    client : Client
        A connected bus.
    clock : Clock
        Wall time names spool files, monotonic time ends them.
    segment_seconds : float
        How long a segment is.
    """

    def __init__(  # noqa: PLR0917 - seven parts, all needed
        self,
        catalog: Path,
        spool: Path,
        instruments: list[InstrumentId],
        marker: Callable[[InstrumentId], Marker],
        client: Client,
        clock: Clock,
        segment_seconds: float = 60.0,
    ) -> None:
        self.catalog = catalog
        self.folder = spool
        self.instruments = instruments
        self.ticks = 0
        self.segments = 0
        self.gaps = 0
        self.ticks_dropped = 0
        self.problem = ""
        self._marker = marker
        self._client = client
        self._clock = clock
        self._segment_ns = int(segment_seconds * NS_PER_SECOND)
        self._spool: TickSpool | None = None
        self._spool_until_ns = 0
        self._number = 0
        self._synced_ns = 0
        self._is_dirty = False
        self._refused: set[InstrumentId] = set()
        self._heard: set[str] = set()
        self._batches = MessageDecoder(TickBatch)
        self._newest = _newest(catalog)
        self._full = asyncio.Event()
        self._storing = threading.Lock()
        self._is_ending = threading.Event()

    async def run(self) -> None:
        """
        Record, for ever.

        Cancellation ends the open segment and puts it into the catalog, within the
        time that takes.
        """
        await asyncio.to_thread(self._store_all)
        try:
            await self._listen()
            async with asyncio.TaskGroup() as group:
                group.create_task(self._sync_for_ever())
                group.create_task(self._store_for_ever())
                group.create_task(self._compact_for_ever())
                group.create_task(self._report())
        finally:
            self._is_ending.set()
            self._end_spool()
            self._store_all()

    def status(self) -> RecorderStatus:
        """Return what the recorder says of itself now."""
        return RecorderStatus(
            time_ns=self._clock.time_ns(),
            build=build_stamp(),
            instruments=len(self._heard),
            ticks=self.ticks,
            segments=self.segments,
            gaps=self.gaps,
            ticks_dropped=self.ticks_dropped,
            synced_ns=self._synced_ns,
            problem=self.problem,
        )

    # Hearing.

    async def _listen(self) -> None:
        wanted = [subjects.ticks(one) for one in self.instruments] or ["ticks.>"]
        for subject in wanted:
            await self._client.subscribe(
                subject,
                cb=self._on_ticks,
                pending_msgs_limit=SUBSCRIPTION_MESSAGES_MAX,
                pending_bytes_limit=SUBSCRIPTION_BYTES_MAX,
            )

    async def _on_ticks(self, message: Msg) -> None:
        self.hear(message.subject, message.data)

    def hear(self, subject: str, payload: bytes) -> None:
        """Take one message of the bus: it is on its way to disk when this returns."""
        batch = self._batches.decode(payload)
        if batch is None or not batch.ticks:
            return
        self._heard.add(subject)
        try:
            if self._spool is None:
                self._begin_spool()
            assert self._spool is not None, "begun"
            self._spool.append(payload)
        except OSError as error:
            self.ticks_dropped += len(batch.ticks)
            self._fail(f"ticks are not recorded: {error.strerror or error}")
            return
        self.ticks += len(batch.ticks)
        self._is_dirty = True

    def _begin_spool(self) -> None:
        if self.problem and self._clock.monotonic_ns() < self._spool_until_ns:
            raise OSError(28, self.problem.partition(": ")[2] or self.problem)
        self._number = max(self._number + 1, self._clock.time_ns())
        self._spool = TickSpool(self.folder, self._number)
        self._spool_until_ns = self._clock.monotonic_ns() + self._segment_ns
        if self.problem:
            _log.info("recording again", extra={"dropped": self.ticks_dropped})
            self.problem = ""

    def _fail(self, problem: str) -> None:
        if problem != self.problem:
            _log.error("recorder", extra={"problem": problem})
        self.problem = problem
        spool, self._spool = self._spool, None
        if spool is not None:
            spool.abandon()
        # The next attempt is a second away: a full disk stays full for a while.
        self._spool_until_ns = self._clock.monotonic_ns() + NS_PER_SECOND

    def _end_spool(self) -> None:
        spool, self._spool = self._spool, None
        if spool is not None:
            try:
                spool.close()
            except OSError as error:
                self._fail(f"a segment was not closed: {error.strerror or error}")

    async def _sync_for_ever(self) -> None:
        while True:
            await asyncio.sleep(SYNC_SECONDS)
            spool = self._spool
            if spool is None:
                continue
            time_ns = self._clock.time_ns()
            try:
                if self._is_dirty:
                    self._is_dirty = False
                    await asyncio.to_thread(spool.sync)
                self._synced_ns = time_ns
            except OSError as error:
                self._fail(f"ticks are not on disk: {error.strerror or error}")
                continue
            is_over = self._clock.monotonic_ns() >= self._spool_until_ns
            if is_over or spool.size > SPOOL_BYTES_MAX:
                self._end_spool()
                self._full.set()

    # Storing.

    async def _store_for_ever(self) -> None:
        while True:
            await self._full.wait()
            self._full.clear()
            await asyncio.to_thread(self._store_all)

    def _store_all(self) -> None:
        """Put every spool file that is not being written into the catalog."""
        with self._storing:
            writing = self._spool.path if self._spool is not None else None
            for path in spool_files(self.folder):
                if path != writing and not self._store(path):
                    return

    def _store(self, path: Path) -> bool:
        """
        Put one spool file into the catalog; return whether all of it is there.

        Where it is not, it is read again, and segments that are there replace
        themselves.
        """
        builder = SegmentBuilder(self._newest)
        for segment in builder.build(read_spool(path), self._clock.time_ns()):
            while not self._store_segment(segment):
                if self._is_ending.wait(_BUSY_SECONDS):
                    return False
        self._newest = builder.last
        path.unlink()
        return True

    def _store_segment(self, segment: Segment) -> bool:
        """Put one segment into the catalog; False where it has to be tried again."""
        instrument = segment.instrument
        key = DatasetKey(DatasetKind.TICKS, instrument)
        plain = self._marker(instrument)
        marker = Marker(
            plain.source, generated=plain.generated, decimals=segment.decimals
        )
        gaps = [segment.gap] if segment.gap is not None else []
        try:
            check_origin(self.catalog, key, marker)
        except DataError as error:
            self._refuse(instrument, len(segment.ids), str(error))
            return True
        try:
            self.segments += add_segment(
                self.catalog, key, segment.frame(), marker, gaps
            )
        except BlockingIOError:
            return False
        except DataError as error:
            self._fail(str(error))
            return False
        self.gaps += len(gaps)
        return True

    def _refuse(self, instrument: InstrumentId, ticks: int, reason: str) -> None:
        self.ticks_dropped += ticks
        if instrument not in self._refused:
            self._refused.add(instrument)
            _log.error("not recorded", extra={"reason": reason})

    async def _compact_for_ever(self) -> None:
        while True:
            await asyncio.sleep(COMPACT_SECONDS)
            await asyncio.to_thread(self._compact_all)

    def _compact_all(self) -> None:
        """Make one file of each day that has others after it."""
        catalog = Catalog(self.catalog)
        for key in [one.key for one in catalog.datasets()]:
            if key.kind is not DatasetKind.TICKS:
                continue
            for date in catalog.dates(key)[:-1]:
                if not any(f.name.startswith("seg-") for f in catalog.files(key, date)):
                    continue
                try:
                    files = compact(self.catalog, key, date)
                except DataError as error:
                    _log.info("not compacted", extra={"reason": str(error)})
                    return
                _log.info(
                    "day compacted",
                    extra={"dataset": str(key), "date": date, "files": files},
                )

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(SYNC_SECONDS)
            if self.problem:
                _log.error("recorder", extra={"problem": self.problem})
            try:
                await self._client.publish(
                    subjects.RECORDER_STATUS, encode(self.status())
                )
            except nats.errors.Error as error:
                _log.debug("status not published", extra={"error": str(error)})


def _newest(root: Path) -> dict[InstrumentId, tuple[int, int]]:
    """Return id and time of the newest tick held of each instrument."""
    catalog = Catalog(root)
    found = {}
    for dataset in catalog.datasets():
        if dataset.kind is not DatasetKind.TICKS or not dataset.rows:
            continue
        date = catalog.dates(dataset.key)[-1]
        last = (
            pl.scan_parquet(
                catalog.files(dataset.key, date), glob=False, hive_partitioning=False
            )
            .select(pl.col("trade_id"), pl.col("time").to_physical())
            .sort("time", "trade_id")
            .tail(1)
            .collect(engine="streaming")
        )
        trade_id, time_ns = last.row(0)
        found[dataset.instrument] = trade_id, time_ns
    return found
