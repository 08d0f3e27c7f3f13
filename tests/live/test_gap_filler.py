"""A gap costs a bounded number of requests, whatever its ids say."""

import asyncio
from decimal import Decimal

import numpy as np
import pytest

from cryptoquantix.core.clock import SystemClock
from cryptoquantix.core.instrument import InstrumentId, Venue
from cryptoquantix.data.segments import NOT_HEARD, UNAVAILABLE, RecordedGap
from cryptoquantix.live import gap_filler
from cryptoquantix.live.gap_filler import PRINTS_MAX, GapFiller, WantedGap

BTC = InstrumentId.parse("binance:BTCUSDT-PERP")


class Rest:
    """A venue that numbers anew: of the ids asked for it has none."""

    is_dense = True

    def __init__(self):
        self.asked = []

    async def trades(self, symbol, after_id, before_id):
        self.asked.append((after_id, before_id))
        return [], False


@pytest.mark.parametrize(
    ("missing", "requests"), [(PRINTS_MAX + 1, 0), (PRINTS_MAX, 3)]
)
async def test_a_jump_of_ids_asks_for_no_millions_of_prints(
    monkeypatch, missing, requests
):
    monkeypatch.setattr(gap_filler, "Backoff", NoPause)
    noted = asyncio.get_running_loop().create_future()

    def store(_segment, notes):
        [note] = notes
        noted.get_loop().call_soon_threadsafe(noted.set_result, note)
        return True

    rest = Rest()
    filler = GapFiller(
        {Venue.BINANCE: rest}, store, SystemClock(), np.random.default_rng(1)
    )
    gap = RecordedGap(7, 8 + missing, 100, 200, 0, NOT_HEARD)
    filler.begin(WantedGap(BTC, Decimal("0.1"), Decimal("0.001"), gap))
    task = asyncio.create_task(filler.run())
    async with asyncio.timeout(5):
        note = await noted
    task.cancel()
    assert note._replace(noted_ns=0) == gap._replace(why=UNAVAILABLE)
    assert rest.asked == [(7, 8 + missing)] * requests


class NoPause:
    """Attempts without a pause."""

    def __init__(self, *_args, **_options):
        pass

    def next_seconds(self):
        return 0.0

    def reset(self):
        pass
