"""
Orders at three venues at once against the slowest venue alone, with slow venues.

Execution is a real process with its journal, the venues are the simulator's, each made
slow by 5, 20 and 80 ms a request. A round publishes a target for each venue alone and
then for all three at once; the clock runs from the first decision to the last answer
written down. (Bybit is the slowest: its answer to an order does not say what became of
it, so that it is asked a second time.)

    python benchmarks/concurrent_orders.py [--rounds 5]
"""

from __future__ import annotations

import argparse
import json
import logging
import statistics
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from live.rig3 import VENUES, three_venues  # noqa: E402

LATENCIES_MS = (5, 20, 80)
RATIO_MAX = 1.3
TARGETS = (0.1, 0.2)


def measure(latency_ms: int, rounds: int) -> dict:
    with tempfile.TemporaryDirectory() as path, three_venues(Path(path)) as rig:
        process = rig.start()
        rig.wait_reconciled(process, times=3)
        fault = {"kind": "latency", "milliseconds": latency_ms, "jitter": 0}
        for venue in VENUES:
            body = fault | {"venue": venue, "seconds": 600}
            rig.simulator.admin("/faults", body)
        alone, together = [], []
        for number in range(rounds):
            one, other = TARGETS if number % 2 == 0 else TARGETS[::-1]
            alone.append(max(rig.answered_ms((v,), one) for v in VENUES))
            time.sleep(1)
            together.append(rig.answered_ms(VENUES, other + 0.05))
            time.sleep(1)
    slowest, all_three = statistics.median(alone), statistics.median(together)
    return {
        "benchmark": "concurrent_orders",
        "contender": f"three venues, {latency_ms} ms slow each",
        "unit": "ms",
        "slowest_alone": round(slowest, 1),
        "median": round(all_three, 1),
        "ratio": round(all_three / slowest, 2),
        "wanted": {"ratio": RATIO_MAX},
        "rounds": rounds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    logging.disable()
    for latency_ms in LATENCIES_MS:
        print(json.dumps(measure(latency_ms, arguments.rounds)), flush=True)


if __name__ == "__main__":
    main()
