"""An account's owner at a simulated Deribit: JSON-RPC by GET, with Basic access."""

from __future__ import annotations

import base64
from decimal import Decimal
from typing import Any, Final
from urllib.parse import urlencode

from cryptoquantix.core.clock import Clock
from cryptoquantix.drills.account import Wire
from cryptoquantix.drills.book import BookOrder, Listing

_BUSY: Final = frozenset({10028, 10047})
_METHODS: Final = {"BUY": "private/buy", "SELL": "private/sell"}


class DeribitOwner(Wire):
    """One account; its key and secret go along with every request."""

    def __init__(self, rest: str, key: str, secret: str, clock: Clock) -> None:
        super().__init__("deribit", rest)
        del clock  # nothing is signed: requests carry no time
        pair = base64.b64encode(f"{key}:{secret}".encode()).decode()
        self._headers = {"Authorization": f"Basic {pair}"}

    async def call(self, method: str, **parameters: str) -> Any:  # noqa: ANN401 - JSON
        """
        Return the result of one method.

        Raises
        ------
        VenueError
            If the venue refuses: its own code and message.
        """
        target = f"/api/v2/{method}?{urlencode(parameters)}"
        headers = self._headers if method.startswith("private/") else None
        _, answer = await self.request("GET", target, headers)
        if "result" not in answer:
            code = answer.get("error", {}).get("code")
            raise self.refusal(method, answer.get("error"), is_busy=code in _BUSY)
        return answer["result"]

    async def listings(self) -> list[Listing]:
        """Return the perpetuals, inverse and linear, with their steps."""
        found = await self.call("public/get_instruments", currency="any", kind="future")
        return [
            Listing(
                symbol=row["instrument_name"],
                tick_size=Decimal(str(row["tick_size"])),
                lot_size=Decimal(str(row["min_trade_amount"])),
                is_inverse=row["instrument_type"] == "reversed",
            )
            for row in found
        ]

    async def prices(self) -> dict[str, Decimal]:
        """Return the last price of every symbol."""
        prices = {}
        for listing in await self.listings():
            found = await self.call("public/ticker", instrument_name=listing.symbol)
            prices[listing.symbol] = Decimal(str(found["last_price"]))
        return prices

    async def send(self, order: BookOrder) -> None:
        """Place one order; conditional ones watch the mark."""
        values = {
            "instrument_name": order.symbol,
            "amount": f"{order.quantity:f}",
            "type": "market",
        }
        if order.is_protective:
            values["reduce_only"] = "true"
        if order.is_conditional:
            values |= {
                "type": "stop_market",
                "trigger": "mark_price",
                "trigger_price": f"{order.price:f}",
            }
        elif order.price is not None:
            values |= {"type": "limit", "price": f"{order.price:f}"}
        await self.call(_METHODS[order.side], **values)
