"""How every service runs: on uvloop, until it is told to stop; it knows no service."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable, Coroutine
from typing import Any

import uvloop

from cryptoquantix.apps.pauses import collect_for_ever, keep_what_is_there

_log = logging.getLogger(__name__)


def run_until_stopped(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """
    Run ``main`` until it ends, or until a signal asks to stop.

    The signal (SIGTERM, Ctrl-C, or SIGHUP of a terminal that was closed, unless
    ``nohup`` had it ignored) cancels ``main``, which closes what it opened, and each
    further one cancels it again. A stop is a success. An
    error of ours that ends ``main`` is raised as itself, also out of a task group.
    """
    keep_what_is_there()
    uvloop.run(_until_stopped(main))


async def _until_stopped(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    loop = asyncio.get_running_loop()
    task = asyncio.create_task(main())
    collecting = asyncio.create_task(collect_for_ever())
    stopping = False

    def stop(name: str) -> None:
        nonlocal stopping
        stopping = True
        _log.info("stopping", extra={"signal": name})
        task.cancel()

    numbers = [signal.SIGTERM, signal.SIGINT]
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
        numbers.append(signal.SIGHUP)
    for number in numbers:
        loop.add_signal_handler(number, stop, number.name)
    try:
        await task
    except asyncio.CancelledError:
        if not stopping:
            raise
    except BaseExceptionGroup as group:
        raise _first(group) from None
    finally:
        collecting.cancel()
    _log.info("stopped")


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
