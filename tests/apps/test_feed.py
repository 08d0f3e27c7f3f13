"""The feed and strategy processes: they wait, they end when asked, they explain."""

import asyncio
import json
import signal
import sys

import pytest

from cryptoquantix.apps.feed import run
from cryptoquantix.bus.connection import connect
from cryptoquantix.bus.messages import FeedStatus, MessageDecoder, StrategyStatus
from cryptoquantix.core.errors import SettingsError
from processes import start_nats
from stand_in import StandIn

TWICE = """
[[strategies]]
name = "trend_breakout"
instrument = "binance:BTCUSDT-PERP"
"""
COMMAND = (sys.executable, "-c", "from cryptoquantix.cli import main; main()")


def settings(tmp_path, venue, nats_url, *, instrument="binance:BTCUSDT-PERP", extra=""):
    path = tmp_path / "cryptoquantix.toml"
    path.write_text(
        f"""
[venues.binance]
rest = "{venue.rest}"
ws = "{venue.ws}"
[nats]
url = "{nats_url}"
[[strategies]]
name = "trend_breakout"
instrument = "{instrument}"
{extra}
"""
    )
    return path


async def start(*arguments):
    return await asyncio.create_subprocess_exec(
        *COMMAND,
        *map(str, arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def logged(process, event):
    """Read its log up to the first line of ``event``."""
    async with asyncio.timeout(30):
        while True:
            line = json.loads(await process.stderr.readline())
            if line["event"] == event:
                return line


async def stop(process):
    """Ask it to end; return its exit code and its log."""
    process.send_signal(signal.SIGTERM)
    _, log = await asyncio.wait_for(process.communicate(), 10)
    lines = [json.loads(line) for line in log.decode().splitlines()]
    return process.returncode, lines


async def first(url, subject, kind, accept=lambda message: True):
    client = await connect(url, "test")
    decoder = MessageDecoder(kind)
    found = asyncio.get_running_loop().create_future()

    async def on_message(message):
        status = decoder.decode(message.data)
        if not found.done() and accept(status):
            found.set_result(status)

    await client.subscribe(subject, cb=on_message)
    try:
        return await asyncio.wait_for(found, 30)
    finally:
        await client.close()


async def test_a_feed_reports_and_ends_cleanly_when_asked(tmp_path):
    venue = StandIn()
    async with venue:
        with start_nats(tmp_path) as server:
            config = settings(tmp_path, venue, server.url)
            process = await start("feed", "binance", "--config", config)
            status = await first(
                server.url, "feed.binance", FeedStatus, lambda one: one.connected
            )
            assert status.streams[0].name == "BTCUSDT-PERP"
            assert status.build.startswith("0.")
            code, log = await stop(process)
            assert code == 0, log
            assert log[-1]["event"] == "stopped"


async def test_a_feed_waits_for_a_venue_and_a_bus_that_are_away(tmp_path):
    venue = StandIn()
    async with venue:
        pass
    with start_nats(tmp_path) as server:
        pass
    config = settings(tmp_path, venue, server.url)
    process = await start("feed", "binance", "--config", config)
    away = await logged(process, "venue away")
    assert "cannot reach binance" in away["error"]
    async with venue:
        await logged(process, "bus error")
        assert process.returncode is None
        with start_nats(tmp_path, server.port):
            await first(
                server.url, "feed.binance", FeedStatus, lambda one: one.connected
            )
            code, _ = await stop(process)
    assert code == 0


@pytest.mark.parametrize(
    ("setting", "address"),
    [
        ("rest", "127.0.0.1:8080"),
        ("rest", "ws://127.0.0.1:8080"),
        ("ws", "http://127.0.0.1:8080"),
        ("ws", "wss://"),
        ("ws", "ws://127.0.0.1:port"),
    ],
)
def test_an_address_that_nobody_can_dial_is_refused(tmp_path, setting, address):
    """It would be waited for in vain, as for a venue that is away."""
    addresses = {"rest": "http://127.0.0.1:9", "ws": "ws://127.0.0.1:9"}
    addresses[setting] = address
    config = tmp_path / "cryptoquantix.toml"
    config.write_text(
        f'[venues.binance]\nrest = "{addresses["rest"]}"\nws = "{addresses["ws"]}"\n'
        '[feeds]\ninstruments = ["binance:BTCUSDT-PERP"]\n'
    )
    with pytest.raises(SettingsError, match=rf"venues.binance.{setting} .*must be"):
        run("binance", config)


async def test_a_feed_that_waits_ends_when_asked(tmp_path):
    venue = StandIn()
    async with venue:
        pass
    config = settings(tmp_path, venue, "nats://127.0.0.1:1")
    process = await start("feed", "binance", "--config", config)
    await logged(process, "venue away")
    code, _ = await stop(process)
    assert code == 0


@pytest.mark.parametrize(
    ("arguments", "instrument", "extra", "sentence"),
    [
        (("feed", "binance"), "binance:NOUSDT-PERP", "", "NOUSDT-PERP is not traded"),
        (("feed", "binance"), "binance:BTCUSDT-SPOT", "", "not as named"),
        (
            ("feed", "binance"),
            "bybit:BTCUSDT-PERP",
            "",
            "neither a strategy nor [feeds]",
        ),
        (("feed", "kraken"), "binance:BTCUSDT-PERP", "", "no venue 'kraken'"),
        (("strategy",), "bybit:BTCUSDT-PERP", "", "no address of bybit"),
        (
            ("strategy",),
            "binance:BTCUSDT-PERP",
            "bar_seconds = 7",
            "bar_seconds must be one of",
        ),
        (
            ("strategy",),
            "binance:BTCUSDT-PERP",
            "params = { gate_dayz = 3 }",
            "unknown parameter 'gate_dayz'",
        ),
        (
            ("strategy",),
            "binance:BTCUSDT-PERP",
            TWICE,
            "twice",
        ),
    ],
)
async def test_wrong_settings_are_one_sentence(
    tmp_path, arguments, instrument, extra, sentence
):
    async with StandIn() as venue:
        config = settings(
            tmp_path, venue, "nats://127.0.0.1:1", instrument=instrument, extra=extra
        )
        process = await start(*arguments, "--config", config)
        _, errors = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 1
    last = errors.decode().splitlines()[-1]
    assert last.startswith("cqx: ")
    assert sentence in last
    assert "Traceback" not in errors.decode()


async def test_a_strategy_reports_and_ends_cleanly_when_asked(tmp_path):
    async with StandIn() as venue:
        with start_nats(tmp_path) as server:
            config = settings(tmp_path, venue, server.url)
            process = await start("strategy", "--config", config)
            status = await first(server.url, "strategy", StrategyStatus)
            assert (status.state, status.is_stale) == ("waiting", True)
            code, log = await stop(process)
            assert code == 0, log
