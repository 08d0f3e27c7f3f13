"""The services' own reports, from the bus to the alarms; it alters neither."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

import nats.errors
from nats.aio.msg import Msg

from cryptoquantix.alarms.services import ServiceWatch
from cryptoquantix.bus.connection import connect
from cryptoquantix.bus.messages import FeedStatus, MessageDecoder, RecorderStatus
from cryptoquantix.bus.subjects import RECORDER_STATUS
from cryptoquantix.core.errors import SettingsError

# A feed dials again by itself, and fetches what it missed.
FEED_SECONDS: Final = 60.0

_log = logging.getLogger(__name__)


async def hear_services(url: str, watch: ServiceWatch) -> None:
    """
    Pass on what recorder and feeds say once a second, for ever.

    A bus that is away is waited for; one that cannot be used is said once in the log:
    the alarms of the daemon do not need it. Cancellation closes the connection.
    """
    feeds = MessageDecoder(FeedStatus)
    recorders = MessageDecoder(RecorderStatus)

    async def on_feed(message: Msg) -> None:
        status = feeds.decode(message.data)
        if status is not None:
            problem = "" if status.connected else "its market data are cut off"
            watch.heard(f"feed of {status.venue}", problem, FEED_SECONDS)

    async def on_recorder(message: Msg) -> None:
        status = recorders.decode(message.data)
        if status is not None:
            watch.heard("recorder", status.problem)

    try:
        client = await connect(url, "alarms")
    except (SettingsError, nats.errors.Error, OSError) as error:
        _log.warning("services are not heard", extra={"error": str(error)})
        return
    try:
        await client.subscribe("feed.*", cb=on_feed)
        await client.subscribe(RECORDER_STATUS, cb=on_recorder)
        await asyncio.get_running_loop().create_future()
    finally:
        await client.close()
