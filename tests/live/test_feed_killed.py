"""A feed dead for five minutes, and a recorder killed meanwhile: nothing is missing."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from decimal import Decimal

import pytest

from cryptoquantix.bus import subjects
from cryptoquantix.bus.connection import connect
from cryptoquantix.bus.messages import FeedStatus, MessageDecoder, TickBatch
from cryptoquantix.core.clock import SystemClock
from cryptoquantix.core.errors import VenueError
from cryptoquantix.core.instrument import Venue
from cryptoquantix.core.market import Tick
from cryptoquantix.data.catalog import Catalog
from cryptoquantix.data.layout import DatasetKey
from cryptoquantix.data.quality import check
from cryptoquantix.data.schema import DatasetKind
from cryptoquantix.data.segments import recorded_gaps
from cryptoquantix.live.bar_seam import BarSeam
from cryptoquantix.live.warmup import History
from cryptoquantix.venues.market_rest import MarketRest
from live.feed_rig import INSTRUMENTS, VENUES, until, venue_trades
from processes import end, start_nats, start_simulator

MINUTE_NS = 60 * 10**9
SPEED = 120.0  # a minute of the market is half a second here
DEAD_SECONDS = 2.7
# Bybit gives its last 1 000 trades for the asking, and no others: less than five
# minutes of this market. There the bars of the gap come from the venue's bars.
WHOLE = (Venue.BINANCE, Venue.DERIBIT)


class Consumer:
    """Bars as the strategy service builds them, of ticks and, where lost, of bars."""

    def __init__(self, rest, instrument):
        self.seam = BarSeam(MINUTE_NS)
        self.bars = []
        self._history = History(rest, None, instrument, 60)

    def on_batch(self, batch):
        follows = batch.follows
        for tick in batch.ticks:
            steps = Decimal(batch.tick_size), Decimal(batch.lot_size)
            self.bars += self.seam.add(Tick(*tick), *steps, follows)
            follows = tick[4]

    async def fetch(self):
        """Ask for what only the venue has, once there is something to ask for."""
        while (span := self.seam.wanted()) is not None:
            try:
                start_ns = span.until_ns - 5 * MINUTE_NS
                fetched = await self._history.fetch(span, start_ns)
            except VenueError:  # not far enough yet
                await asyncio.sleep(0.1)
                continue
            if self.seam.is_current(span):
                self.bars += fetched + self.seam.complete(span)


class Commands:
    """``cqx`` processes by name."""

    def __init__(self, config, log):
        self.config = config
        self._path = log
        self._log = log.open("ab")
        self.running = {}

    def start(self, *arguments):
        command = [sys.executable, "-m", "cryptoquantix", *arguments]
        command += ["--config", str(self.config)]
        self.running[arguments] = subprocess.Popen(command, stderr=self._log)

    def said(self):
        return self._path.read_text()

    def kill(self, *arguments):
        process = self.running.pop(arguments)
        process.kill()
        process.wait()

    def stop(self):
        for process in self.running.values():
            end(process)
        self._log.close()


def settings(nats, simulator):
    venues = "".join(
        f'[venues.{name}]\nrest = "{at["rest"]}"\nws = "{at["ws"]}"\n'
        for name, at in simulator.line["venues"].items()
    )
    names = ", ".join(f'"{one}"' for one in INSTRUMENTS.values())
    return (
        f'{venues}[nats]\nurl = "{nats.url}"\n[feeds]\ninstruments = [{names}]\n'
        "[recorder]\nsegment_seconds = 1\n"
    )


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_bars_of_the_gap_equal_those_of_a_run_without_one(tmp_path):
    options = ["--venues", VENUES, "--generate", "5", "--instruments", "BTCUSDT"]
    options += ["--speed", str(SPEED), "--no-rate-limits"]
    with start_nats(tmp_path) as nats, start_simulator(tmp_path, *options) as simulator:
        config = tmp_path / "cryptoquantix.toml"
        config.write_text(settings(nats, simulator))
        commands = Commands(config, tmp_path / "log")
        try:
            await played(tmp_path, nats, simulator, commands)
        finally:
            commands.stop()
            print((tmp_path / "log").read_text()[-6_000:])


async def played(tmp_path, nats, simulator, commands):
    clock = SystemClock()
    client = await connect(nats.url, "test")
    decoder = MessageDecoder(TickBatch)
    rests, consumers, last = {}, {}, {}
    for venue, instrument in INSTRUMENTS.items():
        rest = MarketRest(simulator.line["venues"][venue.value]["rest"], clock, venue)
        rests[venue] = await rest.__aenter__()
        consumers[venue] = Consumer(rest, instrument)

    async def on_ticks(message):
        batch = decoder.decode(message.data)
        consumers[Venue(batch.venue)].on_batch(batch)
        last[Venue(batch.venue)] = batch

    await client.subscribe("ticks.>", cb=on_ticks)
    await client.flush()
    fetchers = []
    try:
        commands.start("recorder")
        for venue in INSTRUMENTS:
            commands.start("feed", venue.value)
        await until(lambda: len(last) == len(INSTRUMENTS))

        async def fetch(consumer):
            while True:
                await consumer.fetch()
                await asyncio.sleep(0.02)

        fetchers = [asyncio.create_task(fetch(one)) for one in consumers.values()]
        await until(lambda: all(one.bars for one in consumers.values()))
        await asyncio.sleep(1.5)
        dead_at = {venue: last[venue].ticks[-1][0] for venue in INSTRUMENTS}
        await die_and_come_back(client, simulator, commands)
        await until(
            lambda: all(
                one.bars and one.bars[-1].open_time_ns > dead_at[venue] + 7 * MINUTE_NS
                for venue, one in consumers.items()
            ),
            40,
        )
        simulator.admin("/tape", {"paused": True})
        await until(lambda: recorded_all(tmp_path, last), 30)
        await until(lambda: gaps_settled(tmp_path), 60)
        for venue, consumer in consumers.items():
            # What a run without a gap would have given: the venue's own bars.
            bars, symbol = consumer.bars, INSTRUMENTS[venue].symbol
            first, end_ns = bars[0].open_time_ns, bars[-1].close_time_ns
            assert bars == await rests[venue].bars(symbol, 60, first, end_ns)
            assert len(bars) >= 8
            lost = venue not in WHOLE
            assert consumer.seam.gaps == lost, "prints of the gap came, late"
        assert_recorded(tmp_path, simulator)
    finally:
        for task in fetchers:
            task.cancel()
        await client.close()
        for rest in rests.values():
            await rest.__aexit__(None, None, None)


async def die_and_come_back(client, simulator, commands):
    """Be dead for five minutes of the market, however long the machine takes."""
    for venue in INSTRUMENTS:
        commands.kill("feed", venue.value)
    died = time.monotonic()
    await asyncio.sleep(0.3)
    commands.kill("recorder")  # with what it heard last still in its spool
    commands.start("recorder")
    await asyncio.sleep(max(0.0, died + DEAD_SECONDS - time.monotonic()))
    simulator.admin("/tape", {"paused": True})
    connected = await connections(client)
    for venue in INSTRUMENTS:
        commands.start("feed", venue.value)
    await until(lambda: connected == set(INSTRUMENTS))
    simulator.admin("/tape", {"paused": False})


async def connections(client):
    """The venues whose feeds say, from now on, that they are connected."""
    connected, decoder = set(), MessageDecoder(FeedStatus)

    async def on_status(message):
        status = decoder.decode(message.data)
        if status.connected:
            connected.add(Venue(status.venue))

    for venue in INSTRUMENTS:
        await client.subscribe(subjects.feed(venue), cb=on_status)
    await client.flush()
    return connected


def recorded_all(tmp_path, last):
    """Whether what came last is in the catalog; a segment is a second long."""
    catalog = Catalog(tmp_path / "var" / "catalog")
    keys = {one: DatasetKey(DatasetKind.TICKS, INSTRUMENTS[one]) for one in last}
    return all(
        catalog.dates(key)
        and catalog.scan(key).select("trade_id").tail(1).collect().item()
        == last[venue].ticks[-1][4]
        for venue, key in keys.items()
    )


def gaps_settled(tmp_path):
    """Whether the recorder has asked for what is missing, and said what is not had."""
    catalog = Catalog(tmp_path / "var" / "catalog")
    return all(
        check(catalog, key).is_clean
        if venue in WHOLE
        else recorded_gaps(catalog.root, key)
        for venue, name in INSTRUMENTS.items()
        for key in [DatasetKey(DatasetKind.TICKS, name)]
    )


def assert_recorded(tmp_path, simulator):
    """What was recorded is what the venue sent, from the first to the last digit."""
    catalog = Catalog(tmp_path / "var" / "catalog")
    for venue, instrument in INSTRUMENTS.items():
        key = DatasetKey(DatasetKind.TICKS, instrument)
        rows = catalog.scan(key).collect()
        mine = [
            (
                time_ns // 10**6,
                Decimal(repr(price)),
                Decimal(repr(size)),
                is_maker,
            )
            for time_ns, _, price, size, is_maker in rows.with_columns(
                rows["time"].to_physical()
            ).iter_rows()
        ]
        own = [
            (time_ms, Decimal(price), Decimal(size), is_maker)
            for time_ms, price, size, is_maker in venue_trades(simulator, venue)
        ]
        report, gaps = check(catalog, key), recorded_gaps(catalog.root, key)
        assert report.counts["disorder"] == report.counts["duplicate"] == 0
        if venue in WHOLE:
            assert (report.is_clean, gaps) == (True, [])
            assert mine[-len(own) :] == own
        else:
            [gap] = gaps
            assert report.counts["gap"] == 1, "told, and nothing else is missing"
            after = min(1_000, sum(t[0] * 10**6 >= gap.until_ns for t in mine))
            assert mine[-after:] == own[-after:]
            assert after > 100
        assert len(own) == 1_000
