"""A running simulator and ccxt pointed at it."""

from __future__ import annotations

import pytest

from processes import start_simulator
from simulator.ccxt_clients import ccxt_client


@pytest.fixture(scope="module")
def simulator(tmp_path_factory):
    """A simulator whose generated prices stand still, so that figures can be named."""
    directory = tmp_path_factory.mktemp("simulator")
    args = ("--generate", "7", "--paused", "--no-rate-limits")
    with start_simulator(directory, *args) as process:
        yield process


@pytest.fixture
async def venue(simulator):
    """A ccxt client of the module's simulator; the account is flat before and after."""
    client = ccxt_client(simulator)
    await client.load_markets()
    await flatten(client)
    yield client
    await flatten(client)
    await client.close()


async def flatten(client) -> None:
    for symbol in client.symbols:
        market = client.market(symbol)["id"]
        await client.fapiPrivateDeleteAllOpenOrders({"symbol": market})
        await client.fapiPrivateDeleteAlgoOpenOrders({"symbol": market})
    for row in await client.fapiPrivateV3GetPositionRisk():
        size = row["positionAmt"]
        if float(size):
            await client.create_order(
                client.safe_symbol(row["symbol"]),
                "market",
                "sell" if float(size) > 0 else "buy",
                abs(float(size)),
                None,
                {"reduceOnly": True},
            )
