"""One request of the daemon, and how long it is waited for; it makes none itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

CALL_SECONDS: Final = 2.0
"""No single request is waited for longer."""

FAILED: Final = (Exception,)
"""Whatever one request does, a fault in our own code included, the others go out."""

type Call[T] = Callable[[], Awaitable[T]]
"""A request not made yet: a task canceled before its first step makes none."""


async def within[T](seconds: float, call: Call[T]) -> T:
    """Make ``call`` and await it no longer than ``seconds``; else ``TimeoutError``."""
    try:
        async with asyncio.timeout(seconds):
            return await call()
    except TimeoutError as error:
        # A name alone tells an operator nothing; waiting for our own budget counts.
        raise TimeoutError(str(error) or f"not done within {seconds:g} s") from None
