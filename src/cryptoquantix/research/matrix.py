"""
Every parameter set over one history, on as many cores as there are.

Cells are spread over threads in packs, which the kernels leave free to run: the same
order of arithmetic in every cell whatever its pack, so the same records to the bit. A
pack passes the history a stretch at a time: years of targets do not fit a processor's
cache, those of a stretch do.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Final

import numpy as np

from cryptoquantix.core.errors import SettingsError
from cryptoquantix.research.account import Costs
from cryptoquantix.research.days import FIELDS
from cryptoquantix.research.history import Days, History
from cryptoquantix.research.pack import Pack
from cryptoquantix.research.passes import AnyParams, Floats, Passes

type Progress = Callable[[int], None]

# Bars that a pack passes before the next: their targets are a few MB.
STRETCH_BARS = 12_000
# Day records are held in memory; a study that needs more is refused, not swapped.
RECORD_BYTES_MAX = 4 * 1024**3
# How often progress is told of.
_PROGRESS_SECONDS: Final = 0.1


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run_matrix(
    passes: Passes,
    history: History,
    days: Days,
    costs: Costs,
    *,
    cells: Sequence[AnyParams],
    progress: Progress,
) -> Floats:
    """
    Return the day records of every cell, (cells, days, fields).

    ``progress`` is told how many cells are done. Interrupting it leaves nothing behind.

    Raises
    ------
    SettingsError
        If the records would not fit the memory allowed, or the strategy's halves
        decide otherwise than its step.
    """
    size = len(cells) * days.count * len(FIELDS) * 8
    if size > RECORD_BYTES_MAX:
        msg = (
            f"{len(cells)} cells over {days.count} days need {size / 1e9:.1f} GB of "
            f"records, more than {RECORD_BYTES_MAX / 1e9:.1f}: use a smaller grid"
        )
        raise SettingsError(msg)
    records = np.zeros((len(cells), days.count, len(FIELDS)))
    order = _by_view([passes.strategy.view(params) for params in cells])
    largest = passes.lane_driver.LANES_MAX
    parts = [[order[i] for i in part] for part in _parts(len(cells), largest)]
    done = [0] * len(parts)
    is_stopped = threading.Event()

    def pass_history(number: int) -> None:
        part = parts[number]
        pack = Pack(passes, history, days, costs, [cells[i] for i in part])
        for first_day, stop_day in stretches(days):
            if is_stopped.is_set():
                return
            pack.run(first_day, stop_day)
            done[number] = len(part) * stop_day
        for lane, cell in enumerate(part):
            records[cell] = pack.records(lane)

    # No day to pass: so that compiling happens once, not a thread.
    Pack(passes, history, days, costs, [cells[i] for i in parts[0]]).run(0, 0)
    with ThreadPoolExecutor(max_workers=cores()) as pool:
        try:
            running = {pool.submit(pass_history, i) for i in range(len(parts))}
            for _ in _until_done(running):
                progress(sum(done) // days.count)
        except BaseException:
            is_stopped.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return records


def _until_done(running: set[Future[None]]) -> Iterator[None]:
    """Yield now and then until all have ended; the first error of one is raised."""
    while running:
        ended, running = wait(running, timeout=_PROGRESS_SECONDS)
        for future in ended:
            future.result()
        yield


def _by_view(views: Sequence[object]) -> list[int]:
    """Return the cells' order: who sees the same of the market is neighbors."""
    first: dict[object, int] = {}
    for cell, view in enumerate(views):
        first.setdefault(view, cell)
    return sorted(range(len(views)), key=lambda cell: first[views[cell]])


def _parts(cells: int, largest: int) -> list[range]:
    """Return the cells cut into packs: as many for each core and as equal as can be."""
    rounds = -(-cells // (cores() * largest))
    count = min(cells, cores() * rounds)
    return [range(cells * i // count, cells * (i + 1) // count) for i in range(count)]


def stretches(days: Days) -> Iterator[tuple[int, int]]:
    """Yield the days, cut where a stretch of the history is full."""
    first = 0
    for day in range(days.count):
        if days.bar(day + 1) - days.bar(first) >= STRETCH_BARS:
            yield first, day + 1
            first = day + 1
    if first < days.count:
        yield first, days.count
