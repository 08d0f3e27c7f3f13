"""Messages on the bus survive the way, and what is none never hurts."""

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryptoquantix.bus.messages import (
    FeedStatus,
    MessageDecoder,
    QuoteMessage,
    StrategyStatus,
    StreamStatus,
    Target,
    TickBatch,
    encode,
)
from cryptoquantix.core.market import Tick

INT64 = st.integers(-(2**63), 2**63 - 1)
BATCH = TickBatch(
    "binance",
    "BTCUSDT-PERP",
    "0.10",
    "0.001",
    5,
    [(1, 2, 3, True, 4), (5, 6, 7, False, 8)],
)
TARGET = Target("trend", "binance:BTCUSDT-PERP", 60, -0.5, 0.1, 7, 61, 1, 62)
STREAM = StreamStatus("BTCUSDT-PERP", 8, 5, 1, -1, 2, 0, 0, 0)
MESSAGES = [
    BATCH,
    TARGET,
    QuoteMessage("binance", "BTCUSDT-PERP", "0.10", "0.001", 5, 4, 10, 1, 11, 2),
    FeedStatus("binance", "b", 1, 2, True, 3, 0, 0, 0, 0, 9, [STREAM]),
    StrategyStatus(
        "trend", "binance:X-PERP", "b", 1, "live", False, 1, 2, 0.5, 3, 0, 0, 9, 0, 0, 0
    ),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda m: type(m).__name__)
def test_a_message_survives_the_way(message):
    decoder = MessageDecoder(type(message))
    assert decoder.decode(encode(message)) == message
    assert decoder.refused == 0


@pytest.mark.parametrize("message", MESSAGES, ids=lambda m: type(m).__name__)
def test_a_message_of_another_kind_is_counted_and_dropped(message):
    kind = TickBatch if not isinstance(message, TickBatch) else Target
    decoder = MessageDecoder(kind)
    assert decoder.decode(encode(message)) is None
    assert decoder.refused == 1


@given(st.binary(max_size=200))
def test_no_bytes_raise(data):
    for kind in (TickBatch, Target, FeedStatus):
        decoder = MessageDecoder(kind)
        found = decoder.decode(data)
        assert (found is None) == (decoder.refused == 1)


@given(st.data())
def test_a_corrupted_message_never_raises(data):
    whole = bytearray(encode(BATCH))
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] ^= data.draw(st.integers(1, 255))
    decoder = MessageDecoder(TickBatch)
    decoder.decode(bytes(whole))
    decoder.decode(bytes(whole[:at]))
    assert decoder.refused >= 1


@given(INT64, INT64, INT64, st.booleans(), INT64)
def test_ticks_keep_every_bit(time_ns, price, size, maker, trade_id):
    tick = (time_ns, price, size, maker, trade_id)
    batch = TickBatch("binance", "X-PERP", "1", "1", 0, [tick])
    found = MessageDecoder(TickBatch).decode(encode(batch))
    assert found is not None
    assert found.iter_ticks() == [Tick(*tick)]


@given(st.floats(allow_nan=False), st.floats(allow_nan=False))
def test_a_target_keeps_every_bit(target, price):
    message = msgspec.structs.replace(TARGET, target=target, price=price)
    assert MessageDecoder(Target).decode(encode(message)) == message


def test_a_target_of_a_build_without_newer_fields_is_read():
    fields = list(msgspec.msgpack.decode(encode(TARGET)))
    found = MessageDecoder(Target).decode(msgspec.msgpack.encode(fields[:-2]))
    assert found == msgspec.structs.replace(TARGET, warmup_from_ns=0, market_ns=0)


def test_a_quote_message_says_its_prices_exactly():
    quote = MESSAGES[2]
    assert (quote.bid(), quote.ask()) == (Decimal("1.00"), Decimal("1.10"))
