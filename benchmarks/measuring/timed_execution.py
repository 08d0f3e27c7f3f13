"""
``cqx execution``, noting when the bytes of each order have left it.

    python benchmarks/measuring/timed_execution.py TIMES CONFIG

To the file TIMES goes a line per order: the wall time (ns) in the first turn of the
loop after the one in which uvloop handed the request's last byte to the kernel, and
the venue's address. Nothing else is changed.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

from cryptoquantix.apps.execution import run
from cryptoquantix.venues.ccxt_wire import ATTEMPT, GatedRequest


def main() -> None:
    times, config = Path(sys.argv[1]), Path(sys.argv[2])
    send = GatedRequest.send
    with times.open("w", buffering=1) as file:

        async def timed(self, conn):
            answer = await send(self, conn)
            attempt = ATTEMPT.get()
            if attempt is not None and attempt.is_once:  # an order, nothing else
                where = f"{self.url.host}:{self.url.port}"
                # uvloop writes at the end of a turn.
                asyncio.get_running_loop().call_soon(note, where)
            return answer

        def note(where: str) -> None:
            file.write(f"{time.time_ns()} {where}\n")

        GatedRequest.send = timed
        run(config)


if __name__ == "__main__":
    main()
