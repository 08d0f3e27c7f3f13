"""
Three venues, every service, and a seeded plan of everything going wrong at once.

Run for ten minutes by hand (``make soak``), for one in the tests. Each second a bar
closes and each venue's position is to be turned round; meanwhile every process is
killed, the bus restarted, answers lost, private messages doubled and overtaken,
connections cut every 20 s, and the daemon (a stand-in, whose answers the plan must be
able to choose) falls silent or says reduce-only.

At the end, with everything well again and the strategies stopped, the journal is held
against the venues (:mod:`live.soak_verdict`).

    python tests/live/soak.py [--seconds 600] [--seed 1] [--keep DIRECTORY]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from cryptoquantix.bus.server import nats_command  # noqa: E402
from cryptoquantix.journal.reader import JournalReader  # noqa: E402
from live.soak_verdict import balances, judge  # noqa: E402
from live.world import (  # noqa: E402
    INSTRUMENTS,
    SERVICES,
    VENUES,
    World,
    strategy_text,
    world_of,
)
from processes import end, wait_for  # noqa: E402

RECORDER, EXECUTION = ("recorder",), ("execution",)
EVERY_SERVICE = (*SERVICES, RECORDER)
SETTINGS = """\
[execution]
orders_per_minute_max = 600
price_collar_fraction = 0.5
[recorder]
segment_seconds = 5
"""
# Deribit alone trades above the others and then below them, so that its funding, which
# accrues with the premium and is booked with each fill, is received and paid.
SCENARIO = """\
about = "Deribit a fifth of a percent above the others, then below."
[[path]]
venue = "deribit"
symbol = "BTC"
points = [[0, 0], [60, 0.2], [1500, 0.2], [1560, -0.2], [9000, -0.2], [9060, 0.2]]
"""
TURNED_ROUND = {"one": 0.3, "other": -0.2}
# One round of the plan, shuffled anew for each: nobody is left alone for long.
ACTS = (
    *("kill " + "-".join(command) for command in EVERY_SERVICE),
    *("kill execution", "kill permits", "kill bus"),
    *("permits silent", "permits reduce_only", "lost-answer", "lost-answer"),
    *("outage", "duplicated-events", "reordered-events", "delayed-events", "reset"),
)
LOST = "POST /fapi/v1/order|POST /v5/order/create|private/(buy|sell)"
DISCONNECT_SECONDS = 20
ROUND_SECONDS = 60
QUIET_SECONDS = 5
STARTS_MAX = 5
MENDED_SECONDS = 10
TERMINAL = ("filled", "canceled", "refused", "not_found")


@dataclass
class Soak:
    """Every process of one run, and what was done to them."""

    world: World
    random: np.random.Generator
    modes: list[tuple[int, str]] = field(default_factory=list)
    acts: Counter = field(default_factory=Counter)
    _round: list[str] = field(default_factory=list)

    def permit(self, mode: str) -> None:
        self.world.permit(mode)
        self.modes.append((time.time_ns(), mode))

    def fault(self, kind: str, venue: str, seconds: float, **more: object) -> None:
        body = {"kind": kind, "venue": venue, "seconds": seconds} | more
        self.world.simulator.admin("/faults", body)

    def keep_up(self) -> None:
        """What ended by itself is started again, as ``cqx up`` does, and noted."""
        for command, process in list(self.world.services.items()):
            if process.poll() is not None:
                self.acts["ended by itself: " + "-".join(command)] += 1
                self.world.start(command)

    def is_owing(self, seconds: float) -> bool:
        """Return whether a run of a minute or more has left something out yet."""
        return seconds >= ROUND_SECONDS and not set(ACTS) <= self.acts.keys()

    def one_of(self, *choices: str) -> str:
        return choices[self.random.integers(len(choices))]

    def trouble(self) -> None:
        """Do the next thing of the plan."""
        if not self._round:
            self._round = [str(act) for act in self.random.permutation(ACTS)]
        act, venue = self._round.pop(), self.one_of(*VENUES)
        self.acts[act] += 1
        kind, _, what = act.partition(" ")
        if kind == "kill":
            self._kill(what)
        elif kind == "permits":
            self.permit(what)
        elif act == "lost-answer":
            mode = self.one_of("hang", "cut")
            self.fault(act, venue, 5, match=LOST, count=2, mode=mode)
        elif act == "outage":
            self.fault(act, venue, 3, mode=self.one_of("hang", "refuse", "503"))
        else:
            self.fault(act, venue, 5)

    def _kill(self, what: str) -> None:
        if what == "bus":
            nats = self.world.nats
            nats.process.kill()
            nats.process.wait(10)
            nats.process = _nats(self.world.directory, nats.port)
        elif what == "permits":
            self.world.permits.kill()
        else:
            self.world.kill(tuple(what.split("-")))


def _nats(directory: Path, port: int) -> subprocess.Popen:
    with (directory / "nats.log").open("ab") as log:
        return subprocess.Popen(
            nats_command(directory / "nats", port), stdout=log, stderr=log
        )


@contextmanager
def soak_of(directory: Path, seed: int) -> Iterator[Soak]:
    scenario = directory / "scenario.toml"
    scenario.write_text(SCENARIO)
    texts = [strategy_text(i, params=TURNED_ROUND) for i in INSTRUMENTS.values()]
    with world_of(
        directory,
        seed=seed,
        simulate=(
            *("--instruments", "BTCUSDT", "--scenario", str(scenario)),
            *("--log", str(directory / "simulator.jsonl"), "--no-rate-limits"),
        ),
        strategies="".join(texts),
        settings=SETTINGS,
    ) as world:
        soak = Soak(world, np.random.default_rng(seed))
        soak.permit("trade")
        yield soak


def run(directory: Path, seconds: float, seed: int) -> dict:
    """Soak for ``seconds``, and return the verdict."""
    with soak_of(directory, seed) as soak:
        before = asyncio.run(balances(soak.world))
        for command in EVERY_SERVICE:
            soak.world.start(command)
        _await_reconciled(soak, 3)
        begin = time.monotonic()
        cut = mended = begin
        while time.monotonic() - begin < seconds or soak.is_owing(seconds):
            soak.trouble()
            time.sleep(float(soak.random.uniform(1.0, 4.0)))
            soak.keep_up()
            if time.monotonic() - cut > DISCONNECT_SECONDS:
                cut = time.monotonic()
                soak.acts["disconnect"] += 1
                for venue in VENUES:
                    soak.fault("disconnect", venue, 1)
            if time.monotonic() - mended > MENDED_SECONDS:
                mended = time.monotonic()
                soak.permit("trade")
        settle(soak)
        return judge(soak.world, soak.modes, before) | {"acts": dict(soak.acts)}


def settle(soak: Soak) -> None:
    """
    Mend everything, stop the strategies and the tape, and let execution finish.

    Execution is started again until it finds nothing to do. One that was killed a
    moment ago may be loading yet, and would be asked to end before it had read the
    venues; and what a fill books of funding is asked for every ten minutes, and at a
    start. With the tape stopped the venues stay as they are meanwhile.
    """
    world = soak.world
    request = urllib.request.Request(
        world.simulator.admin_url + "/faults", method="DELETE"
    )
    urllib.request.urlopen(request, timeout=10).close()
    soak.permit("trade")
    soak.keep_up()
    time.sleep(3)
    for command in EVERY_SERVICE:
        if command != EXECUTION:
            end(world.services.pop(command))
    world.simulator.admin("/tape", {"paused": True})
    journal = JournalReader(world.directory / "journal" / "journal.sqlite")
    for _ in range(STARTS_MAX):
        before = len(journal.orders())
        end(world.services[EXECUTION])
        times = _times_reconciled(world)
        world.start(EXECUTION)
        _await_reconciled(soak, times + 3)
        time.sleep(QUIET_SECONDS)
        wait_for(lambda: _is_quiet(soak, journal), 90, 1.0)
        if len(journal.orders()) == before:
            break
    end(world.services.pop(EXECUTION))


def _times_reconciled(world: World) -> int:
    """How often execution has said that a venue was compared."""
    return world.log_path(EXECUTION).read_text().count('"reconciled"')


def _await_reconciled(soak: Soak, times: int) -> None:
    def is_done() -> bool:
        soak.keep_up()
        return _times_reconciled(soak.world) >= times

    wait_for(is_done, 120, 0.5)


def _is_quiet(soak: Soak, journal: JournalReader) -> bool:
    """Return whether all is ended, and the journal has every fill of its orders."""
    soak.keep_up()
    orders = journal.orders()
    if any(o["state"] not in TERMINAL for o in orders):
        return False
    filled: Counter = Counter()
    for fill in journal.fills():
        filled[fill.client_order_id] += fill.size_lots
    if any(filled[o["client_order_id"]] != o["filled_lots"] for o in orders):
        return False
    newest = max(o["updated_ns"] for o in orders)
    return time.time_ns() - newest > QUIET_SECONDS * 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path)
    arguments = parser.parse_args()
    # Told to stop, it ends what it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory() as path:
        directory = arguments.keep or Path(path)
        directory.mkdir(exist_ok=True)
        result = run(directory, arguments.seconds, arguments.seed)
    print(json.dumps(result, indent=2))
    raise SystemExit(not result["ok"])


if __name__ == "__main__":
    main()
