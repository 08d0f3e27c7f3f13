"""The same seed and the same commands at the same times: the same bytes."""

from __future__ import annotations

import hashlib
import hmac
from decimal import Decimal
from fractions import Fraction

import msgspec

from cryptoquantix.core.clock import ManualClock
from cryptoquantix.simulator.build import Options, build_world, generated_plan
from cryptoquantix.simulator.exchange import Print
from cryptoquantix.simulator.generator import generate, generated_instrument, prior_bars
from cryptoquantix.simulator.history import History
from cryptoquantix.simulator.tape import Tape, TapeEntry
from cryptoquantix.simulator.watch import Watch
from cryptoquantix.simulator.wire.binance import Request
from cryptoquantix.simulator.wire.binance_streams import Subscriber

START = 1_700_000_000 * 10**9
SECOND = 10**9
KEYS = {"key": "k", "secret": "s", "risk": {"key": "r", "secret": "t"}}


def scenario(seed: int) -> bytes:
    clock = ManualClock(START, START)
    instruments = [generated_instrument(s) for s in ("BTCUSDT", "ETHUSDT")]
    plan = generated_plan(instruments, seed, start_ns=START)
    world = build_world(plan, KEYS, clock, Options(balance=Decimal(50_000)))
    venue = world.venues["binance"]
    subscriber = Subscriber(is_combined=True)
    for stream in ("btcusdt@aggTrade", "btcusdt@depth@100ms", "ethusdt@bookTicker"):
        venue.streams.subscribe(subscriber, stream)

    def ask(path: str, text: str) -> bytes:
        text += f"&timestamp={clock.time_ns() // 1_000_000}"
        digest = hmac.new(b"s", text.encode(), hashlib.sha256).hexdigest()
        body = f"{text}&signature={digest}".encode()
        request = Request("POST", path, "", body, "k")
        return venue.respond(request, clock.time_ns()).body

    key = msgspec.json.decode(ask("/fapi/v1/listenKey", ""))["listenKey"]
    venue.streams.subscribe(subscriber, key)
    out = []
    for step in range(200):
        clock.advance(100_000_000)
        world.play()
        world.timer()
        if step % 40 == 10:
            order = "symbol=BTCUSDT&side=BUY&type=MARKET&quantity=0.1"
            out.append(ask("/fapi/v1/order", order))
        if step == 120:
            world.shock(venue, "BTCUSDT", Fraction(9, 10), 2 * SECOND)
    out += subscriber.frames
    out.append(msgspec.json.encode(world.record.after(0, 10**6)))
    return b"\n".join(out)


def test_same_seed_same_bytes():
    first = scenario(7)
    assert first == scenario(7)
    assert first != scenario(8)
    assert len(first) > 10_000


def entries(*seconds: float):
    for number, at in enumerate(seconds):
        trade = Print(START + int(at * SECOND), 100 + number, 1, is_buyer_maker=True)
        yield TapeEntry("X", trade)


def test_a_tape_at_one_times_prints_at_its_own_pace():
    tape = Tape(entries(0, 1, 1.5, 3), start_ns=START, monotonic_ns=0)
    assert len(tape.due(0, 10)) == 1
    assert tape.due(SECOND - 1, 10) == []
    assert tape.wait_seconds(SECOND // 2, 9) == 0.5
    assert len(tape.due(2 * SECOND, 10)) == 2
    assert not tape.is_finished
    assert len(tape.due(3 * SECOND, 10)) == 1
    assert tape.is_finished


def test_speed_and_pause_go_on_from_where_the_tape_is():
    tape = Tape(entries(0, 10, 20, 30), start_ns=START, monotonic_ns=0, speed=10)
    assert len(tape.due(SECOND, 10)) == 2
    tape.set_paused(SECOND, paused=True)
    assert tape.due(9 * SECOND, 10) == []
    tape.set_paused(9 * SECOND, paused=False)
    tape.set_speed(1, 9 * SECOND)
    assert tape.due(18 * SECOND, 10) == []
    assert len(tape.due(19 * SECOND, 10)) == 1
    assert tape.played_ns == START + 20 * SECOND


def test_a_tape_that_falls_behind_owes_no_burst():
    tape = Tape(entries(*range(1000)), start_ns=START, monotonic_ns=0, speed=1_000_000)
    assert len(tape.due(SECOND, 10)) == 10
    tape.set_speed(1, SECOND)
    assert tape.played_ns == START + 9 * SECOND
    assert tape.due(SECOND, 10) == []
    assert len(tape.due(2 * SECOND, 10)) == 1


def test_generated_tapes_depend_on_the_seed_alone():
    instruments = [generated_instrument(s) for s in ("BTCUSDT", "NEWUSDT")]

    def first(seed):
        source = generate(instruments, seed, start_ns=START)
        return [next(source) for _ in range(10_000)]

    trades = first(1)
    assert trades == first(1) != first(2)
    times = [t.trade.tape_ns for t in trades]
    assert times == sorted(set(times))
    bars = prior_bars(instruments[0], 1, end_ns=START, minutes=500)
    assert all(b.low <= min(b.open, b.close) for b in bars)
    assert all(b.high >= max(b.open, b.close) for b in bars)
    assert abs(bars[-1].close / instruments[0].price_ticks - 1) < 0.02


def test_bars_are_of_the_trades_and_quiet_minutes_are_flat():
    history = History()
    minute = 60 * SECOND
    base = START - START % minute
    for offset, price, size in ((0, 100, 5), (30, 90, 2), (59, 95, 1), (200, 120, 4)):
        history.add(base + offset * SECOND, price, size, is_buyer_maker=price < 100)
    bars = history.bars("1m", None, None, 10)
    assert [(b.open, b.high, b.low, b.close, b.lots) for b in bars] == [
        (100, 100, 90, 95, 8),
        (95, 95, 95, 95, 0),
        (95, 95, 95, 95, 0),
        (120, 120, 120, 120, 4),
    ]
    assert bars[0].value == 100 * 5 + 90 * 2 + 95
    assert (bars[0].taker_lots, bars[0].trades) == (5, 3)
    assert history.bars("1m", base + 1, None, 10) == bars[1:]
    assert history.bars("1m", base, base + 2 * minute, 10) == bars[:3]
    assert history.bars("1m", None, base + minute, 1) == bars[1:2]
    [whole] = history.bars("1d", None, None, 5)
    assert (whole.high, whole.low, whole.lots, whole.trades) == (120, 90, 12, 4)


def test_the_watch_is_exact_at_its_threshold():
    watch = Watch.begin(Fraction(3, 100), 100_000, 1)
    watch.see(97_001, 2)
    assert watch.crossed_ns is None
    watch.see(97_000, 3)
    watch.see(90_000, 4)
    assert watch.crossed_ns == 3
    assert watch.deepest == Fraction(1, 10)
    watch.see(100_001, 5)
    assert (watch.peak_units, watch.peak_ns, watch.drawdown) == (100_001, 5, 0)
