"""A scripted run of three venues on a manual clock: the same seed, the same bytes."""

from __future__ import annotations

import msgspec

from cryptoquantix.core.clock import ManualClock
from cryptoquantix.simulator.build import Options, build_world, generated_plan
from cryptoquantix.simulator.faults import FaultBoard
from cryptoquantix.simulator.frame_gate import FrameGate
from cryptoquantix.simulator.generator import generated_instrument
from cryptoquantix.simulator.scenario import parse_scenario
from cryptoquantix.simulator.wire.messages import Request

START = 1_700_000_000 * 10**9
VENUES = ("binance", "bybit", "deribit")
KEYS = {
    name: {
        "key": f"{name}-k",
        "secret": "s",
        "risk": {"key": f"{name}-r", "secret": "t"},
    }
    for name in VENUES
}
SCRIPT = """
[[path]]
points = [[0, 0], [10, -10], [10, -14], [20, -5]]
[[path]]
venue = "deribit"
points = [[5, 0], [8, -4], [15, 0]]
[[fault]]
at = 3
kind = "duplicated-events"
match = "aggTrade"
probability = 0.3
[[fault]]
at = 6
kind = "delayed-events"
match = "aggTrade"
probability = 0.3
milliseconds = 150
jitter = 0.8
[[fault]]
at = 9
kind = "frozen-feed"
seconds = 2
probability = 0.5
"""


def run(seed: int) -> bytes:
    """Everything the three venues logged and one reader of Binance was sent."""
    clock = ManualClock(START, START)
    instruments = [generated_instrument(s) for s in ("BTCUSDT", "ETHUSDT")]
    plan = generated_plan(instruments, seed, start_ns=START)
    options = Options(venues=VENUES, scenario=parse_scenario("script", SCRIPT))
    world = build_world(plan, KEYS, clock, options)
    board = FaultBoard(seed)
    gate = FrameGate(board, "binance")
    path = "/stream"
    query = "streams=btcusdt@aggTrade/btcusdt@depth@100ms/ethusdt@bookTicker"
    asked = Request("GET", path, query, b"")
    reader = world.venues["binance"].open_subscriber(asked, START)
    sent: list[bytes] = []
    for _ in range(250):
        clock.advance(100_000_000)
        assert world.player is not None
        for fault in world.player.faults(world.tape.played_ns):
            board.add(fault, clock.monotonic_ns())
        board.turn(clock.monotonic_ns())
        world.play()
        world.timer()
        sent += gate.pass_frames(list(reader.frames), clock.monotonic_ns())
        reader.frames.clear()
    records = world.record.after(0, 10**6)
    prices = [venue.prices_json() for venue in world.venues.values()]
    return b"\n".join([*sent, msgspec.json.encode([records, prices])])


def test_the_same_seed_is_the_same_bytes_and_another_is_not():
    first = run(7)
    assert first == run(7)
    assert first != run(8)
    assert len(first) > 50_000
