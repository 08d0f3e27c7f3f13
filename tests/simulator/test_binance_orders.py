"""Order kinds, self-trade modes, weights and bans of the Binance wire, no sockets."""

from __future__ import annotations

from fractions import Fraction

import pytest

from simulator.test_binance_wire import START, ask, make_venue, signed

SECOND = 1_000_000_000
LIMIT = "symbol=BTCUSDT&type=LIMIT&timeInForce=GTC&quantity=0.1"


@pytest.fixture
def venue():
    return make_venue()


def order(venue, text, path="/fapi/v1/order", **options):
    response, answer = signed(venue, "POST", path, text, **options)
    assert response.status == 200, answer
    return answer


def algo(venue, text):
    text = f"symbol=BTCUSDT&algoType=CONDITIONAL&quantity=0.1&{text}"
    return order(venue, text, "/fapi/v1/algoOrder")


def waiting(venue) -> list[str]:
    return [a["type"] for a in venue.account_json(1)["algo_orders"]]


def test_conditional_orders_work_by_the_price_they_name(venue):
    """The last price falls by 7 %, the mark follows by 5 % at most."""
    order(venue, "symbol=BTCUSDT&side=BUY&type=MARKET&quantity=0.2")
    stop = "side=SELL&type=STOP_MARKET&reduceOnly=true&triggerPrice=56500"
    by_last = algo(venue, f"{stop}&workingType=CONTRACT_PRICE")
    by_mark = algo(venue, f"{stop}&workingType=MARK_PRICE")
    venue.depeg("BTCUSDT", Fraction(93, 100), START)
    _, mark = ask(venue, "GET", "/fapi/v1/premiumIndex", "symbol=BTCUSDT")
    assert (mark["markPrice"], mark["indexPrice"]) == (
        "57000.00000000",
        "60000.00000000",
    )
    assert [a["id"] for a in venue.account_json(1)["algo_orders"]] == [
        by_mark["algoId"]
    ]
    assert by_last["algoStatus"] == "NEW"
    venue.depeg("BTCUSDT", Fraction(1), START)
    venue.shock("BTCUSDT", Fraction(9, 10), START)
    assert waiting(venue) == []


@pytest.mark.parametrize(
    ("kind", "extra", "reached", "status"),
    [
        ("STOP_MARKET", "triggerPrice=59000", Fraction(98, 100), "FILLED"),
        ("STOP", "triggerPrice=59000&price=58000", Fraction(98, 100), "FILLED"),
        ("STOP", "triggerPrice=59000&price=59500", Fraction(98, 100), "NEW"),
        ("TAKE_PROFIT_MARKET", "triggerPrice=61000", Fraction(102, 100), "FILLED"),
        ("TAKE_PROFIT", "triggerPrice=61000&price=60500", Fraction(102, 100), "FILLED"),
        ("TAKE_PROFIT", "triggerPrice=61000&price=62000", Fraction(102, 100), "NEW"),
    ],
)
def test_every_conditional_kind_becomes_its_order(venue, kind, extra, reached, status):
    order(venue, "symbol=BTCUSDT&side=BUY&type=MARKET&quantity=0.1")
    made = algo(venue, f"side=SELL&type={kind}&{extra}&reduceOnly=true")
    venue.shock("BTCUSDT", Fraction(2) - reached, START)
    assert waiting(venue) == [kind], "the other way reaches it not"
    venue.shock("BTCUSDT", 1 / (Fraction(2) - reached), START)
    venue.shock("BTCUSDT", reached, START)
    assert waiting(venue) == []
    query = f"symbol=BTCUSDT&algoId={made['algoId']}"
    _, seen = signed(venue, "GET", "/fapi/v1/algoOrder", query)
    query = f"symbol=BTCUSDT&orderId={seen['actualOrderId']}"
    _, child = signed(venue, "GET", "/fapi/v1/order", query)
    assert (child["status"], child["origType"]) == (status, kind)


def test_a_trailing_stop_follows_from_its_activation_on(venue):
    order(venue, "symbol=BTCUSDT&side=BUY&type=MARKET&quantity=0.1")
    text = "side=SELL&type=TRAILING_STOP_MARKET&callbackRate=1&activatePrice=63000"
    made = algo(venue, f"{text}&reduceOnly=true")
    venue.shock("BTCUSDT", Fraction(98, 100), START)
    assert waiting(venue) == ["TRAILING_STOP_MARKET"], "not active yet"
    venue.shock("BTCUSDT", Fraction(100, 98) * Fraction(11, 10), START)
    query = f"symbol=BTCUSDT&algoId={made['algoId']}"
    _, seen = signed(venue, "GET", "/fapi/v1/algoOrder", query)
    assert float(seen["triggerPrice"]) == 66000 * 0.99
    venue.shock("BTCUSDT", Fraction(985, 1000), START)
    assert waiting(venue) == []
    assert venue.account_json(1)["positions"] == []


@pytest.mark.parametrize(
    ("mode", "maker", "taker"),
    [
        ("EXPIRE_MAKER", "EXPIRED_IN_MATCH", "NEW"),
        ("EXPIRE_TAKER", "NEW", "EXPIRED_IN_MATCH"),
        ("EXPIRE_BOTH", "EXPIRED_IN_MATCH", "EXPIRED_IN_MATCH"),
        ("NONE", "FILLED", "FILLED"),
    ],
)
def test_self_trade_modes(venue, mode, maker, taker):
    """Between the maker's quotes, so that the two orders meet nobody else."""
    _, book = ask(venue, "GET", "/fapi/v1/depth", "symbol=BTCUSDT&limit=5")
    price = book["bids"][0][0]
    bid = f"{float(price) + 0.1:.1f}"
    assert float(bid) < float(book["asks"][0][0])
    first = order(venue, f"{LIMIT}&side=BUY&price={bid}")
    text = f"{LIMIT}&side=SELL&price={bid}&selfTradePreventionMode={mode}"
    second = order(venue, f"{text}&newOrderRespType=RESULT")
    assert second["selfTradePreventionMode"] == mode
    query = f"symbol=BTCUSDT&orderId={first['orderId']}"
    _, seen = signed(venue, "GET", "/fapi/v1/order", query)
    assert (seen["status"], second["status"]) == (maker, taker)


@pytest.mark.parametrize(
    ("extra", "code"),
    [
        ("priceMatch=OPPONENT", -1020),
        ("priceProtect=true", -1020),
        ("selfTradePreventionMode=MAYBE", -1130),
        ("newOrderRespType=FULL", -1130),
        ("positionSide=LONG", -4061),
    ],
)
def test_what_is_not_simulated_is_refused_and_never_ignored(venue, extra, code):
    text = f"{LIMIT}&side=BUY&price=58000&{extra}"
    response, _ = signed(venue, "POST", "/fapi/v1/order", text)
    assert (response.status, response.code) == (400, code)
    assert venue.account_json(1)["open_orders"] == []


def test_an_acknowledgement_shows_no_fill_and_a_result_does(venue):
    text = "symbol=BTCUSDT&side=BUY&type=MARKET&quantity=0.1"
    ack = order(venue, text)
    result = order(venue, f"{text}&newOrderRespType=RESULT")
    assert (ack["status"], ack["executedQty"], ack["avgPrice"]) == (
        "NEW",
        "0.000",
        "0.00",
    )
    assert (result["status"], result["executedQty"]) == ("FILLED", "0.100")


@pytest.mark.parametrize(
    ("path", "query", "weight"),
    [
        ("/fapi/v1/depth", "symbol=BTCUSDT&limit=50", 2),
        ("/fapi/v1/depth", "symbol=BTCUSDT&limit=100", 5),
        ("/fapi/v1/depth", "symbol=BTCUSDT", 10),
        ("/fapi/v1/depth", "symbol=BTCUSDT&limit=1000", 20),
        ("/fapi/v1/klines", "symbol=BTCUSDT&interval=1m&limit=99", 1),
        ("/fapi/v1/klines", "symbol=BTCUSDT&interval=1m&limit=100", 2),
        ("/fapi/v1/klines", "symbol=BTCUSDT&interval=1m", 5),
        ("/fapi/v1/klines", "symbol=BTCUSDT&interval=1m&limit=1500", 10),
        ("/fapi/v1/aggTrades", "symbol=BTCUSDT", 20),
        ("/fapi/v1/ticker/bookTicker", "symbol=BTCUSDT", 2),
        ("/fapi/v1/ticker/bookTicker", "", 5),
        ("/fapi/v1/time", "", 1),
    ],
)
def test_public_weights(venue, path, query, weight):
    response, _ = ask(venue, "GET", path, query)
    assert response.status == 200
    assert response.headers["X-MBX-USED-WEIGHT-1M"] == str(weight)


@pytest.mark.parametrize(
    ("method", "path", "text", "weight"),
    [
        ("GET", "/fapi/v3/account", "", 5),
        ("GET", "/fapi/v1/openOrders", "symbol=BTCUSDT", 1),
        ("GET", "/fapi/v1/openOrders", "", 40),
        ("GET", "/fapi/v1/income", "", 30),
        ("POST", "/fapi/v1/order", f"{LIMIT}&side=BUY&price=58000", 0),
    ],
)
def test_private_weights(venue, method, path, text, weight):
    response, _ = signed(venue, method, path, text)
    assert response.status == 200
    assert response.headers["X-MBX-USED-WEIGHT-1M"] == str(weight)
    orders = response.headers.get("X-MBX-ORDER-COUNT-10S")
    assert orders == ("1" if path == "/fapi/v1/order" else None)


@pytest.mark.parametrize(
    ("path", "text", "weights", "who"),
    [
        ("account/apiRestrictions", "", range(1, 4), "IP"),
        ("capital/config/getall", "", range(10, 40, 10), "IP"),
        ("capital/withdraw/history", "", range(18_000, 72_000, 18_000), "UID"),
    ],
)
def test_every_path_of_the_wallet_has_a_weight_of_its_own(
    venue, path, text, weights, who
):
    for weight in weights:
        response, _ = signed(venue, "GET", f"/sapi/v1/{path}", text)
        assert response.status == 200
        assert response.headers[f"X-SAPI-USED-{who}-WEIGHT-1M"] == str(weight)
        assert "X-MBX-USED-WEIGHT-1M" not in response.headers


def test_the_eleventh_withdrawal_history_in_a_minute_is_429_and_never_a_ban(venue):
    path = "/sapi/v1/capital/withdraw/history"
    answers = [signed(venue, "GET", path, "")[0] for _ in range(60)]
    assert [a.status for a in answers] == [200] * 10 + [429] * 50
    assert int(answers[-1].headers["Retry-After"]) <= 60


def test_bans_grow_with_each_offense_and_end(venue):
    def status(at: int) -> tuple[int, int]:
        query = "symbol=BTCUSDT&limit=1000"
        response, _ = ask(venue, "GET", "/fapi/v1/depth", query, at=at)
        return response.status, int(response.headers.get("Retry-After", 0))

    def offend(at: int) -> int:
        """Go on until banned; return the seconds of the ban."""
        seen = [status(at) for _ in range(120 + 21)]
        assert {code for code, _ in seen[:120]} == {200}
        assert {code for code, _ in seen[120:-1]} == {429}
        assert seen[-1][0] == 418
        return seen[-1][1]

    minute = 60 * SECOND
    first = START - START % minute
    assert offend(first) == 120
    assert status(first + 119 * SECOND) == (418, 1)
    assert status(first + 120 * SECOND) == (200, 0)
    assert offend(first + 3 * minute) == 240
    # Who stops after a few refusals is not banned.
    again = first + 60 * minute
    assert [status(again)[0] for _ in range(125)][-1] == 429
    assert status(again + minute)[0] == 200
