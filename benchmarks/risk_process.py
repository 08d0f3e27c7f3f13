"""
What ``cqx risk`` costs over three venues at one reading a second.

The simulator runs in a process of its own. Measured: seconds until it is ready (wall,
and CPU, which an otherwise busy machine does not change), resident memory, and the
share of one core it uses, armed, over the given time.

    python benchmarks/risk_process.py [--seconds 40] [--rounds 3]

Must hold on two idle cores: ready in 2 s, below 200 MB, below 8 % of a core.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time

from kill_switch import build, rig
from simulator_process import cpu_seconds, resident_mb


def measure(seconds):
    """Return wall and CPU seconds to be ready, MB, and the share of a core."""
    with rig(10) as (line, daemon, _):
        ready_wall, ready_cpu = daemon.ready_seconds, daemon.ready_cpu_seconds
        daemon.arm()
        asyncio.run(build(line, 10, 1))
        time.sleep(3)
        before, started = cpu_seconds(daemon.process.pid), time.monotonic()
        time.sleep(seconds)
        spent = cpu_seconds(daemon.process.pid) - before
        share = spent / (time.monotonic() - started)
        memory = resident_mb(daemon.process.pid)
        missed = daemon.call("/v1/status")["missed_seconds"]
    return ready_wall, ready_cpu, memory, share, missed


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=40.0)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    found = [measure(options.seconds) for _ in range(options.rounds)]
    wall, cpu, memory, share, missed = zip(*found, strict=True)
    print(
        json.dumps(
            {
                "benchmark": "risk_process",
                "contender": "cqx risk, three venues, armed",
                "unit": "run",
                "ready_wall_seconds": round(statistics.median(wall), 2),
                "ready_cpu_seconds": round(statistics.median(cpu), 2),
                "peak_mb": round(max(memory), 1),
                "core_share_median": round(statistics.median(share), 4),
                "core_share_worst": round(max(share), 4),
                "missed_seconds": max(missed),
            }
        )
    )


if __name__ == "__main__":
    main()
