"""Deribit's payloads beside recorded ones: the same keys, the same kinds of values."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest

from simulator.deribit_bench import DeribitBench

pytestmark = pytest.mark.real_data

BTC, LINEAR = "BTC-PERPETUAL", "BTC_USDC-PERPETUAL"
# A map from indices to figures: which indices is a matter of positions.
MAPS = {"delta_total_map", "estimated_liquidation_ratio_map"}
MAPS |= {"options_gamma_map", "options_vega_map"}


def kind(value) -> str:
    if isinstance(value, bool) or value is None:
        return str(type(value).__name__)
    return (
        "number" if isinstance(value, int | float | Decimal) else type(value).__name__
    )


def difference(ours, theirs, path: str = "") -> set[str]:
    """What one has and the other has not, and where kinds differ (null fits any)."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        found = {f"{path}.{k} only ours" for k in ours.keys() - theirs.keys()}
        found |= {f"{path}.{k} only theirs" for k in theirs.keys() - ours.keys()}
        for key in ours.keys() & theirs.keys() - MAPS:
            found |= difference(ours[key], theirs[key], f"{path}.{key}")
        return found
    if isinstance(ours, list) and isinstance(theirs, list):
        if not ours or not theirs:
            return set()
        return difference(ours[0], theirs[0], f"{path}[]")
    if ours is None or theirs is None or kind(ours) == kind(theirs):
        return set()
    return {f"{path}: {kind(ours)} is {kind(theirs)} there"}


def recorded(real_data, name: str):
    path = real_data / "venue-payloads" / "deribit" / name
    text = path.read_text()
    if name.endswith(".jsonl"):
        return [json.loads(line).get("data") for line in text.splitlines()]
    return json.loads(text)


@pytest.fixture(scope="module")
def bench():
    bench = DeribitBench("BTCUSDT", "ETHUSDT", is_limited=False)
    bench.run(3)
    return bench


def ws(bench, name: str, **parameters):
    return bench.say(bench.connect(login=True), name, **parameters)


def test_envelopes(bench, real_data):
    theirs = recorded(real_data, "nt-rs__http_get_tradingview_chart_data.json")
    now = bench.now // 1_000_000
    ours = ws(
        bench,
        "public/get_tradingview_chart_data",
        instrument_name=BTC,
        resolution="1",
        start_timestamp=now - 600_000,
        end_timestamp=now,
    )
    assert difference(ours, theirs) == set()
    # Theirs of time, test and errors are shortened to the member of interest.
    short = {".usIn only ours", ".usOut only ours", ".usDiff only ours"}
    short |= {".testnet only ours"}
    for name, file in (
        ("public/get_time", "nt-rs__http_get_time.json"),
        ("public/test", "nt-rs__http_test.json"),
    ):
        assert difference(ws(bench, name), recorded(real_data, file)) == short
    limited = DeribitBench()
    socket = limited.connect()
    answers = [limited.say(socket, "public/test") for _ in range(101)]
    theirs = recorded(real_data, "nt-rs__ws_error.json")
    assert difference(answers[-1], theirs) == short | {".error.data only theirs"}
    assert answers[-1]["error"]["code"] == theirs["error"]["code"]
    assert answers[-1]["error"]["message"] == theirs["error"]["message"]


def test_the_book(bench, real_data):
    theirs = recorded(real_data, "nt-rs__http_get_order_book.json")
    ours = ws(bench, "public/get_order_book", instrument_name=BTC, depth=20)
    assert difference(ours, theirs) == set()
    assert len(ours["result"]["bids"]) == len(theirs["result"]["bids"])


def test_market_channels(bench, real_data):
    names = {
        "book.BTC-PERPETUAL.100ms": None,
        "trades.BTC-PERPETUAL.100ms": "nt-rs__ws_trades.json",
        "ticker.BTC-PERPETUAL.100ms": "nt-rs__ws_ticker.json",
    }
    socket = bench.connect()
    bench.say(socket, "public/subscribe", channels=list(names))
    bench.run(3)
    told: dict[str, list] = {}
    for each in bench.heard(socket):
        told.setdefault(each["channel"], []).append(each["data"])
    for name, file in names.items():
        if file:
            theirs = recorded(real_data, file)["params"]["data"]
            # Trades of spreads carry the number of the spread's trade.
            combo = {"[].combo_trade_id only theirs"} if "trades" in name else set()
            assert difference(told[name][0], theirs) == combo
    snapshot, *changes = told["book.BTC-PERPETUAL.100ms"]
    theirs = recorded(real_data, "nt-rs__ws_book_snapshot.json")["params"]["data"]
    assert difference(snapshot, theirs) == set()
    theirs = recorded(real_data, "nt-rs__ws_book_delta.json")["params"]["data"]
    words = {level[0] for c in changes for level in (*c["bids"], *c["asks"])}
    assert words == {"new", "change", "delete"}
    assert difference(changes[0], theirs) == set()


def test_books_recorded_live(bench, real_data):
    """The live recording is of options alone: only its books are of our kinds."""
    seen: dict[str, dict] = {}
    for message in recorded(real_data, "cf__ws_market_data_2021-07-22.jsonl"):
        params = (message or {}).get("params", {})
        if params.get("channel", "").startswith("book."):
            seen.setdefault(params["data"]["type"], params["data"])
    assert set(seen) >= {"snapshot"}
    socket = bench.connect(login=True)
    name = "book.ETH-PERPETUAL.raw"
    bench.say(socket, "public/subscribe", channels=[name])
    bench.run(2)
    ours = {}
    for data in bench.heard(socket, name):
        ours.setdefault(data["type"], data)
    for what, theirs in seen.items():
        # In snapshots it is null now; then it was left out.
        newer = {".prev_change_id only ours"} if what == "snapshot" else set()
        assert difference(ours[what], theirs) == newer


def test_instruments(bench, real_data):
    lines = recorded(real_data, "cf__get_instruments_BTC_2021-07-22.jsonl")
    lines += recorded(real_data, "cf__get_instruments_USDC_2021-07-22.jsonl")
    theirs = {i["instrument_name"]: i for line in lines for i in line["result"]}
    ours = {i["instrument_name"]: i for i in bench.result("public/get_instruments")}
    # The USDC recording is of 2022, the BTC one of 2021; ccxt reads counter_currency
    # and settlement_currency, which the older one did not have yet.
    newer = {
        ".state only ours",
        ".instrument_type only ours",
        ".tick_size_steps only ours",
    }
    linear = next(i for n, i in theirs.items() if n.endswith("_USDC-PERPETUAL"))
    assert difference(ours[LINEAR], linear) == newer
    older = {
        ".counter_currency only ours",
        ".settlement_currency only ours",
        ".future_type only ours",
        ".instrument_id only ours",
        ".price_index only ours",
        ".rfq only ours",
    }
    assert difference(ours[BTC], theirs[BTC]) == newer | older
    for name in ("tick_size", "contract_size", "min_trade_amount", "kind"):
        assert ours[BTC][name] == theirs[BTC][name]


def test_orders(bench, real_data):
    order = {"instrument_name": "ETH_USDC-PERPETUAL", "amount": "0.01"}
    price = bench.result("public/ticker", instrument_name="ETH_USDC-PERPETUAL")
    order |= {"type": "limit", "price": price["max_price"], "post_only": True}
    placed = ws(bench, "private/sell", **_plain(order))
    theirs = recorded(real_data, "nt-rs__ws_order_sell_response.json")
    assert difference(placed, theirs) == set()
    number = placed["result"]["order"]["order_id"]
    assert number.startswith("USDC-")
    edited = ws(bench, "private/edit", order_id=number, amount=0.02)
    theirs = recorded(real_data, "nt-rs__ws_order_edit_response.json")
    assert difference(edited, theirs) == set()
    assert edited["result"]["order"]["replaced"] is True
    canceled = ws(bench, "private/cancel", order_id=number)
    theirs = recorded(real_data, "nt-rs__ws_order_cancel_response.json")
    assert difference(canceled, theirs) == set()
    for name in ("order_state", "cancel_reason", "post_only", "order_type"):
        assert canceled["result"][name] == theirs["result"][name]


def _plain(values: dict) -> dict:
    return {k: float(v) if isinstance(v, Decimal) else v for k, v in values.items()}


@pytest.mark.parametrize("name", ["response", "no_filled_amount"])
def test_stops(bench, real_data, name):
    bench.result("private/buy", instrument_name=LINEAR, amount="0.01", type="market")
    placed = ws(
        bench,
        "private/sell",
        instrument_name=LINEAR,
        amount=0.01,
        type="stop_market",
        trigger="mark_price",
        trigger_price=50_000,
        reduce_only=True,
    )
    theirs = recorded(real_data, f"nt-rs__ws_order_stop_market_{name}.json")
    # The venue leaves both out of some orders that cannot have been filled.
    left_out = {".result.order.filled_amount only ours"}
    left_out |= {".result.order.average_price only ours"}
    expected = left_out if name == "no_filled_amount" else set()
    assert difference(placed, theirs) == expected
    for each in ("order_state", "order_type", "price", "trigger", "risk_reducing"):
        assert placed["result"]["order"][each] == theirs["result"]["order"][each]


def test_heartbeats(bench, real_data):
    from simulator.deribit_bench import payload

    socket = bench.connect()
    bench.say(socket, "public/set_heartbeat", interval=10)
    for _ in range(2):
        bench.clock.advance(10 * 10**9)
        bench.world.timer()
    theirs = recorded(real_data, "nt-rs__ws_test_request.json")
    assert payload(socket.frames[-1]) == theirs


def test_accounts(bench, real_data):
    theirs = recorded(real_data, "nt-rs__http_get_account_summaries.json")
    ours = ws(bench, "private/get_account_summaries")
    assert difference(ours, theirs) == set()
    theirs = recorded(real_data, "nt-rs__http_get_account_summaries_cross_margin.json")
    found = difference(ours, theirs)
    # Of an account with cross collateral, which is not simulated.
    assert {d for d in found if "only theirs" in d} == {
        ".result.summaries[].locked_balance only theirs",
        ".result.summaries[].total_equity_usd only theirs",
        ".result.summaries[].total_initial_margin_usd only theirs",
        ".result.summaries[].total_maintenance_margin_usd only theirs",
        ".result.summaries[].total_margin_balance_usd only theirs",
    }
    assert not {d for d in found if " is " in d}


def test_public_trades(bench, real_data):
    file = "nt-rs__http_get_last_trades_perpetual_with_combo_tags.json"
    theirs = recorded(real_data, file)
    ours = ws(bench, "public/get_last_trades_by_instrument", instrument_name=BTC)
    assert {d for d in difference(ours, theirs) if ".result" in d} == {
        # These are trades of spreads.
        ".result.trades[].combo_id only theirs",
        ".result.trades[].combo_trade_id only theirs",
    }


# Recorded files that nothing of ours is compared with, and why.
NOT_EMITTED = {
    ".csv": "not a payload of the wire: somebody's own table of it",
    "_SOL_": "SOL has no inverse perpetual here; its shape is that of BTC's",
    "_ETH_": "the same shape as BTC's, which is compared",
    "expirations": "dated instruments are not simulated",
    "combo": "combos are not simulated",
    "volatility_index": "an options' index, not simulated",
}


def test_every_recorded_file_is_compared_or_said_why_not(real_data):
    source = Path(__file__).read_text()
    made = [
        f"nt-rs__ws_order_stop_market_{name}.json"
        for name in ("no_filled_amount", "response")
    ]
    for path in (real_data / "venue-payloads" / "deribit").iterdir():
        is_compared = path.name in source or path.name in made
        reasons = [why for part, why in NOT_EMITTED.items() if part in path.name]
        assert is_compared or reasons, path.name
