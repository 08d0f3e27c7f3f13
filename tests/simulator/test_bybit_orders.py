"""Orders of the Bybit venue, from request to books."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction
from itertools import pairwise

import pytest

from cryptoquantix.simulator.state import SavedWorld, save_world
from simulator.bybit_bench import Bench

LINEAR = {"category": "linear", "symbol": "BTCUSDT"}


@pytest.fixture
def bench():
    return Bench()


def number(value) -> Decimal:
    return Decimal(str(value))


def limit(bench, **changes) -> dict:
    """A buy that rests, well below the price, unless changed."""
    parameters = {"orderType": "Limit", "price": "57000", "qty": "0.01"}
    return bench.order(**parameters | changes)


def conditional(bench, percent: int, **changes) -> dict:
    """A sell that waits for the price to move by so many percent."""
    trigger = round(bench.price() * (100 + percent) / 100)
    parameters = {
        "side": "Sell",
        "qty": "0.1",
        "triggerPrice": str(trigger),
        "triggerDirection": 1 if percent > 0 else 2,
    }
    return bench.order(**parameters | changes)


def open_ids(bench, **filters) -> set[str]:
    rows = bench.get("/v5/order/realtime", **LINEAR, **filters)["list"]
    return {row["orderId"] for row in rows}


def shock(bench, factor) -> None:
    bench.venue.shock("BTCUSDT", Fraction(factor), bench.clock.time_ns())


# Placing.


def test_a_market_order_is_booked_to_the_last_unit(bench):
    placed = bench.order(qty="0.5", orderLinkId="mine")
    assert placed["orderLinkId"] == "mine"
    row = bench.shown(placed["orderId"])
    assert (row["orderStatus"], row["cumExecQty"]) == ("Filled", "0.500")
    parameters = LINEAR | {"orderId": placed["orderId"]}
    fills = bench.get("/v5/execution/list", **parameters)["list"]
    value = sum(number(f["execQty"]) * number(f["execPrice"]) for f in fills)
    assert number(row["cumExecValue"]) == value
    assert number(row["avgPrice"]) == (value / Decimal("0.5")).quantize(Decimal("1e-8"))
    fees = sum(number(f["execFee"]) for f in fills)
    # Each fill's fee is rounded once, half to even.
    assert fees == sum(
        (number(f["execValue"]) * Decimal("0.00055")).quantize(
            Decimal("1e-8"), ROUND_HALF_EVEN
        )
        for f in fills
    )
    assert bench.account.wallet_units == 100_000 * 10**8 - int(fees * 10**8)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"symbol": "NOPE"}, 10001),
        ({"category": "spot"}, 10001),
        ({"side": "buy"}, 10001),
        ({"orderType": "Stop"}, 10001),
        ({"qty": "0"}, 10001),
        ({"qty": "0.0001"}, 10001),
        ({"qty": "-1"}, 10001),
        ({"qty": "1000"}, 110007),
        ({"orderType": "Limit"}, 10001),
        ({"orderType": "Limit", "price": "0.05"}, 10001),
        ({"orderType": "Limit", "price": "99999"}, 110003),
        ({"timeInForce": "PostOnly"}, 10001),
        ({"timeInForce": "GTX"}, 10001),
        ({"reduceOnly": True}, 110017),
        ({"reduceOnly": "yes"}, 10001),
        ({"positionIdx": 1}, 10001),
        ({"orderLinkId": "x" * 37}, 10001),
        ({"orderLinkId": "a b"}, 10001),
        ({"triggerPrice": "50000"}, 10001),
        ({"triggerDirection": 1}, 10001),
        ({"triggerPrice": "50000", "triggerDirection": 1}, 110092),
        ({"triggerPrice": "70000", "triggerDirection": 2}, 110093),
        ({"stopLoss": "70000"}, 10001),
        ({"takeProfit": "50000"}, 10001),
    ],
)
def test_what_the_venue_refuses_changes_nothing(bench, changes, code):
    order = LINEAR | {"side": "Buy", "orderType": "Market", "qty": "0.1"}
    assert bench.refused("/v5/order/create", **order | changes) == code
    assert open_ids(bench) == set()
    assert bench.account.wallet_units == 100_000 * 10**8


def test_an_order_below_the_minimum_value_is_refused(bench):
    order = {"category": "linear", "symbol": "DOGEUSDT", "side": "Buy"}
    order |= {"orderType": "Market", "qty": "1"}
    assert bench.refused("/v5/order/create", **order) == 110094


def test_a_link_id_names_one_order_for_ever(bench):
    limit(bench, orderLinkId="one")
    again = LINEAR | {"side": "Buy", "orderType": "Market", "qty": "0.1"}
    assert bench.refused("/v5/order/create", **again, orderLinkId="one") == 110072
    bench.post("/v5/order/cancel", **LINEAR, orderLinkId="one")
    assert bench.refused("/v5/order/create", **again, orderLinkId="one") == 110072


def test_a_post_only_order_that_would_take_is_accepted_and_canceled(bench):
    placed = limit(bench, price="60500", timeInForce="PostOnly")
    row = bench.shown(placed["orderId"])
    assert (row["orderStatus"], row["cumExecQty"]) == ("Cancelled", "0.000")
    assert row["rejectReason"] == "EC_PostOnlyWillTakeLiquidity"
    assert open_ids(bench) == set()
    resting = limit(bench, timeInForce="PostOnly")
    assert bench.shown(resting["orderId"])["orderStatus"] == "New"


def test_an_immediate_order_takes_what_there_is(bench):
    bench.order(qty="0.001")
    [best, *_] = bench.get("/v5/market/orderbook", **LINEAR, limit=1)["a"]
    size = str(number(best[1]) * 2)
    placed = limit(bench, price=best[0], qty=size, timeInForce="IOC")
    row = bench.shown(placed["orderId"])
    assert (row["orderStatus"], row["cumExecQty"]) == ("Cancelled", best[1])
    assert row["rejectReason"] == "EC_NoImmediateQtyToFill"


def test_all_or_nothing_is_nothing_where_all_is_not_there(bench):
    [best, *_] = bench.get("/v5/market/orderbook", **LINEAR, limit=1)["a"]
    size = str(number(best[1]) * 2)
    placed = limit(bench, price=best[0], qty=size, timeInForce="FOK")
    row = bench.shown(placed["orderId"])
    assert (row["orderStatus"], row["cumExecQty"]) == ("Cancelled", "0.000")
    assert row["rejectReason"] == "EC_CancelForNoFullFill"


def test_reduce_only_with_no_size_closes_everything(bench):
    bench.order(qty="0.3")
    bench.order(side="Sell", qty="0", reduceOnly=True, closeOnTrigger=True)
    assert (bench.position()["size"], bench.position()["side"]) == ("0.000", "")


def test_reduce_only_never_turns_a_position_round(bench):
    bench.order(qty="0.3")
    bench.order(side="Sell", qty="5", reduceOnly=True)
    assert bench.position()["size"] == "0.000"


# Amending and canceling.


def test_an_order_is_amended_in_price_and_size(bench):
    placed = limit(bench, orderLinkId="mine")
    change = {"price": "57001.5", "qty": "0.02"}
    bench.post("/v5/order/amend", **LINEAR, orderLinkId="mine", **change)
    row = bench.shown(placed["orderId"])
    assert (row["price"], row["qty"], row["leavesQty"]) == ("57001.5", "0.020", "0.020")
    same = LINEAR | {"orderId": placed["orderId"]} | change
    assert bench.refused("/v5/order/amend", **same) == 10001
    unknown = LINEAR | {"orderId": "nothing", "qty": "1"}
    assert bench.refused("/v5/order/amend", **unknown) == 110001


def test_an_order_is_canceled_once(bench):
    placed = limit(bench)
    asked = LINEAR | {"orderId": placed["orderId"]}
    assert bench.post("/v5/order/cancel", **asked)["orderId"] == placed["orderId"]
    row = bench.shown(placed["orderId"])
    assert (row["orderStatus"], row["cancelType"]) == ("Cancelled", "CancelByUser")
    assert bench.refused("/v5/order/cancel", **asked) == 110001
    other = asked | {"symbol": "ETHUSDT"}
    assert bench.refused("/v5/order/cancel", **other) == 110001


@pytest.mark.parametrize(
    ("order_filter", "left"),
    [("Order", {"stop"}), ("StopOrder", {"plain"}), ("", set())],
)
def test_cancel_all_takes_the_class_that_the_filter_names(bench, order_filter, left):
    ids = {"plain": limit(bench)["orderId"], "stop": conditional(bench, -5)["orderId"]}
    scope = {"category": "linear", "settleCoin": "USDT"}
    chosen = {"orderFilter": order_filter} if order_filter else {}
    answer = bench.post("/v5/order/cancel-all", **scope, **chosen)
    assert {row["orderId"] for row in answer["list"]} == {
        ids[name] for name in ids if name not in left
    }
    assert open_ids(bench) == {ids[name] for name in left}
    assert bench.refused("/v5/order/cancel-all", category="linear") == 10001


def test_a_batch_answers_for_each_order(bench):
    good = {"symbol": "BTCUSDT", "side": "Buy", "orderType": "Limit", "qty": "0.01"}
    orders = [good | {"price": "57000", "orderLinkId": "a"}, good | {"price": "1e9"}]
    answer = bench.ask(
        "POST", "/v5/order/create-batch", {"category": "linear", "request": orders}
    )
    first, second = answer["result"]["list"]
    assert first["orderLinkId"] == "a"
    assert open_ids(bench) == {first["orderId"]}
    assert second["orderId"] == ""
    assert [c["code"] for c in answer["retExtInfo"]["list"]] == [0, 10001]
    change = {"symbol": "BTCUSDT", "orderLinkId": "a", "qty": "0.02"}
    batch = {"category": "linear", "request": [change]}
    assert bench.ask("POST", "/v5/order/amend-batch", batch)["retExtInfo"]["list"] == [
        {"code": 0, "msg": "OK"}
    ]
    asked = [{"symbol": "BTCUSDT", "orderLinkId": name} for name in ("a", "b")]
    batch = {"category": "linear", "request": asked}
    codes = bench.ask("POST", "/v5/order/cancel-batch", batch)["retExtInfo"]["list"]
    assert [c["code"] for c in codes] == [0, 110001]
    assert open_ids(bench) == set()


# Conditional orders.


def test_a_conditional_order_keeps_its_id_when_it_becomes_an_order(bench):
    bench.order(qty="0.1")
    stop = conditional(bench, -5, reduceOnly=True, orderLinkId="stop")
    row = bench.shown(stop["orderId"])
    assert (row["orderStatus"], row["stopOrderType"]) == ("Untriggered", "Stop")
    assert open_ids(bench, orderFilter="StopOrder") == {stop["orderId"]}
    assert open_ids(bench, orderFilter="Order") == set()
    shock(bench, "0.94")
    row = bench.shown(stop["orderId"])
    assert (row["orderStatus"], row["cumExecQty"]) == ("Filled", "0.100")
    assert row["orderLinkId"] == "stop"
    assert bench.position()["size"] == "0.000"
    closed = bench.get("/v5/order/history", **LINEAR, orderFilter="StopOrder")["list"]
    assert [r["orderId"] for r in closed] == [stop["orderId"]]
    [fill, *_] = bench.get("/v5/execution/list", **LINEAR, orderLinkId="stop")["list"]
    assert (fill["orderId"], fill["stopOrderType"]) == (stop["orderId"], "Stop")


def test_a_conditional_order_is_amended_and_canceled_by_its_id(bench):
    stop = conditional(bench, -5)
    asked = LINEAR | {"orderId": stop["orderId"]}
    bench.post("/v5/order/amend", **asked, triggerPrice="50000", qty="0.2")
    row = bench.shown(stop["orderId"])
    assert (row["triggerPrice"], row["qty"]) == ("50000.0", "0.200")
    assert bench.refused("/v5/order/amend", **asked, triggerPrice="90000") == 110093
    bench.post("/v5/order/cancel", **asked)
    row = bench.shown(stop["orderId"])
    assert (row["orderStatus"], row["cancelType"]) == ("Deactivated", "CancelByUser")


def test_a_triggered_order_without_a_position_to_reduce_is_rejected(bench):
    stop = conditional(bench, -5, reduceOnly=True)
    shock(bench, "0.94")
    row = bench.shown(stop["orderId"])
    assert (row["orderStatus"], row["rejectReason"]) == ("Rejected", "EC_Others")
    closed = bench.get("/v5/order/history", **LINEAR, orderStatus="Rejected")["list"]
    assert [r["orderId"] for r in closed] == [stop["orderId"]]


def test_the_mark_price_triggers_where_it_is_asked_for(bench):
    # The venue alone trades 20 % lower: the mark follows by 5 % only.
    last = conditional(bench, -10)
    mark = conditional(bench, -10, triggerBy="MarkPrice")
    bench.venue.depeg("BTCUSDT", Fraction(4, 5), bench.clock.time_ns())
    assert bench.shown(last["orderId"])["orderStatus"] != "Untriggered"
    row = bench.shown(mark["orderId"])
    assert (row["orderStatus"], row["triggerBy"]) == ("Untriggered", "MarkPrice")


# Protection of a position.


def test_take_profit_and_stop_loss_come_with_the_first_fill(bench):
    placed = limit(
        bench, qty="0.1", price="59000", takeProfit="66000", stopLoss="56000"
    )
    assert bench.shown(placed["orderId"])["stopLoss"] == "56000.0"
    assert open_ids(bench) == {placed["orderId"]}
    shock(bench, "0.97")
    held = bench.position()
    assert (held["takeProfit"], held["stopLoss"]) == ("66000.0", "56000.0")
    kinds = {
        r["stopOrderType"]: r for r in bench.get("/v5/order/realtime", **LINEAR)["list"]
    }
    assert set(kinds) == {"TakeProfit", "StopLoss"}
    assert kinds["StopLoss"]["closeOnTrigger"] is True
    shock(bench, "0.95")
    assert bench.position()["size"] == "0.000"
    assert open_ids(bench) == set()


def test_protection_is_set_changed_and_taken_off(bench):
    path = "/v5/position/trading-stop"
    assert bench.refused(path, **LINEAR, stopLoss="50000") == 10001
    bench.order(side="Sell", qty="0.1")
    bench.post(path, **LINEAR, takeProfit="50000", stopLoss="70000", tpslMode="Full")
    held = bench.position()
    assert (held["takeProfit"], held["stopLoss"]) == ("50000.0", "70000.0")
    assert bench.refused(path, **LINEAR, takeProfit="50000") == 34040
    assert bench.refused(path, **LINEAR, takeProfit="69000") == 10001
    bench.post(path, **LINEAR, takeProfit="51000", stopLoss="0")
    held = bench.position()
    assert (held["takeProfit"], held["stopLoss"]) == ("51000.0", "")
    bench.order(qty="0.1", reduceOnly=True)
    assert open_ids(bench) == set()


def test_a_part_of_a_position_is_protected_by_orders_of_its_size(bench):
    bench.order(qty="0.2")
    bench.post(
        "/v5/position/trading-stop",
        **LINEAR,
        tpslMode="Partial",
        stopLoss="56000",
        slSize="0.05",
        takeProfit="66000",
        tpSize="0.05",
        tpOrderType="Limit",
        tpLimitPrice="66000",
    )
    assert len(open_ids(bench, orderFilter="StopOrder")) == 2
    shock(bench, "0.9")
    assert bench.position()["size"] == "0.150"


# Settings and the ledger.


def test_hedge_mode_keeps_two_positions(bench):
    mode = {"category": "linear", "symbol": "BTCUSDT", "mode": 3}
    bench.post("/v5/position/switch-mode", **mode)
    assert bench.refused("/v5/position/switch-mode", **mode) == 110025
    order = LINEAR | {"side": "Buy", "orderType": "Market", "qty": "0.1"}
    assert bench.refused("/v5/order/create", **order) == 10001
    bench.order(qty="0.2", positionIdx=1)
    bench.order(qty="0.1", positionIdx=2, side="Sell")
    rows = bench.get("/v5/position/list", category="linear", settleCoin="USDT")["list"]
    assert [(r["positionIdx"], r["side"], r["size"]) for r in rows] == [
        (1, "Buy", "0.200"),
        (2, "Sell", "0.100"),
    ]
    back = mode | {"mode": 0}
    assert bench.refused("/v5/position/switch-mode", **back) == 110024
    bench.order(side="Sell", qty="0.2", positionIdx=1, reduceOnly=True)
    bench.order(qty="0.1", positionIdx=2, reduceOnly=True)
    bench.post("/v5/position/switch-mode", **back)
    assert bench.position()["positionIdx"] == 0


def test_leverage_is_one_number_for_both_sides(bench):
    path = "/v5/position/set-leverage"

    def refused(buy, sell):
        return bench.refused(path, **LINEAR, buyLeverage=buy, sellLeverage=sell)

    bench.post(path, **LINEAR, buyLeverage="5", sellLeverage="5")
    assert bench.position()["leverage"] == "5"
    assert refused("5", "5") == 110043
    assert refused("5", "6") == 10001
    assert refused("5000", "5000") == 110013
    assert refused("0", "0") == 110013


def test_only_cross_margin_is_simulated(bench):
    path = "/v5/account/set-margin-mode"
    assert bench.post(path, setMarginMode="REGULAR_MARGIN") == {"reasons": []}
    assert bench.refused(path, setMarginMode="ISOLATED_MARGIN") == 3400045


def test_the_ledger_adds_up_and_pages_do_not_move(bench):
    for side in ("Buy", "Sell", "Buy"):
        bench.order(side=side, qty="0.2")
    bench.venue.transfer(1, -5_000 * 10**8, bench.clock.time_ns())
    rows, cursor = [], ""
    while True:
        page = bench.get("/v5/account/transaction-log", limit=1, cursor=cursor)
        rows += page["list"]
        cursor = page["nextPageCursor"]
        if len(rows) == 1:
            bench.order(side="Sell", qty="0.001")
        if not cursor:
            break
    kinds = [r["type"] for r in rows]
    assert (kinds[0], kinds[-1]) == ("TRANSFER_OUT", "TRANSFER_IN")
    assert set(kinds[1:-1]) == {"TRADE"}
    for newer, older in pairwise(rows):
        before = number(older["cashBalance"])
        assert number(newer["cashBalance"]) == before + number(newer["change"])
        flow = number(newer["cashFlow"]) - number(newer["fee"] or 0)
        assert number(newer["change"]) == flow


def test_transfers_are_between_the_funding_and_the_unified_account(bench):
    bench.venue.transfer(1, -5_000 * 10**8, bench.clock.time_ns())
    path = "/v5/asset/transfer/query-inter-transfer-list"
    last, first = bench.get(path, coin="USDT")["list"]
    assert (last["amount"], last["toAccountType"]) == ("5000", "FUND")
    assert (first["amount"], first["fromAccountType"]) == ("100000", "FUND")
    for kind in ("deposit", "withdraw"):
        assert bench.get(f"/v5/asset/{kind}/query-record")["rows"] == []


def test_a_key_may_trade_and_never_withdraw(bench):
    answer = bench.get("/v5/user/query-api")
    assert answer["readOnly"] == 0
    assert answer["permissions"]["ContractTrade"] == ["Order", "Position"]
    assert answer["permissions"]["Wallet"] == []


def test_funding_is_an_execution_and_a_settlement(bench):
    bench.order(qty="0.5")
    market = bench.market()
    market.tape_ns = market.next_funding_ns  # the tape reaches its funding time
    shock(bench, 1)
    asked = LINEAR | {"execType": "Funding"}
    [charge] = bench.get("/v5/execution/list", **asked)["list"]
    value = number(charge["execQty"]) * number(charge["execPrice"])
    assert number(charge["execFee"]) == value * number(charge["feeRate"])
    log = bench.get("/v5/account/transaction-log", type="SETTLEMENT")["list"]
    assert [number(r["change"]) for r in log] == [-number(charge["execFee"])]
    held = bench.position()
    fee = number(bench.get("/v5/order/history", **LINEAR)["list"][0]["cumExecFee"])
    assert number(held["curRealisedPnl"]) == -fee - number(charge["execFee"])
    past = bench.get("/v5/market/funding/history", **LINEAR)["list"]
    assert past[0]["fundingRate"] == charge["feeRate"]


def test_the_ledger_answers_for_a_day_unless_told_both_ends_of_a_week(bench):
    bench.order()
    day, now = 86_400_000, bench.clock.time_ns() // 1_000_000

    def count(**span):
        return len(bench.get("/v5/account/transaction-log", **span)["list"])

    assert count() == count(startTime=now - day + 60_000) == 2
    assert count(startTime=now - day - 60_000) == 0
    assert count(endTime=now) == 2
    assert count(endTime=now - 60_000) == 0
    assert count(startTime=now - 6 * day, endTime=now) == 2
    span = {"startTime": now - 8 * day, "endTime": now}
    answer = bench.ask("GET", "/v5/account/transaction-log", span)
    assert answer["retCode"] == 10001


def test_a_position_beyond_its_margin_is_liquidated_and_says_so(bench):
    leverage = {"buyLeverage": "100", "sellLeverage": "100"}
    bench.post("/v5/position/set-leverage", **LINEAR, **leverage)
    for _ in range(40):
        bench.order(qty="2")
        bench.run(0.2)
    resting = limit(bench)
    shock(bench, "0.95")
    bench.run(1)
    assert bench.position()["size"] == "0.000"
    row = bench.shown(resting["orderId"])
    assert (row["orderStatus"], row["cancelType"]) == (
        "Cancelled",
        "CancelAllBeforeLiq",
    )
    types = {
        f["execType"]
        for f in bench.get("/v5/execution/list", **LINEAR, limit=100)["list"]
    }
    assert "BustTrade" in types


def test_everything_is_as_it_was_after_a_restart(bench, tmp_path):
    bench.order(qty="0.3", stopLoss="50000", orderLinkId="mine")
    limit(bench, takeProfit="66000")
    conditional(bench, -5)
    path = "/v5/order/disconnected-cancel-all"
    bench.post(path, product="DERIVATIVES", timeWindow=5)
    save_world(tmp_path / "state", bench.world, {"bybit": {}})
    other = Bench()
    SavedWorld(tmp_path / "state").restore(other.world)
    asked = {"category": "linear", "settleCoin": "USDT"}
    for path, query in (
        ("/v5/order/realtime", asked),
        ("/v5/order/history", asked),
        ("/v5/execution/list", asked),
        ("/v5/position/list", asked),
        ("/v5/account/transaction-log", {}),
        ("/v5/account/query-dcp-info", {}),
    ):
        assert other.get(path, **query) == bench.get(path, **query)
    again = LINEAR | {"side": "Buy", "orderType": "Market", "qty": "0.1"}
    assert other.refused("/v5/order/create", **again, orderLinkId="mine") == 110072
    other.post("/v5/order/cancel-all", **asked)
    other.order(side="Sell", qty="0", reduceOnly=True)
    assert other.venue.exchange.is_flat(other.venue.exchange.clearing.accounts[1])


def test_an_emergency_stop_leaves_nothing(bench):
    bench.order(qty="0.3")
    bench.order(symbol="ETHUSDT", side="Sell", qty="2")
    limit(bench)
    conditional(bench, -5, reduceOnly=True)
    scope = {"category": "linear", "settleCoin": "USDT"}
    for order_filter in ("Order", "StopOrder"):
        bench.post("/v5/order/cancel-all", **scope, orderFilter=order_filter)
    for row in bench.get("/v5/position/list", **scope)["list"]:
        side = "Sell" if row["side"] == "Buy" else "Buy"
        close = {"symbol": row["symbol"], "side": side, "qty": row["size"]}
        bench.order(**close, reduceOnly=True)
    assert bench.get("/v5/position/list", **scope)["list"] == []
    assert bench.get("/v5/order/realtime", **scope)["list"] == []
    assert bench.venue.exchange.is_flat(bench.account)
