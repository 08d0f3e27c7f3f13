"""The Bybit venue's WebSocket protocol: who hears what, in which order."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryptoquantix.core.order import Side
from cryptoquantix.simulator.accounts import Leg
from cryptoquantix.simulator.orders import OrderRequest, Origin
from cryptoquantix.simulator.wire.bybit_ids import parse_uuid
from cryptoquantix.simulator.wire.messages import Response
from simulator.bybit_bench import Bench

LINEAR = {"category": "linear", "symbol": "BTCUSDT"}


@pytest.fixture
def bench():
    return Bench()


def number(value) -> Decimal:
    return Decimal(str(value))


# The protocol.


def test_only_the_documented_paths_are_served(bench):
    for path in ("/v5/public/linear", "/v5/private"):
        assert not isinstance(bench.connect(path), Response)
    for path in ("/", "/v5/trade", "/v5/public/spot"):
        assert bench.connect(path).status == 404


def test_pings_are_answered_in_words(bench):
    public, private = bench.connect("/v5/public/linear"), bench.connect()
    [said] = bench.tell(public, {"op": "ping", "req_id": "7"})
    assert (said["success"], said["ret_msg"], said["op"]) == (True, "pong", "ping")
    assert said["req_id"] == "7"
    [said] = bench.tell(private, {"op": "ping", "req_id": 7})
    assert (said["op"], said["req_id"]) == ("pong", "7")
    assert said["args"] == [str(bench.clock.time_ns() // 1_000_000)]


def test_a_subscription_is_acknowledged_before_its_first_message(bench):
    public = bench.connect("/v5/public/linear")
    args = ["orderbook.50.BTCUSDT", "tickers.BTCUSDT"]
    said = bench.tell(public, {"op": "subscribe", "req_id": 1, "args": args})
    assert [m.get("topic") for m in said] == [None, *args]
    assert (said[0]["success"], said[0]["req_id"], said[0]["op"]) == (
        True,
        "1",
        "subscribe",
    )
    [again] = bench.tell(public, {"op": "subscribe", "args": args})
    assert again["ret_msg"] == "error:already subscribed,topic:orderbook.50.BTCUSDT"


@pytest.mark.parametrize(
    "topic",
    ["orderbook.5.BTCUSDT", "orderbook.50.NOPE", "kline.2.BTCUSDT", "order", "", "x"],
)
def test_an_unknown_topic_is_refused_and_none_of_the_rest_done(bench, topic):
    public = bench.connect("/v5/public/linear")
    args = ["tickers.BTCUSDT", topic]
    [said] = bench.tell(public, {"op": "subscribe", "req_id": "2", "args": args})
    assert (said["success"], said["req_id"]) == (False, "2")
    assert said["ret_msg"] == f"error:handler not found,topic:{topic}"
    bench.run(1)
    assert bench.heard(public) == []


def test_leniency_takes_topics_it_does_not_know():
    bench = Bench(is_lenient=True)
    public = bench.connect("/v5/public/linear")
    [said] = bench.tell(public, {"op": "subscribe", "args": ["adlAlert.USDT"]})
    assert said["success"]


def test_private_topics_need_a_key(bench):
    private = bench.connect()
    asked = {"op": "subscribe", "args": ["order"]}
    assert bench.tell(private, asked)[0]["ret_msg"] == "Request not authorized"
    [said] = bench.authenticate(private, secret="wrong")
    assert (said["success"], said["op"], said["retCode"]) == (False, "auth", 10004)
    [said] = bench.authenticate(private, ahead_ms=0)
    assert not said["success"]
    [said] = bench.tell(private, {"op": "auth", "args": ["nobody", "1", "2"]})
    assert (said["success"], said["retCode"]) == (False, 10003)
    [said] = bench.authenticate(private)
    assert said["success"]
    assert set(said) == {"success", "ret_msg", "op", "conn_id"}
    assert bench.tell(private, asked)[0]["success"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["op", "args", "req_id", "x"]), inner)
    ),
    max_leaves=6,
)


@settings(max_examples=200, deadline=None)
@given(
    message=st.one_of(
        JSON,
        st.fixed_dictionaries(
            {
                "op": st.sampled_from(["auth", "subscribe", "unsubscribe", "ping"]),
                "args": JSON,
                "req_id": JSON,
            }
        ),
        st.binary(max_size=20),
        st.text(max_size=20),
    )
)
def test_no_message_breaks_the_venue(shared, message):
    for path in ("/v5/public/linear", "/v5/private"):
        subscriber = shared.connect(path)
        said = shared.tell(subscriber, message)
        assert said
        assert shared.tell(subscriber, {"op": "ping"})
        shared.venue.leave(subscriber, shared.clock.time_ns())


@pytest.fixture(scope="module")
def shared():
    return Bench()


# Public topics.


def test_every_trade_is_heard_once_in_order_with_tape_time(bench):
    listener = bench.follow("publicTrade.BTCUSDT")
    first = bench.market().history.last_id + 1
    bench.run(20)
    rows = [row for m in bench.heard(listener) for row in m["data"]]
    last = bench.market().history.last_id
    assert [parse_uuid(r["i"])[1] for r in rows] == list(range(first, last + 1))
    assert len(rows) > 5
    printed = bench.market().history.trades.last(len(rows))
    listing = bench.market().listing
    for row, trade in zip(rows, printed, strict=True):
        assert row["T"] == trade.time_ns // 1_000_000
        assert row["p"] == listing.price_text(trade.price_ticks)
        assert row["v"] == listing.size_text(trade.size_lots)
        assert row["S"] == ("Sell" if trade.is_buyer_maker else "Buy")


class Follower:
    """A book kept as a client keeps it."""

    def __init__(self) -> None:
        self.sides = {"b": {}, "a": {}}
        self.update_id = None

    def take(self, message) -> None:
        data = message["data"]
        if message["type"] == "snapshot":
            self.sides = {"b": {}, "a": {}}
        else:
            assert data["u"] == self.update_id + 1
        self.update_id = data["u"]
        for side, book in self.sides.items():
            for price, size in data[side]:
                book[price] = size
                if not number(size):
                    del book[price]


@pytest.mark.parametrize("depth", [1, 50, 200, 1000])
def test_a_followed_book_is_the_book(bench, depth):
    listener = bench.follow(f"orderbook.{depth}.BTCUSDT")
    book = Follower()
    for step in range(40):
        if step % 7 == 3:
            price = str(bench.price().quantize(Decimal(1)) - 5)
            order = {"orderType": "Limit", "price": price, "qty": "0.5"}
            bench.order(**order)
        if step == 20:
            late = bench.follow(f"orderbook.{depth}.BTCUSDT")
            other = Follower()
        bench.run(0.5)
        if step >= 20:
            for message in bench.heard(late):
                other.take(message)
        for message in bench.heard(listener):
            book.take(message)
    bench.rest()
    for follower, subscriber in ((book, listener), (other, late)):
        for message in bench.heard(subscriber):
            follower.take(message)
    asked = LINEAR | {"limit": min(depth, 500)}
    true = bench.get("/v5/market/orderbook", **asked)
    assert book.sides == {side: dict(true[side]) for side in ("b", "a")}
    assert other.sides == book.sides


def test_a_quiet_best_quote_is_repeated_after_three_seconds(bench):
    listener = bench.follow("orderbook.1.DOGEUSDT")
    bench.heard(listener)
    bench.rest(10)
    said = bench.heard(listener)
    assert 2 <= len(said) <= 4
    assert {m["type"] for m in said} == {"snapshot"}


def test_a_ticker_is_a_snapshot_and_then_what_changes(bench):
    listener = bench.follow("tickers.BTCUSDT")
    [first] = bench.heard(listener)
    fields = dict(first["data"])
    bench.run(10)
    later = bench.heard(listener)
    assert {m["type"] for m in later} == {"delta"}
    for message in later:
        assert message["data"]["symbol"] == "BTCUSDT"
        assert len(message["data"]) < len(fields)
        fields |= message["data"]
    asked = bench.get("/v5/market/tickers", **LINEAR)["list"][0]
    names = set(asked) & set(fields) - {"volume24h", "turnover24h"}
    assert len(names) > 12
    assert {n: fields[n] for n in names} == {n: asked[n] for n in names}


def test_bars_close_once_and_follow_each_other(bench):
    listener = bench.follow("kline.1.BTCUSDT")
    bench.run(200)
    rows = [m["data"][0] for m in bench.heard(listener)]
    closed = [r for r in rows if r["confirm"]]
    assert len(closed) == 3
    for older, newer in pairwise(closed):
        assert newer["start"] == older["start"] + 60_000 == older["end"] + 1
    asked = LINEAR | {"interval": "1", "limit": 4}
    bars = bench.get("/v5/market/kline", **asked)["list"][1:]
    names = ("start", "open", "high", "low", "close", "volume", "turnover")
    assert [[str(r[n]) for n in names] for r in reversed(closed)] == bars
    assert any(not r["confirm"] for r in rows)


def test_who_has_unsubscribed_hears_no_more(bench):
    listener = bench.follow("tickers.BTCUSDT", "publicTrade.BTCUSDT")
    args = ["tickers.BTCUSDT", "publicTrade.BTCUSDT"]
    bench.heard(listener)
    [said] = bench.tell(listener, {"op": "unsubscribe", "args": args})
    assert (said["success"], said["op"]) == (True, "unsubscribe")
    bench.run(5)
    assert bench.heard(listener) == []


# Private topics.

PRIVATE = ("order", "execution", "execution.fast", "position", "wallet")


def test_a_fill_is_told_on_every_private_topic(bench):
    listener = bench.listen(*PRIVATE)
    placed = bench.order(qty="0.1", orderLinkId="mine")
    said = bench.heard(listener)
    topics = [m["topic"] for m in said]
    assert topics == ["order", "execution", "execution.fast", "order", *PRIVATE[3:]]
    rows = {t: [m["data"][0] for m in said if m["topic"] == t] for t in PRIVATE}
    assert [r["orderStatus"] for r in rows["order"]] == ["New", "Filled"]
    assert {r["orderId"] for r in rows["order"]} == {placed["orderId"]}
    shown = bench.shown(placed["orderId"])
    assert {n: rows["order"][1][n] for n in shown} == shown
    [fill] = bench.get("/v5/execution/list", **LINEAR)["list"]
    assert {n: rows["execution"][0][n] for n in fill} == fill
    held = bench.position()
    assert rows["position"][0]["entryPrice"] == held["avgPrice"]
    assert rows["position"][0]["size"] == held["size"]
    wallet = bench.get("/v5/account/wallet-balance", accountType="UNIFIED")["list"][0]
    assert rows["wallet"][0] == wallet
    assert len({m["id"] for m in said}) == len(said)


def test_a_topic_may_be_had_under_its_products_name(bench):
    listener = bench.listen("order.linear", "execution.linear")
    bench.order(qty="0.1")
    assert {m["topic"] for m in bench.heard(listener)} == {
        "order.linear",
        "execution.linear",
    }


def test_a_conditional_orders_life_is_told_under_one_id(bench):
    bench.order(qty="0.1")
    listener = bench.listen("order")
    trigger = str(round(bench.price() * 95 / 100))
    stop = {"side": "Sell", "triggerPrice": trigger, "triggerDirection": 2}
    placed = bench.order(**stop, reduceOnly=True)
    bench.venue.shock("BTCUSDT", Fraction(94, 100), bench.clock.time_ns())
    rows = [m["data"][0] for m in bench.heard(listener)]
    states = [r["orderStatus"] for r in rows]
    assert states[:3] == ["Untriggered", "Triggered", "New"]
    assert states[-1] == "Filled"
    assert {r["orderId"] for r in rows} == {placed["orderId"]}


def test_money_that_comes_or_goes_is_seen_in_the_wallet_alone(bench):
    listener = bench.listen(*PRIVATE)
    bench.venue.transfer(1, 50 * 10**8, bench.clock.time_ns())
    [said] = bench.heard(listener)
    assert said["topic"] == "wallet"
    assert said["data"][0]["totalWalletBalance"] == "100050"


def test_funding_is_told_as_an_execution(bench):
    bench.order(qty="0.5")
    listener = bench.listen("execution", "wallet")
    bench.market().tape_ns = bench.market().next_funding_ns
    bench.venue.shock("BTCUSDT", Fraction(1), bench.clock.time_ns())
    said = bench.heard(listener)
    assert [m["topic"] for m in said] == ["execution", "wallet"]
    row = said[0]["data"][0]
    assert (row["execType"], row["execQty"]) == ("Funding", "0.500")


# Disconnection protection.


def protected(bench, *, seconds=5):
    path = "/v5/order/disconnected-cancel-all"
    bench.post(path, product="DERIVATIVES", timeWindow=seconds)
    trigger = {"triggerPrice": "50000", "triggerDirection": 2}
    bench.order(orderType="Limit", price="57000")
    bench.order(side="Sell", **trigger)
    return bench.listen("dcp.future", "order")


def open_states(bench):
    rows = bench.get("/v5/order/realtime", **LINEAR)["list"]
    return [r["orderStatus"] for r in rows]


def test_orders_go_once_nobody_listens_for_the_window(bench):
    listener = protected(bench)
    info = bench.get("/v5/account/query-dcp-info")["dcpInfos"]
    assert info == [{"product": "DERIVATIVES", "dcpStatus": "ON", "timeWindow": "5"}]
    assert bench.get("/v5/account/info")["dcpStatus"] == "ON"
    bench.run(20)
    assert sorted(open_states(bench)) == ["New", "Untriggered"]
    bench.venue.leave(listener, bench.clock.time_ns())
    bench.run(4)
    assert sorted(open_states(bench)) == ["New", "Untriggered"]
    watcher = bench.listen("order")
    bench.run(2)
    assert open_states(bench) == ["Untriggered"]
    [gone] = [m["data"][0] for m in bench.heard(watcher)]
    assert (gone["orderStatus"], gone["cancelType"]) == ("Cancelled", "CancelByDCP")


def test_who_comes_back_in_time_keeps_the_orders(bench):
    listener = protected(bench)
    other = bench.listen("dcp.future")
    bench.venue.leave(listener, bench.clock.time_ns())
    bench.run(10)
    bench.venue.leave(other, bench.clock.time_ns())
    bench.run(4)
    bench.listen("dcp.future")
    bench.run(20)
    assert sorted(open_states(bench)) == ["New", "Untriggered"]


@pytest.mark.parametrize("seconds", [2, 301, "x"])
def test_a_window_outside_its_bounds_is_refused(bench, seconds):
    path = "/v5/order/disconnected-cancel-all"
    assert bench.refused(path, product="DERIVATIVES", timeWindow=seconds) == 10001
    assert bench.get("/v5/account/query-dcp-info")["dcpInfos"] == []


# What others do to the account is told too.


def test_sessions_that_expire_are_closed(bench):
    listener, public = bench.listen("order"), bench.follow("tickers.BTCUSDT")
    assert bench.venue.expire_sessions(bench.clock.time_ns()) == 1
    assert (listener.close_code, public.close_code) == (1000, None)


def test_an_order_from_elsewhere_is_told_without_a_link_id(bench):
    listener = bench.listen("order", "execution", "position")
    request = OrderRequest(
        "BTCUSDT", Side.BUY, 100, "web_1", order_type="MARKET", origin=Origin.EXTERNAL
    )
    now_ns = bench.clock.time_ns()
    price = bench.market().price_ticks
    bench.venue.exchange.external_fill(1, request, price, now_ns)
    bench.venue.settle()
    said = bench.heard(listener)
    [fill] = [m["data"][0] for m in said if m["topic"] == "execution"]
    assert (fill["orderLinkId"], fill["execQty"]) == ("", "0.100")
    assert said[-1]["data"][0]["size"] == "0.100"
    assert bench.shown(fill["orderId"])["orderStatus"] == "Filled"


def test_a_forced_position_mode_keeps_what_was_realized(bench):
    bench.order(qty="0.2")
    bench.order(side="Sell", qty="0.1")
    before = bench.position()
    resting = bench.order(orderType="Limit", price="57000")
    listener = bench.listen("order", "position")
    bench.venue.exchange.set_position_mode(
        1, is_hedged=True, time_ns=bench.clock.time_ns(), is_forced=True
    )
    bench.venue.settle()
    asked = {"category": "linear", "symbol": "BTCUSDT"}
    long, short = bench.get("/v5/position/list", **asked)["list"]
    assert (long["positionIdx"], long["size"]) == (1, "0.100")
    assert long["cumRealisedPnl"] == before["cumRealisedPnl"] != "0"
    assert (short["size"], short["cumRealisedPnl"]) == ("0.000", "0")
    [canceled, *_] = bench.heard(listener, "order")
    assert canceled["data"][0]["orderId"] == resting["orderId"]
    assert canceled["data"][0]["cancelType"] == "CancelByAdmin"
    bench.order(side="Sell", qty="0.1", positionIdx=1, reduceOnly=True)


def test_deleveraging_is_told_as_what_it_is(bench):
    bench.order(qty="0.2")
    listener = bench.listen("order", "execution", "position")
    now_ns = bench.clock.time_ns()
    bench.venue.exchange.deleverage(1, "BTCUSDT", Leg.BOTH, 200, now_ns)
    bench.venue.settle()
    said = bench.heard(listener)
    [fill] = [m["data"][0] for m in said if m["topic"] == "execution"]
    assert (fill["execType"], fill["execFee"], fill["orderLinkId"]) == (
        "AdlTrade",
        "0",
        "",
    )
    orders = [m["data"][0] for m in said if m["topic"] == "order"]
    assert orders[-1]["createType"] == "CreateByAdl_PassThrough"
    assert bench.position()["size"] == "0.000"


def test_a_close_outside_the_price_band_is_refused_or_ends_unfilled(bench):
    bench.order(qty="0.2")
    bench.market().is_band_shut = True
    close = LINEAR | {"side": "Sell", "orderType": "Market", "qty": "0.2"}
    refused = bench.refused("/v5/order/create", **close, reduceOnly=True)
    assert refused == 110003
    bench.market().is_band_shut = False
    bench.order(side="Sell", qty="0.2", reduceOnly=True)
    assert bench.position()["size"] == "0.000"
