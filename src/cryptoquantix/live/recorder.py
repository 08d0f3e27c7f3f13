"""
Ticks from the bus into the catalog; it alters none and holds no key.

What is heard is on disk at once (:mod:`.tick_spool`) and in the catalog as a segment
within a minute. A kill loses what was not yet heard, a power cut the last second. What
never came is noted as a gap, and fetched where the venue still has it
(:mod:`.gap_filler`). A disk that is full is told in the status for as long as it is:
ticks are dropped then and counted, and what is written stays whole.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import nats.errors
import numpy as np
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
from cryptoquantix.core.errors import DataError
from cryptoquantix.core.instrument import InstrumentId, Venue
from cryptoquantix.data.catalog import Catalog
from cryptoquantix.data.layout import DatasetKey, Marker, dataset_keys
from cryptoquantix.data.schema import DatasetKind
from cryptoquantix.data.segments import (
    RecordedGap,
    add_segment,
    check_origin,
    compact,
)
from cryptoquantix.live.gap_filler import GapFiller, WantedGap
from cryptoquantix.live.gap_watch import GapWatch
from cryptoquantix.live.recorded import newest_ticks, open_gaps
from cryptoquantix.live.segment_builder import (
    Segment,
    SegmentBuilder,
    instrument_of,
)
from cryptoquantix.live.tick_spool import TickSpool, adopt, read_spool, spool_files
from cryptoquantix.venues.market_rest import MarketRest

SYNC_SECONDS: Final = 1.0
SPOOL_BYTES_MAX: Final = 32 * 1024 * 1024
COMPACT_SECONDS: Final = 600.0
_BUSY_SECONDS: Final = 0.5

_log = logging.getLogger(__name__)


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
    rests : mapping of Venue to MarketRest, optional
        Where prints that were not heard are fetched.
    """

    def __init__(  # noqa: PLR0917 - eight parts, seven of them needed
        self,
        catalog: Path,
        spool: Path,
        instruments: list[InstrumentId],
        marker: Callable[[InstrumentId], Marker],
        client: Client,
        clock: Clock,
        segment_seconds: float = 60.0,
        rests: Mapping[Venue, MarketRest] | None = None,
    ) -> None:
        self.catalog = catalog
        self.folder = spool
        self.instruments = instruments
        self.ticks = 0
        self.segments = 0
        self.gaps = 0
        self.ticks_dropped = 0
        self._spool_problem = ""
        self._store_problem = ""
        self._is_waiting = False
        self._marker = marker
        self._client = client
        self._clock = clock
        self._segment_ns = int(segment_seconds * NS_PER_SECOND)
        self._spool: TickSpool | None = None
        self._spool_until_ns = 0
        self._closed_until_ns = clock.monotonic_ns()
        self._number = 0
        self._synced_ns = 0
        self._is_dirty = False
        self._refused: set[InstrumentId] = set()
        # By subject, None where the name is no instrument's.
        self._heard: dict[str, InstrumentId | None] = {}
        self._batches = MessageDecoder(TickBatch)
        adopt(spool)
        self._adopted = spool_files(spool)
        self._newest = newest_ticks(catalog)
        # The jitter must differ between recorders that restart together.
        random = np.random.default_rng(clock.time_ns())
        self._filler = GapFiller(rests or {}, self._store_fill, clock, random)
        self._watch = GapWatch(self._filler.begin)
        self._full = asyncio.Event()
        self._storing = threading.Lock()
        self._is_ending = threading.Event()

    async def run(self) -> None:
        """
        Record, for ever.

        Cancellation ends the open segment and puts it into the catalog, within the
        time that takes.
        """
        try:
            await self._listen()
            async with asyncio.TaskGroup() as group:
                group.create_task(self._sync_for_ever())
                group.create_task(self._report())
                group.create_task(self._filler.run())
                await self._take_over()
                group.create_task(self._store_for_ever())
                group.create_task(self._compact_for_ever())
        finally:
            self._is_ending.set()
            self._end_spool()
            self._store_all()

    async def _take_over(self) -> None:
        """Store what a recorder before this one has left, and fetch what it missed."""
        # It waits for a catalog that cannot be written: only the end of all ends it.
        await asyncio.to_thread(self._store_all, self._adopted)
        self._watch.follow(self._newest, self._clock.time_ns())
        for wanted in await asyncio.to_thread(self._open_gaps):
            self._filler.begin(wanted)
        self._full.set()  # what was heard meanwhile

    @property
    def problem(self) -> str:
        """What keeps ticks from the disk or the catalog now, empty where nothing."""
        return self._spool_problem or self._store_problem

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
            filled=self._filler.prints,
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
        if subject not in self._heard:
            self._heard[subject] = instrument_of(batch)
        if not self._append(payload):
            self.ticks_dropped += len(batch.ticks)
            return
        self.ticks += len(batch.ticks)
        self._is_dirty = True
        instrument = self._heard[subject]
        if instrument is not None:
            self._watch.hear(batch, instrument, self._clock.time_ns())

    def _append(self, payload: bytes) -> bool:
        """Write one message to the spool; False where it cannot be written now."""
        now_ns = self._clock.monotonic_ns()
        if self._spool is None and now_ns < self._closed_until_ns:
            return False
        try:
            if self._spool is None:
                self._number = max(self._number + 1, self._clock.time_ns())
                self._spool = TickSpool(self.folder, self._number)
                self._spool_until_ns = now_ns + self._segment_ns
            self._spool.append(payload)
        except OSError as error:
            self._fail(f"ticks are not recorded: {error.strerror or error}")
            return False
        return True

    def _fail(self, problem: str) -> None:
        if problem != self._spool_problem:
            _log.error("recorder", extra={"problem": problem})
        self._spool_problem = problem
        spool, self._spool = self._spool, None
        if spool is not None:
            spool.abandon()
        # The next attempt is a second away: a full disk stays full for a while.
        self._closed_until_ns = self._clock.monotonic_ns() + NS_PER_SECOND

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
            await self.sync()

    async def sync(self) -> None:
        """Wait until what was heard is on disk; end a segment that is over."""
        spool, time_ns = self._spool, self._clock.time_ns()
        if spool is None:
            return
        try:
            if self._is_dirty:
                self._is_dirty = False
                await asyncio.to_thread(spool.sync)
        except OSError as error:
            self._fail(f"ticks are not on disk: {error.strerror or error}")
            return
        if self._spool is not spool:
            return  # it failed meanwhile
        self._synced_ns = time_ns
        if self._spool_problem:
            _log.info("recording again", extra={"dropped": self.ticks_dropped})
            self._spool_problem = ""
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

    def _store_all(self, files: list[Path] | None = None) -> None:
        """Put every whole spool file into the catalog, or those given."""
        with self._storing:
            for path in spool_files(self.folder) if files is None else files:
                if not self._store(path):
                    return
            if self._store_problem:
                _log.info("the catalog can be written again")
                self._store_problem = ""

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
        gaps = [segment.gap] if segment.gap is not None else []
        try:
            self._add(segment, gaps)
        except BlockingIOError:
            if not self._is_waiting:
                _log.info("another writes to the catalog: ticks wait in the spool")
            self._is_waiting = True
            return False
        except DataError as error:
            if str(error) != self._store_problem:
                _log.error("recorder", extra={"problem": str(error)})
            self._store_problem = str(error)
            return False
        self._is_waiting = False
        self.gaps += len(gaps)
        return True

    def _store_fill(self, segment: Segment, notes: list[RecordedGap]) -> bool:
        """Put fetched prints into the catalog; False where it cannot be now."""
        with self._storing:
            try:
                self._add(segment, notes, is_late=True)
            except (BlockingIOError, DataError) as error:
                _log.info("fetched prints not stored", extra={"reason": str(error)})
                return False
        return True

    def _add(
        self, segment: Segment, gaps: list[RecordedGap], *, is_late: bool = False
    ) -> None:
        """Put ticks into the catalog, unless those there have another origin."""
        key = DatasetKey(DatasetKind.TICKS, segment.instrument)
        try:
            plain = self._marker(segment.instrument)
            marker = Marker(
                plain.source, generated=plain.generated, decimals=segment.decimals
            )
            check_origin(self.catalog, key, marker)
        except DataError as error:
            self._refuse(segment.instrument, len(segment.ids), str(error))
            return
        self.segments += add_segment(
            self.catalog, key, segment.frame(), marker, gaps, is_late=is_late
        )

    def _open_gaps(self) -> list[WantedGap]:
        """Return what a recorder before this one missed and could not fetch."""
        wanted = set(self.instruments) or set(self._newest)
        found = wanted & set(self._newest)
        return list(open_gaps(self.catalog, found, self._clock.time_ns()))

    def _refuse(self, instrument: InstrumentId, ticks: int, reason: str) -> None:
        self.ticks_dropped += ticks
        if instrument not in self._refused:
            self._refused.add(instrument)
            _log.error("not recorded", extra={"reason": reason})

    async def _compact_for_ever(self) -> None:
        while True:
            await asyncio.to_thread(self._compact_all)
            await asyncio.sleep(COMPACT_SECONDS)

    def _compact_all(self) -> None:
        """Make one file of each day that has others after it."""
        catalog = Catalog(self.catalog)
        for key in dataset_keys(self.catalog):
            if key.kind is not DatasetKind.TICKS:
                continue
            for date in catalog.dates(key)[:-1]:
                if not any(f.name.startswith("seg-") for f in catalog.files(key, date)):
                    continue
                if self._is_ending.is_set():
                    return  # the process ends once this thread has
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
            try:
                await self._client.publish(
                    subjects.RECORDER_STATUS, encode(self.status())
                )
            except nats.errors.Error as error:
                _log.debug("status not published", extra={"error": str(error)})
