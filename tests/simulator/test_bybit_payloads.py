"""Bybit's payloads beside recorded ones: the same keys, the same kinds of values."""

from __future__ import annotations

import json
from fractions import Fraction

import pytest

from simulator.bybit_bench import Bench
from simulator.test_payloads import difference

pytestmark = pytest.mark.real_data

LINEAR = {"category": "linear", "symbol": "BTCUSDT"}


@pytest.fixture(scope="module")
def bench():
    """A venue with a position, resting and conditional orders, fills and a ledger."""
    made = Bench()
    made.order(qty="0.2", orderLinkId="mine", takeProfit="70000", stopLoss="50000")
    made.order(orderType="Limit", price="57000")
    trigger = {"triggerPrice": "55000", "triggerDirection": 2}
    made.order(side="Sell", **trigger)
    gone = made.order(orderType="Limit", price="57000")
    made.post("/v5/order/cancel", **LINEAR, orderId=gone["orderId"])
    return made


@pytest.fixture(scope="module")
def told():
    """What private topics said of all kinds of events, latest of each."""
    made = Bench()
    listener = made.listen("order", "execution", "execution.fast", "position", "wallet")
    made.order(qty="0.2", orderLinkId="mine")
    filled = {m["topic"]: m for m in made.heard(listener)}
    trigger = {"triggerPrice": "55000", "triggerDirection": 2}
    made.order(side="Sell", **trigger)
    [stop] = made.heard(listener, "order")
    return filled | {"stop": stop}


def recorded(real_data, name):
    return json.loads((real_data / "venue-payloads" / "bybit" / name).read_text())


def only_ours(*paths):
    return {f"{p} only ours" for p in paths}


def theirs(*paths):
    return {f"{p} only theirs" for p in paths}


# Path, query, file, and the differences with their reason.
NO_EXT_INFO = only_ours(".retExtInfo")  # the recorded example leaves it out
LIST = ".result.list[]"
# The venue's page has these since the examples were written.
NEW_INSTRUMENT = only_ours(
    ".result.category",
    *(
        f"{LIST}.{n}"
        for n in (
            "copyTrading",
            "isPreListing",
            "lowerFundingRate",
            "preListingInfo",
            "upperFundingRate",
        )
    ),
)
NEW_ORDER = only_ours(".result.category", f"{LIST}.createType", f"{LIST}.cumFeeDetail")
# An example with null where the page, and we, say "".
NULLS = {f"{LIST}.{n} str not NoneType" for n in ("blockTradeId", "orderIv")}
NO_AVERAGE = {f"{LIST}.avgPrice str not NoneType"}
REST = [
    (
        "market/instruments-info",
        {"category": "linear"},
        "nt-rs__http_get_instruments_linear.json",
        NEW_INSTRUMENT | {".result.nextPageCursor str not NoneType"},
    ),
    (
        "market/instruments-info",
        {"category": "linear"},
        "nt-rs__http_get_instruments_linear_symbol_type.json",
        # Which number a symbol has and what kinds there are is not known to us.
        # A stock perpetual has no maximum of its own for market orders.
        (NEW_INSTRUMENT - only_ours(".result.category"))
        | only_ours(f"{LIST}.lotSizeFilter.maxMktOrderQty")
        | theirs(f"{LIST}.symbolId", f"{LIST}.symbolType"),
    ),
    (
        "market/kline",
        LINEAR | {"interval": "1"},
        "nt-rs__http_get_klines_linear.json",
        set(),
    ),
    ("market/orderbook", LINEAR, "nt-rs__http_get_orderbook.json", NO_EXT_INFO),
    (
        "market/funding/history",
        LINEAR,
        "nt-rs__http_get_funding_history.json",
        NO_EXT_INFO,
    ),
    (
        "account/info",
        {},
        "nt-rs__http_get_account_info.json",
        only_ours(".retExtInfo", ".time"),
    ),
    (
        "account/wallet-balance",
        {"accountType": "UNIFIED"},
        "nt-rs__http_get_wallet_balance.json",
        # On the page today; the example is older.
        only_ours(f"{LIST}.coin[].spotHedgingQty"),
    ),
    (
        "position/list",
        LINEAR,
        "nt-rs__http_get_positions.json",
        only_ours(
            f"{LIST}.positionIMByMp",
            f"{LIST}.positionMMByMp",
            f"{LIST}.sessionAvgPrice",
        ),
    ),
    (
        "order/realtime",
        LINEAR,
        "nt-rs__http_get_orders_realtime.json",
        NEW_ORDER | NULLS | NO_AVERAGE,
    ),
    (
        "order/realtime",
        LINEAR,
        "nt-rs__http_get_orders_realtime_tp_sl.json",
        NEW_ORDER | NULLS | NO_AVERAGE,
    ),
    (
        "order/history",
        LINEAR,
        "nt-rs__http_get_orders_history.json",
        NEW_ORDER | NULLS | NO_AVERAGE,
    ),
    (
        "order/history",
        LINEAR,
        "nt-rs__http_get_order_partially_filled_rejected.json",
        NEW_ORDER | NULLS,
    ),
    ("execution/list", LINEAR, "nt-rs__http_get_executions.json", set()),
]


@pytest.mark.parametrize(("path", "query", "name", "expected"), REST)
def test_answers(bench, real_data, path, query, name, expected):
    ours = bench.ask("GET", f"/v5/{path}", query)
    assert difference(ours, recorded(real_data, name)) == expected


DATA = ".data[]"
ORDER = only_ours(f"{DATA}.cumFeeDetail", f"{DATA}.isLeverage")
ORDER_FILES = [
    ("stop", f"nt-rs__ws_account_order_{name}.json")
    for name in (
        "stop_market",
        "stop_limit",
        "buy_stop_market",
        "sell_market_if_touched",
        "market_if_touched",
        "limit_if_touched",
    )
] + [
    ("order", "nt-rs__ws_account_order_filled.json"),
    ("order", "nt-rs__ws_account_order_partially_filled_rejected.json"),
]


@pytest.mark.parametrize(("kind", "name"), ORDER_FILES)
def test_order_messages(told, real_data, kind, name):
    assert difference(told[kind], recorded(real_data, name)) == ORDER


def test_execution_messages(told, real_data):
    ours = told["execution"]
    found = difference(
        ours, recorded(real_data, "nt-rs__ws_account_execution_adl.json")
    )
    # On the page today; the example is older.
    assert found == only_ours(f"{DATA}.createType", f"{DATA}.feeCurrency")
    name = "nt-rs__ws_account_execution_fast.json"
    found = difference(told["execution.fast"], recorded(real_data, name))
    assert found == only_ours(".id")


def test_position_messages(told, real_data):
    name = "nt-rs__ws_account_position_with_open_time.json"
    found = difference(told["position"]["data"][0], recorded(real_data, name))
    # `openTime` is newer than the page we know; the rest of ours is on it.
    assert {d for d in found if "only ours" not in d} == theirs(".openTime")
    assert found == theirs(".openTime") | only_ours(
        ".isReduceOnly", ".leverageSysUpdatedTime", ".mmrSysUpdatedTime", ".seq"
    )


@pytest.mark.parametrize("suffix", ["", "_locked_exceeds_total", "_small_order"])
def test_wallet_messages(told, real_data, suffix):
    name = f"nt-rs__ws_account_wallet{suffix}.json"
    found = difference(told["wallet"], recorded(real_data, name))
    # The examples are cut short, and spell one field in a way the page does not.
    assert {d for d in found if "only ours" not in d} == theirs(f"{DATA}.totalPerpUpl")


def test_protocol_messages(bench, real_data):
    public, private = bench.connect("/v5/public/linear"), bench.connect()
    asked = {"op": "subscribe", "req_id": "1", "args": ["publicTrade.BTCUSDT"]}
    [ack] = bench.tell(public, asked)
    name = "nt-rs__ws_subscription_ack.json"
    assert difference(ack, recorded(real_data, name)) == set()
    [refused] = bench.tell(public, {"op": "subscribe", "args": ["x"]})
    name = "nt-rs__ws_subscription_failure.json"
    assert difference(refused, recorded(real_data, name)) == only_ours(".req_id")
    # The recorded examples have the shape of the order-entry socket; the page of the
    # private one has `ret_msg` and `conn_id`.
    trade_shape = theirs(".retMsg", ".connId") | only_ours(".ret_msg", ".conn_id")
    [failure] = bench.authenticate(private, secret="wrong")
    name = "nt-rs__ws_auth_failure.json"
    assert difference(failure, recorded(real_data, name)) == trade_shape
    [success] = bench.authenticate(private)
    name = "nt-rs__ws_auth_success.json"
    found = difference(success, recorded(real_data, name))
    assert found == trade_shape | theirs(".retCode")


def test_market_messages(real_data):
    bench = Bench()
    topics = ["kline.5.BTCUSDT", "tickers.BTCUSDT", "orderbook.200.BTCUSDT"]
    listener = bench.follow(*topics)
    bench.run(3)
    ours = {}
    for message in bench.heard(listener):
        ours.setdefault((message["topic"], message["type"]), message)
    theirs_kline = recorded(real_data, "nt-rs__ws_kline.json")
    assert difference(ours[topics[0], "snapshot"], theirs_kline) == set()
    theirs_ticker = recorded(real_data, "nt-rs__ws_ticker_linear.json")
    assert difference(ours[topics[1], "snapshot"], theirs_ticker) == set()
    path = real_data / "venue-payloads/bybit/nt-data__xrpusdt_ob500_2024-12-01.jsonl"
    lines = map(json.loads, path.read_text().splitlines())
    book = {line["type"]: line for line in lines}
    for kind in ("snapshot", "delta"):
        found = difference(ours[topics[2], kind], book[kind])
        # `cts` came after the file was published.
        assert found <= only_ours(".cts")


COMPARED_BY_NAME = {
    "nt-rs__ws_account_execution_adl.json",
    "nt-rs__ws_account_execution_fast.json",
    "nt-rs__ws_account_position_with_open_time.json",
    "nt-rs__ws_account_wallet.json",
    "nt-rs__ws_account_wallet_locked_exceeds_total.json",
    "nt-rs__ws_account_wallet_small_order.json",
    "nt-rs__ws_subscription_ack.json",
    "nt-rs__ws_subscription_failure.json",
    "nt-rs__ws_auth_failure.json",
    "nt-rs__ws_auth_success.json",
    "nt-rs__ws_kline.json",
    "nt-rs__ws_ticker_linear.json",
    "nt-data__xrpusdt_ob500_2024-12-01.jsonl",
}
# Of products, sub-accounts and the order-entry socket, which are not simulated.
OTHER_KINDS = (
    "spot",
    "inverse",
    "option",
    "user_sub",
    "escrow",
    "update_sub",
    "ws_order_response",
)


def test_every_recorded_file_is_compared_or_of_another_kind(real_data):
    compared = {name for _, _, name, _ in REST} | {n for _, n in ORDER_FILES}
    compared |= COMPARED_BY_NAME
    for path in (real_data / "venue-payloads" / "bybit").iterdir():
        is_other = any(kind in path.name for kind in OTHER_KINDS)
        assert is_other or path.name in compared, path.name


def test_adl_and_shocks_do_not_change_the_schema():
    bench = Bench()
    listener = bench.listen("order", "position")
    bench.order(qty="0.2", stopLoss="58000")
    first = {m["topic"]: set(m["data"][0]) for m in bench.heard(listener)}
    bench.venue.shock("BTCUSDT", Fraction(9, 10), bench.clock.time_ns())
    for message in bench.heard(listener):
        assert set(message["data"][0]) == first[message["topic"]]
