"""How every service runs: on uvloop, until SIGTERM or SIGINT; it knows no service."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable, Coroutine
from typing import Any

import uvloop

_log = logging.getLogger(__name__)


def run_until_stopped(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """
    Run ``main`` until it ends, or until a signal asks to stop.

    The signal cancels ``main``, which closes what it opened; a stop is a success. An
    error of ours that ends ``main`` is raised as itself, also out of a task group.
    """
    uvloop.run(_until_stopped(main))


async def _until_stopped(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    loop = asyncio.get_running_loop()
    task = asyncio.create_task(main())
    stopping = False

    def stop(name: str) -> None:
        nonlocal stopping
        stopping = True
        _log.info("stopping", extra={"signal": name})
        task.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number.name)
    try:
        await task
    except asyncio.CancelledError:
        if not stopping:
            raise
    except BaseExceptionGroup as group:
        raise _first(group) from None
    _log.info("stopped")


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
