"""A real NATS server: it is waited for, comes and goes, and forgets no target."""

import asyncio
import socket

import pytest
import uvloop

from cryptoquantix.bus.connection import connect, targets_bucket
from cryptoquantix.core.errors import SettingsError
from processes import end, start_nats


async def test_a_bucket_keeps_the_last_target_over_a_restart(tmp_path):
    with start_nats(tmp_path) as server:
        client = await connect(server.url, "test")
        bucket = await targets_bucket(client)
        await bucket.put("a.binance.X", b"1")
        await bucket.put("a.binance.X", b"2")
        await client.close()
        port = server.port
    with start_nats(tmp_path, port) as server:
        client = await connect(server.url, "test")
        bucket = await targets_bucket(client)
        assert (await bucket.get("a.binance.X")).value == b"2"
        await client.close()


async def test_a_subscription_survives_a_restart_of_the_server(tmp_path):
    heard = asyncio.Queue(100)

    async def on_message(message):
        await heard.put(message.data)

    with start_nats(tmp_path) as server:
        client = await connect(server.url, "test")
        await client.subscribe("ticks.>", cb=on_message)
        await client.flush()
        end(server.process)
        async with asyncio.timeout(15):
            while client.is_connected:  # noqa: ASYNC110 - the client offers no event
                await asyncio.sleep(0.02)
            await client.publish("ticks.binance.X", b"kept while away")
            with start_nats(tmp_path, server.port):
                assert await heard.get() == b"kept while away"
                await client.close()


async def test_a_server_that_comes_late_is_waited_for(tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    waiting = asyncio.create_task(connect(f"nats://127.0.0.1:{port}", "test"))
    await asyncio.sleep(0.2)
    assert not waiting.done()
    with start_nats(tmp_path, port):
        client = await asyncio.wait_for(waiting, 15)
        assert client.is_connected
        await client.close()


async def test_waiting_for_a_server_ends_when_canceled():
    waiting = asyncio.create_task(connect("nats://127.0.0.1:1", "test"))
    await asyncio.sleep(0.1)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(waiting, 5)


@pytest.mark.parametrize("url", ["", "http://x", "nats://", "nats://h:port"])
async def test_an_address_that_is_none_is_refused(url):
    with pytest.raises(SettingsError, match=r"nats\.url must be"):
        await connect(url, "test")


async def _publish_and_close_without_a_server(server):
    client = await connect(server.url, "test")
    await client.flush()
    end(server.process)
    while client.is_connected:  # noqa: ASYNC110 - the client offers no event
        await asyncio.sleep(0.02)
    await client.publish("ticks.binance.X", b"never leaves")
    await client.close()
    assert client.is_closed


def test_a_client_can_be_closed_while_its_server_is_gone(tmp_path):
    """On uvloop, as services run: a stop of everything ends the bus first, perhaps."""
    with start_nats(tmp_path) as server:
        uvloop.run(
            asyncio.wait_for(_publish_and_close_without_a_server(server), 15),
        )
