"""Ccxt as released, pointed at a simulator; no call can leave this machine."""

from __future__ import annotations

import ccxt.pro


def binance_urls(rest: str, ws: str) -> dict:
    """
    The whole tree of addresses, so that no call can leave this machine.

    Read from ccxt itself and not taken from the adapter, which has a tree of its own:
    the simulator is tried by a client that knows nothing of our venues.
    """
    tree = {
        name: rest + path
        for name, path in {
            "sapi": "/sapi/v1",
            "sapiV2": "/sapi/v2",
            "sapiV3": "/sapi/v3",
            "sapiV4": "/sapi/v4",
            "fapiPublic": "/fapi/v1",
            "fapiPublicV2": "/fapi/v2",
            "fapiPublicV3": "/fapi/v3",
            "fapiPrivate": "/fapi/v1",
            "fapiPrivateV2": "/fapi/v2",
            "fapiPrivateV3": "/fapi/v3",
            "fapiData": "/futures/data",
            "dapiPublic": "/dapi/v1",
            "dapiPrivate": "/dapi/v1",
            "dapiPrivateV2": "/dapi/v2",
            "dapiData": "/futures/data",
            "eapiPublic": "/eapi/v1",
            "eapiPrivate": "/eapi/v1",
            "papi": "/papi/v1",
            "papiV2": "/papi/v2",
            "public": "/api/v3",
            "private": "/api/v3",
            "v1": "/api/v1",
        }.items()
    }
    sockets = {
        "linear": "/ws",
        "inverse": "/dws",
        "spot": "/sws",
        "margin": "/sws",
        "stock": "/eqws",
        "papi": "/pm/ws",
        "option": "/public/ws",
        "optionMarket": "/market/ws",
        "optionPrivate": "/private/ws",
    }
    api = {
        "linear": "/ws-fapi/v1",
        "inverse": "/ws-dapi/v1",
        "spot": "/ws-api/v3",
    }
    tree["ws"] = {name: ws + path for name, path in sockets.items()} | {
        "ws-api": {name: ws + path for name, path in api.items()}
    }
    return tree


def ccxt_client(simulator, **options):
    """Ccxt's own client, with the error classes it only has for the live address."""
    client = ccxt.pro.binanceusdm(
        {
            "apiKey": simulator.venue["key"],
            "secret": simulator.venue["secret"],
            "enableRateLimit": False,
            "urls": {"api": binance_urls(simulator.rest, simulator.ws)},
            "has": {"fetchCurrencies": False},
            "options": {
                "fetchOpenOrders": {"warnWithoutSymbol": False},
                "watchPositions": {
                    "fetchPositionsSnapshot": False,
                    "awaitPositionsSnapshot": False,
                },
                "watchTrades": {"name": "aggTrade"},
                **options,
            },
        }
    )
    client.exceptions["exact"].update(client.exceptions["linear"]["exact"])
    return client
