"""Ccxt as released against Deribit over REST: what it parses is what the books hold."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise

import ccxt
import pytest

from cryptoquantix.simulator.exchange import Print
from cryptoquantix.simulator.listing import UNITS_PER_COIN
from simulator.deribit_live import BTC, ETH, LINEAR, live_deribit, number


@pytest.fixture
async def live():
    async with live_deribit() as live:
        yield live


@pytest.fixture
async def venue(live):
    client = live.client()
    await client.load_markets()
    yield client
    await client.close()


def money(units: int) -> Decimal:
    return Decimal(units) / UNITS_PER_COIN


# Markets and public data.


async def test_markets_have_the_steps_of_the_listings(venue, live):
    assert set(venue.symbols) == {BTC, LINEAR, ETH, "ETH/USDC:USDC"}
    assert set(venue.currencies) >= {"BTC", "ETH", "USDC"}
    for symbol in venue.symbols:
        market = venue.market(symbol)
        listing = live.market(market["id"]).listing
        assert market["swap"]
        assert (market["inverse"], market["linear"]) == (
            listing.is_inverse,
            not listing.is_inverse,
        )
        assert market["settle"] == listing.settlement
        assert number(market["precision"]["price"]) == listing.tick_size
        assert number(market["precision"]["amount"]) == listing.lot_size
        assert number(market["contractSize"]) == listing.lot_size
        assert (number(market["maker"]), number(market["taker"])) == (
            listing.fee_rate_maker,
            listing.fee_rate_taker,
        )


async def test_one_coin_can_be_loaded_alone(live):
    client = live.client()
    client.has["fetchCurrencies"] = False
    await client.load_markets(False, {"kind": "future", "currency": "BTC"})
    assert client.symbols == [BTC]
    asked = [r["path"] for r in live.record.after(0, 10) if r["kind"] == "request"]
    assert asked == ["/api/v2/public/get_instruments"]
    await client.close()


async def test_time_is_wall_time(venue, live):
    assert abs(await venue.fetch_time() - live.clock.time_ns() // 10**6) < 5_000


async def test_book_and_ticker_are_the_markets(venue, live):
    for symbol in (BTC, LINEAR):
        market = live.market(venue.market(symbol)["id"])
        listing = market.listing
        book = await venue.fetch_order_book(symbol, 20)
        assert book["nonce"] == market.book.update_id
        for side, sign in (("bids", 1), ("asks", -1)):
            ours = [[number(p), number(q)] for p, q in book[side]]
            assert ours == [
                [Decimal(listing.price_text(p)), Decimal(listing.size_text(q))]
                for p, q in market.book.levels(sign, 20)
            ]
        ticker = await venue.fetch_ticker(symbol)
        for name, ticks in (
            ("last", market.price_ticks),
            ("markPrice", market.mark_ticks),
            ("indexPrice", market.index_ticks),
            ("bid", market.book.best_ticks(1)),
            ("ask", market.book.best_ticks(-1)),
        ):
            assert number(ticker[name]) == Decimal(listing.price_text(ticks)), name


async def test_bars_are_the_history(venue, live):
    history = live.market().history
    listing = live.market().listing
    bars = await venue.fetch_ohlcv(BTC, "1m", None, 100)
    assert len(bars) >= 98
    assert all(b[0] - a[0] == 60_000 for a, b in pairwise(bars))
    for stamp, *figures in bars:
        [bar] = history.bars("1m", stamp * 10**6, stamp * 10**6, 1)
        prices = [bar.open, bar.high, bar.low, bar.close]
        assert [number(f) for f in figures[:4]] == [
            Decimal(listing.price_text(p)) for p in prices
        ]
        if bar.lots:
            # Volume in coins, of dollars at the bar's average price.
            average = Decimal(bar.value) / bar.lots * listing.tick_size
            volume = bar.lots * listing.lot_size / average
            assert abs(number(figures[4]) - volume) <= Decimal("5e-9")
    since = bars[10][0]
    assert await venue.fetch_ohlcv(BTC, "1m", since, 5) == bars[10:15]
    hours = await venue.fetch_ohlcv(LINEAR, "1h")
    assert all(b[0] - a[0] == 3_600_000 for a, b in pairwise(hours))


async def test_trades_are_those_printed(venue, live):
    from fractions import Fraction

    for step in range(4):
        factor = Fraction(1001, 1000) if step % 2 else Fraction(999, 1000)
        live.venue.shock("BTC-PERPETUAL", factor, live.clock.time_ns())
    market = live.market()
    printed = list(market.history.trades)
    trades = await venue.fetch_trades(BTC)
    assert [int(t["id"]) for t in trades] == [t.id for t in printed]
    for parsed, trade in zip(trades, printed, strict=True):
        amount = Decimal(market.listing.size_text(trade.size_lots))
        price = Decimal(market.listing.price_text(trade.price_ticks))
        assert number(parsed["price"]) == price
        assert number(parsed["amount"]) == amount
        assert parsed["side"] == ("sell" if trade.is_buyer_maker else "buy")
        assert parsed["timestamp"] == trade.time_ns // 10**6
    assert len(await venue.fetch_trades(BTC, None, 2)) == 2
    since = await venue.fetch_trades(BTC, trades[0]["timestamp"], 3)
    assert [t["id"] for t in since] == [t["id"] for t in trades[:3]]


async def test_funding_is_what_the_core_charges(venue, live):
    from fractions import Fraction

    rate = await venue.fetch_funding_rate(BTC)
    assert number(rate["fundingRate"]) == live.market().funding_rate(
        live.exchange.rules
    )
    live.venue.depeg("BTC-PERPETUAL", Fraction(1004, 1000), live.clock.time_ns())
    charged = live.market().funding_rate(live.exchange.rules)
    assert charged > 0
    rate = await venue.fetch_funding_rate(BTC)
    assert abs(number(rate["fundingRate"]) - charged) <= Decimal("1e-12")
    assert isinstance(await venue.fetch_funding_rate_history(BTC), list)
    index = await venue.public_get_get_index_price({"index_name": "btc_usd"})
    listing = live.market().listing
    assert number(index["result"]["index_price"]) == Decimal(
        listing.price_text(live.market().index_ticks)
    )


# Orders.


@pytest.mark.parametrize(
    ("symbol", "amount"), [(BTC, 5_000), (LINEAR, 0.25)], ids=["inverse", "linear"]
)
async def test_a_market_order_is_filled_and_booked(venue, live, symbol, amount):
    market = live.market(venue.market(symbol)["id"])
    listing, coin = market.listing, market.listing.settlement
    before = live.account.wallet_of(coin)
    order = await venue.create_order(
        symbol, "market", "buy", amount, None, {"label": "mine"}
    )
    [fill] = live.exchange.clearing.fills[1]
    assert (order["status"], number(order["filled"])) == ("closed", number(amount))
    assert order["info"]["label"] == "mine"
    assert number(order["average"]) == Decimal(
        listing.price_text(fill.price_ticks)
    ) or (listing.is_inverse)
    [trade] = order["trades"]
    assert number(trade["price"]) == Decimal(listing.price_text(fill.price_ticks))
    assert number(trade["amount"]) == number(amount)
    assert number(trade["fee"]["cost"]) == money(fill.fee_units)
    assert trade["fee"]["currency"] == coin
    assert trade["takerOrMaker"] == "taker"
    assert live.account.wallet_of(coin) == before - fill.fee_units
    value = number(amount) * number(trade["price"])
    if listing.is_inverse:
        value = number(amount) / number(trade["price"])
    assert abs(money(fill.value_units) - value) <= Decimal("5e-9")
    held = live.held(listing.symbol)
    assert held.cost_units == fill.value_units


async def test_positions_are_the_books(venue, live):
    from fractions import Fraction

    await venue.create_order(BTC, "market", "buy", 5_000)
    await venue.create_order(LINEAR, "market", "sell", 0.25)
    live.venue.shock("BTC-PERPETUAL", Fraction(1003, 1000), live.clock.time_ns())
    positions = {p["symbol"]: p for p in await venue.fetch_positions()}
    assert set(positions) == {BTC, LINEAR}
    for symbol, row in positions.items():
        market = live.market(venue.market(symbol)["id"])
        listing, held = market.listing, live.held(market.listing.symbol)
        margin = live.exchange.clearing.symbol_margin(live.account, listing.symbol)
        assert row["side"] == ("long" if held.size_lots > 0 else "short")
        assert abs(number(row["contracts"])) == Decimal(
            listing.size_text(abs(held.size_lots))
        )
        entry = listing.average_text(abs(held.cost_units), abs(held.size_lots))
        assert number(row["entryPrice"]) == number(float(entry))
        assert number(row["markPrice"]) == Decimal(
            listing.price_text(market.mark_ticks)
        )
        pnl = held.unrealized_units(market.mark_ticks)
        assert number(row["unrealizedPnl"]) == money(pnl)
        assert number(row["initialMargin"]) == money(margin.position)
        assert number(row["maintenanceMargin"]) == money(margin.maintenance)
        notional = money(held.notional_units(market.mark_ticks))
        if not listing.is_inverse:
            notional = Decimal(listing.size_text(abs(held.size_lots)))
        assert number(row["notional"]) == notional
    [only] = await venue.fetch_positions(None, {"currency": "USDC", "kind": "future"})
    assert only["symbol"] == LINEAR
    assert (await venue.fetch_position(BTC))["contracts"] == 5_000


async def test_balances_are_the_wallets_and_margins(venue, live):
    await venue.create_order(BTC, "market", "buy", 50_000)
    await venue.create_order(LINEAR, "limit", "buy", 0.25, 59_500)
    balance = await venue.fetch_balance()
    for coin in ("BTC", "ETH", "USDC"):
        margin = live.exchange.clearing.margin(live.account, coin)
        assert number(balance[coin]["total"]) == money(margin.equity)
        assert number(balance[coin]["free"]) == money(margin.available)
        assert number(balance[coin]["used"]) == money(margin.maintenance)
    single = await venue.fetch_balance({"code": "BTC"})
    assert single["BTC"] == balance["BTC"]


async def test_a_limit_order_rests_is_found_edited_and_canceled(venue, live):
    order = await venue.create_order(BTC, "limit", "buy", 100, 59_200, {"label": "x"})
    assert (order["status"], order["timeInForce"]) == ("open", "GTC")
    assert order["clientOrderId"] is None, "ccxt never returns the label"
    found = await venue.fetch_order(order["id"], BTC)
    assert (number(found["price"]), found["info"]["label"]) == (59_200, "x")
    assert [o["id"] for o in await venue.fetch_open_orders(BTC)] == [order["id"]]
    assert await venue.fetch_open_orders(LINEAR) == []
    edited = await venue.edit_order(order["id"], BTC, "limit", "buy", 200, 59_300)
    assert (edited["id"], number(edited["amount"])) == (order["id"], 200)
    [resting] = live.market().open_orders.values()
    assert (resting.size_lots, resting.price_ticks) == (20, 118_600)
    canceled = await venue.cancel_order(order["id"], BTC)
    assert canceled["status"] == "canceled"
    assert (await venue.fetch_order(order["id"], BTC))["status"] == "canceled"
    assert not live.market().open_orders
    with pytest.raises(ccxt.InvalidOrder, match="11044"):
        await venue.cancel_order(order["id"], BTC)
    with pytest.raises(ccxt.OrderNotFound):
        await venue.fetch_order("999999999", BTC)
    closed = await venue.fetch_closed_orders(
        BTC, None, None, {"include_unfilled": True}
    )
    assert [o["id"] for o in closed] == [order["id"]]


async def test_open_orders_without_a_symbol_are_those_of_one_coin(venue):
    await venue.create_order(BTC, "limit", "buy", 100, 59_200)
    linear = await venue.create_order(LINEAR, "limit", "buy", 0.01, 59_200)
    [mine] = await venue.fetch_open_orders()
    assert mine["symbol"] == BTC
    [other] = await venue.fetch_open_orders(LINEAR)
    assert other["id"] == linear["id"]


async def test_cancel_all_with_and_without_a_symbol_and_by_label(venue, live):
    for _ in range(2):
        await venue.create_order(BTC, "limit", "buy", 100, 59_200, {"label": "same"})
        await venue.create_order(LINEAR, "limit", "buy", 0.01, 59_200)
    await venue.create_order(
        BTC, "market", "sell", 100, None, {"stopLossPrice": 58_000}
    )
    [answer] = await venue.cancel_all_orders(LINEAR)
    assert answer["info"]["result"] == 2
    answer = await venue.private_get_cancel_by_label({"label": "same"})
    assert answer["result"] == 2
    [answer] = await venue.cancel_all_orders()
    assert answer["info"]["result"] == 1, "the stop is canceled too"
    assert await venue.fetch_open_orders() == []
    assert not live.exchange.open_algos(1)


async def test_stops_wait_trigger_and_fill(venue, live):
    from fractions import Fraction

    await venue.create_order(BTC, "market", "buy", 1_000)
    stop = await venue.create_order(
        BTC,
        "market",
        "sell",
        1_000,
        None,
        {"stopLossPrice": 59_000, "trigger": "mark_price", "reduceOnly": True},
    )
    limit = await venue.create_order(
        BTC, "limit", "sell", 1_000, 61_500, {"takeProfitPrice": 61_400}
    )
    assert stop["info"]["order_type"] == "stop_market"
    assert limit["info"]["order_type"] == "take_limit"
    assert number(stop["info"]["trigger_price"]) == 59_000
    assert stop["info"]["trigger"] == "mark_price"
    assert {o["id"] for o in await venue.fetch_open_orders(BTC)} == {
        stop["id"],
        limit["id"],
    }
    live.venue.shock("BTC-PERPETUAL", Fraction(97, 100), live.clock.time_ns())
    assert not live.held().size_lots
    done = await venue.fetch_order(stop["id"], BTC)
    assert done["info"]["order_state"] == "triggered"
    trades = await venue.fetch_my_trades(BTC)
    assert (
        trades[-1]["info"]["reduce_only"] == "true" or trades[-1]["info"]["reduce_only"]
    )
    child = await venue.fetch_order(trades[-1]["order"], BTC)
    assert (child["status"], number(child["filled"])) == ("closed", 1_000)


async def test_time_in_force_and_post_only(venue, live):
    with pytest.raises(ccxt.InvalidOrder, match="11054"):
        await venue.create_order(BTC, "limit", "buy", 10, 60_400, {"postOnly": True})
    ioc = await venue.create_order(
        BTC, "limit", "buy", 10, 59_000, {"timeInForce": "IOC"}
    )
    assert (ioc["status"], number(ioc["filled"])) == ("canceled", 0)
    fok = await venue.create_order(
        BTC, "limit", "buy", 10, 60_400, {"timeInForce": "FOK"}
    )
    assert (fok["status"], fok["timeInForce"]) == ("closed", "FOK")
    resting = await venue.create_order(
        BTC, "limit", "buy", 10, 59_000, {"postOnly": True}
    )
    assert (resting["status"], resting["postOnly"]) == ("open", True)
    assert live.market().open_orders[int(resting["id"])]


async def test_reduce_only_needs_a_position_and_is_shrunk_to_it(venue, live):
    reduce_only = {"reduceOnly": True}
    with pytest.raises(ccxt.ExchangeError, match="11030"):
        await venue.create_order(BTC, "market", "sell", 100, None, reduce_only)
    await venue.create_order(BTC, "market", "buy", 100)
    order = await venue.create_order(BTC, "market", "sell", 5_000, None, reduce_only)
    assert number(order["filled"]) == 100
    assert live.held().size_lots == 0


# What the account did.


async def test_trades_and_ledger_add_up_to_the_wallet(venue, live):
    since = await venue.fetch_time() - 1_000
    start = live.account.wallet_of("BTC")
    first = await venue.create_order(BTC, "market", "buy", 30_000)
    await venue.create_order(BTC, "market", "sell", 30_000, None, {"reduceOnly": True})
    await venue.create_order(LINEAR, "market", "buy", 0.01)
    fills = [f for f in live.exchange.clearing.fills[1] if f.coin == "BTC"]
    for trades in (
        await venue.fetch_my_trades(BTC),
        await venue.fetch_my_trades(BTC, since),
        await venue.fetch_my_trades(),
        await venue.fetch_my_trades(None, since),
    ):
        assert [t["id"] for t in trades] == [str(f.trade_id) for f in fills]
        fees = [number(t["fee"]["cost"]) for t in trades]
        assert fees == [money(f.fee_units) for f in fills]
        realized = sum(number(t["info"]["profit_loss"]) for t in trades)
        moved = live.account.wallet_of("BTC") - start
        assert realized - sum(fees) == money(moved)
    trades = await venue.fetch_order_trades(first["id"], BTC)
    assert {trade["order"] for trade in trades} == {first["id"]}
    assert sum(number(trade["info"]["amount"]) for trade in trades) == 30_000
    log = await venue.private_get_get_transaction_log(
        {"currency": "BTC", "start_timestamp": since, "end_timestamp": since + 60_000}
    )
    rows = log["result"]["logs"]
    assert [r["type"] for r in rows] == ["trade"] * len(fills) + ["deposit"]
    assert number(rows[0]["balance"]) == money(live.account.wallet_of("BTC"))
    for newer, older in pairwise(rows):
        assert number(newer["balance"]) - number(newer["change"]) == number(
            older["balance"]
        )
    assert sum(number(r["change"]) for r in rows) == number(rows[0]["balance"])


async def test_external_cash_flows_are_told_by_name(venue, live):
    now = live.clock.time_ns()
    live.venue.transfer(1, 50_000_000, now, "BTC")
    live.venue.transfer(1, -20_000_000, now, "BTC")
    deposits = await venue.fetch_deposits("BTC")
    assert number(deposits[-1]["amount"]) == Decimal("0.5")
    assert deposits[-1]["status"] == "ok"
    [withdrawal] = await venue.fetch_withdrawals("BTC")
    assert number(withdrawal["amount"]) == Decimal("0.2")
    assert await venue.fetch_transfers("BTC") == []
    start = now // 10**6 - 1
    log = await venue.private_get_get_transaction_log(
        {"currency": "BTC", "start_timestamp": start, "end_timestamp": start + 60_000}
    )
    moves = [(r["type"], number(r["change"])) for r in log["result"]["logs"][:2]]
    assert moves == [("withdrawal", Decimal("-0.2")), ("deposit", Decimal("0.5"))]
    query = {"currency": "BTC", "start_timestamp": start, "end_timestamp": start + 9**6}
    page = await venue.private_get_get_transaction_log(query | {"count": 1})
    rest = await venue.private_get_get_transaction_log(
        query | {"continuation": page["result"]["continuation"]}
    )
    assert page["result"]["logs"] + rest["result"]["logs"] == log["result"]["logs"]


async def test_rights_can_be_read_and_hold_no_withdrawal(venue):
    answer = await venue.public_get_auth(
        {
            "grant_type": "client_credentials",
            "client_id": "k",
            "client_secret": "s",
        }
    )
    assert "wallet:none" in answer["result"]["scope"].split()
    assert "trade:read_write" in answer["result"]["scope"].split()
    keys = await venue.private_get_list_api_keys()
    scopes = {k["client_id"]: k["max_scope"] for k in keys["result"]}
    assert set(scopes) == {"k", "r", "o"}
    switch = await venue.private_get_enable_cancel_on_disconnect({"scope": "account"})
    assert switch["result"] == "ok"
    state = await venue.private_get_get_cancel_on_disconnect({"scope": "account"})
    assert state["result"] == {"scope": "account", "enabled": True}


# Refusals are the errors ccxt knows.


REFUSALS = [
    ((BTC, "limit", "buy", 10**9, 59_000), ccxt.InsufficientFunds),
    ((BTC, "market", "sell", 10, None, {"stopLossPrice": 70_000}), ccxt.InvalidOrder),
    ((BTC, "limit", "buy", 10, 60_400, {"postOnly": True}), ccxt.InvalidOrder),
    ((BTC, "limit", "buy", 10, 59_000, {"price": "59000.1"}), ccxt.InvalidOrder),
    ((BTC, "limit", "buy", 10, 59_000, {"amount": 5}), ccxt.InvalidOrder),
    ((BTC, "limit", "buy", 10, 59_000, {"clientOrderId": "x"}), ccxt.BadRequest),
    ((BTC, "limit", "buy", 10, 59_000, {"time_in_force": "never"}), ccxt.BadRequest),
    ((BTC, "limit", "buy", 10, 59_000, {"instrument_name": "X"}), ccxt.ExchangeError),
]


async def test_refusals_are_the_errors_ccxt_knows(venue, live):
    for arguments, error in REFUSALS:
        with pytest.raises(error):
            await venue.create_order(*arguments)
    assert not live.exchange.orders
    assert not live.exchange.open_algos(1)


async def test_wrong_secrets_and_missing_rights(live):
    wrong = live.client()
    wrong.secret = "x"
    with pytest.raises(ccxt.AuthenticationError, match="13004"):
        await wrong.private_get_get_positions()
    reader = live.client()
    reader.apiKey, reader.secret = "o", "p"
    await reader.load_markets()
    with pytest.raises(ccxt.PermissionDenied, match="13021"):
        await reader.create_order(BTC, "market", "buy", 10)
    await wrong.close()
    await reader.close()


async def test_spent_credits_are_ddos_protection():
    async with live_deribit(is_limited=True) as live:
        client = live.client()
        await client.public_get_test()
        bucket = live.venue.wire._limits._requests[0]
        bucket._rate = bucket._left = 0
        with pytest.raises(ccxt.DDoSProtection, match="10028"):
            await client.public_get_test()
        await client.close()


# Faults of ccxt itself, by the number of the finding.


async def test_finding_4_a_leaked_trigger_price_is_refused_loudly(venue, live):
    with pytest.raises(ccxt.BadRequest, match="triggerPrice"):
        await venue.create_order(
            BTC, "market", "sell", 10, None, {"triggerPrice": 59_000}
        )
    assert not live.exchange.orders


@pytest.mark.xfail(
    strict=True,
    raises=ccxt.ExchangeError,
    reason="finding 4: it sends a plain market order",
)
async def test_finding_4_a_trigger_price_makes_a_stop(venue):
    order = await venue.create_order(
        BTC, "market", "sell", 10, None, {"triggerPrice": 59_000}
    )
    assert order["info"]["order_type"] == "stop_market"


@pytest.mark.xfail(
    strict=True,
    raises=ccxt.ExchangeError,
    reason="finding 4: it sends trigger_price=None",
)
async def test_finding_4_a_stop_market_takes_a_trigger_price(venue):
    await venue.create_order(
        BTC, "stop_market", "sell", 10, None, {"triggerPrice": 59_000}
    )


@pytest.mark.xfail(
    strict=True, raises=AssertionError, reason="finding 15: contracts are dollars"
)
async def test_finding_15_contracts_times_their_size_is_the_position(venue, live):
    await venue.create_order(BTC, "market", "buy", 5_000)
    [row] = await venue.fetch_positions()
    dollars = live.held().size_lots * live.market().listing.lot_size
    assert number(row["contracts"]) * number(row["contractSize"]) == dollars


@pytest.mark.xfail(
    strict=True, raises=AssertionError, reason="finding 15: flat positions have a side"
)
async def test_finding_15_flat_is_no_side(venue):
    await venue.create_order(BTC, "market", "buy", 5_000)
    await venue.create_order(BTC, "market", "sell", 5_000)
    [row] = await venue.fetch_positions()
    assert row["contracts"] == 0
    assert row["side"] is None


@pytest.mark.xfail(
    strict=True, raises=AssertionError, reason="VENUES 4.2: it reads stop_price"
)
async def test_trigger_prices_are_parsed(venue):
    order = await venue.create_order(
        BTC, "market", "sell", 10, None, {"stopLossPrice": 59_000}
    )
    assert order["triggerPrice"] == 59_000


@pytest.mark.xfail(
    strict=True, raises=AssertionError, reason="VENUES 4.2: the label is not parsed"
)
async def test_labels_are_client_order_ids(venue):
    order = await venue.create_order(BTC, "limit", "buy", 10, 59_000, {"label": "x"})
    assert order["clientOrderId"] == "x"


@pytest.mark.xfail(
    strict=True, raises=AssertionError, reason="VENUES 4.2: cost is of the whole amount"
)
async def test_the_cost_of_a_partly_filled_inverse_order(venue, live):
    market = live.market()
    ticks = market.price_ticks - 20
    price = float(market.listing.price_text(ticks))
    order = await venue.create_order(BTC, "limit", "buy", 5_000, price)
    printed = Print(market.tape_ns, ticks, 10, is_buyer_maker=True)
    live.exchange.tick("BTC-PERPETUAL", printed, live.clock.time_ns())
    [fill] = live.exchange.clearing.fills[1]
    if fill.size_lots != 10:
        pytest.fail("the order must be filled in part")
    order = await venue.fetch_order(order["id"], BTC)
    assert abs(number(order["cost"]) - money(fill.value_units)) < Decimal("1e-6")
