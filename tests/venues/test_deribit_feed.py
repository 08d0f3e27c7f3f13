"""Deribit's frames become ticks exactly; a refused channel and a gap are seen."""

import json
from decimal import Decimal

import pytest

from cryptoquantix.core.clock import ManualClock
from cryptoquantix.core.instrument import Instrument, InstrumentId
from cryptoquantix.core.market import BestQuote
from cryptoquantix.venues.deribit import DeribitRest
from cryptoquantix.venues.deribit_feed import DeribitDecoder, DeribitStreams
from cryptoquantix.venues.dialect import Reply
from venues.test_bybit_feed import Kept

BTC = Instrument(
    id=InstrumentId.parse("deribit:BTCUSD-PERP"),
    tick_size=Decimal("0.5"),
    lot_size=Decimal(10),
    notional_min=Decimal(10),
    settlement="BTC",
    base="BTC",
    quote="USD",
    is_inverse=True,
)
FOLDER = "venue-payloads/deribit"


def feed(on_gap=None):
    sink = Kept()
    decoder = DeribitDecoder([BTC], sink, ManualClock(2_000_000_000), on_gap)
    decoder.begin_session(["BTC-PERPETUAL"])
    return decoder, sink


def trades(*sequences):
    rows = [
        {
            "trade_seq": sequence,
            "timestamp": 1_000 + sequence,
            "price": 50_000.5,
            "amount": 30.0,
            "direction": "sell",
        }
        for sequence in sequences
    ]
    params = {"channel": "trades.BTC-PERPETUAL.100ms", "data": rows}
    message = {"jsonrpc": "2.0", "method": "subscription", "params": params}
    return json.dumps(message).encode()


@pytest.mark.real_data
def test_recorded_trades_become_ticks(real_data):
    path = real_data / FOLDER / "nt-rs__ws_trades.json"
    decoder, sink = feed()
    decoder.decode(path.read_bytes())
    decoder.flush()
    assert sink.ticks == [
        (1765531356452 * 10**6, 184_589, 1, True, 271252854),
        (1765531356452 * 10**6, 184_577, 75, True, 271252855),
    ]
    assert decoder.refused == 0


@pytest.mark.real_data
def test_a_recorded_ticker_is_a_mark(real_data):
    path = real_data / FOLDER / "nt-rs__ws_ticker.json"
    value = json.loads(path.read_bytes())["params"]["data"]
    decoder, sink = feed()
    decoder.decode_quotes(path.read_bytes())
    decoder.flush()
    [(mark, index, funding)] = sink.marks
    assert (mark, index) == ("92281.78", "92263.55")
    assert Decimal(funding) == Decimal(repr(value["funding_8h"]))
    assert sink.quotes == [], "the ticker's best prices are a tenth of a second old"


def test_a_quote_is_read():
    decoder, sink = feed()
    data = {
        "timestamp": 7,
        "instrument_name": "BTC-PERPETUAL",
        "best_bid_price": 49_999.5,
        "best_bid_amount": 1_000.0,
        "best_ask_price": 50_000.0,
        "best_ask_amount": 20.0,
    }
    params = {"channel": "quote.BTC-PERPETUAL", "data": data}
    decoder.decode_quotes(json.dumps({"params": params}).encode())
    decoder.flush()
    assert sink.quotes == [BestQuote(7 * 10**6, 99_999, 100, 100_000, 2)]


def test_a_gap_in_the_sequence_holds_what_follows_until_it_is_filled():
    gaps = []
    decoder, sink = feed(on_gap=lambda stream, gap: gaps.append(gap))
    stream = decoder.streams["BTC-PERPETUAL"]
    decoder.decode(trades(10, 11))
    decoder.decode(trades(15, 16))
    decoder.flush()
    assert sink.ids == [10, 11]
    assert stream.wanted() == (11, 15)
    assert not decoder.splice(stream, [(1, 1, 1, True, 12), (1, 1, 1, True, 13)])
    assert stream.wanted() == (13, 15)
    assert decoder.splice(stream, [(1, 1, 1, True, 14)])
    decoder.decode(trades(17))
    decoder.flush()
    assert sink.ids == list(range(10, 18))
    assert [gap.missing for gap in gaps] == [0]


@pytest.mark.real_data
def test_a_test_request_is_answered(real_data):
    path = real_data / FOLDER / "nt-rs__ws_test_request.json"
    decoder, _ = feed()
    for decode in (decoder.decode, decoder.decode_quotes):
        reply = decode(path.read_bytes())
        assert isinstance(reply, Reply)
        assert json.loads(reply.payload)["method"] == "public/test"
    beat = b'{"jsonrpc":"2.0","method":"heartbeat","params":{"type":"heartbeat"}}'
    assert decoder.decode(beat) is None
    assert decoder.refused == 0


@pytest.mark.real_data
def test_an_error_frame_ends_nothing(real_data):
    """ccxt's receive loop dies of one and hangs until its ping times out."""
    decoder, sink = feed()
    error = (real_data / FOLDER / "nt-rs__ws_error.json").read_bytes()
    assert "10028" in decoder.decode(error).error
    nobodys = b'{"jsonrpc":"2.0","error":{"code":-32600,"message":"bad"}}'
    assert decoder.decode(nobodys) is None
    assert decoder.refused == 1
    unknown = b'{"jsonrpc":"2.0","method":"subscription","params":{"channel":"x"}}'
    assert decoder.decode(unknown) is None
    decoder.decode(trades(1))
    decoder.flush()
    assert sink.ids == [1]


def test_the_answer_names_the_channels_that_were_taken():
    decoder, _ = feed()
    answer = decoder.decode(b'{"jsonrpc":"2.0","id":2,"result":["trades.A.100ms"]}')
    assert (answer.id, answer.error, answer.streams) == (2, "", ("trades.A.100ms",))
    [trades_socket, quotes_socket] = DeribitStreams().sockets("ws://x/", ["A", "B"])
    assert trades_socket.url == "ws://x/ws/api/v2"
    requests = DeribitStreams().requests(quotes_socket.streams)
    assert json.loads(requests[0][0])["method"] == "public/set_heartbeat"
    assert requests[1][1] == quotes_socket.streams, "all of them are to be confirmed"


@pytest.mark.real_data
def test_recorded_bars_have_their_volume_in_dollars(real_data):
    path = real_data / FOLDER / "nt-rs__http_get_tradingview_chart_data.json"
    minute = 60 * 10**9
    inverse = DeribitRest().parse_bars(path.read_bytes(), "BTC-PERPETUAL", minute)
    linear = DeribitRest().parse_bars(path.read_bytes(), "BTC_USDC-PERPETUAL", minute)
    assert [bar.volume for bar in inverse][:2] == [257_490.0, 250_000.0]
    assert linear[0].volume == 2.94375216
    assert inverse[0].close_time_ns - inverse[0].open_time_ns == minute


@pytest.mark.real_data
def test_recorded_instruments_become_inverse_ones(real_data):
    path = real_data / FOLDER / "cf__get_instruments_BTC_2021-07-22.jsonl"
    [row] = [json.loads(line) for line in path.read_text().splitlines()]
    found, cursor = DeribitRest().parse_instruments(json.dumps(row["data"]).encode())
    assert cursor == ""
    btc = found["BTC-PERPETUAL"]
    assert btc.id == InstrumentId.parse("deribit:BTCUSD-PERP")
    assert (btc.tick_size, btc.lot_size) == (Decimal("0.5"), Decimal(10))
    assert btc.is_inverse
    assert (btc.settlement, btc.size_coin) == ("BTC", "USD")


@pytest.mark.real_data
def test_recorded_prints_are_numbered_by_their_sequence(real_data):
    name = "nt-rs__http_get_last_trades_perpetual_with_combo_tags.json"
    page = DeribitRest().parse_trades((real_data / FOLDER / name).read_bytes())
    ids = [trade.trade_id for trade in page.trades]
    assert ids == sorted(ids)
    assert ids[0] >= 133407041
