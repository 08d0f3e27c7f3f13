"""An account's owner at a simulated Binance USD-M: a small signed REST client."""

from __future__ import annotations

import hashlib
import hmac
from decimal import Decimal
from typing import Any, Final
from urllib.parse import urlencode

from cryptoquantix.core.clock import NS_PER_MS, Clock
from cryptoquantix.drills.account import Wire
from cryptoquantix.drills.book import BookOrder, Listing

_RECEIVE_WINDOW_MS: Final = 5_000
_BUSY: Final = frozenset({429, 418})


class BinanceOwner(Wire):
    """One account; requests are signed over the query."""

    def __init__(self, rest: str, key: str, secret: str, clock: Clock) -> None:
        super().__init__("binance", rest)
        self._key = key
        self._secret = secret.encode()
        self._clock = clock

    async def call(self, method: str, path: str, **parameters: str) -> Any:  # noqa: ANN401 - JSON
        """
        Return the venue's answer to one signed request.

        Raises
        ------
        VenueError
            If the venue refuses: its own code and message.
        """
        parameters["recvWindow"] = str(_RECEIVE_WINDOW_MS)
        parameters["timestamp"] = str(self._clock.time_ns() // NS_PER_MS)
        query = urlencode(parameters)
        signature = hmac.new(self._secret, query.encode(), hashlib.sha256).hexdigest()
        target = f"{path}?{query}&signature={signature}"
        return await self._answer(method, target, {"X-MBX-APIKEY": self._key})

    async def _answer(
        self, method: str, target: str, headers: dict[str, str] | None = None
    ) -> Any:  # noqa: ANN401 - JSON
        status, answer = await self.request(method, target, headers)
        if status != 200:
            request = f"{method} {target.partition('?')[0]}"
            raise self.refusal(request, answer, is_busy=status in _BUSY)
        return answer

    async def listings(self) -> list[Listing]:
        """Return what can be traded, with its steps."""
        answer = await self._answer("GET", "/fapi/v1/exchangeInfo")
        return [
            Listing(
                symbol=row["symbol"],
                tick_size=_filter(row, "PRICE_FILTER", "tickSize"),
                lot_size=_filter(row, "LOT_SIZE", "stepSize"),
            )
            for row in answer["symbols"]
        ]

    async def prices(self) -> dict[str, Decimal]:
        """Return the last price of every symbol."""
        rows = await self._answer("GET", "/fapi/v1/ticker/price")
        return {row["symbol"]: Decimal(row["price"]) for row in rows}

    async def send(self, order: BookOrder) -> None:
        """Place one order; a conditional one lives in the algo service."""
        common = {
            "symbol": order.symbol,
            "side": order.side,
            "quantity": f"{order.quantity:f}",
        }
        if order.is_protective:
            common["reduceOnly"] = "true"
        if order.price is None:
            await self.call("POST", "/fapi/v1/order", **common, type="MARKET")
        elif order.is_conditional:
            await self.call(
                "POST",
                "/fapi/v1/algoOrder",
                **common,
                algoType="CONDITIONAL",
                type="STOP_MARKET",
                triggerPrice=f"{order.price:f}",
            )
        else:
            await self.call(
                "POST",
                "/fapi/v1/order",
                **common,
                type="LIMIT",
                timeInForce="GTC",
                price=f"{order.price:f}",
            )


def _filter(row: dict[str, Any], kind: str, field: str) -> Decimal:
    return next(Decimal(f[field]) for f in row["filters"] if f["filterType"] == kind)
