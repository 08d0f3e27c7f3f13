"""
What ccxt 4.5.90 gets wrong against Binance USD-M, each as an expected failure.

Every test states what ought to hold. It fails for the reason its mark names, and
should ccxt mend it the mark fails in turn (``strict``), so that our own way around it
can be taken out. The simulator does its part in each: the last test of the file shows
it for those that need an event.
"""

from __future__ import annotations

import asyncio
import contextlib

import aiohttp
import ccxt
import pytest

from simulator.ccxt_clients import ccxt_client

BTC = "BTC/USDT:USDT"


def fault(number: int, text: str, raises: type[BaseException]):
    """An expected failure, with the number ccxt's fault has among the findings."""
    return pytest.mark.xfail(
        strict=True, reason=f"finding {number}: {text}", raises=raises
    )


async def placed(client, **params):
    """An order that rests, far from the market."""
    return await client.create_order(BTC, "limit", "buy", 0.01, 57000, params)


@fault(1, "the listen key is kept alive once, then never again", AssertionError)
async def test_the_listen_key_is_kept_alive_again_and_again(simulator):
    client = ccxt_client(simulator, listenKeyRefreshRate=300)
    await client.load_markets()
    watching = asyncio.create_task(client.watch_orders())
    await asyncio.sleep(2.0)
    kept = [r for r in simulator.log("request") if r["method"] == "PUT"]
    kept = [r for r in kept if r["path"] == "/fapi/v1/listenKey"]
    watching.cancel()
    await asyncio.wait([watching])
    await client.close()
    if not kept:
        pytest.fail("not even once: that would be another fault", pytrace=False)
    assert len(kept) >= 3


@fault(2, "listenKeyExpired is not handled: the watch hangs", TimeoutError)
async def test_an_expired_listen_key_ends_the_watch(simulator):
    client = ccxt_client(simulator)
    await client.load_markets()
    watching = asyncio.create_task(client.watch_orders())
    await asyncio.sleep(0.5)
    simulator.admin("/faults", {"kind": "session-expired", "venue": "binance"})
    try:
        done, _ = await asyncio.wait([watching], timeout=2)
        if not done:
            raise TimeoutError
        with pytest.raises(ccxt.NetworkError):
            await watching
    finally:
        watching.cancel()
        await asyncio.wait([watching])
        await client.close()


@fault(3, "90 futures codes are known at the live address only", ccxt.ExchangeError)
@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("limit", "buy", 5000, 58000), ccxt.InsufficientFunds),
        (("market", "sell", 0.1, None, {"reduceOnly": True}), ccxt.InvalidOrder),
        (("limit", "buy", 0.001, 1000), ccxt.InvalidOrder),
        (
            ("market", "sell", 0.1, None, {"stopLossPrice": 90000}),
            ccxt.OrderImmediatelyFillable,
        ),
        (("limit", "buy", 0.1, 60500, {"postOnly": True}), ccxt.OrderNotFillable),
    ],
)
async def test_errors_have_their_classes_at_any_address(simulator, arguments, error):
    client = ccxt_client(simulator)
    exact = client.exceptions["exact"]
    for code in client.exceptions["linear"]["exact"]:
        exact.pop(code, None)
    exact.update(ccxt.binanceusdm().exceptions["exact"])
    await client.load_markets()
    try:
        with pytest.raises(error):
            await client.create_order(BTC, *arguments)
    finally:
        await client.close()


@fault(8, "what came while nobody waited is handed out with the next", TimeoutError)
async def test_an_update_that_came_before_the_call_is_handed_out_by_it(venue):
    watching = asyncio.create_task(venue.watch_orders())
    await asyncio.sleep(0.5)
    first = await placed(venue)
    assert [o["id"] for o in await watching] == [first["id"]]
    second = await placed(venue)
    await asyncio.sleep(0.3)
    assert venue.orders[-1]["id"] == second["id"], "it is in the cache"
    late = asyncio.create_task(venue.watch_orders())
    done, _ = await asyncio.wait([late], timeout=1)
    late.cancel()
    await asyncio.wait([late])
    if not done:
        raise TimeoutError


@fault(9, "a waiter that gives up takes the others with it", asyncio.CancelledError)
async def test_a_waiter_who_gives_up_leaves_the_others_alone(venue):
    other = asyncio.create_task(venue.watch_orders())
    await asyncio.sleep(0.5)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(venue.watch_orders(), 0.1)
    await asyncio.sleep(0.1)
    await placed(venue)
    async with asyncio.timeout(3):
        assert await other


@fault(13, "conditional orders are seen with trigger=True alone", AssertionError)
async def test_open_orders_include_conditional_ones(venue):
    await venue.create_order(BTC, "market", "sell", 0.1, None, {"stopLossPrice": 55000})
    assert len(await venue.fetch_open_orders(BTC)) == 1


@fault(13, "cancel_all_orders leaves conditional orders", AssertionError)
async def test_cancel_all_cancels_conditional_orders_too(venue, simulator):
    await venue.create_order(BTC, "market", "sell", 0.1, None, {"stopLossPrice": 55000})
    await venue.cancel_all_orders(BTC)
    assert simulator.admin("/account?venue=binance")["algo_orders"] == []


@fault(14, "create_order_ws sends ccxt's own parameters along", AssertionError)
async def test_an_order_by_websocket_holds_the_venues_parameters_alone(
    venue, monkeypatch
):
    """The venue's ws-api is not simulated: this looks at what would be sent."""
    sent = []

    async def watch(_url, _hash, message=None, *_rest):
        sent.append(message)
        return {}

    monkeypatch.setattr(venue, "watch", watch)
    params = {"clientOrderId": "mine", "postOnly": True}
    await venue.create_order_ws(BTC, "limit", "buy", 0.01, 57000, params)
    [message] = sent
    assert not {"clientOrderId", "postOnly"} & set(message["params"])


async def test_the_venue_tells_of_the_end_of_a_listen_key(venue, simulator):
    """What ccxt does not handle (finding 2) is sent, and a new key can be had."""
    old = (await venue.fapiPrivatePostListenKey())["listenKey"]
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{simulator.ws}/private/ws?listenKey={old}") as stream,
    ):
        simulator.admin("/faults", {"kind": "session-expired", "venue": "binance"})
        told = await stream.receive_json(timeout=5)
        assert (told["e"], told["listenKey"]) == ("listenKeyExpired", old)
    with pytest.raises(ccxt.ExchangeError, match="-1125"):
        await venue.fapiPrivatePutListenKey()
    new = (await venue.fapiPrivatePostListenKey())["listenKey"]
    assert new != old
