"""
When Python looks for cycles of garbage: in a service's pauses; it frees nothing else.

Left alone it does so whenever enough objects were made, which is amid the busiest
moment: on the way of an order. Here small steps run by the clock, and what a service
loaded to begin with (modules, venues' lists of instruments) is looked at once.
"""

from __future__ import annotations

import asyncio
import gc
from typing import Final

YOUNG_SECONDS: Final = 0.25
MIDDLE_EVERY: Final = 40  # of the young steps: every ten seconds
OLD_EVERY: Final = 2_400  # every ten minutes
# A service may load more once it runs: it is taken for lasting after that.
_SETTLED_STEPS: Final = 80
# Python's own counts, as a bound for when the loop does not get round to it.
_THRESHOLDS: Final = (20_000, 10, 10)


def keep_what_is_there() -> None:
    """Free what is garbage now, and take all the rest for lasting."""
    gc.collect()
    gc.freeze()


async def collect_for_ever() -> None:
    """Collect garbage step by step, for ever; cancellation leaves it to Python."""
    before = gc.get_threshold()
    gc.set_threshold(*_THRESHOLDS)
    step = 0
    try:
        while True:
            await asyncio.sleep(YOUNG_SECONDS)
            step += 1
            if step == _SETTLED_STEPS:
                # Without a look at all that is old, which would take a tenth of a
                # second of a service that has begun to trade.
                gc.collect(1)
                gc.freeze()
            elif step % OLD_EVERY == 0:
                gc.collect()
            else:
                gc.collect(int(step % MIDDLE_EVERY == 0))
    finally:
        gc.set_threshold(*before)
