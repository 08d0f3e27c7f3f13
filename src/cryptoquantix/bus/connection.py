"""
The connection to NATS: reconnects forever, buffers within a bound; starts no server.

What is published while the server is away is kept up to ``PENDING_BYTES_MAX`` and
refused beyond (``nats.errors.OutboundBufferLimitError``): the publisher decides what a
refusal means. What a slow subscriber cannot take is dropped and reported to the log.
"""

from __future__ import annotations

import logging
from typing import Final
from urllib.parse import urlsplit

import nats
import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.js.api import StorageType
from nats.js.kv import KeyValue

from cryptoquantix.bus.subjects import TARGETS_BUCKET
from cryptoquantix.core.errors import SettingsError

PENDING_BYTES_MAX: Final = 8 * 1024 * 1024
SUBSCRIPTION_MESSAGES_MAX: Final = 65_536
SUBSCRIPTION_BYTES_MAX: Final = 64 * 1024 * 1024
_RECONNECT_SECONDS: Final = 0.5
_PING_SECONDS: Final = 10

_log = logging.getLogger(__name__)


class _Bus(Client):
    """A client that can also be closed while its server is gone."""

    async def close(self) -> None:
        """Close; what a server that is gone was still to get is dropped."""
        try:
            await super().close()
        except (OSError, RuntimeError) as error:
            # It writes what is pending to whatever it was connected to last; uvloop
            # says RuntimeError of a socket that is closed already.
            _log.info("bus closed unsent", extra={"error": str(error)})


async def connect(url: str, name: str) -> Client:
    """
    Return a client of the server at ``url``, once it is connected.

    A server that is not there yet is waited for, saying so in the log; afterwards the
    client reconnects by itself for as long as it lives, and its subscriptions with it.
    Cancellation ends the waiting and leaves no connection behind.

    Parameters
    ----------
    url : str
        ``nats://host:port``; credentials in it are never logged.
    name : str
        How the server lists this connection.

    Raises
    ------
    SettingsError
        If ``url`` is no address of a NATS server.
    """
    where = _address(url)
    client = _Bus()

    async def on_error(error: Exception) -> None:
        text = str(error) or type(error).__name__
        _log.warning("bus error", extra={"address": where, "error": text})

    async def on_disconnect() -> None:
        _log.warning("bus disconnected", extra={"address": where})

    async def on_reconnect() -> None:
        _log.info("bus reconnected", extra={"address": where})

    try:
        await client.connect(
            url,
            name=name,
            error_cb=on_error,
            disconnected_cb=on_disconnect,
            reconnected_cb=on_reconnect,
            max_reconnect_attempts=-1,
            reconnect_time_wait=_RECONNECT_SECONDS,  # type: ignore[arg-type]
            ping_interval=_PING_SECONDS,
            pending_size=PENDING_BYTES_MAX,
        )
    except BaseException:
        await client.close()
        raise
    _log.info("bus connected", extra={"address": where})
    return client


async def targets_bucket(client: Client) -> KeyValue:
    """
    Return the bucket of targets, made where it is missing; needs a live server.

    It keeps the last value of each key on disk, so that a target stands while the
    strategy service or the server restarts.
    """
    stream = client.jetstream()
    try:
        return await stream.key_value(TARGETS_BUCKET)
    except nats.js.errors.NotFoundError:
        return await stream.create_key_value(
            bucket=TARGETS_BUCKET, history=1, storage=StorageType.FILE
        )


def _address(url: str) -> str:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or 4222
    except ValueError:
        host, port = None, 0
    if not host or parts.scheme not in {"nats", "tls", "ws", "wss"}:
        msg = "nats.url must be nats://host:port"
        raise SettingsError(msg)
    return f"{host}:{port}"
