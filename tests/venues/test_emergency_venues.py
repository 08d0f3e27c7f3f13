"""The daemon's clients of all three venues against the simulator's own books."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from decimal import Decimal

import pytest

from cryptoquantix.core.clock import SystemClock
from cryptoquantix.core.errors import (
    CredentialsRefused,
    OrderRefused,
    OutcomeUnknown,
    RateLimited,
    SettingsError,
    VenueUnavailable,
)
from cryptoquantix.core.exposure import Act, CloseOrder, OpenOrder, OrderClass
from cryptoquantix.core.order import Side
from cryptoquantix.risk.explain import blindness, unexplained
from cryptoquantix.venues import emergency_bybit_rows, emergency_deribit_rows
from cryptoquantix.venues.emergency import open_emergency
from processes import start_simulator
from venues.owners import Owner

VENUES = ("binance", "bybit", "deribit")
ACCOUNTS = {
    "binance": "/fapi/v3/account",
    "bybit": "/v5/account/wallet-balance",
    "deribit": "/api/v2/private/get_account_summaries",
}
CLOSES = {
    "binance": "POST /fapi/v1/order",
    "bybit": "POST /v5/order/create",
    "deribit": "private/sell",
}


@pytest.fixture(scope="module")
def simulator(tmp_path_factory):
    folder = tmp_path_factory.mktemp("simulator")
    arguments = ("--generate", "3", "--instruments", "BTCUSDT,ETHUSDT", "--paused")
    venues = ("--venues", ",".join(VENUES), "--no-rate-limits")
    with start_simulator(folder, *arguments, *venues) as process:
        yield process


@pytest.fixture(params=VENUES)
def venue(request):
    return request.param


@pytest.fixture
async def owner(simulator, venue):
    found = Owner(venue, simulator.line["venues"][venue])
    yield found
    await found.close()


@pytest.fixture
async def client(simulator, venue):
    line = simulator.line["venues"][venue]
    found = open_emergency(
        venue, rest=line["rest"], clock=SystemClock(), **line["risk"]
    )
    yield found
    simulator.admin("/price", {"venue": venue, "symbol": "*", "factor": "1"})
    delete_faults(simulator)
    await clear(found)
    await found.close()


async def clear(client):
    client._silent_until_ns.clear()
    for order in await client.open_orders():
        await client.cancel(order)
    for held in await client.positions_again():
        if held.size:
            await client.close_position(closing(held))


def closing(held, price=None):
    side = Side.SELL if held.size > 0 else Side.BUY
    name = f"cqxk-{time.monotonic_ns()}"
    return CloseOrder(held.symbol, held.leg, side, abs(held.size), name, price)


def books(simulator, venue):
    return simulator.admin(f"/account?venue={venue}")


def fault(simulator, venue, kind, **more):
    simulator.admin("/faults", {"kind": kind, "venue": venue} | more)


def delete_faults(simulator):
    import urllib.request

    request = urllib.request.Request(simulator.admin_url + "/faults", method="DELETE")
    urllib.request.urlopen(request, timeout=5).close()


# -- reading --------------------------------------------------------------------------


async def test_the_reading_is_the_venues_books_to_the_last_digit(
    client, owner, simulator, venue
):
    words = owner.words
    await owner.market(words.first, "buy", words.first_size)
    await owner.market(words.second, "sell", words.second_size)
    await client.keep_warm()
    reading = await client.reading()
    true = books(simulator, venue)
    assert blindness(reading) == ""
    rates = {coin: Decimal(rate) for coin, rate in true["rates"].items()}
    assert {c.coin: c.balance for c in reading.coins} == {
        coin: Decimal(text) for coin, text in true["wallets"].items() if Decimal(text)
    }
    assert abs(reading.equity - Decimal(true["equity"])) <= Decimal("2e-8") * max(
        rates.values(), default=1
    )
    held = {p.symbol: p for p in reading.positions}
    assert {
        (p["symbol"], Decimal(p["size"]), Decimal(p["mark"]), p["coin"])
        for p in true["positions"]
    } == {
        (p.symbol, p.size, quantized(p.mark_price, true), p.coin)
        for p in reading.positions
    }
    for row in true["positions"]:
        entry = held[row["symbol"]].entry_price
        assert entry == pytest.approx(Decimal(row["entry"]), rel=Decimal("1e-6"))
    again = {p.symbol: p for p in await client.positions_again() if p.size}
    assert {s: p.size for s, p in again.items()} == {s: p.size for s, p in held.items()}
    assert await client.equity_again() == pytest.approx(
        reading.equity, abs=Decimal("0.01")
    )


def quantized(mark, true):
    """Binance's account answer says notional and size: the mark follows to 1e-8."""
    marks = [Decimal(p["mark"]) for p in true["positions"]]
    return min(marks, key=lambda m: abs(m - mark)) if marks else mark


async def test_marks_and_fills_explain_what_equity_does(
    client, owner, simulator, venue
):
    before = await client.reading()
    await owner.market(owner.words.first, "buy", owner.words.first_size)
    held = await client.reading()
    assert unexplained(before, held) == {}
    crash = {"venue": venue, "symbol": "*", "factor": "0.97"}
    simulator.admin("/price", crash)
    crashed = await client.reading()
    assert crashed.equity < held.equity
    assert all(
        abs(jump) < Decimal("0.01") for jump in unexplained(held, crashed).values()
    )
    simulator.admin("/price", crash | {"factor": "1.0309278"})


async def test_orders_of_every_class_are_found_and_classified(client, owner):
    first, second = owner.words.first, owner.words.second
    size = "100" if owner.name == "deribit" else "0.1"
    await owner.market(first, "buy", owner.words.first_size)
    await owner.limit(first, "buy", size, "0.96")
    await owner.limit(first, "sell", size, "1.03", reduce=True)
    await owner.stop(first, "sell", size, "0.7", reduce=True)
    await owner.stop(first, "buy", size, "1.3")
    found = await client.open_orders()
    assert sorted(
        (o.order_class.value, o.side.value, o.may_increase, o.size) for o in found
    ) == [
        ("algo", "buy", True, Decimal(size)),
        ("algo", "sell", False, Decimal(size)),
        ("normal", "buy", True, Decimal(size)),
        ("normal", "sell", False, Decimal(size)),
    ]
    assert set(await client.open_orders([first])) == set(found)
    assert await client.open_orders([second]) == ()
    assert (await client.reading()).hints_orders
    for order in found:
        await client.cancel(order)
        await client.cancel(order)  # gone already is success
    assert await client.open_orders() == ()


async def test_cancel_all_takes_one_class_of_one_symbol(client, owner):
    first, second = owner.words.first, owner.words.second
    sizes = {first: "100" if owner.name == "deribit" else "0.1", second: "0.1"}
    for symbol in (first, second):
        await owner.limit(symbol, "buy", sizes[symbol], "0.96")
        await owner.limit(symbol, "buy", sizes[symbol], "0.95")
        await owner.stop(symbol, "buy", sizes[symbol], "1.3")
    await client.cancel_all(first, OrderClass.NORMAL)
    found = await client.open_orders()
    assert Counter((o.symbol, o.order_class) for o in found) == {
        (first, OrderClass.ALGO): 1,
        (second, OrderClass.NORMAL): 2,
        (second, OrderClass.ALGO): 1,
    }
    await client.cancel_all(second, OrderClass.ALGO)
    await client.cancel_all(first, OrderClass.ALGO)  # and what is not there
    await client.cancel_all(first, OrderClass.ALGO)
    found = await client.open_orders()
    assert Counter((o.symbol, o.order_class) for o in found) == {
        (second, OrderClass.NORMAL): 2
    }


@pytest.mark.parametrize("venue", ["bybit", "deribit"], indirect=True)
async def test_cancel_everything_takes_all_by_the_fewest_calls(
    client, owner, simulator, venue
):
    for symbol in (owner.words.first, owner.words.second):
        size = "100" if "BTC-" in symbol else "0.1"
        await owner.limit(symbol, "buy", size, "0.96")
        await owner.stop(symbol, "buy", size, "1.3")
    after = simulator.log()[-1]["sequence"]
    await client.cancel_everything()
    calls = [r for r in simulator.log("request", after=after) if r["venue"] == venue]
    assert len(calls) == {"bybit": 2, "deribit": 1}[venue]
    true = books(simulator, venue)
    assert not true["open_orders"]
    assert not true["algo_orders"]


async def test_more_orders_than_a_page_are_all_found(client, owner):
    size = "10" if owner.name == "deribit" else "0.01"
    await asyncio.gather(
        *(
            owner.limit(
                owner.words.first, "buy", size, f"0.9{number // 10}{number % 10}"
            )
            for number in range(60)
        )
    )
    assert len(await client.open_orders()) == 60
    await client.cancel_all(owner.words.first, OrderClass.NORMAL)
    assert await client.open_orders() == ()


# -- acting ---------------------------------------------------------------------------


async def test_closes_are_reduce_only_and_never_flip(client, owner, simulator, venue):
    await owner.market(owner.words.first, "buy", owner.words.first_size)
    (held,) = (await client.reading()).positions
    await client.close_position(closing(held))
    assert (await client.reading()).positions == ()
    with pytest.raises(OrderRefused):
        await client.close_position(closing(held))
    assert books(simulator, venue)["positions"] == []


async def test_an_ioc_limit_through_the_band_closes_too(client, owner):
    await owner.market(owner.words.first, "sell", owner.words.first_size)
    (held,) = (await client.reading()).positions
    found = (await client.contracts())[held.symbol]
    price = (held.mark_price * found.price_ceiling // found.tick_size) * found.tick_size
    await client.close_position(closing(held, price))
    assert (await client.reading()).positions == ()
    assert await client.open_orders() == ()


async def test_a_market_close_refused_at_the_band_is_told(
    client, owner, simulator, venue
):
    await owner.market(owner.words.second, "buy", owner.words.second_size)
    (held,) = (await client.reading()).positions
    fault(simulator, venue, "price-band", seconds=20)
    with pytest.raises(OrderRefused) as refusal:
        await client.close_position(closing(held))
    assert refusal.value.reason
    assert (await client.reading()).positions
    delete_faults(simulator)
    await client.close_position(closing(held))
    assert (await client.reading()).positions == ()


@pytest.mark.parametrize("venue", ["binance", "bybit"], indirect=True)
async def test_hedge_legs_are_closed_each_by_its_own_side(
    client, owner, simulator, venue
):
    hedge = {"venue": venue, "mode": "hedge"}
    simulator.admin("/faults", {"kind": "position-mode"} | hedge)
    await asyncio.sleep(0.2)
    first, size = owner.words.first, owner.words.first_size
    wire = owner.wire
    if venue == "binance":
        for side, leg in (("BUY", "LONG"), ("SELL", "SHORT")):
            params = {"symbol": first, "side": side, "positionSide": leg}
            params |= {"type": "MARKET", "quantity": size}
            await wire.fapiPrivatePostOrder(params)
    else:
        for side, index in (("Buy", 1), ("Sell", 2)):
            params = {"category": "linear", "symbol": first, "side": side}
            params |= {"orderType": "Market", "qty": size, "positionIdx": index}
            await wire.privatePostV5OrderCreate(params)
    found = {p.leg: p for p in (await client.reading()).positions}
    assert {leg: p.size for leg, p in found.items()} == {
        "LONG": Decimal(size),
        "SHORT": -Decimal(size),
    }
    await client.close_position(closing(found["SHORT"]))
    assert [p.leg for p in (await client.reading()).positions] == ["LONG"]
    await client.close_position(closing(found["LONG"]))
    assert (await client.reading()).positions == ()
    simulator.admin("/faults", {"kind": "position-mode"} | hedge | {"mode": "one-way"})
    await asyncio.sleep(0.2)


# -- money and switches ---------------------------------------------------------------


async def test_the_ledger_names_what_moved(client, simulator, venue):
    coin = "USDC" if venue == "deribit" else "USDT"
    await client.check_keys()
    since_ns = time.time_ns()
    simulator.admin("/account", {"venue": venue, "coin": coin, "withdraw": "1000"})
    simulator.admin("/account", {"venue": venue, "coin": coin, "deposit": "1500"})
    found = [e for e in await client.ledger(since_ns) if e.is_transfer]
    moved = [e for e in found if e.coin == coin]
    assert [e.cash for e in moved] == [-1000, 1500]
    assert len({e.entry_id for e in moved}) == 2
    assert all(abs(e.time_ns - since_ns) < 5e9 for e in moved)


async def test_trades_and_fees_are_no_transfers(client, owner):
    await client.check_keys()
    since_ns = time.time_ns()
    await owner.market(owner.words.first, "buy", owner.words.first_size)
    before = {c.coin: c.balance for c in (await client.reading()).coins}
    (held,) = (await client.reading()).positions
    await client.close_position(closing(held))
    after = {c.coin: c.balance for c in (await client.reading()).coins}
    # It asks a little earlier, too: what was before is another test's.
    found = [e for e in await client.ledger(since_ns) if e.time_ns > since_ns - 5e6]
    assert found
    assert not any(entry.is_transfer for entry in found)
    # Of the two trades, the last one's entries make the last change.
    spent = after[held.coin] - before[held.coin]
    booked = [e.cash for e in found if e.coin == held.coin]
    assert any(sum(booked[-n:]) == spent for n in range(1, len(booked) + 1))


async def test_the_venues_own_switch_is_asked_after(client, owner, venue):
    found = await client.dead_man_switch()
    assert found.scope
    assert found.text
    assert found.is_armed is (None if venue == "binance" else False)
    if venue == "bybit":
        params = {"product": "DERIVATIVES", "timeWindow": 10}
        await owner.wire.privatePostV5OrderDisconnectedCancelAll(params)
        armed = await client.dead_man_switch()
        assert armed.is_armed
        assert "10 s" in armed.scope
    if venue == "deribit":
        await owner.wire.privateGetEnableCancelOnDisconnect({"scope": "account"})
        assert (await client.dead_man_switch()).is_armed
        await owner.wire.privateGetDisableCancelOnDisconnect({"scope": "account"})


async def test_rates_are_the_venues_own(client, simulator, venue):
    await client.reading()
    await client.keep_warm()
    coin = "USDC" if venue == "deribit" else "USDT"
    simulator.admin("/rate", {"venue": venue, "coin": coin, "usd": "0.97"})
    try:
        await client.keep_warm()
        reading = await client.reading()
        held = {item.coin: item.rate for item in reading.coins}
        assert dict(reading.rates)[coin] == held[coin] == Decimal("0.97")
        assert blindness(reading) == ""
    finally:
        simulator.admin("/rate", {"venue": venue, "coin": coin, "usd": None})


# -- keys -----------------------------------------------------------------------------


async def test_a_good_key_passes(client):
    await client.check_keys()


async def test_a_wrong_secret_is_refused_in_one_sentence(simulator, venue):
    line = simulator.line["venues"][venue]
    wrong = open_emergency(
        venue,
        rest=line["rest"],
        key=line["risk"]["key"],
        secret="wrong",
        clock=SystemClock(),
    )
    with pytest.raises(CredentialsRefused, match="refuses the key") as refusal:
        await wrong.check_keys()
    await wrong.close()
    assert str(refusal.value).endswith(f"(key venues.{venue}.risk.key)")
    assert line["risk"]["key"] not in str(refusal.value)


async def test_a_key_of_its_own_is_needed(venue):
    with pytest.raises(SettingsError, match=rf"venues\.{venue}\.risk\.key"):
        open_emergency(
            venue, rest="http://127.0.0.1:1", key="", secret="", clock=SystemClock()
        )


@pytest.mark.parametrize("right", ["Withdraw", "AccountTransfer", "SubMemberTransfer"])
def test_a_bybit_key_that_moves_money_out_is_refused(right):
    rights = {
        "readOnly": 0,
        "permissions": {"ContractTrade": ["Order", "Position"], "Wallet": [right]},
    }
    refusal = emergency_bybit_rows.key_refusal(rights)
    assert f"may move money out ({right})" in str(refusal)
    assert "venues.bybit.risk.key" in str(refusal)


@pytest.mark.parametrize(
    "rights",
    [
        {"readOnly": 1, "permissions": {"ContractTrade": ["Order", "Position"]}},
        {"readOnly": 0, "permissions": {"ContractTrade": []}},
        {"readOnly": 0, "permissions": {"Spot": ["SpotTrade"], "ContractTrade": None}},
    ],
)
def test_a_bybit_key_that_cannot_close_is_refused(rights):
    assert "could not close" in str(emergency_bybit_rows.key_refusal(rights))


@pytest.mark.parametrize(
    ("scope", "says"),
    [
        ("account:read trade:read_write wallet:read_write", "may move money out"),
        ("account:read trade:read wallet:none", "could not close"),
        ("trade:read_write wallet:none", "could not see"),
        ("account:read trade:read_write wallet:none", None),
        ("connection account:read trade:read_write wallet:read mainaccount", None),
    ],
)
def test_deribit_scopes(scope, says):
    refusal = emergency_deribit_rows.scope_refusal(scope)
    assert (says in str(refusal)) if says else refusal is None


# -- a venue that misbehaves -----------------------------------------------------------


async def test_a_lost_answer_leaves_the_outcome_open_and_the_position_tells(
    client, owner, simulator, venue
):
    await owner.market(owner.words.second, "buy", owner.words.second_size)
    (held,) = (await client.reading()).positions
    fault(simulator, venue, "lost-answer", match=CLOSES[venue], count=1, mode="cut")
    with pytest.raises(OutcomeUnknown):
        await client.close_position(closing(held))
    assert (await client.reading()).positions == ()


async def test_a_lost_cancel_is_open_and_its_repetition_harmless(
    client, owner, simulator, venue
):
    await owner.limit(owner.words.second, "buy", "0.1", "0.96")
    (order,) = await client.open_orders()
    fault(
        simulator, venue, "lost-answer", match="[Cc]ancel|DELETE", count=1, mode="cut"
    )
    with pytest.raises(OutcomeUnknown):
        await client.cancel(order)
    await client.cancel(order)
    assert await client.open_orders() == ()


@pytest.mark.parametrize("kind", ["502", "503", "maintenance"])
async def test_a_venue_that_is_down_is_no_reading_and_no_refusal(
    client, owner, simulator, venue, kind
):
    await owner.market(owner.words.second, "buy", owner.words.second_size)
    (held,) = (await client.reading()).positions
    fault(simulator, venue, kind, seconds=20)
    with pytest.raises(VenueUnavailable):
        await client.reading()
    with pytest.raises((OutcomeUnknown, VenueUnavailable)):
        await client.close_position(closing(held))
    with pytest.raises((OutcomeUnknown, VenueUnavailable)):
        await client.cancel(
            OpenOrder(
                held.symbol, "1", "", OrderClass.NORMAL, Side.BUY, held.size, True
            )
        )


async def test_after_a_429_what_it_covers_is_silent_and_no_byte_is_sent(
    client, simulator, venue
):
    fault(simulator, venue, "429", seconds=30, retry_after=7, match=ACCOUNTS[venue])
    with pytest.raises(RateLimited) as limited:
        await client.reading()
    assert 6e9 < limited.value.delay_ns <= 7e9
    after = simulator.log()[-1]["sequence"]
    with pytest.raises(RateLimited) as limited:
        await client.reading()
    assert 5e9 < limited.value.delay_ns <= 7e9
    asked = [
        r["path"]
        for r in simulator.log("request", after=after)
        if r["venue"] == venue and r["path"] == ACCOUNTS[venue]
    ]
    assert asked == []


@pytest.mark.parametrize("venue", ["bybit", "deribit"], indirect=True)
async def test_a_limit_on_reading_does_not_stop_acts(client, owner, simulator, venue):
    await owner.market(owner.words.second, "buy", owner.words.second_size)
    (held,) = (await client.reading()).positions
    fault(simulator, venue, "429", retry_after=7, match=ACCOUNTS[venue], count=1)
    with pytest.raises(RateLimited):
        await client.reading()
    await client.close_position(closing(held))
    assert books(simulator, venue)["positions"] == []


@pytest.mark.parametrize("venue", ["bybit"], indirect=True)
async def test_a_ban_of_the_address_silences_everything(client, simulator, venue):
    fault(simulator, venue, "403", count=1)
    with pytest.raises(RateLimited) as limited:
        await client.reading()
    assert limited.value.delay_ns > 500e9
    with pytest.raises(RateLimited):
        await client.cancel_everything()


@pytest.mark.parametrize("ahead_ms", [5_000, -5_000])
async def test_a_clock_that_is_off_is_set_and_the_call_made_again(
    client, owner, simulator, venue, ahead_ms
):
    await owner.market(owner.words.second, "buy", owner.words.second_size)
    (held,) = (await client.reading()).positions
    if venue == "deribit":  # it takes stamps of the last minute: ours is off by more
        client._wire.options["timeDifference"] = 20 * ahead_ms
    else:
        fault(simulator, venue, "clock-skew", milliseconds=ahead_ms, seconds=20)
    await client.reading()
    await client.close_position(closing(held))
    assert books(simulator, venue)["positions"] == []


async def test_a_venue_that_hangs_is_not_waited_for_longer_than_said(
    client, simulator, venue
):
    simulator.admin("/outage", {"venue": venue, "seconds": 3, "kind": "hang"})
    try:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await client.reading()
    finally:
        simulator.admin("/outage", {"venue": venue, "seconds": 0, "kind": "hang"})
    await client.reading()


@pytest.mark.parametrize("fields", ["equity|totalEquity|totalMarginBalance"])
async def test_an_absurd_equity_is_seen_as_none(
    client, owner, simulator, venue, fields
):
    fault(simulator, venue, "wrong-numbers", fields=fields, factor="3", count=1)
    reading = await client.reading()
    assert blindness(reading)
    assert blindness(await client.reading()) == ""


@pytest.mark.parametrize("venue", ["deribit"], indirect=True)
async def test_a_held_coin_without_a_rate_this_moment_is_no_reading(
    client, simulator, venue
):
    before = await client.reading()
    fault(simulator, venue, "502", match="get_index_price", seconds=20)
    with pytest.raises(VenueUnavailable):
        await client.reading()
    delete_faults(simulator)
    client._unrated.add("ETH")  # as of a coin that the venue has no index of
    client._rates.pop("ETH")
    after = await client.reading()
    assert {c.coin: c.rate is None for c in after.coins}["ETH"]
    assert after.equity < before.equity
    assert {o.symbol for o in after.others} == {"BTC", "ETH"}


# -- what it costs -----------------------------------------------------------------


async def test_while_armed_no_order_is_asked_for(client, simulator, venue):
    after = simulator.log()[-1]["sequence"]
    for _ in range(3):
        await client.reading()
    paths = {
        r["path"] for r in simulator.log("request", after=after) if r["venue"] == venue
    }
    assert not [path for path in paths if "order" in path.lower()]
    assert ACCOUNTS[venue] in paths


async def test_warm_connections_spare_the_first_emergency_call_the_dial(client):
    dialled = 0
    connector = client._wire.session.connector
    create = connector._create_connection

    async def counted(*args, **kwargs):
        nonlocal dialled
        dialled += 1
        return await create(*args, **kwargs)

    await client.keep_warm()
    connector._create_connection = counted
    await asyncio.gather(*(client.positions_again() for _ in range(5)))
    assert dialled == 0


async def test_every_act_has_a_pace(client):
    assert set(client.paces) == set(Act)
    assert all(pace.burst > 0 and pace.per_second > 0 for pace in client.paces.values())
