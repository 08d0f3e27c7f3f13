"""
The daemon killed at every numbered step of a halt, and started again: ends it flat?

Real processes: ``cqx simulate`` with three venues and ``cqx risk``. Each run builds a
book at every venue, begins a halt (by hand, or by a crash of prices), lets the daemon
kill itself with SIGKILL at one step, starts it again, and asks the *simulator* what is
left. ``python tests/risk_server/kill_campaign.py 200`` runs the campaign by hand.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from dataclasses import asdict, dataclass
from decimal import Decimal
from itertools import batched
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from cryptoquantix.core.clock import SystemClock
from cryptoquantix.drills.account import place
from cryptoquantix.drills.book import build_book
from cryptoquantix.drills.owners import owner_of
from cryptoquantix.risk.steps import STEPS
from processes import start_simulator

VENUES = ("binance", "bybit", "deribit")
WHO = {"who": "campaign", "reason": "killed at every step"}
RUNS_A_SIMULATOR = 3
# Steps that many calls of a halt reach: also die at a later one of them.
REPEATED = {
    "canceling": 3,
    "cancel-sent": 16,
    "cancel-answered": 16,
    "closing": 3,
    "close-sent": 6,
    "close-answered": 6,
    "rest": 3,
    "verifying": 3,
    "seen-once": 3,
    "verified": 3,
}


def plan(runs: int) -> list[tuple[str, bool]]:
    """Every step in turn, its k-th time rising; every third halt is a crash's."""
    found = []
    for number in range(runs):
        step = STEPS[number % len(STEPS)]
        round_ = number // len(STEPS)
        times = round_ % REPEATED.get(step, 1) + 1
        # A halt by hand that was written nowhere was never answered: only a crash's
        # is found again, by the peak.
        is_crash = step == "decided" or (number + round_) % 3 == 2
        found.append((f"{step}:{times}", is_crash))
    return found


@dataclass
class Outcome:
    """One run: was it killed, and how did the next daemon end?"""

    step: str
    is_crash: bool
    was_killed: bool
    resumed: str
    state: str
    left: str
    seconds: float

    @property
    def is_good(self) -> bool:
        return self.state == "HALTED" and not self.left


class Campaign:
    """One simulator, and one daemon after another on fresh stores."""

    def __init__(self, folder: Path, simulator) -> None:
        self.folder = folder
        self.simulator = simulator
        self.config = folder / "cqx.toml"
        self.process: subprocess.Popen | None = None
        self.address = ""
        self._settings()

    def _settings(self) -> None:
        lines = [f'directory = "{self.folder}/var"', '[risk]\ntoken = "campaign"']
        for name in VENUES:
            venue = self.simulator.line["venues"][name]
            own = venue["risk"]
            lines.append(f"[venues.{name}]")
            lines += [f'{k} = "{venue[k]}"' for k in ("rest", "ws", "key", "secret")]
            lines.append(
                f'risk = {{ key = "{own["key"]}", secret = "{own["secret"]}" }}'
            )
        self.config.write_text("\n".join(lines) + "\n")
        self.config.chmod(0o600)

    def start(self, kill_at: str = "", before=None) -> str:
        command = [sys.executable, "-m", "cryptoquantix", "risk", "--json"]
        command += ["--config", str(self.config), "--listen", "127.0.0.1:0"]
        environment = os.environ | {"CQX_RISK__KILL_AT_STEP": kill_at}
        with (self.folder / "risk.log").open("ab") as log:
            self.process = subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
                preexec_fn=before,  # noqa: PLW1509 - one thread here
            )
        ready, _, _ = select.select([self.process.stdout], [], [], 60)
        line = self.process.stdout.readline() if ready else b""
        if not line:
            return ""
        found = json.loads(line)
        self.address = found["listening"]
        return found["state"]

    def stop(self) -> None:
        if self.process is not None:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait(10)
            self.process.stdout.close()
            self.process = None

    def call(self, path: str, value: dict | None = None) -> dict:
        request = urllib.request.Request(
            f"http://{self.address}{path}",
            data=None if value is None else json.dumps(value).encode(),
            headers={"Authorization": "Bearer campaign"},
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            return json.load(error)
        except OSError as error:  # it died while answering
            return {"error": repr(error)}

    def build(self, symbols: int = 2) -> None:
        """Positions and resting orders of every class at every venue."""
        asyncio.run(self._build(symbols))

    async def _build(self, symbols: int) -> None:
        await asyncio.gather(*(self._build_at(name, symbols) for name in VENUES))

    async def _build_at(self, name: str, symbols: int) -> None:
        venue = self.simulator.line["venues"][name]
        async with owner_of(name, venue, SystemClock()) as owner:
            listings = (await owner.listings())[:symbols]
            orders = build_book(
                listings,
                await owner.prices(),
                Decimal(100_000),
                gross_exposure=Decimal("0.8"),
            )
            for order in orders:
                await place(owner, order)

    def move(self, factor: str) -> None:
        for venue in VENUES:
            self.simulator.admin(
                "/price", {"venue": venue, "symbol": "*", "factor": factor}
            )

    def left(self) -> str:
        """What the simulator itself says is open, at every venue."""
        found = []
        for venue in VENUES:
            account = self.simulator.admin(f"/account?venue={venue}")
            found += [
                f"{venue}: {len(account[kind])} {kind}"
                for kind in ("positions", "open_orders", "algo_orders")
                if account.get(kind)
            ]
        return ", ".join(found)

    def one(self, step: str, *, is_crash: bool) -> Outcome:
        """Build, halt, be killed at ``step``, start again, and look."""
        started = time.monotonic()
        shutil.rmtree(self.folder / "var", ignore_errors=True)
        assert self.start(step) == "LOCKED", "a fresh store is locked"
        try:
            self.build()
            if is_crash:
                self._crash()
            else:
                self.call("/v1/halt", WHO)
            was_killed = self._died()
            resumed = "" if not was_killed else self._again()
            state = self._until_halted()
            left = self.left()
        finally:
            self.stop()
            if is_crash:
                self.move("1.0869565217391304")
        seconds = time.monotonic() - started
        return Outcome(step, is_crash, was_killed, resumed, state, left, seconds)

    def _crash(self) -> None:
        deadline = time.monotonic() + 60
        while not self.call("/v1/rearm", WHO).get("ok"):
            assert time.monotonic() < deadline, "it is never armed"
            time.sleep(0.2)
        time.sleep(1.2)
        self.move("0.92")

    def _died(self) -> bool:
        """Wait until the daemon has killed itself; a step not reached kills none."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                assert self.process.returncode == -9, self.process.returncode
                return True
            if self.call("/v1/status").get("state") == "HALTED":
                time.sleep(0.3)
                return self.process.poll() is not None
            time.sleep(0.02)
        return False

    def _again(self) -> str:
        self.process.stdout.close()
        return self.start()

    def _until_halted(self) -> str:
        deadline = time.monotonic() + 30
        found: dict = {}
        while time.monotonic() < deadline:
            found = self.call("/v1/status")
            if found.get("state") == "HALTED" and found.get("is_flat"):
                return "HALTED"
            time.sleep(0.05)
        return f"{found.get('state')} {found.get('not_flat')} {found.get('reason')}"


def run(steps: list[tuple[str, bool]], folder: Path, report=None) -> list[Outcome]:
    """
    Carry out every step of ``steps``, a few on one simulator.

    A daemon keeps to the weight that the venue counts on its address in a minute, and a
    halt every three seconds would spend it.
    """
    arguments = ("--venues", ",".join(VENUES), "--generate", "5", "--no-rate-limits")
    outcomes = []
    for part in batched(steps, RUNS_A_SIMULATOR):
        with start_simulator(folder, *arguments) as simulator:
            campaign = Campaign(folder, simulator)
            for step, is_crash in part:
                outcome = campaign.one(step, is_crash=is_crash)
                outcomes.append(outcome)
                if report is not None:
                    report(outcome)
    return outcomes


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=int, nargs="?", default=200)
    parser.add_argument("--first", type=int, default=0, help="Begin at this run.")
    arguments = parser.parse_args()
    steps = plan(arguments.first + arguments.runs)[arguments.first :]

    def report(outcome: Outcome) -> None:
        word = "good" if outcome.is_good else "FAILED"
        print(json.dumps({"outcome": word, **asdict(outcome)}), flush=True)

    folder = Path(tempfile.mkdtemp(prefix="cqx-kill-"))
    outcomes = run(steps, folder, report)
    good = sum(outcome.is_good for outcome in outcomes)
    killed = sum(outcome.was_killed for outcome in outcomes)
    print(json.dumps({"runs": len(outcomes), "good": good, "killed": killed}))
    if good == len(outcomes):
        shutil.rmtree(folder)
        return 0
    print(f"kept in {folder}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
