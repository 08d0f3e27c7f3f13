"""
The newest target of each key, from the bus; it trades nothing.

The bucket's own subject is listened to, so that a target arrives in one hop and the
subscription comes back with the connection; and the bucket is read every few seconds,
so that nothing that was missed stays missed. A slot per key holds the newest: a slow
reader meets fewer targets, never old ones.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection
from decimal import Decimal
from typing import Final

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.errors import Error as JetStreamError
from nats.js.errors import KeyNotFoundError

from cryptoquantix.bus.connection import connect, targets_bucket
from cryptoquantix.bus.messages import MessageDecoder, Target
from cryptoquantix.bus.subjects import TARGETS_BUCKET
from cryptoquantix.core.errors import CryptoquantixError
from cryptoquantix.core.instrument import InstrumentId
from cryptoquantix.live.events import Wanted, is_after

_PREFIX: Final = f"$KV.{TARGETS_BUCKET}."
_POLL_SECONDS: Final = 5.0
_RETRY_SECONDS: Final = 0.5

_LOG = logging.getLogger(__name__)


class TargetWatch:
    """
    Hands on each new target of ``keys``.

    Parameters
    ----------
    keys : collection of str
        Keys of the targets bucket; others are not read.
    on_target : callable
        Called with each target in the loop's own thread; must not block.
    """

    def __init__(
        self,
        url: str,
        keys: Collection[str],
        on_target: Callable[[Wanted, InstrumentId], None],
    ) -> None:
        self._url = url
        self._keys = sorted(keys)
        self._on_target = on_target
        self._decoder = MessageDecoder(Target)
        self._newest: dict[str, Target] = {}

    async def run(self) -> None:
        """Listen for ever, through restarts of the server; cancellation closes."""
        client = await connect(self._url, "execution")
        try:
            for key in self._keys:
                await client.subscribe(
                    f"$KV.{TARGETS_BUCKET}.{key}", cb=self._on_message
                )
            while True:
                await self._poll(client)
                await asyncio.sleep(_POLL_SECONDS)
        finally:
            await client.close()

    async def _on_message(self, message: Msg) -> None:
        self._take(message.subject.removeprefix(_PREFIX), message.data)

    async def _poll(self, client: Client) -> None:
        """Read every key once; a server that is away is asked again later."""
        try:
            bucket = await targets_bucket(client)
            for key in self._keys:
                try:
                    entry = await bucket.get(key)
                except KeyNotFoundError:
                    continue
                self._take(key, entry.value or b"")
        except (nats.errors.Error, JetStreamError, TimeoutError, OSError) as error:
            _LOG.warning("targets cannot be read: %r", error)
            await asyncio.sleep(_RETRY_SECONDS)

    def _take(self, key: str, data: bytes) -> None:
        target = self._decoder.decode(data)
        if target is None:
            return
        known = self._newest.get(key)
        if known is not None and not is_after(target, known):
            return
        self._newest[key] = target
        try:
            wanted, instrument = wanted_of(target)
        except (CryptoquantixError, ArithmeticError) as error:
            _LOG.warning("a target that cannot be read: %s", error)
            return
        self._on_target(wanted, instrument)


def wanted_of(target: Target) -> tuple[Wanted, InstrumentId]:
    """Return a target of the bus as the engine takes it."""
    wanted = Wanted(
        strategy=target.strategy,
        target=target.target,
        price=Decimal(repr(target.price)),
        bar_ns=target.bar_close_ns,
        sequence=target.sequence,
        published_ns=target.published_ns,
        market_ns=target.market_ns,
    )
    return wanted, InstrumentId.parse(target.instrument)
