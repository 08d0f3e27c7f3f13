"""A dead feed raises nothing and lowers nothing, and a person is told."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cryptoquantix.bus.connection import connect, targets_bucket
from cryptoquantix.bus.messages import MessageDecoder, Target
from live.rig import Rig, settings_text
from processes import end, start_nats, start_simulator, wait_for
from trader import Trader

TESTS = Path(__file__).parent.parent
PATHS = filter(None, (str(TESTS), os.environ.get("PYTHONPATH")))
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(PATHS)}
SPEED = 120.0  # a bar is half a second
LIMIT_SECONDS = 4.0
STRATEGY = """
target_bars_max = {bars}
[[strategies]]
name = "agreement.swing"
instrument = "binance:BTCUSDT-PERP"
warmup_days = 1
params = {{ bars = 20, gain = 3000.0 }}
"""


class Stack(Rig):
    """Feed, strategy and execution, each a process."""

    def run(self, *arguments: str) -> subprocess.Popen:
        command = [sys.executable, "-m", "cryptoquantix", *arguments]
        with (self.directory / "services.log").open("ab") as log:
            process = subprocess.Popen(
                [*command, "--config", str(self.config)],
                stderr=log,
                env=ENVIRONMENT,
            )
        self.processes.append(process)
        return process

    def standing(self) -> Target:
        async def read() -> bytes:
            client = await connect(self.nats.url, "test")
            bucket = await targets_bucket(client)
            entry = await bucket.get("agreement_swing.binance.BTCUSDT-PERP")
            await client.close()
            return entry.value

        return MessageDecoder(Target).decode(asyncio.run(read()))

    def held(self) -> float:
        return self.positions().get("BTCUSDT", 0.0)


@pytest.fixture
def stack(tmp_path):
    (tmp_path / "mode").write_text("trade")
    options = ["--generate", "3", "--instruments", "BTCUSDT"]
    options += ["--speed", str(SPEED), "--no-rate-limits"]
    permits = subprocess.Popen(
        [sys.executable, str(TESTS / "live" / "permit_stand_in.py"), str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
    )
    risk = f"http://127.0.0.1:{int(permits.stdout.readline())}"
    with start_nats(tmp_path) as nats, start_simulator(tmp_path, *options) as simulator:
        config = tmp_path / "cryptoquantix.toml"
        text = settings_text(tmp_path, simulator, nats, risk, "t")
        config.write_text(text + STRATEGY.format(bars=LIMIT_SECONDS / 60))
        config.chmod(0o600)
        found = Stack(tmp_path, simulator, nats, config)
        try:
            yield found
        finally:
            for process in (*found.processes, permits):
                end(process)
            permits.stdout.close()
            print((tmp_path / "services.log").read_text()[-4_000:])
            print(found.log()[-4_000:])


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_what_a_dead_feed_leaves_behind_is_neither_raised_nor_lowered(stack):
    feed = stack.run("feed", "binance")
    stack.run("strategy")
    stack.start()
    wait_for(lambda: abs(stack.held()) > 0.1, 60)
    feed.kill()
    feed.wait(5)
    time.sleep(LIMIT_SECONDS + 1.5)  # what was under way is done
    target, held, sent = stack.standing(), stack.held(), len(stack.sent())
    time.sleep(1.5)
    assert stack.standing() == target, "nothing new is said of a market not seen"
    assert stack.held() == held
    assert len(stack.sent()) == sent
    # Somebody closes the position: there would be something to increase now.
    owner = Trader(
        stack.simulator.rest,
        stack.simulator.venue["key"],
        stack.simulator.venue["secret"],
    )
    owner.market("BTCUSDT", "SELL" if held > 0 else "BUY", abs(held))
    orders = len(stack.sent())
    limit = f"the target of agreement.swing is older than {LIMIT_SECONDS / 60:g} bars"
    wait_for(lambda: limit in [row["text"] for row in stack.reports()], 20)
    time.sleep(1.0)
    assert len(stack.sent()) == orders
    assert stack.held() == 0.0
    # The feed is back, a target of now comes, and what it asks for is done.
    stack.run("feed", "binance")
    wait_for(lambda: abs(stack.held()) > 0.1, 60)
    assert stack.standing().sequence > target.sequence
