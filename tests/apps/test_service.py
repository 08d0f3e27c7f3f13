"""A service ends in order when it is told to stop, and tells why it could not go on."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

SERVICE = """
import asyncio, sys
from cryptoquantix.apps.service import run_until_stopped

async def main():
    try:
        print("runs", flush=True)
        await asyncio.sleep(60)
    finally:
        print("ended in order", flush=True)

run_until_stopped(main)
"""


def start(*before: str) -> subprocess.Popen:
    command = [*before, sys.executable, "-c", SERVICE]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "runs\n"
    return process


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ids=lambda n: n.name
)
def test_each_way_of_being_told_to_stop_is_a_success(number) -> None:
    with start() as process:
        process.send_signal(number)
        assert process.stdout.read() == "ended in order\n"
    assert process.returncode == 0


def test_nohup_keeps_it_running_when_the_terminal_is_closed() -> None:
    with start("nohup") as process:
        process.send_signal(signal.SIGHUP)
        time.sleep(0.3)
        assert process.poll() is None
        process.terminate()
        assert process.stdout.read() == "ended in order\n"
