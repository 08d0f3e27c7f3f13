"""What Binance was recorded to say is read; what it never said is refused."""

import json
from decimal import Decimal

import pytest

from cryptoquantix.core.clock import ManualClock
from cryptoquantix.core.errors import SettingsError, VenueError
from cryptoquantix.core.instrument import InstrumentId
from cryptoquantix.core.quantity import from_steps
from cryptoquantix.venues import binance
from cryptoquantix.venues.binance_feed import BinanceDecoder, BinanceStreams
from cryptoquantix.venues.markets import select
from stand_in import symbol_info

MINUTE_NS = 60 * 10**9
PAYLOADS = "venue-payloads/binance"


def rows(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


class Kept:
    def __init__(self):
        self.ticks = {}
        self.quotes = {}

    def put_ticks(self, instrument, ticks, receipt_time_ns, follows):
        self.ticks.setdefault(instrument.id.symbol, []).extend(ticks)

    def put_quote(self, instrument, quote, receipt_time_ns):
        self.quotes.setdefault(instrument.id.symbol, []).append(quote)


@pytest.mark.real_data
def test_recorded_exchange_info_becomes_instruments(real_data):
    [row] = rows(real_data / PAYLOADS / "cf__fapi_exchangeInfo_2021-07-22.jsonl")
    found = binance.parse_instruments(json.dumps(row["data"]).encode())
    trading = [s for s in row["data"]["symbols"] if s["status"] == "TRADING"]
    assert set(found) == {symbol["symbol"] for symbol in trading}
    btc = found["BTCUSDT"]
    assert btc.id == InstrumentId.parse("binance:BTCUSDT-PERP")
    assert (btc.tick_size, btc.lot_size) == (Decimal("0.01"), Decimal("0.001"))
    assert (btc.notional_min, btc.size_max_lots) == (Decimal(5), 1_000_000)
    dated = [one for one in found.values() if one.id.name == one.id.symbol]
    assert {one.id.name for one in dated} == {
        symbol["symbol"] for symbol in trading if symbol["contractType"] != "PERPETUAL"
    }


@pytest.mark.real_data
def test_documented_exchange_info_becomes_instruments(real_data):
    path = real_data / PAYLOADS / "nt-py__http_futures_market_exchange_info.json"
    found = binance.parse_instruments(path.read_bytes())
    assert found["BTCUSDT"].tick_size == Decimal("0.10")
    assert found["BTCUSDT"].settlement == "USDT"


@pytest.mark.real_data
def test_recorded_streams_become_ticks_and_quotes(real_data):
    folder = real_data / PAYLOADS
    [info] = rows(folder / "cf__fapi_exchangeInfo_2021-07-22.jsonl")
    known = binance.parse_instruments(json.dumps(info["data"]).encode())
    recorded = rows(folder / "cf__fstream_combined_2021-07-22.jsonl")
    messages = [row["data"] for row in recorded if row["dir"] == "ws_recv"]
    sink = Kept()
    symbols = {message["data"]["s"] for message in messages}
    decoder = BinanceDecoder([known[one] for one in symbols], sink, ManualClock())
    others = 0
    for message in messages:
        decoder.decode(memoryview(json.dumps(message).encode()))
        decoder.flush()
        others += message["data"]["e"] not in {"aggTrade", "bookTicker"}
    assert decoder.refused == others
    assert decoder.gaps == 0
    trades = [m["data"] for m in messages if m["data"]["e"] == "aggTrade"]
    assert sum(map(len, sink.ticks.values())) == len(trades) == 45
    for trade in trades:
        time_ns, price, size, maker, trade_id = sink.ticks[trade["s"]].pop(0)
        assert (time_ns, maker, trade_id) == (
            trade["T"] * 10**6,
            trade["m"],
            trade["a"],
        )
        assert from_steps(price, known[trade["s"]].tick_size) == Decimal(trade["p"])
        assert from_steps(size, known[trade["s"]].lot_size) == Decimal(trade["q"])
    quotes = [m["data"] for m in messages if m["data"]["e"] == "bookTicker"]
    assert len(quotes) == 380
    for quote in quotes:
        found = sink.quotes[quote["s"]].pop(0)
        tick_size = known[quote["s"]].tick_size
        assert from_steps(found.bid_price_ticks, tick_size) == Decimal(quote["b"])
        assert from_steps(found.ask_price_ticks, tick_size) == Decimal(quote["a"])


@pytest.mark.real_data
@pytest.mark.parametrize("wrapped", [False, True])
def test_a_bare_and_a_wrapped_event_are_the_same(real_data, wrapped):
    recorded = rows(real_data / PAYLOADS / "cf__fstream_combined_2021-07-22.jsonl")
    message = next(
        row["data"]
        for row in recorded
        if row["dir"] == "ws_recv" and row["data"]["data"]["e"] == "aggTrade"
    )
    [info] = rows(real_data / PAYLOADS / "cf__fapi_exchangeInfo_2021-07-22.jsonl")
    known = binance.parse_instruments(json.dumps(info["data"]).encode())
    sink = Kept()
    symbol = message["data"]["s"]
    decoder = BinanceDecoder([known[symbol]], sink, ManualClock())
    decoder.decode(json.dumps(message if wrapped else message["data"]).encode())
    decoder.flush()
    assert sink.ticks[symbol][0][4] == message["data"]["a"]


@pytest.mark.real_data
def test_documented_klines_become_bars(real_data):
    path = real_data / PAYLOADS / "nt-py__http_futures_market_klines.json"
    week_ns = 7 * 86_400 * 10**9
    # The documented bar is a week's; weeks open on Mondays, 1970 on a Thursday.
    [row] = json.loads(path.read_bytes())
    with pytest.raises(VenueError, match="off its interval"):
        binance.parse_klines(path.read_bytes(), week_ns)
    [bar] = binance.parse_klines(path.read_bytes(), 86_400 * 10**9)
    assert bar.open_time_ns == row[0] * 10**6
    assert bar[2:] == (0.0163479, 0.8, 0.015758, 0.015771, 148976.11427815, 0.0)


def kline(open_ms, close="1.5"):
    return [
        open_ms,
        "1",
        "2",
        "0.5",
        close,
        "3",
        open_ms + 59_999,
        "4",
        1,
        "0",
        "0",
        "0",
    ]


def test_klines_keep_every_double():
    data = json.dumps([kline(0, "0.1"), kline(60_000, "0.30000000")]).encode()
    bars = binance.parse_klines(data, MINUTE_NS)
    assert [bar.close for bar in bars] == [0.1, 0.3]
    assert [bar.close_time_ns for bar in bars] == [MINUTE_NS, 2 * MINUTE_NS]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b'{"code":-1121,"msg":"Invalid symbol."}',
        b"[[1]]",
        json.dumps([kline(60_000), kline(0)]).encode(),
        json.dumps([kline(0), kline(0)]).encode(),
        json.dumps([kline(0, "x")]).encode(),
        json.dumps([kline(1)]).encode(),
    ],
)
def test_klines_of_another_shape_are_refused(data):
    with pytest.raises(VenueError, match="klines in an unknown shape"):
        binance.parse_klines(data, MINUTE_NS)


def test_one_odd_symbol_is_left_out_and_the_rest_stays():
    odd = symbol_info("ODDUSDT") | {"filters": []}
    zero = symbol_info("ZEROUSDT")
    zero["filters"][0] = {"filterType": "PRICE_FILTER", "tickSize": "0"}
    halted = symbol_info("OLDUSDT") | {"status": "SETTLING"}
    info = {"symbols": [odd, zero, halted, symbol_info("BTCUSDT")]}
    assert set(binance.parse_instruments(json.dumps(info).encode())) == {"BTCUSDT"}
    with pytest.raises(VenueError, match="unknown shape"):
        binance.parse_instruments(b'{"symbols": 1}')


def test_an_instrument_that_is_not_traded_is_one_sentence():
    info = {"symbols": [symbol_info("BTCUSDT")]}
    known = binance.parse_instruments(json.dumps(info).encode())
    with pytest.raises(SettingsError, match="NOUSDT-PERP is not traded at binance"):
        select(known, [InstrumentId.parse("binance:NOUSDT-PERP")])
    with pytest.raises(SettingsError, match=r"as binance:BTCUSDT-PERP, not as named"):
        select(known, [InstrumentId.parse("binance:BTCUSDT-SPOT")])


def test_a_bar_length_the_venue_lacks_is_one_sentence():
    assert binance.interval_name(3600) == "1h"
    with pytest.raises(SettingsError, match="bar_seconds must be one of"):
        binance.interval_name(7)


def test_addresses_and_streams_are_as_documented():
    trades, quotes = BinanceStreams().sockets("wss://fstream.binance.com/", ["BTCUSDT"])
    assert trades.url == "wss://fstream.binance.com/market/ws"
    assert trades.streams == ["btcusdt@aggTrade", "btcusdt@markPrice@1s"]
    assert quotes.url == "wss://fstream.binance.com/public/ws"
    assert quotes.streams == ["btcusdt@bookTicker"]
    [(message, _)] = BinanceStreams().requests(trades.streams)
    assert json.loads(message) == {
        "method": "SUBSCRIBE",
        "params": ["btcusdt@aggTrade", "btcusdt@markPrice@1s"],
        "id": 1,
    }


def test_many_instruments_are_spread_over_sockets():
    symbols = [f"A{i}USDT" for i in range(250)]
    plans = BinanceStreams().sockets("ws://x", symbols)
    assert [len(plan.trade_symbols) for plan in plans] == [100, 0, 100, 0, 50, 0]
    assert max(len(plan.streams) for plan in plans) == 200
    assert [s for plan in plans for s in plan.trade_symbols] == symbols
    requests = BinanceStreams().requests(plans[0].streams)
    assert len(requests) == 4
    assert len(requests) < 10, "the venue takes ten messages a second"
