"""What was sent while the recorder was dead or its disk full is in the catalog too."""

from __future__ import annotations

import asyncio
import json
import resource
import subprocess
import sys
import urllib.request
from decimal import Decimal

import polars as pl
import pytest

from cryptoquantix.bus.connection import connect
from cryptoquantix.bus.messages import MessageDecoder, RecorderStatus, TickBatch
from cryptoquantix.core.instrument import Venue
from cryptoquantix.data.catalog import Catalog
from cryptoquantix.data.layout import DatasetKey
from cryptoquantix.data.quality import check
from cryptoquantix.data.schema import DatasetKind
from cryptoquantix.data.segments import recorded_gaps
from live.feed_rig import INSTRUMENTS, VENUES, until
from live.test_feed_killed import Commands, settings
from processes import end, start_nats, start_simulator

ALARMS = """
[alarms.telegram]
base_url = "{telegram}"
token = "123456:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
chat_id = "42"
"""
KEYS = {one: DatasetKey(DatasetKind.TICKS, name) for one, name in INSTRUMENTS.items()}


class Sent:
    """What the feeds have sent, and what the recorder says of itself."""

    def __init__(self):
        self.ticks = {venue: [] for venue in INSTRUMENTS}
        self.steps = {}
        self.statuses = []
        self._batches = MessageDecoder(TickBatch)
        self._recorder = MessageDecoder(RecorderStatus)

    async def on_ticks(self, message):
        batch = self._batches.decode(message.data)
        venue = Venue(batch.venue)
        self.steps[venue] = Decimal(batch.tick_size), Decimal(batch.lot_size)
        self.ticks[venue] += batch.ticks

    async def on_recorder(self, message):
        self.statuses.append(self._recorder.decode(message.data))

    def last_id(self, venue):
        return self.ticks[venue][-1][4]

    def rows(self, venue, first_id):
        """As the catalog has them; each once, though a feed may send one again."""
        tick, lot = self.steps[venue]
        made = {
            trade_id: (time_ns, price * tick, size * lot, is_maker, trade_id)
            for time_ns, price, size, is_maker, trade_id in self.ticks[venue]
            if trade_id >= first_id
        }
        return [made[trade_id] for trade_id in sorted(made)]


class Stage:
    def __init__(self, tmp_path, simulator, commands, sent):
        self.catalog = Catalog(tmp_path / "var" / "catalog")
        self.simulator = simulator
        self.commands = commands
        self.sent = sent

    @property
    def recorder(self):
        return self.commands.running["recorder",]

    def recorded(self, venue):
        if not self.catalog.dates(KEYS[venue]):
            return []
        rows = self.catalog.scan(KEYS[venue]).sort("trade_id").collect()
        rows = rows.with_columns(pl.col("time").to_physical())
        return [
            (time_ns, Decimal(repr(price)), Decimal(repr(size)), is_maker, trade_id)
            for time_ns, trade_id, price, size, is_maker in rows.iter_rows()
        ]

    async def start_again(self):
        """Start the recorder, and wait until it has heard of every instrument."""
        self.sent.statuses.clear()
        self.commands.start("recorder")
        count = len(INSTRUMENTS)
        await until(lambda: self.sent.statuses, 40)
        await until(lambda: self.sent.statuses[-1].instruments == count, 40)
        await asyncio.sleep(1.0)

    async def until_recorded(self, seconds=60):
        """Stop the market and wait until its last prints are in the catalog."""
        self.simulator.admin("/tape", {"paused": True})
        await asyncio.sleep(0.5)

        def is_last(venue):
            rows = self.recorded(venue)
            return rows and rows[-1][4] == self.sent.last_id(venue)

        await until(lambda: all(map(is_last, INSTRUMENTS)), seconds)

    async def until_whole(self, venues, seconds=60):
        await until(lambda: not any(map(self.missing, venues)), seconds)

    def missing(self, venue):
        """How many prints that were sent since the first record are not recorded."""
        rows = self.recorded(venue)
        return len(self.sent.rows(venue, rows[0][4])) - len(rows)


@pytest.fixture
async def stage(tmp_path):
    options = ["--venues", VENUES, "--generate", "5", "--instruments", "BTCUSDT"]
    options += ["--speed", "20", "--no-rate-limits"]
    with start_nats(tmp_path) as nats, start_simulator(tmp_path, *options) as simulator:
        config = tmp_path / "cryptoquantix.toml"
        config.write_text(settings(nats, simulator))
        commands = Commands(config, tmp_path / "log")
        sent = Sent()
        client = await connect(nats.url, "test")
        await client.subscribe("ticks.>", cb=sent.on_ticks)
        await client.subscribe("recorder", cb=sent.on_recorder)
        await client.flush()
        try:
            commands.start("recorder")
            for venue in INSTRUMENTS:
                commands.start("feed", venue.value)
            made = Stage(tmp_path, simulator, commands, sent)
            await until(lambda: all(map(made.recorded, INSTRUMENTS)))
            yield made
        finally:
            await client.close()
            commands.stop()
            print((tmp_path / "log").read_text()[-6_000:])


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_a_killed_recorder_fetches_what_it_missed(stage):
    stage.commands.kill("recorder")
    died = {venue: stage.sent.last_id(venue) for venue in INSTRUMENTS}
    await asyncio.sleep(2.0)
    missed = [sum(t[4] > died[v] for t in stage.sent.ticks[v]) for v in INSTRUMENTS]
    assert all(50 < count < 900 for count in missed)
    # Bybit has its last 1 000 prints only, however long a process takes to start.
    stage.simulator.admin("/tape", {"speed": 2})
    await stage.start_again()
    await stage.until_recorded()
    await stage.until_whole(INSTRUMENTS)
    for venue, key in KEYS.items():
        rows = stage.recorded(venue)
        assert rows == stage.sent.rows(venue, rows[0][4])
        assert check(stage.catalog, key).is_clean
        assert recorded_gaps(stage.catalog.root, key) == []
    assert stage.sent.statuses[-1].filled >= sum(missed)


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_what_a_venue_no_longer_has_stays_a_gap_with_its_own_ends(stage):
    """Bybit gives its last 1 000 prints, and no others."""
    stage.commands.kill("recorder")
    stage.simulator.admin("/tape", {"speed": 400})
    await asyncio.sleep(2.0)
    stage.simulator.admin("/tape", {"speed": 5})
    await stage.start_again()
    await stage.until_recorded()
    whole = [one for one in INSTRUMENTS if one is not Venue.BYBIT]
    await stage.until_whole(whole)
    for venue in whole:
        rows = stage.recorded(venue)
        assert rows == stage.sent.rows(venue, rows[0][4])
        assert recorded_gaps(stage.catalog.root, KEYS[venue]) == []
    await until(lambda: recorded_gaps(stage.catalog.root, KEYS[Venue.BYBIT]))
    await until(
        lambda: (
            recorded_gaps(stage.catalog.root, KEYS[Venue.BYBIT])[0].why
            == "not to be had"
        )
    )
    [gap] = recorded_gaps(stage.catalog.root, KEYS[Venue.BYBIT])
    rows = stage.recorded(Venue.BYBIT)
    missing = [
        row
        for row in stage.sent.rows(Venue.BYBIT, rows[0][4])
        if gap.after_id < row[4] < gap.before_id
    ]
    every = stage.sent.rows(Venue.BYBIT, rows[0][4])
    assert rows == [row for row in every if row not in set(missing)]
    assert len(missing) > 1_000
    assert check(stage.catalog, KEYS[Venue.BYBIT]).counts["gap"] == 1


@pytest.fixture
def telegram():
    """The Bot API, as far as we use it, in a process."""
    command = [sys.executable, "-m", "cryptoquantix.drills.telegram_stand_in"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    yield json.loads(process.stdout.readline())["telegram"]
    end(process)
    process.stdout.close()


def told(telegram):
    """Return the messages that speak of the recorder."""
    with urllib.request.urlopen(f"{telegram}/calls?method=sendMessage") as answer:
        calls = json.load(answer)["calls"]
    return [
        text for call in calls if "recorder" in (text := call["parameters"]["text"])
    ]


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_a_recorder_whose_disk_was_full_goes_on_and_fetches_the_rest(
    stage, telegram
):
    """No file of the process may grow: to its writes that is a full disk."""
    with stage.commands.config.open("a") as file:
        file.write(ALARMS.format(telegram=telegram))
    stage.commands.start("alarms")
    # It is told what the services say from then on.
    await until(lambda: '"service": "alarms"' in stage.commands.said())
    pid = stage.recorder.pid
    limits = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, limits[1]))
    await until(lambda: stage.sent.statuses[-1].problem)
    await asyncio.sleep(3.0)  # prints go on coming all the time
    # However long it takes to tell a person: Bybit has its last 1 000 prints only.
    stage.simulator.admin("/tape", {"paused": True})
    await until(lambda: told(telegram), 90)
    assert "not recorded" in stage.sent.statuses[-1].problem
    resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)
    stage.simulator.admin("/tape", {"paused": False})
    await until(lambda: not stage.sent.statuses[-1].problem)
    await asyncio.sleep(1.0)
    await stage.until_recorded()
    await stage.until_whole(INSTRUMENTS)
    assert stage.recorder.poll() is None
    assert stage.sent.statuses[-1].ticks_dropped > 50
    [alarm] = told(telegram)
    assert "ticks are not recorded" in alarm
    for venue, key in KEYS.items():
        rows = stage.recorded(venue)
        assert rows == stage.sent.rows(venue, rows[0][4])
        assert check(stage.catalog, key).is_clean
