"""
What the services say on the bus, heard for a moment; it asks nothing and waits little.

Every service says once a second how it is, so that a moment longer than that hears
each that runs. What was not heard does not run, or does not reach the bus.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from cryptoquantix.apps.settings import Settings
from cryptoquantix.bus.messages import (
    ExecutionStatus,
    FeedStatus,
    MessageDecoder,
    RecorderStatus,
    StrategyStatus,
)
from cryptoquantix.bus.subjects import (
    EXECUTION_STATUS,
    RECORDER_STATUS,
    STRATEGY_STATUS,
)

HEAR_SECONDS: Final = 1.6
_CONNECT_SECONDS: Final = 1.0

_SUBJECTS: Final[dict[Any, str]] = {
    FeedStatus: "feed.*",
    StrategyStatus: STRATEGY_STATUS,
    ExecutionStatus: EXECUTION_STATUS,
    RecorderStatus: RECORDER_STATUS,
}

type Status = FeedStatus | StrategyStatus | ExecutionStatus | RecorderStatus
type Decoder = MessageDecoder[Any]
type StrategyKey = tuple[str, str]


@dataclass(slots=True)
class Heard:
    """The newest of each; ``problem`` says why the bus could not be heard, if so."""

    problem: str = ""
    feeds: dict[str, FeedStatus] = field(default_factory=dict)
    strategies: dict[StrategyKey, StrategyStatus] = field(default_factory=dict)
    execution: ExecutionStatus | None = None
    recorder: RecorderStatus | None = None

    def take(self, status: Status) -> None:
        """Keep a status: the newest of each service counts."""
        if isinstance(status, FeedStatus):
            self.feeds[status.venue] = status
        elif isinstance(status, StrategyStatus):
            self.strategies[status.strategy, status.instrument] = status
        elif isinstance(status, ExecutionStatus):
            self.execution = status
        else:
            self.recorder = status

    def lacks_nothing_of(self, settings: Settings) -> bool:
        """Return whether all that these settings run was heard."""
        venues = {one.venue.value for one in settings.fed_instruments}
        strategies = {(one.name, one.instrument) for one in settings.strategies}
        return (
            venues <= self.feeds.keys()
            and strategies <= self.strategies.keys()
            and self.execution is not None
            and (self.recorder is not None or not settings.recorder.enabled)
        )


async def hear(settings: Settings, seconds: float = HEAR_SECONDS) -> Heard:
    """
    Listen until everything that ``settings`` run was heard, or ``seconds`` are over.

    A bus that is away is a problem told, not an error. Cancellation closes.
    """
    heard = Heard()
    # What a failed connection says in the log of nats-py is told as ``problem``.
    logging.getLogger("nats").setLevel(logging.CRITICAL)
    client = Client()
    try:
        async with asyncio.timeout(_CONNECT_SECONDS):
            await _reach(settings.nats.url)
            await client.connect(
                settings.nats.url,
                name="cqx status",
                connect_timeout=1,
                allow_reconnect=False,
                error_cb=_ignore,
            )
    except (OSError, TimeoutError, ValueError, nats.errors.Error) as error:
        why = _why(error)
        heard.problem = f"the bus at {_shown(settings.nats.url)} does not answer: {why}"
        await _close(client)
        return heard
    try:
        await _listen(client, settings, heard, seconds)
    except (OSError, nats.errors.Error) as error:
        heard.problem = f"the bus ended while it was heard: {_why(error)}"
    finally:
        await _close(client)
    return heard


async def _listen(
    client: Client, settings: Settings, heard: Heard, seconds: float
) -> None:
    is_all = asyncio.Event()
    for kind, subject in _SUBJECTS.items():
        decoder: Decoder = MessageDecoder(kind)

        async def on_message(message: Msg, decoder: Decoder = decoder) -> None:
            status = decoder.decode(message.data)
            if status is not None:
                heard.take(status)
            if heard.lacks_nothing_of(settings):
                is_all.set()

        await client.subscribe(subject, cb=on_message)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await is_all.wait()


async def _reach(url: str) -> None:
    """Connect and hang up: the client itself would try again and not say why."""
    parts = urlsplit(url)
    _, writer = await asyncio.open_connection(parts.hostname, parts.port or 4222)
    writer.close()


async def _close(client: Client) -> None:
    # One that never connected asserts that it was.
    with contextlib.suppress(OSError, AssertionError, nats.errors.Error):
        await client.close()


async def _ignore(error: Exception) -> None:
    del error


def _why(error: Exception) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, TimeoutError | nats.errors.TimeoutError):
        return "no answer"
    if isinstance(error, nats.errors.NoServersError):
        return "nobody listens there"
    return str(error) or type(error).__name__


def _shown(url: str) -> str:
    """Return an address without the credentials that may stand in it."""
    scheme, _, rest = url.rpartition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"
