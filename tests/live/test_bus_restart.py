"""A bus that dies in a burst costs no print that is not told and fetched."""

import asyncio
from contextlib import ExitStack

from cryptoquantix.bus.connection import connect
from cryptoquantix.core.clock import SystemClock
from cryptoquantix.core.instrument import Venue
from cryptoquantix.data.catalog import Catalog
from cryptoquantix.data.layout import DatasetKey, Marker
from cryptoquantix.data.schema import DatasetKind
from cryptoquantix.data.segments import recorded_gaps
from cryptoquantix.live import recorder as recorder_module
from cryptoquantix.live.recorder import Recorder
from cryptoquantix.venues.market_rest import MarketRest
from live.test_feed_service import BTC, feeding, tick
from processes import start_nats
from stand_in import StandIn

KEY = DatasetKey(DatasetKind.TICKS, BTC)
BURST = 60


async def until(condition, seconds=20):
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - a test's patience
            await asyncio.sleep(0.02)


async def test_a_bus_killed_in_a_burst_loses_no_print_silently(tmp_path, monkeypatch):
    """The recorder is back later than the feed: what was kept for it is gone."""
    monkeypatch.setattr(recorder_module, "SYNC_SECONDS", 0.1)
    catalog, venue, sent = Catalog(tmp_path / "catalog"), StandIn(), 0

    async def burst():
        nonlocal sent
        for _ in range(BURST):
            sent += 1
            await venue.trade("BTCUSDT", tick(sent))

    def held():
        return sorted(catalog.scan(KEY).collect()["trade_id"].to_list())

    # The second bus ends last: its clients end as they do in a quiet moment.
    with ExitStack() as buses:
        async with feeding(tmp_path, venue) as (service, _, server):
            rest = MarketRest(venue.rest, SystemClock())
            client = await connect(server.url, "recorder")
            may_dial, dial = asyncio.Event(), client._select_next_server

            async def later():
                await may_dial.wait()
                await dial()

            client._select_next_server = later
            recorder = Recorder(
                catalog.root,
                tmp_path / "spool",
                [BTC],
                lambda _: Marker("aggTrades"),
                client,
                SystemClock(),
                0.2,
                {Venue.BINANCE: rest},
            )
            async with rest:
                task = asyncio.create_task(recorder.run())
                await venue.subscribed(2)
                await until(lambda: client._subs)
                await client.flush()
                await burst()
                await until(lambda: recorder.ticks)
                killed = asyncio.create_task(burst())
                await asyncio.sleep(0)
                server.process.kill()
                server.process.wait(5)
                await killed
                await until(lambda: not client.is_connected)
                buses.enter_context(start_nats(tmp_path, server.port))
                await until(lambda: service._client.is_connected)
                await burst()
                await service._client.flush()
                may_dial.set()
                await until(lambda: client.is_connected)
                await client.flush()
                assert recorder.ticks < sent, "some were lost on the way"
                await burst()
                await until(lambda: held() == list(range(1, sent + 1)))
                await until(lambda: not recorded_gaps(catalog.root, KEY))
                await until(lambda: recorder.gaps and recorder.status().filled)
                assert service.sink.batches_dropped == 0
                task.cancel()
                await asyncio.wait([task])
                await client.close()
