"""Logs are JSON lines of one shape, and no secret is ever in them."""

import json
import logging
import subprocess
import sys

import pytest
from pydantic import SecretStr

from cryptoquantix.apps.logs import hide_secrets, setup_logs
from cryptoquantix.core.errors import SettingsError

PROGRAM = """
import logging, sys
from cryptoquantix.apps.logs import setup_logs
setup_logs("feed-binance")
log = logging.getLogger("cryptoquantix.venues.feed")
log.info("hello", extra={"instrument": "binance:X-PERP", "count": 3})
log.warning("GET /x?symbol=A&signature=abc123&timestamp=1", extra={"key": "s3cr3t"})
log.debug("not shown")
try:
    1 / 0
except ZeroDivisionError:
    log.exception("it failed")
"""


def lines(text):
    return [json.loads(line) for line in text.splitlines()]


def test_each_line_is_one_object_with_its_fields():
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    )
    assert done.stdout == ""
    hello, warning, failed = lines(done.stderr)
    assert hello["event"] == "hello"
    assert hello["service"] == "feed-binance"
    assert hello["level"] == "info"
    assert hello["logger"] == "cryptoquantix.venues.feed"
    assert (hello["instrument"], hello["count"]) == ("binance:X-PERP", 3)
    assert hello["build"].startswith("0.")
    assert hello["time"].endswith("Z")
    assert "abc123" not in warning["event"]
    assert "timestamp=1" in warning["event"]
    assert warning["key"] == "[hidden]"
    assert "ZeroDivisionError" in failed["exception"]


def test_a_file_is_appended_to(tmp_path):
    path = tmp_path / "logs" / "feed.log"
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    try:
        for _ in range(2):
            setup_logs("feed", path)
            logging.getLogger("x").info("once")
            root.handlers[0].stream.close()
    finally:
        root.handlers, root.level = handlers, level
        logging.captureWarnings(capture=False)
    assert [line["event"] for line in lines(path.read_text())] == ["once", "once"]


def test_a_file_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="cannot write the log"):
        setup_logs("feed", tmp_path / "file" / "x.log")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("key", "s3cr3t"),
        ("api_key", "s3cr3t"),
        ("token", "s3cr3t"),
        ("event", "connecting to nats://me:s3cr3t@host:4222"),
        ("event", "POST https://api.telegram.org/bot123:s3cr3t/sendMessage"),
        ("event", "Authorization: Bearer s3cr3t"),
        ("event", '{"secret": "s3cr3t"}'),
        ("error", "GET /fapi?timestamp=1&signature=s3cr3t"),
        ("error", "wss://host/private/ws?listenKey=s3cr3t"),
        ("headers", {"X-MBX-APIKEY": "s3cr3t"}),
        ("items", ["apiKey=s3cr3t"]),
        ("settings", SecretStr("s3cr3t")),
    ],
)
def test_no_secret_is_written(name, value):
    event = hide_secrets(None, "", {name: value})
    assert "s3cr3t" not in str(event)


def test_the_bucket_key_of_a_target_is_no_secret():
    event = {"target_key": "trend.binance.BTCUSDT-PERP", "event": "keys: 3"}
    assert hide_secrets(None, "", dict(event)) == event
