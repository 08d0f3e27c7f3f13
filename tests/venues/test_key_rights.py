"""No venue is traded with a key that may move money out, or whose rights none tells."""

from __future__ import annotations

from contextlib import asynccontextmanager

import pytest

from cryptoquantix.core.clock import SystemClock
from cryptoquantix.core.errors import CredentialsRefused, VenueUnavailable
from cryptoquantix.core.instrument import Venue
from cryptoquantix.venues.trading import trading_port
from processes import start_simulator
from risk_server.altered import altered

RIGHTS = {
    Venue.BINANCE: "/sapi/v1/account/apiRestrictions",
    Venue.BYBIT: "/v5/user/query-api",
    Venue.DERIBIT: "/api/v2/public/auth",
}
OUT = [
    (Venue.BINANCE, '"enableWithdrawals":false', '"enableWithdrawals":true'),
    (Venue.BINANCE, '"enableInternalTransfer":false', '"enableInternalTransfer":true'),
    (
        Venue.BINANCE,
        '"permitsUniversalTransfer":false',
        '"permitsUniversalTransfer":true',
    ),
    (Venue.BYBIT, '"Wallet":[]', '"Wallet":["Withdraw"]'),
    (Venue.BYBIT, '"Wallet":[]', '"Wallet":["AccountTransfer"]'),
    (Venue.BYBIT, '"Wallet":[]', '"Wallet":["SubMemberTransfer"]'),
    (Venue.DERIBIT, "wallet:none", "wallet:read_write"),
]
UNABLE = [
    (Venue.BINANCE, '"enableFutures":true', '"enableFutures":false'),
    (Venue.BYBIT, '"readOnly":0', '"readOnly":1'),
    (Venue.BYBIT, '"ContractTrade":["Order","Position"]', '"ContractTrade":["Order"]'),
    (Venue.DERIBIT, "trade:read_write", "trade:read"),
]


@pytest.fixture(scope="module")
def simulator(tmp_path_factory):
    path = tmp_path_factory.mktemp("simulator")
    with start_simulator(
        path,
        *("--venues", "binance,bybit,deribit"),
        *("--generate", "1", "--instruments", "BTCUSDT"),
    ) as simulator:
        yield simulator


@asynccontextmanager
async def port_at(simulator, venue, rest=""):
    line = simulator.line["venues"][venue.value]
    port = trading_port(
        venue,
        rest=rest or line["rest"],
        key=line["key"],
        secret=line["secret"],
        clock=SystemClock(),
    )
    try:
        yield port
    finally:
        await port.close()


@pytest.mark.parametrize(("venue", "old", "new"), OUT + UNABLE)
async def test_a_key_that_moves_money_out_or_cannot_trade_is_refused(
    simulator, venue, old, new
):
    rest = simulator.line["venues"][venue.value]["rest"]
    says = "may move money out" if (venue, old, new) in OUT else "may not trade"
    with altered(rest, RIGHTS[venue], old.encode(), new.encode()) as address:
        async with port_at(simulator, venue, address) as port:
            with pytest.raises(CredentialsRefused, match=says) as caught:
                await port.open()
    assert str(caught.value).endswith(f"(key venues.{venue}.key)")


@pytest.mark.parametrize("kind", ["502", "503"])
@pytest.mark.parametrize("venue", list(RIGHTS), ids=str)
async def test_a_key_whose_rights_nobody_tells_is_not_traded_with(
    simulator, venue, kind
):
    """And once they are told it is: what failed says nothing of the key."""
    fault = {"kind": kind, "venue": venue.value, "match": RIGHTS[venue], "count": 1}
    simulator.admin("/faults", fault)
    async with port_at(simulator, venue) as port:
        with pytest.raises(VenueUnavailable):
            await port.open()
        await port.open()


async def test_where_there_is_no_address_of_rights_a_key_is_taken(simulator):
    """Binance's futures testnet has none."""
    rest = simulator.line["venues"]["binance"]["rest"]
    with altered(rest, RIGHTS[Venue.BINANCE], b"{", b"{", status=404) as address:
        async with port_at(simulator, Venue.BINANCE, address) as port:
            await port.open()
