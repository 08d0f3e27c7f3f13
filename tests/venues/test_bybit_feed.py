"""Bybit's frames become ticks; what its numbers hide is proven by overlap."""

import json
from decimal import Decimal

import pytest

from cryptoquantix.core.clock import ManualClock
from cryptoquantix.core.instrument import Instrument, InstrumentId
from cryptoquantix.core.market import BestQuote
from cryptoquantix.venues.bybit import BybitRest
from cryptoquantix.venues.bybit_feed import BybitDecoder, BybitStreams
from cryptoquantix.venues.dialect import Answer

BTC = Instrument(
    id=InstrumentId.parse("bybit:BTCUSDT-PERP"),
    tick_size=Decimal("0.10"),
    lot_size=Decimal("0.001"),
    notional_min=Decimal(5),
    settlement="USDT",
    base="BTC",
    quote="USDT",
)
MATCH = 65_536


class Kept:
    """A sink that keeps what it is given."""

    def __init__(self):
        self.ticks = []
        self.follows = []
        self.quotes = []
        self.marks = []

    def put_ticks(self, instrument, ticks, receipt_time_ns, follows):
        self.ticks += ticks
        self.follows.append((follows, ticks[0][4], ticks[-1][4]))

    def put_quote(self, instrument, quote, receipt_time_ns):
        self.quotes.append(quote)

    def put_mark(self, instrument, mark, receipt_time_ns):
        self.marks.append((mark.mark, mark.index, mark.funding_rate))

    @property
    def ids(self):
        return [tick[4] for tick in self.ticks]


def feed(on_gap=None):
    sink = Kept()
    decoder = BybitDecoder([BTC], sink, ManualClock(2_000_000_000), on_gap)
    decoder.begin_session(["BTCUSDT"])
    return decoder, sink


def trades(*sequences):
    rows = [
        {
            "T": 1_000 + sequence,
            "s": "BTCUSDT",
            "S": "Sell" if sequence % 2 else "Buy",
            "v": "0.005",
            "p": "100.00",
            "L": "PlusTick",
            "i": "20f43950-d8dd-5b31-9112-a178eb6023af",
            "BT": False,
            "seq": sequence,
        }
        for sequence in sequences
    ]
    message = {
        "topic": "publicTrade.BTCUSDT",
        "type": "snapshot",
        "ts": 1,
        "data": rows,
    }
    return json.dumps(message).encode()


def tick(trade_id):
    return (1, 1000, 5, False, trade_id)


def ids(*pairs):
    return [sequence * MATCH + index for sequence, index in pairs]


def test_prints_of_one_match_are_told_apart_and_their_ids_rise():
    decoder, sink = feed(on_gap=lambda stream, gap: None)
    decoder.decode(trades(7, 7))
    stream = decoder.streams["BTCUSDT"]
    assert sink.ids == [], "the first match of a session is read whole first"
    decoder.splice(stream, [tick(one) for one in ids((7, 0), (7, 1), (7, 2))])
    decoder.decode(trades(8, 8, 10))
    decoder.decode(trades(10, 11))
    decoder.flush()
    expected = ids((7, 0), (7, 1), (7, 2), (8, 0), (8, 1), (10, 0), (10, 1), (11, 0))
    assert sink.ids == expected
    follows = [one[0] for one in sink.follows]
    assert follows == [-1, ids((7, 2))[0]], "each batch names the print before it"
    assert sink.ticks[3][1:4] == (1000, 5, False)


def test_a_new_session_is_spliced_to_the_one_before():
    gaps = []
    decoder, sink = feed(on_gap=lambda stream, gap: gaps.append(gap))
    stream = decoder.streams["BTCUSDT"]
    decoder.decode(trades(7))
    decoder.splice(stream, [tick(ids((7, 0))[0])])
    decoder.begin_session(["BTCUSDT"])
    decoder.decode(trades(9))  # the last one of its match: the first was not streamed
    decoder.decode(trades(12))
    decoder.flush()
    assert sink.ids == ids((7, 0))
    assert stream.wanted() == (ids((7, 0))[0], 10 * MATCH)
    fetched = ids((6, 0), (7, 0), (8, 0), (9, 0), (9, 1))
    assert decoder.splice(stream, [tick(one) for one in fetched])
    decoder.decode(trades(13))
    decoder.flush()
    assert sink.ids == ids((7, 0), (8, 0), (9, 0), (9, 1), (12, 0), (13, 0))
    assert [gap.missing for gap in gaps] == [0, 0]
    for before, after in zip(sink.follows, sink.follows[1:], strict=False):
        assert after[0] == before[2]


def test_a_session_that_ends_while_prints_are_held_holds_them_no_longer():
    """Prints may be missing behind them: they are fetched with the rest."""
    decoder, sink = feed(on_gap=lambda stream, gap: None)
    stream = decoder.streams["BTCUSDT"]
    decoder.decode(trades(7))
    decoder.splice(stream, [tick(ids((7, 0))[0])])
    decoder.begin_session(["BTCUSDT"])
    decoder.decode(trades(9))
    decoder.begin_session(["BTCUSDT"])
    assert stream.wanted()[1] == -1, "until the new session's first print"
    decoder.decode(trades(15))
    assert stream.wanted() == (7 * MATCH, 16 * MATCH)
    whole = ids((7, 0), (9, 0), (11, 0), (15, 0))
    decoder.splice(stream, [tick(one) for one in whole])
    decoder.flush()
    assert sink.ids == whole


def test_after_a_silence_the_next_print_is_spliced_too():
    """No number would tell what a venue left out while its stream stood still."""
    decoder, sink = feed(on_gap=lambda stream, gap: None)
    stream = decoder.streams["BTCUSDT"]
    decoder.decode(trades(7))
    decoder.splice(stream, [tick(ids((7, 0))[0])])
    decoder.catch_up(stream, ids((9, 0))[0])
    decoder.decode(trades(14))
    decoder.splice(stream, [tick(one) for one in ids((7, 0), (9, 0), (10, 0))])
    assert sink.ids == ids((7, 0), (9, 0), (10, 0))
    decoder.decode(trades(20))
    assert stream.wanted() == (ids((10, 0))[0], 21 * MATCH)
    rest = ids((10, 0), (12, 0), (14, 0), (20, 0))
    decoder.splice(stream, [tick(one) for one in rest])
    decoder.doubt(stream)
    decoder.decode(trades(30))
    assert stream.wanted() == (ids((20, 0))[0], 31 * MATCH)
    decoder.splice(stream, [tick(one) for one in ids((20, 0), (25, 0), (30, 0))])
    decoder.decode(trades(31))
    decoder.flush()
    assert [one >> 16 for one in sink.ids] == [7, 9, 10, 12, 14, 20, 25, 30, 31]


def test_what_cannot_be_fetched_is_told_by_the_next_batch():
    decoder, sink = feed()  # nobody fills gaps
    decoder.decode(trades(7))
    decoder.begin_session(["BTCUSDT"])
    decoder.decode(trades(900))
    decoder.flush()
    assert sink.ids == ids((7, 0), (900, 0))
    assert [one[0] for one in sink.follows] == [-1, -1]


def test_a_print_seen_before_is_dropped_and_counted():
    decoder, sink = feed()
    for sequence in (7, 8, 8, 7, 9):
        decoder.decode(trades(sequence))
    decoder.flush()
    stream = decoder.streams["BTCUSDT"]
    # A second message of match 8 is its second print: only 7 is an old one.
    assert sink.ids == ids((7, 0), (8, 0), (8, 1), (9, 0))
    assert stream.duplicates == 1


def test_the_best_levels_are_a_quote():
    decoder, sink = feed()
    message = {
        "topic": "orderbook.1.BTCUSDT",
        "type": "snapshot",
        "ts": 5,
        "cts": 4,
        "data": {
            "s": "BTCUSDT",
            "b": [["99.90", "1.5"]],
            "a": [["100.1", "2"]],
            "u": 1,
            "seq": 1,
        },
    }
    decoder.decode_quotes(json.dumps(message).encode())
    decoder.flush()
    assert sink.quotes == [BestQuote(4 * 10**6, 999, 1500, 1001, 2000)]
    assert decoder.streams["BTCUSDT"].is_quote_proven
    changed = {"s": "BTCUSDT", "b": [["99.90", "0"], ["99.80", "3"]], "a": []}
    delta = message | {"type": "delta", "cts": 9, "data": changed}
    decoder.decode_quotes(json.dumps(delta).encode())
    decoder.flush()
    assert sink.quotes[-1] == BestQuote(9 * 10**6, 998, 3000, 1001, 2000)


@pytest.mark.real_data
def test_a_recorded_ticker_is_a_mark_and_what_a_delta_leaves_out_stays(real_data):
    path = real_data / "venue-payloads/bybit/nt-rs__ws_ticker_linear.json"
    decoder, sink = feed()
    decoder.decode_quotes(path.read_bytes())
    decoder.flush()
    assert sink.marks == [("17217.33", "17227.36", "-0.000212")]
    delta = {
        "topic": "tickers.BTCUSDT",
        "type": "delta",
        "ts": 1,
        "data": {"symbol": "BTCUSDT", "markPrice": "17218"},
    }
    decoder.decode_quotes(json.dumps(delta).encode())
    decoder.flush()
    assert sink.marks[-1] == ("17218", "17227.36", "-0.000212")
    assert decoder.refused == 0


@pytest.mark.real_data
def test_recorded_answers_are_read(real_data):
    folder = real_data / "venue-payloads/bybit"
    decoder, _ = feed()
    done = decoder.decode((folder / "nt-rs__ws_subscription_ack.json").read_bytes())
    assert isinstance(done, Answer)
    assert done.error == ""
    refused = decoder.decode_quotes(
        (folder / "nt-rs__ws_subscription_failure.json").read_bytes()
    )
    assert "Invalid topic" in refused.error
    pong = b'{"success":true,"ret_msg":"pong","conn_id":"1","op":"ping"}'
    assert decoder.decode(pong) is None
    assert decoder.refused == 0


@pytest.mark.parametrize(
    "payload", [b"", b"{", b"[]", b"\xff", b'{"topic":"publicTrade.NOUSDT","data":[]}']
)
def test_what_cannot_be_read_is_counted(payload):
    decoder, _ = feed()
    assert decoder.decode(payload) is None
    assert decoder.decode_quotes(payload) is None
    assert decoder.refused == 2


def test_long_lists_of_topics_are_several_requests():
    symbols = [f"{i:04d}LONGNAMEUSDT" for i in range(250)]
    plans = BybitStreams().sockets("ws://x", symbols)
    assert [len(plan.trade_symbols) for plan in plans] == [100, 0, 100, 0, 50, 0]
    many = [f"publicTrade.{symbol}" for symbol in symbols * 10]
    requests = BybitStreams().requests(many)
    args = [json.loads(message)["args"] for message, _ in requests]
    assert [one for chunk in args for one in chunk] == many
    assert max(sum(map(len, chunk)) for chunk in args) <= 21_000
    assert [json.loads(m)["req_id"] for m, _ in requests] == [
        str(i) for i in range(1, len(requests) + 1)
    ]


def recent(count, per_match=3, newest=1_000_000):
    rows = [
        {
            "execId": str(i),
            "price": "100.0",
            "size": "1",
            "side": "Buy",
            "time": "5",
            "seq": str(newest - i // per_match),
        }
        for i in range(count)
    ]
    return json.dumps({"retCode": 0, "result": {"list": rows}, "time": 1}).encode()


def test_the_oldest_match_of_a_full_page_is_left_out():
    """Some of its prints may be missing, which would number the others wrongly."""
    page = BybitRest().parse_trades(recent(1_000))
    assert page.has_more
    matches = [trade.trade_id >> 16 for trade in page.trades]
    assert min(matches) == 1_000_000 - 332
    assert len(page.trades) == 999
    whole = BybitRest().parse_trades(recent(10))
    assert not whole.has_more
    assert len(whole.trades) == 10
    found = [trade.trade_id for trade in whole.trades]
    assert found == sorted(set(found))
