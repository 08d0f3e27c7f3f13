"""
The account's owner at the simulator: a small signed REST client; it reads no log.

Drills act from outside, as a person with a venue's web page would, and share no
code with the adapters that they put to the test.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlencode

import aiohttp

from cryptoquantix.core.errors import VenueError

if TYPE_CHECKING:
    from types import TracebackType

    from cryptoquantix.core.clock import Clock

_TIMEOUT = aiohttp.ClientTimeout(total=5)
_RECEIVE_WINDOW_MS = 2_000


class AccountOwner:
    """One account at a simulated Binance USD-M venue."""

    def __init__(self, rest: str, key: str, secret: str, clock: Clock) -> None:
        self._rest = rest
        self._key = key
        self._secret = secret.encode()
        self._clock = clock
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(timeout=_TIMEOUT)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def call(self, method: str, path: str, **parameters: str) -> Any:  # noqa: ANN401 - JSON
        """
        Return the venue's answer to one signed request.

        Cancellation leaves the request's outcome unknown, as it would a person.

        Raises
        ------
        VenueError
            If the venue refuses: its own code and message.
        """
        parameters["recvWindow"] = str(_RECEIVE_WINDOW_MS)
        parameters["timestamp"] = str(self._clock.time_ns() // 1_000_000)
        query = urlencode(parameters)
        signature = hmac.new(self._secret, query.encode(), hashlib.sha256).hexdigest()
        url = f"{self._rest}{path}?{query}&signature={signature}"
        return await self._request(method, url, {"X-MBX-APIKEY": self._key})

    async def _get(self, path: str) -> Any:  # noqa: ANN401 - JSON
        return await self._request("GET", self._rest + path, {})

    async def _request(self, method: str, url: str, headers: dict[str, str]) -> Any:  # noqa: ANN401 - JSON
        assert self._session is not None, "used outside its context"
        async with self._session.request(method, url, headers=headers) as answer:
            body = await answer.json(content_type=None)
            if answer.status != 200:
                request = f"{method} {answer.url.path}"
                msg = f"{request} was refused: {body}"
                raise VenueError(msg, venue="binance", request=request)
            return body

    async def exchange_information(self) -> dict[str, Any]:
        """Return the venue's listing, as it publishes it."""
        answer: dict[str, Any] = await self._get("/fapi/v1/exchangeInfo")
        return answer

    async def prices(self) -> dict[str, str]:
        """Return the last price of every symbol, as decimal text."""
        rows = await self._get("/fapi/v1/ticker/price")
        return {row["symbol"]: row["price"] for row in rows}

    async def market(self, symbol: str, side: str, quantity: str) -> dict[str, Any]:
        """Open or close at market; return the venue's order."""
        answer: dict[str, Any] = await self.call(
            "POST",
            "/fapi/v1/order",
            symbol=symbol,
            side=side,
            type="MARKET",
            quantity=quantity,
            newOrderRespType="RESULT",
        )
        return answer

    async def limit(self, symbol: str, side: str, quantity: str, price: str) -> None:
        """Rest one limit order, good till canceled."""
        await self.call(
            "POST",
            "/fapi/v1/order",
            symbol=symbol,
            side=side,
            type="LIMIT",
            timeInForce="GTC",
            quantity=quantity,
            price=price,
        )

    async def stop(
        self, symbol: str, side: str, quantity: str, trigger_price: str
    ) -> None:
        """Rest one conditional market order, which lives in the algo service."""
        await self.call(
            "POST",
            "/fapi/v1/algoOrder",
            algoType="CONDITIONAL",
            symbol=symbol,
            side=side,
            type="STOP_MARKET",
            quantity=quantity,
            triggerPrice=trigger_price,
        )
