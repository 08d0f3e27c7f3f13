"""Frames become ticks exactly; what is missing, doubled or unreadable is counted."""

import json
from dataclasses import replace
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from cryptoquantix.core.clock import ManualClock
from cryptoquantix.core.instrument import Instrument, InstrumentId
from cryptoquantix.core.market import BestQuote, Tick
from cryptoquantix.venues.binance_feed import BinanceDecoder
from cryptoquantix.venues.feed import BATCH_MAX
from stand_in import LOT_SIZE, TICK_SIZE, agg_trade, book_ticker

BTC = Instrument(
    id=InstrumentId.parse("binance:BTCUSDT-PERP"),
    tick_size=TICK_SIZE,
    lot_size=LOT_SIZE,
    notional_min=Decimal(5),
    settlement="USDT",
    base="BTC",
    quote="USDT",
)


class Kept:
    """A sink that keeps what it is given."""

    def __init__(self):
        self.ticks = []
        self.batches = []
        self.quotes = []
        self.marks = []
        self.follows = []

    def put_ticks(self, instrument, ticks, receipt_time_ns, follows):
        self.ticks += [Tick(*tick) for tick in ticks]
        self.batches.append((len(ticks), receipt_time_ns))
        self.follows.append(follows)

    def put_quote(self, instrument, quote, receipt_time_ns):
        self.quotes.append(quote)

    def put_mark(self, instrument, mark, receipt_time_ns):
        self.marks.append((mark.mark, mark.index, mark.funding_rate))


def feed():
    sink = Kept()
    clock = ManualClock(2_000_000_000)
    return BinanceDecoder([BTC], sink, clock), sink, clock


def tick(trade_id, time_ms=1_000, price=1000, size=5):
    return Tick(time_ms * 10**6, price, size, False, trade_id)


def frame(*args, **kwargs):
    return memoryview(agg_trade("BTCUSDT", tick(*args, **kwargs)).encode())


@given(
    st.integers(1, 10**9), st.integers(1, 10**9), st.booleans(), st.integers(1, 10**12)
)
def test_a_trade_survives_to_the_last_digit(price, size, maker, trade_id):
    decoder, sink, _ = feed()
    sent = Tick(123 * 10**6, price, size, maker, trade_id)
    assert decoder.decode(memoryview(agg_trade("BTCUSDT", sent).encode())) is None
    decoder.flush()
    assert sink.ticks == [sent]
    assert decoder.refused == 0


def test_the_trades_of_a_turn_are_one_batch_with_one_receive_time():
    decoder, sink, clock = feed()
    decoder.decode(frame(1))
    clock.advance(5)
    decoder.decode(frame(2))
    assert decoder.has_pending
    decoder.flush()
    assert not decoder.has_pending
    assert sink.batches == [(2, 2_000_000_000)]
    decoder.flush()
    assert len(sink.batches) == 1


def test_a_batch_is_bounded():
    decoder, sink, _ = feed()
    for trade_id in range(1, 2 * BATCH_MAX + 2):
        decoder.decode(frame(trade_id))
    decoder.flush()
    assert [count for count, _ in sink.batches] == [BATCH_MAX, BATCH_MAX, 1]


def test_a_jump_in_trade_ids_is_a_gap_and_the_print_is_used():
    decoder, sink, _ = feed()
    for trade_id in (10, 11, 15, 16):
        decoder.decode(frame(trade_id))
    decoder.flush()
    stream = decoder.streams["BTCUSDT"]
    assert [one.trade_id for one in sink.ticks] == [10, 11, 15, 16]
    assert (stream.gaps, stream.trades_missing, decoder.gaps) == (1, 3, 1)


def test_a_print_seen_before_is_dropped_and_counted():
    decoder, sink, _ = feed()
    for trade_id in (10, 11, 11, 10, 12):
        decoder.decode(frame(trade_id))
    decoder.flush()
    stream = decoder.streams["BTCUSDT"]
    assert [one.trade_id for one in sink.ticks] == [10, 11, 12]
    assert (stream.duplicates, stream.gaps) == (2, 0)


def test_a_new_session_that_goes_on_without_loss_is_no_gap():
    decoder, _, _ = feed()
    decoder.decode(frame(10))
    decoder.begin_session(["BTCUSDT"])
    decoder.decode(frame(11))
    decoder.begin_session(["BTCUSDT"])
    decoder.begin_session(["BTCUSDT"])
    decoder.decode(frame(14))
    decoder.flush()
    stream = decoder.streams["BTCUSDT"]
    assert (stream.gaps, stream.trades_missing) == (1, 2)


def test_a_new_session_with_lower_ids_is_a_gap_and_not_silence():
    decoder, sink, _ = feed()
    decoder.decode(frame(1000))
    decoder.begin_session(["BTCUSDT"])
    for trade_id in (1, 2, 3):
        decoder.decode(frame(trade_id))
    decoder.flush()
    assert [one.trade_id for one in sink.ticks] == [1000, 1, 2, 3]
    assert decoder.gaps == 1


def test_only_the_newest_quote_of_a_turn_is_handed_on():
    decoder, sink, _ = feed()
    decoder.decode(book_ticker("BTCUSDT", 1, "99.9", "100.1").encode())
    decoder.decode(book_ticker("BTCUSDT", 2, "99.8", "100.0").encode())
    decoder.flush()
    assert sink.quotes == [BestQuote(2 * 10**6, 998, 1000, 1000, 2000)]


def test_a_wrapped_event_is_read():
    decoder, sink, _ = feed()
    text = '{"stream":"btcusdt@aggTrade","data":' + agg_trade("BTCUSDT", tick(7)) + "}"
    assert decoder.decode(text.encode()) is None
    decoder.flush()
    assert [one.trade_id for one in sink.ticks] == [7]


def test_an_acknowledgement_is_handed_to_whoever_asked():
    decoder, _, _ = feed()
    assert decoder.decode(b'{"result":null,"id":3}').id == 3
    answer = decoder.decode(b'{"error":{"code":2,"msg":"no"},"id":4}')
    assert "no" in answer.error
    assert decoder.refused == 0


def test_what_cannot_be_read_is_counted_and_the_rest_goes_on():
    decoder, sink, _ = feed()
    good = json.loads(agg_trade("BTCUSDT", tick(1)))
    bad = [
        b"",
        b"{",
        b"[]",
        b'"x"',
        b"\xff\xfe",
        b'{"e":"kline","s":"BTCUSDT"}',
        json.dumps(good | {"p": "100.05"}).encode(),
        json.dumps(good | {"q": "-"}).encode(),
        json.dumps(good | {"a": "1"}).encode(),
        json.dumps(good | {"s": "ETHUSDT"}).encode(),
        json.dumps({key: good[key] for key in good if key != "T"}).encode(),
    ]
    for payload in bad:
        assert decoder.decode(payload) is None
    decoder.decode(frame(1))
    decoder.flush()
    assert decoder.refused == len(bad)
    assert [one.trade_id for one in sink.ticks] == [1]


@given(st.binary(max_size=300))
def test_no_frame_raises(payload):
    decoder, _, _ = feed()
    decoder.decode(payload)
    decoder.flush()


def test_latency_is_the_receive_time_less_the_event_time():
    decoder, _, _ = feed()
    decoder.decode(agg_trade("BTCUSDT", tick(1), event_ms=1_990).encode())
    assert decoder.latency_ns == 10 * 10**6


def gapped(on_gap):
    sink = Kept()
    return BinanceDecoder([BTC], sink, ManualClock(2_000_000_000), on_gap), sink


@given(st.data())
def test_whatever_is_lost_doubled_or_overtaken_what_is_handed_on_is_whole(data):
    """Frames in any order; missing prints are fetched a page at a time, whenever."""
    count = data.draw(st.integers(1, 40))
    events = data.draw(
        st.lists(st.integers(1, count), max_size=80).map(lambda ids: [1, *ids, count])
    )
    open_gaps = []
    decoder, sink = gapped(lambda stream, gap: open_gaps.append(gap))
    stream = decoder.streams["BTCUSDT"]

    def fetch(page):
        after, before = stream.wanted()
        ids = range(after + 1, min(before, after + 1 + page))
        decoder.splice(stream, [tick(one) for one in ids])

    for trade_id in events:
        decoder.decode(frame(trade_id))
        if stream.held is not None and data.draw(st.booleans()):
            fetch(data.draw(st.integers(1, 5)))
    while stream.held is not None:
        fetch(7)
    decoder.flush()
    assert [one.trade_id for one in sink.ticks] == list(range(1, count + 1))
    assert sink.follows[0] == 0
    ends = [0]
    for follows, (size, _) in zip(sink.follows, sink.batches, strict=True):
        assert follows == ends[-1]
        ends.append(follows + size)
    assert all(gap.missing == 0 for gap in open_gaps)


def test_what_is_given_up_is_counted_and_told_by_the_batch_after_it():
    gaps = []
    decoder, sink = gapped(lambda stream, gap: gaps.append(gap))
    stream = decoder.streams["BTCUSDT"]
    for trade_id in (10, 12, 13, 17):
        decoder.decode(frame(trade_id))
    decoder.flush()
    assert [one.trade_id for one in sink.ticks] == [10]
    decoder.give_up(stream)
    decoder.decode(frame(18))
    decoder.flush()
    assert [one.trade_id for one in sink.ticks] == [10, 12, 13, 17, 18]
    assert sink.follows == [9, 11, 16, 17]
    assert (stream.trades_missing, stream.gaps) == (4, 1)
    assert [gap.missing for gap in gaps] == [4]


def test_prints_that_overtook_each_other_are_put_in_order_without_asking():
    gaps = []
    decoder, sink = gapped(lambda stream, gap: gaps.append(gap))
    for trade_id in (10, 13, 12, 11, 14):
        decoder.decode(frame(trade_id))
    decoder.flush()
    assert [one.trade_id for one in sink.ticks] == [10, 11, 12, 13, 14]
    assert [gap.missing for gap in gaps] == [0]


def test_a_feed_that_goes_on_from_another_one_misses_nothing():
    decoder, sink = gapped(lambda stream, gap: None)
    stream = decoder.streams["BTCUSDT"]
    stream.resume(7)
    decoder.begin_session(["BTCUSDT"])
    decoder.decode(frame(7))
    decoder.decode(frame(10))
    assert stream.wanted() == (7, 10)
    decoder.splice(stream, [tick(8), tick(9)])
    decoder.flush()
    assert [one.trade_id for one in sink.ticks] == [8, 9, 10]
    assert sink.follows == [7]
    assert stream.duplicates == 1


def test_held_prints_are_bounded(monkeypatch):
    monkeypatch.setattr("cryptoquantix.venues.feed.HELD_MAX", 5)
    gaps = []
    decoder, sink = gapped(lambda stream, gap: gaps.append(gap))
    decoder.decode(frame(1))
    for trade_id in range(3, 12):
        decoder.decode(frame(trade_id))
    decoder.flush()
    assert [one.trade_id for one in sink.ticks] == [1, *range(3, 12)]
    assert [gap.missing for gap in gaps] == [1]


def test_mark_and_funding_are_handed_on_as_they_were_written():
    decoder, sink, _ = feed()
    event = {
        "e": "markPriceUpdate",
        "E": 5,
        "s": "BTCUSDT",
        "p": "11794.15000000",
        "i": "11784.62659091",
        "P": "11784.25641265",
        "r": "0.00038167",
        "T": 1562306400000,
    }
    decoder.decode(json.dumps(event).encode())
    decoder.flush()
    assert sink.marks == [("11794.15000000", "11784.62659091", "0.00038167")]


def test_what_is_known_to_be_missing_is_fetched_to_its_end_page_by_page():
    gaps = []
    decoder, sink = gapped(lambda stream, gap: gaps.append(gap))
    stream = decoder.streams["BTCUSDT"]
    decoder.decode(frame(1))
    decoder.flush()
    decoder.catch_up(stream, 6)
    assert not decoder.splice(stream, [tick(2), tick(3)])
    assert stream.wanted() == (3, 7)
    assert decoder.splice(stream, [tick(4), tick(5), tick(6)])
    decoder.decode(frame(7))
    decoder.flush()
    assert [one.trade_id for one in sink.ticks] == list(range(1, 8))
    assert [gap.missing for gap in gaps] == [0]


def test_prints_held_in_old_steps_are_fetched_in_the_new_ones():
    decoder, sink = gapped(lambda stream, gap: None)
    stream = decoder.streams["BTCUSDT"]
    for trade_id in (1, 4, 5):
        decoder.decode(frame(trade_id))
    assert decoder.change_steps(replace(BTC, tick_size=Decimal("0.05")))
    assert not decoder.change_steps(replace(BTC, tick_size=Decimal("0.05")))
    decoder.decode(frame(6))
    fetched = [tick(one, price=2_000) for one in (2, 3, 4, 5)]
    assert decoder.splice(stream, fetched)
    decoder.flush()
    assert [(t.trade_id, t.price_ticks) for t in sink.ticks] == [
        (1, 1_000),
        *((one, 2_000) for one in (2, 3, 4, 5, 6)),
    ]


def test_what_is_known_to_be_missing_can_be_given_up_before_anything_follows():
    gaps = []
    decoder, sink = gapped(lambda stream, gap: gaps.append(gap))
    stream = decoder.streams["BTCUSDT"]
    decoder.decode(frame(1))
    decoder.catch_up(stream, 6)
    decoder.give_up(stream)
    decoder.decode(frame(7))
    decoder.flush()
    assert [one.trade_id for one in sink.ticks] == [1, 7]
    assert sink.follows == [0, 6]
    assert ([gap.missing for gap in gaps], stream.trades_missing) == ([5], 5)
