"""The account's owner at each venue, for tests of the daemon's clients."""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

from cryptoquantix.core.instrument import Venue
from cryptoquantix.venues.ccxt_wire import close_wire, open_wire


class Words(NamedTuple):
    """Two symbols of a venue and sizes for them: small against the account."""

    first: str
    second: str
    first_size: str
    second_size: str


WORDS = {
    "binance": Words("BTCUSDT", "ETHUSDT", "0.5", "5"),
    "bybit": Words("BTCUSDT", "ETHUSDT", "0.5", "5"),
    # An inverse and a linear one.
    "deribit": Words("BTC-PERPETUAL", "ETH_USDC-PERPETUAL", "10000", "5"),
}


class Owner:
    """Places orders with the trading key; prices are multiples of the mark."""

    def __init__(self, name, line):
        self.name, self.words = name, WORDS[name]
        self.wire = open_wire(line["rest"], line["key"], line["secret"], Venue(name))
        self.marks = {}

    async def close(self):
        await close_wire(self.wire)

    async def mark(self, symbol):
        if self.name == "binance":
            row = await self.wire.fapiPublicGetPremiumIndex({"symbol": symbol})
            return Decimal(str(row["markPrice"]))
        if self.name == "bybit":
            params = {"category": "linear", "symbol": symbol}
            found = await self.wire.publicGetV5MarketTickers(params)
            return Decimal(found["result"]["list"][0]["markPrice"])
        found = await self.wire.publicGetTicker({"instrument_name": symbol})
        return Decimal(str(found["result"]["mark_price"]))

    async def at(self, symbol, factor):
        """A price near ``factor`` of the mark that any tick here divides."""
        return f"{(await self.mark(symbol) * Decimal(factor)) // 5 * 5:f}"

    async def market(self, symbol, side, size):
        await getattr(self, "_" + self.name)(symbol, side, size, None, None, False)

    async def limit(self, symbol, side, size, factor, *, reduce=False):
        price = await self.at(symbol, factor)
        await getattr(self, "_" + self.name)(symbol, side, size, price, None, reduce)

    async def stop(self, symbol, side, size, factor, *, reduce=False):
        trigger = await self.at(symbol, factor)
        above = Decimal(factor) > 1
        await getattr(self, "_" + self.name)(
            symbol, side, size, None, (trigger, above), reduce
        )

    async def _binance(self, symbol, side, size, price, trigger, reduce):
        params = {"symbol": symbol, "side": side.upper(), "quantity": size}
        if reduce:
            params["reduceOnly"] = "true"
        if trigger:
            params |= {"algoType": "CONDITIONAL", "type": "STOP_MARKET"}
            params["triggerPrice"] = trigger[0]
            await self.wire.fapiPrivatePostAlgoOrder(params)
            return
        params["type"] = "MARKET" if price is None else "LIMIT"
        if price:
            params |= {"price": price, "timeInForce": "GTC"}
        await self.wire.fapiPrivatePostOrder(params)

    async def _bybit(self, symbol, side, size, price, trigger, reduce):
        params = {
            "category": "linear",
            "symbol": symbol,
            "side": side.capitalize(),
            "qty": size,
            "reduceOnly": reduce,
            "orderType": "Limit" if price else "Market",
        }
        if price:
            params["price"] = price
        if trigger:
            params["triggerPrice"] = trigger[0]
            params["triggerDirection"] = 1 if trigger[1] else 2
        await self.wire.privatePostV5OrderCreate(params)

    async def _deribit(self, symbol, side, size, price, trigger, reduce):
        params = {"instrument_name": symbol, "amount": size, "type": "market"}
        if reduce:
            params["reduce_only"] = "true"
        if price:
            params |= {"type": "limit", "price": price}
        if trigger:
            params |= {"type": "stop_market", "trigger_price": trigger[0]}
            params["trigger"] = "mark_price"
        call = self.wire.privateGetBuy if side == "buy" else self.wire.privateGetSell
        await call(params)
