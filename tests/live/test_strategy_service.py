"""Targets equal those of a plain run over the same bars, whatever happens meanwhile."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace

import numpy as np
import pytest
from msgspec import structs

from cryptoquantix.bus.connection import connect, targets_bucket
from cryptoquantix.bus.messages import (
    FeedStatus,
    MessageDecoder,
    QuoteMessage,
    StrategyStatus,
    Target,
    TickBatch,
    encode,
)
from cryptoquantix.core.clock import NS_PER_SECOND, SystemClock
from cryptoquantix.core.instrument import InstrumentId
from cryptoquantix.core.market import Tick
from cryptoquantix.live import snapshot, strategy_runner
from cryptoquantix.live.funding import FundingHistory
from cryptoquantix.live.snapshot import SnapshotStore, SnapshotWriter
from cryptoquantix.live.strategy_runner import (
    Snapshots,
    StrategyPlan,
    StrategyRunner,
)
from cryptoquantix.live.strategy_service import StrategyService
from cryptoquantix.live.target_publisher import TargetPublisher
from cryptoquantix.live.warmup import History
from cryptoquantix.strategies.stepper import Stepper
from cryptoquantix.venues.backoff import Backoff
from cryptoquantix.venues.market_rest import MarketRest
from live.test_funding import batch
from processes import start_nats
from stand_in import LOT_SIZE, MINUTE_NS, TICK_SIZE, StandIn

BTC = InstrumentId.parse("binance:BTCUSDT-PERP")
DAY_MINUTES = 1440
START_NS = 1_700_006_400 * 10**9
PARAMS = {
    "gate_days": 2,
    "gate_band": 0.0,
    "breakout_bars": 5,
    "exit_bars": 5,
    "exit_atr": 3.0,
    "atr_bars": 5,
    "volatility_bars": 10,
}


def walk(minutes, seed=3):
    """A walk of one to three trades a minute; some minutes without any."""
    random = np.random.default_rng(seed)
    ticks, price = [], 10_000
    for minute in range(minutes):
        count = 0 if random.random() < 0.1 and minute else int(random.integers(1, 4))
        for part in range(count):
            price = max(10, price + int(random.integers(-30, 31)))
            time_ns = START_NS + minute * MINUTE_NS + part * 15 * 10**9
            ticks.append(Tick(time_ns, price, 1 + part, False, len(ticks) + 1))
    return ticks


def plain_run(venue):
    """Targets by bar close of one run over every closed bar of the venue."""
    stepper = Stepper("trend_breakout", PARAMS)
    bars = venue.bars("BTCUSDT")[:-1]
    return {bar.close_time_ns: (stepper.step(bar), bar.close) for bar in bars}


class Rig:
    """A bus, a venue's REST, and the service; ticks are published by the test."""

    def __init__(self, venue, client, server, rest):
        self.venue = venue
        self.client = client
        self.server = server
        self.rest = rest
        self.targets = []
        self.statuses = []
        self.task = None
        self.runner = None
        self._decoder = MessageDecoder(Target)
        self._statuses = MessageDecoder(StrategyStatus)

    async def on_target(self, message):
        self.targets.append(self._decoder.decode(message.data))

    async def on_status(self, message):
        self.statuses.append(self._statuses.decode(message.data))

    async def start(
        self,
        warmup_bars=4 * DAY_MINUTES,
        snapshots=None,
        carry=None,
        *,
        is_warmup_required=False,
    ):
        """By default more history is asked for than there is: all there is counts."""
        clock = SystemClock()
        strategy = ("trend_breakout", PARAMS) if carry is None else carry
        plan = StrategyPlan(
            "trend",
            BTC,
            60,
            warmup_bars,
            lambda: Stepper(*strategy),
            carry is not None,
            is_warmup_required,
        )
        funding = None if carry is None else FundingHistory(self.rest, None, BTC)
        publisher = TargetPublisher(await targets_bucket(self.client))
        self.runner = StrategyRunner(
            plan,
            History(self.rest, None, BTC, 60, funding),
            publisher,
            await publisher.last(plan.key),
            Backoff(np.random.default_rng(1), seconds_min=0.01, seconds_max=0.1),
            clock,
            snapshots,
        )
        writer = None if snapshots is None else snapshots.writer
        service = StrategyService([self.runner], publisher, self.client, clock, writer)
        self.task = asyncio.create_task(service.run())
        await asyncio.sleep(0.05)

    async def stop(self):
        self.task.cancel()
        await asyncio.wait([self.task], timeout=5)
        assert self.task.cancelled()

    async def trade(self, ticks, *, lost=False, size=50):
        """Trades happen, and are published in batches unless ``lost``."""
        await self.venue.trade("BTCUSDT", *ticks, silent=True)
        if lost:
            return
        for start in range(0, len(ticks), size):
            part = [tuple(tick) for tick in ticks[start : start + size]]
            message = TickBatch(
                "binance", BTC.name, str(TICK_SIZE), str(LOT_SIZE), 0, part
            )
            await self.client.publish("ticks.binance.BTCUSDT-PERP", encode(message))
            await asyncio.sleep(0)
        await self.client.flush()

    async def quote(self, time_ns):
        """The venue's time goes on, though nobody trades."""
        message = QuoteMessage(
            "binance", BTC.name, "0.1", "0.001", 0, time_ns, 999, 1, 1001, 1
        )
        await self.client.publish("quotes.binance.BTCUSDT-PERP", encode(message))

    async def until_closed(self, close_ns, seconds=20):
        async with asyncio.timeout(seconds):
            while not self.targets or self.targets[-1].bar_close_ns < close_ns:
                assert not self.task.done(), self.task.exception()
                await asyncio.sleep(0.01)

    async def until_state(self, state, seconds=20):
        async with asyncio.timeout(seconds):
            while not self.statuses or self.statuses[-1].state != state:
                assert not self.task.done(), self.task.exception()
                await asyncio.sleep(0.01)

    def last_close(self):
        return self.venue.bars("BTCUSDT")[-2].close_time_ns


@asynccontextmanager
async def rig(tmp_path, history):
    venue = StandIn()
    venue.ticks["BTCUSDT"] = list(history)
    with start_nats(tmp_path) as server:
        client = await connect(server.url, "strategy")
        listener = await connect(server.url, "test")
        async with venue, MarketRest(venue.rest, SystemClock()) as rest:
            one = Rig(venue, client, server, rest)
            await listener.subscribe("$KV.targets.>", cb=one.on_target)
            await listener.subscribe("strategy", cb=one.on_status)
            await listener.flush()
            try:
                yield one
            finally:
                if one.task is not None and not one.task.done():
                    await one.stop()
                await client.close()
                await listener.close()


def check(targets, expected):
    for target in targets:
        assert (target.target, target.price) == expected[target.bar_close_ns]


TICKS = walk(4 * DAY_MINUTES)
CUT = len(TICKS) * 3 // 4


async def test_every_live_bar_has_the_target_of_a_plain_run(tmp_path):
    async with rig(tmp_path, TICKS[:CUT]) as one:
        await one.start()
        await one.trade(TICKS[CUT:])
        await one.until_closed(one.last_close())
        expected = plain_run(one.venue)
        check(one.targets, expected)
        closes = [target.bar_close_ns for target in one.targets]
        assert closes == [close for close in expected if close >= closes[0]]
        assert len(closes) > 300
        assert len({target.target for target in one.targets}) > 5, "it trades"
        assert [t.sequence for t in one.targets] == list(range(1, len(closes) + 1))
        bucket = await targets_bucket(one.client)
        stands = (await bucket.get("trend.binance.BTCUSDT-PERP")).value
        assert MessageDecoder(Target).decode(stands) == one.targets[-1]


async def test_a_gap_is_rebuilt_from_the_venue_and_changes_no_target(tmp_path):
    async with rig(tmp_path, TICKS[:CUT]) as one:
        await one.start()
        await one.trade(TICKS[CUT : CUT + 100])
        await one.trade(TICKS[CUT + 100 : CUT + 200], lost=True)
        await one.trade(TICKS[CUT + 200 : CUT + 300])
        await one.trade(TICKS[CUT + 300 : CUT + 301], lost=True)
        await one.trade(TICKS[CUT + 301 :])
        await one.until_closed(one.last_close())
        expected = plain_run(one.venue)
        check(one.targets, expected)
        assert one.targets[-1].bar_close_ns == max(expected)
        closes = [target.bar_close_ns for target in one.targets]
        assert closes == sorted(set(closes))
        assert one.runner.seam.gaps == 2
        assert one.runner.bars == len(expected)


async def test_a_restart_arrives_at_the_same_targets(tmp_path):
    async with rig(tmp_path, TICKS[:CUT]) as one:
        await one.start(warmup_bars=2 * DAY_MINUTES + 500)
        await one.trade(TICKS[CUT : CUT + 200])
        await one.until_closed(one.last_close())
        first = list(one.targets)
        await one.stop()
        await one.trade(TICKS[CUT + 200 : CUT + 400], lost=True)
        await one.start(warmup_bars=2 * DAY_MINUTES + 500)
        await one.trade(TICKS[CUT + 400 :])
        await one.until_closed(one.last_close())
        stepper = Stepper("trend_breakout", PARAMS)
        bars = one.venue.bars("BTCUSDT")[:-1]
        from_ns = first[0].warmup_from_ns
        expected = {
            bar.close_time_ns: (stepper.step(bar), bar.close)
            for bar in bars
            if bar.open_time_ns >= from_ns
        }
        check(one.targets, expected)
        sequences = [target.sequence for target in one.targets]
        assert sequences == list(range(1, len(sequences) + 1))
        assert {target.warmup_from_ns for target in one.targets} == {from_ns}


async def test_a_restart_that_asks_for_more_history_gets_it(tmp_path):
    """With longer windows, what was enough before would hold it flat for days."""
    async with rig(tmp_path, TICKS[:CUT]) as one:
        await one.start(warmup_bars=DAY_MINUTES)
        await one.trade(TICKS[CUT : CUT + 50])
        await one.until_closed(one.last_close())
        await one.stop()
        await one.start(warmup_bars=2 * DAY_MINUTES)
        await one.trade(TICKS[CUT + 50 : CUT + 100])
        await one.until_closed(one.last_close())
        last = one.targets[-1]
        assert last.bar_close_ns - last.warmup_from_ns >= 2 * DAY_MINUTES * MINUTE_NS


async def test_too_little_history_says_nothing_until_there_is_enough(tmp_path):
    """Half-empty windows would make a target of zero, and that one a sale."""
    past = TICKS[CUT - 1].venue_time_ns - TICKS[0].venue_time_ns
    wanted = past // MINUTE_NS + 300
    async with rig(tmp_path, TICKS[:CUT]) as one:
        await one.start(warmup_bars=wanted, is_warmup_required=True)
        await one.trade(TICKS[CUT : CUT + 200])
        await one.until_state("warming")
        assert not one.targets
        assert 0 < one.statuses[-1].bars < one.statuses[-1].warmup_bars == wanted
        await one.trade(TICKS[CUT + 200 :])
        await one.until_closed(one.last_close())
        check(one.targets, plain_run(one.venue))
        first_ns = one.targets[0].warmup_from_ns
        assert one.targets[0].bar_close_ns == first_ns + wanted * MINUTE_NS
        await one.until_state("live")


async def test_a_hole_in_history_leaves_the_last_target_standing(
    tmp_path, snapshots, caplog
):
    """Of a lost snapshot and a venue with a hole, a flat state must close nothing."""
    async with rig(tmp_path, TICKS[:CUT]) as one:
        await one.start(warmup_bars=2 * DAY_MINUTES + 500, is_warmup_required=True)
        await one.trade(TICKS[CUT : CUT + 100])
        await one.until_closed(one.last_close())
        await one.stop()
        before = list(one.targets)
        assert before, "it had enough"
        hole_ns = TICKS[CUT].venue_time_ns - DAY_MINUTES * MINUTE_NS
        one.venue.ticks["BTCUSDT"] = [
            tick
            for tick in one.venue.ticks["BTCUSDT"]
            if not 0 < hole_ns - tick.venue_time_ns < 1.2 * DAY_MINUTES * MINUTE_NS
        ]
        for keep in (None, snapshots(), snapshots()):
            one.statuses.clear()
            await one.start(
                warmup_bars=2 * DAY_MINUTES + 500,
                snapshots=keep,
                is_warmup_required=True,
            )
            cut = one.venue.ticks["BTCUSDT"][-1].trade_id
            await one.trade([t for t in TICKS if cut < t.trade_id <= cut + 40])
            await one.until_state("warming")
            await one.stop()
        assert one.targets == before
        assert caplog.text.count("too little history") == 3


@pytest.fixture
def snapshots(tmp_path, monkeypatch):
    """Snapshots that are written at once; anew for every start."""
    monkeypatch.setattr(snapshot, "_DELAY_SECONDS", 0.0)
    monkeypatch.setattr(snapshot, "_PAUSE_SECONDS", 0.0)
    store = SnapshotStore(tmp_path / "snapshots")
    return lambda: Snapshots(store, SnapshotWriter(store))


class Restarted:
    """A service that was stopped, and trades that it missed, and their plain run."""

    def __init__(self, one, snapshots):
        self.one = one
        self.snapshots = snapshots

    async def first(self):
        await self.one.start(snapshots=self.snapshots())
        await self.one.trade(TICKS[CUT : CUT + 200])
        await self.one.until_closed(self.one.last_close())
        await self.until_kept()
        await self.one.stop()
        self.one.venue.kline_requests.clear()

    async def until_kept(self):
        """The newest bar's state is on disk."""
        store, runner = self.snapshots().store, self.one.runner
        async with asyncio.timeout(5):
            while True:
                found = store.read(runner._identity)
                if found is not None and found.bar_close_ns == runner.bar_close_ns:
                    return
                await asyncio.sleep(0.01)

    async def then(self, missed=200):
        """Miss some trades, start again, trade on; nothing differs from a plain run."""
        one = self.one
        await one.trade(TICKS[CUT + 200 : CUT + 200 + missed], lost=True)
        await one.start(snapshots=self.snapshots())
        await one.trade(TICKS[CUT + 200 + missed : CUT + 600])
        await one.until_closed(one.last_close())
        stepper = Stepper("trend_breakout", PARAMS)
        from_ns = one.targets[-1].warmup_from_ns
        bars = [b for b in one.venue.bars("BTCUSDT")[:-1] if b.open_time_ns >= from_ns]
        expected = {bar.close_time_ns: (stepper.step(bar), bar.close) for bar in bars}
        check([t for t in one.targets if t.warmup_from_ns == from_ns], expected)
        assert one.runner._stepper.save() == stepper.save(), "to the bit"
        assert one.runner.bars == len(bars)
        sequences = [target.sequence for target in one.targets]
        assert sequences == list(range(1, len(sequences) + 1))

    def bars_asked(self):
        return sum(int(r["limit"]) for r in self.one.venue.kline_requests)


@pytest.mark.parametrize("missed", [0, 1, 200])
async def test_a_snapshot_is_gone_on_from_with_the_bars_missed_alone(
    tmp_path, snapshots, missed
):
    async with rig(tmp_path, TICKS[:CUT]) as one:
        run = Restarted(one, snapshots)
        await run.first()
        await run.then(missed)
        assert run.bars_asked() < missed + 20
        assert len({target.warmup_from_ns for target in one.targets}) == 1


async def test_a_snapshot_of_less_history_than_is_asked_for_is_not_gone_on_from(
    tmp_path, snapshots, caplog
):
    """Its windows would be as empty as they were, whatever warmup_days says now."""
    async with rig(tmp_path, TICKS[:CUT]) as one:
        await one.start(warmup_bars=DAY_MINUTES, snapshots=snapshots())
        await one.trade(TICKS[CUT : CUT + 50])
        await one.until_closed(one.last_close())
        await Restarted(one, snapshots).until_kept()
        await one.stop()
        await one.start(warmup_bars=2 * DAY_MINUTES, snapshots=snapshots())
        assert "another warmup_bars: 1440, not 2880" in caplog.records[-1].reason
        await one.trade(TICKS[CUT + 50 : CUT + 100])
        await one.until_closed(one.last_close())
        last = one.targets[-1]
        assert last.bar_close_ns - last.warmup_from_ns >= 2 * DAY_MINUTES * MINUTE_NS


async def test_what_stands_is_said_again_where_nothing_was_missed(tmp_path, snapshots):
    """The target may have died with the service between its bar and the bus."""
    async with rig(tmp_path, TICKS[:CUT]) as one:
        run = Restarted(one, snapshots)
        await run.first()
        last, tick = one.targets[-1], TICKS[CUT + 199]
        await one.start(snapshots=snapshots())
        await one.trade(
            [tick._replace(venue_time_ns=tick.venue_time_ns + 1, trade_id=10**7)]
        )
        async with asyncio.timeout(5):
            while one.targets[-1] == last:  # noqa: ASYNC110 - a test's patience
                await asyncio.sleep(0.01)
        again = one.targets[-1]
        assert again.sequence == last.sequence + 1
        assert again.published_ns > last.published_ns
        told = ("sequence", "published_ns", "market_ns")
        same = {name: getattr(last, name) for name in told}
        assert structs.replace(again, **same) == last


async def test_a_snapshot_torn_by_a_kill_costs_a_replay_and_changes_nothing(
    tmp_path, snapshots
):
    async with rig(tmp_path, TICKS[:CUT]) as one:
        run = Restarted(one, snapshots)
        await run.first()
        path = snapshots().store.path(one.runner.plan.key)
        path.write_bytes(path.read_bytes()[:-100])
        await run.then()
        assert run.bars_asked() > 3 * DAY_MINUTES
        assert len({target.warmup_from_ns for target in one.targets}) == 1


async def test_a_snapshot_of_another_beginning_is_not_gone_on_from(
    tmp_path, snapshots, caplog
):
    async with rig(tmp_path, TICKS[:CUT]) as one:
        run = Restarted(one, snapshots)
        await run.first()
        store, identity = snapshots().store, one.runner._identity
        kept = store.read(identity)
        other_ns = kept.warmup_from_ns + MINUTE_NS
        store.write(identity, replace(kept, warmup_from_ns=other_ns))
        await run.then()
        assert "snapshot refused" in caplog.text
        assert run.bars_asked() > 3 * DAY_MINUTES
        assert len({target.warmup_from_ns for target in one.targets}) == 1


async def test_the_sequence_rises_where_the_bus_lost_its_targets(tmp_path, snapshots):
    async with rig(tmp_path, TICKS[:CUT]) as one:
        run = Restarted(one, snapshots)
        await run.first()
        last = one.targets[-1]
        await (await targets_bucket(one.client)).purge(one.runner.plan.key)
        one.targets.clear()
        await one.start(snapshots=snapshots())
        assert one.runner.sequence == last.sequence > 100
        assert one.runner._first_open_ns == last.warmup_from_ns


async def test_the_past_of_another_venue_is_not_gone_on_from(tmp_path, snapshots):
    async with rig(tmp_path, TICKS[:CUT]) as one:
        run = Restarted(one, snapshots)
        await run.first()
        other = [tick._replace(price_ticks=tick.price_ticks + 7) for tick in TICKS]
        one.venue.ticks["BTCUSDT"] = other[: CUT + 200]
        one.targets.clear()
        await one.trade(other[CUT + 200 : CUT + 300], lost=True)
        await one.start(snapshots=snapshots())
        await one.trade(other[CUT + 300 :])
        await one.until_closed(one.last_close())
        check(one.targets, plain_run(one.venue))
        assert run.bars_asked() > 3 * DAY_MINUTES


async def test_a_past_that_nobody_keeps_means_a_warm_up_anew(tmp_path, snapshots):
    async with rig(tmp_path, TICKS[:CUT]) as one:
        run = Restarted(one, snapshots)
        await run.first()
        one.targets.clear()
        # The venue has forgotten what was before, and days went by.
        later = [
            tick._replace(
                venue_time_ns=tick.venue_time_ns + 3 * DAY_MINUTES * MINUTE_NS,
                trade_id=tick.trade_id + 10**6,
            )
            for tick in TICKS
        ]
        one.venue.ticks["BTCUSDT"] = later[:CUT]
        await one.start(snapshots=snapshots())
        await one.trade(later[CUT : CUT + 200])
        await one.until_closed(one.last_close())
        check(one.targets, plain_run(one.venue))


async def test_a_venue_that_is_down_delays_the_targets_and_changes_none(tmp_path):
    async with rig(tmp_path, TICKS[:CUT]) as one:
        one.venue.http_status = 503
        await one.start()
        await one.trade(TICKS[CUT : CUT + 200])
        await asyncio.sleep(0.3)
        assert not one.targets
        one.venue.http_status = 200
        await one.trade(TICKS[CUT + 200 :])
        await one.until_closed(one.last_close())
        check(one.targets, plain_run(one.venue))


async def test_a_venue_that_starts_again_in_the_past_starts_the_strategy_again(
    tmp_path,
):
    async with rig(tmp_path, TICKS[:CUT]) as one:
        await one.start()
        await one.trade(TICKS[CUT:])
        await one.until_closed(one.last_close())
        one.venue.ticks["BTCUSDT"] = []
        one.targets.clear()
        again = [
            tick._replace(trade_id=index + 1)
            for index, tick in enumerate(TICKS[: DAY_MINUTES * 5])
        ]
        async with asyncio.timeout(20):
            await one.trade(again)
            last = one.last_close()
            while not one.targets or one.targets[-1].bar_close_ns != last:  # noqa: ASYNC110 - a test's patience
                await asyncio.sleep(0.01)
        check(one.targets, plain_run(one.venue))


async def test_messages_that_are_none_are_counted_and_change_nothing(tmp_path):
    async with rig(tmp_path, TICKS[:CUT]) as one:
        await one.start()
        odd = TickBatch("binance", BTC.name, "x", "1", 0, [(0, 1, 1, True, 1)])
        for payload in (b"", b"\xff", encode(odd)):
            await one.client.publish("ticks.binance.BTCUSDT-PERP", payload)
        await one.client.publish("feed.binance", b"junk")
        await one.trade(TICKS[CUT:])
        await one.until_closed(one.last_close())
        check(one.targets, plain_run(one.venue))
        async with asyncio.timeout(5):
            while not one.statuses:  # noqa: ASYNC110 - a test's patience
                await asyncio.sleep(0.02)
        assert one.statuses[-1].messages_refused == 3


async def test_a_silent_feed_is_told_and_its_target_stands(tmp_path):
    def status(*, connected):
        return encode(FeedStatus("binance", "b", 1, 1, connected, 0, 0, 0, 0, 0, 0, []))

    async def told(one, *, is_stale):
        async with asyncio.timeout(5):
            while not one.statuses or one.statuses[-1].is_stale != is_stale:  # noqa: ASYNC110 - a test's patience
                await asyncio.sleep(0.02)

    async with rig(tmp_path, TICKS[:CUT]) as one:
        await one.start()
        await told(one, is_stale=True)
        await one.trade(TICKS[CUT:])
        await one.client.publish("feed.binance", status(connected=True))
        await told(one, is_stale=False)
        await one.until_closed(one.last_close())
        before = one.targets[-1]
        await one.client.publish("feed.binance", status(connected=False))
        await told(one, is_stale=True)
        assert one.targets[-1] == before
        assert one.statuses[-1].target == before.target
        assert one.statuses[-1].state == "live"


@pytest.mark.slow
async def test_a_bus_that_was_away_gets_the_newest_target(tmp_path):
    async with rig(tmp_path, TICKS[:CUT]) as one:
        await one.start()
        await one.trade(TICKS[CUT : CUT + 200])
        await one.until_closed(one.last_close())
        one.server.process.terminate()
        one.server.process.wait(5)
        for tick in TICKS[CUT + 200 : CUT + 300]:
            batch = TickBatch(
                "binance", BTC.name, str(TICK_SIZE), str(LOT_SIZE), 0, [tuple(tick)]
            )
            one.runner.on_batch(batch)
        newest = one.runner.bar_close_ns
        with start_nats(tmp_path, one.server.port):
            await one.until_closed(newest, 30)
            assert one.targets[-1].bar_close_ns == newest
            await one.stop()


def renumbered(after_ns, trade_id):
    """The prints after a time, as the ones that follow without a gap."""
    later = [tick for tick in TICKS if tick.venue_time_ns > after_ns]
    return [
        tick._replace(trade_id=trade_id + index) for index, tick in enumerate(later)
    ]


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(strategy_runner, "QUIET_NS", NS_PER_SECOND // 10)
    monkeypatch.setattr(strategy_runner, "_QUIET_POLL_SECONDS", 0.02)
    monkeypatch.setattr(strategy_runner, "_QUIET_RETRY_SECONDS", 0.1)


@pytest.mark.usefixtures("impatient")
async def test_quiet_bars_close_by_the_venues_time_and_change_no_target(tmp_path):
    async with rig(tmp_path, TICKS[:CUT]) as one:
        await one.start()
        live = TICKS[CUT : CUT + 100]
        await one.trade(live)
        await one.until_closed(one.last_close())
        close_ns = one.last_close() + MINUTE_NS
        await asyncio.sleep(0.3)
        assert one.targets[-1].bar_close_ns < close_ns  # its time has not passed
        for minute in range(3):
            await one.quote(close_ns + minute * MINUTE_NS + minute)
            await one.until_closed(close_ns + minute * MINUTE_NS)
        assert one.targets[-1].bar_close_ns == close_ns + 2 * MINUTE_NS
        await one.trade(renumbered(close_ns + 5 * MINUTE_NS, live[-1].trade_id + 1))
        await one.until_closed(one.last_close())
        expected = plain_run(one.venue)
        check(one.targets, expected)
        closes = [target.bar_close_ns for target in one.targets]
        assert closes == [close for close in expected if close >= closes[0]]
        assert one.runner.seam.late == 0


@pytest.mark.usefixtures("impatient")
async def test_no_bar_is_closed_by_time_while_a_print_of_it_is_on_its_way(tmp_path):
    async with rig(tmp_path, TICKS[:CUT]) as one:
        await one.start()
        live = TICKS[CUT : CUT + 101]
        await one.trade(live[:-1])
        await one.until_closed(one.last_close())
        known = one.targets[-1].bar_close_ns
        await one.venue.trade("BTCUSDT", live[-1], silent=True)
        await one.quote(known + 3 * MINUTE_NS)
        await asyncio.sleep(0.6)
        assert one.targets[-1].bar_close_ns == known
        one.venue.ticks["BTCUSDT"].pop()
        await one.trade([live[-1]])
        await one.until_closed(known + 3 * MINUTE_NS)
        await one.trade(renumbered(known + 5 * MINUTE_NS, live[-1].trade_id + 1))
        await one.until_closed(one.last_close())
        check(one.targets, plain_run(one.venue))


@pytest.mark.usefixtures("impatient")
async def test_a_venue_that_is_down_closes_no_bar_by_time(tmp_path):
    async with rig(tmp_path, TICKS[:CUT]) as one:
        await one.start()
        await one.trade(TICKS[CUT : CUT + 100])
        await one.until_closed(one.last_close())
        known = one.targets[-1].bar_close_ns
        one.venue.http_status = 503
        await one.quote(known + 3 * MINUTE_NS)
        await asyncio.sleep(0.4)
        assert one.targets[-1].bar_close_ns == known
        one.venue.http_status = 200
        await one.until_closed(known + 3 * MINUTE_NS)


CARRY = ("agreement.carry", {"bars": 300})
EIGHT_HOURS_MS = 8 * 3600 * 1000


def charged_run(venue, from_ns=0, charges=5):
    """Targets of a plain run over the bars as research charges them."""
    bars = [b for b in venue.bars("BTCUSDT")[:-1] if b.open_time_ns >= from_ns]
    stepper = Stepper(*CARRY)
    charged = batch(bars, venue.charges)
    assert len({bar.funding_rate for bar in charged}) > charges
    return {bar.close_time_ns: (stepper.step(bar), bar.close) for bar in charged}


def charge(venue, days=4):
    first_ms = START_NS // 10**6
    venue.charges = {
        first_ms + i * EIGHT_HOURS_MS: f"{0.0001 * (i % 5 - 2) + 0.00001:.8f}"
        for i in range(days * 3 + 1)
    }


async def test_a_strategy_that_reads_funding_gets_what_research_charges(tmp_path):
    async with rig(tmp_path, TICKS[:CUT]) as one:
        charge(one.venue)
        await one.start(carry=CARRY)
        await one.trade(TICKS[CUT:])
        await one.until_closed(one.last_close())
        expected = charged_run(one.venue)
        check(one.targets, expected)
        closes = [target.bar_close_ns for target in one.targets]
        assert closes == [close for close in expected if close >= closes[0]]


async def test_a_bar_whose_charge_is_not_told_holds_back_all_that_follow(tmp_path):
    async with rig(tmp_path, TICKS[:CUT]) as one:
        charge(one.venue)
        due_ms = max(
            ms for ms in one.venue.charges if ms * 10**6 < TICKS[-300].venue_time_ns
        )
        one.venue.told_ms = due_ms - 1
        before = [t for t in TICKS[CUT:] if t.venue_time_ns < (due_ms - 60_000) * 10**6]
        await one.start(carry=CARRY)
        await one.trade(before)
        await one.until_closed(one.last_close())
        await one.trade(TICKS[CUT + len(before) :])
        await one.until_closed((due_ms - 60_000) * 10**6)
        await asyncio.sleep(0.3)
        assert one.targets[-1].bar_close_ns == (due_ms - 60_000) * 10**6
        assert len(one.runner.held) > 100
        one.venue.told_ms = 10**18
        await one.until_closed(one.last_close())
        expected = charged_run(one.venue)
        check(one.targets, expected)
        closes = [target.bar_close_ns for target in one.targets]
        assert closes == [close for close in expected if close >= closes[0]]
        assert not one.runner.held


async def test_a_restart_replays_the_charges_that_it_missed(tmp_path, snapshots):
    async with rig(tmp_path, TICKS[:CUT]) as one:
        charge(one.venue)
        await one.start(carry=CARRY, snapshots=snapshots())
        await one.trade(TICKS[CUT : CUT + 200])
        await one.until_closed(one.last_close())
        await Restarted(one, snapshots).until_kept()
        await one.stop()
        one.venue.kline_requests.clear()
        await one.trade(TICKS[CUT + 200 : CUT + 1_200], lost=True)
        await one.start(carry=CARRY, snapshots=snapshots())
        await one.trade(TICKS[CUT + 1_200 :])
        await one.until_closed(one.last_close())
        check(one.targets, charged_run(one.venue))
        assert len({target.warmup_from_ns for target in one.targets}) == 1
        assert int(one.venue.kline_requests[-1]["limit"]) < 1_000


async def test_a_charge_that_is_never_told_means_a_warm_up_after_it(tmp_path):
    """A later one is told: what was charged in between is not known, and not zero."""
    async with rig(tmp_path, TICKS[:CUT]) as one:
        charge(one.venue)
        skipped_ms = START_NS // 10**6 + 10 * EIGHT_HOURS_MS
        known_ns = (skipped_ms + EIGHT_HOURS_MS) * 10**6
        one.venue.told_ms = skipped_ms - 1
        before_ns = skipped_ms * 10**6 - MINUTE_NS
        before = [t for t in TICKS[CUT:] if t.venue_time_ns < before_ns]
        await one.start(carry=CARRY)
        await one.trade(before)
        await one.until_closed(one.last_close())
        await one.trade(TICKS[CUT + len(before) : -50])
        await one.until_closed(before_ns)
        expected = charged_run(one.venue)
        del one.venue.charges[skipped_ms]
        one.venue.told_ms = 10**18
        async with asyncio.timeout(5):
            while one.runner.held:  # noqa: ASYNC110 - a test's patience
                await asyncio.sleep(0.01)
        await one.trade(TICKS[-50:])
        await one.until_closed(one.last_close())
        expected |= charged_run(one.venue, known_ns, charges=0)
        told = [t for t in one.targets if not before_ns < t.bar_close_ns <= known_ns]
        assert told == one.targets
        check(told, expected)
        assert one.targets[-1].warmup_from_ns == known_ns


async def test_bars_that_waited_too_long_are_fetched_anew(tmp_path, monkeypatch):
    monkeypatch.setattr(strategy_runner, "HELD_MAX", 50)
    async with rig(tmp_path, TICKS[:CUT]) as one:
        charge(one.venue)
        one.venue.told_ms = START_NS // 10**6 + 3 * 24 * 3600 * 1000
        await one.start(carry=CARRY)
        await one.trade(TICKS[CUT:-400])
        await asyncio.sleep(0.3)
        assert len(one.runner.held) <= 50
        one.venue.told_ms = 10**18
        await one.trade(TICKS[-400:])
        await one.until_closed(one.last_close())
        check(one.targets, charged_run(one.venue))
