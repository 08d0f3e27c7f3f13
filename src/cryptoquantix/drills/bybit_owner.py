"""An account's owner at a simulated Bybit: linear perpetuals over v5 REST."""

from __future__ import annotations

import hashlib
import hmac
import json
from decimal import Decimal
from typing import Any, Final
from urllib.parse import urlencode

from cryptoquantix.core.clock import NS_PER_MS, Clock
from cryptoquantix.drills.account import Wire
from cryptoquantix.drills.book import BookOrder, Listing

_RECEIVE_WINDOW_MS: Final = "5000"
_BUSY: Final = frozenset({10006, 10018})
_SIDES: Final = {"BUY": "Buy", "SELL": "Sell"}
_FALLING: Final = 2  # triggerDirection: when the price falls to the trigger


class BybitOwner(Wire):
    """One account; requests are signed in X-BAPI headers over query or body."""

    def __init__(self, rest: str, key: str, secret: str, clock: Clock) -> None:
        super().__init__("bybit", rest)
        self._key = key
        self._secret = secret.encode()
        self._clock = clock

    async def post(self, path: str, values: dict[str, Any]) -> Any:  # noqa: ANN401 - JSON
        """
        Return the result of one signed command.

        Raises
        ------
        VenueError
            If the venue refuses: its own code and message.
        """
        body = json.dumps(values).encode()
        stamp = str(self._clock.time_ns() // NS_PER_MS)
        text = f"{stamp}{self._key}{_RECEIVE_WINDOW_MS}".encode() + body
        headers = {
            "X-BAPI-API-KEY": self._key,
            "X-BAPI-TIMESTAMP": stamp,
            "X-BAPI-RECV-WINDOW": _RECEIVE_WINDOW_MS,
            "X-BAPI-SIGN": hmac.new(self._secret, text, hashlib.sha256).hexdigest(),
            "Content-Type": "application/json",
        }
        return self._result(path, await self.request("POST", path, headers, body))

    async def get(self, path: str, **parameters: str) -> Any:  # noqa: ANN401 - JSON
        """Return the result of one public request."""
        target = f"{path}?{urlencode(parameters)}"
        return self._result(path, await self.request("GET", target))

    def _result(self, path: str, answered: tuple[int, Any]) -> Any:  # noqa: ANN401 - JSON
        status, answer = answered
        code = answer.get("retCode") if isinstance(answer, dict) else None
        if status != 200 or code != 0:
            is_busy = status == 403 or code in _BUSY
            raise self.refusal(path, answer, is_busy=is_busy)
        return answer["result"]

    async def listings(self) -> list[Listing]:
        """Return the linear perpetuals, with their steps."""
        found = await self.get(
            "/v5/market/instruments-info", category="linear", limit="1000"
        )
        return [
            Listing(
                symbol=row["symbol"],
                tick_size=Decimal(row["priceFilter"]["tickSize"]),
                lot_size=Decimal(row["lotSizeFilter"]["qtyStep"]),
            )
            for row in found["list"]
        ]

    async def prices(self) -> dict[str, Decimal]:
        """Return the last price of every symbol."""
        found = await self.get("/v5/market/tickers", category="linear")
        return {row["symbol"]: Decimal(row["lastPrice"]) for row in found["list"]}

    async def send(self, order: BookOrder) -> None:
        """Place one order, conditional ones with a trigger below the price."""
        values: dict[str, Any] = {
            "category": "linear",
            "symbol": order.symbol,
            "side": _SIDES[order.side],
            "orderType": "Market",
            "qty": f"{order.quantity:f}",
            "reduceOnly": order.is_protective,
        }
        if order.is_conditional:
            values |= {
                "triggerPrice": f"{order.price:f}",
                "triggerDirection": _FALLING,
            }
        elif order.price is not None:
            values |= {
                "orderType": "Limit",
                "price": f"{order.price:f}",
                "timeInForce": "GTC",
            }
        await self.post("/v5/order/create", values)
