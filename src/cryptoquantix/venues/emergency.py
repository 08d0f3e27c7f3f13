"""
The risk daemon's way to Binance USD-M: few calls, the shortest path, keys of its own.

It satisfies the daemon's port by shape alone and never opens a position: every order it
can send is reduce-only (in hedge mode the closing leg). It waits in no queue: a reading
while armed costs 5 of 2 400 weight a minute, and what stops trading goes out at once,
unless the venue itself has asked for silence.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection, Mapping
from decimal import Decimal
from typing import Any, Final

import ccxt.async_support as ccxt

from cryptoquantix.core.clock import NS_PER_MS, Clock
from cryptoquantix.core.errors import (
    CredentialsRefused,
    OrderNotFound,
    RateLimited,
    SettingsError,
    VenueError,
    VenueUnavailable,
)
from cryptoquantix.core.exposure import (
    NO_LEG,
    CloseOrder,
    Contract,
    DeadManSwitch,
    HeldPosition,
    LedgerEntry,
    OpenOrder,
    OrderClass,
    Reading,
)
from cryptoquantix.core.order import Side
from cryptoquantix.venues import emergency_rows as rows
from cryptoquantix.venues.ccxt_wire import (
    ATTEMPT,
    Attempt,
    close_wire,
    failure_of,
    open_wire,
)
from cryptoquantix.venues.errors import (
    Failure,
    is_clock_doubtful,
    order_error,
    read_error,
)

VENUE: Final = "binance"
WARM_CONNECTIONS: Final = 12
"""Connections kept open: a halt of five symbols sends about this much at once."""

WEIGHT_PER_MINUTE_MAX: Final = 1_200
"""The daemon's half of the address's budget, for what is not urgent."""


class BinanceEmergency:
    """
    One account, read and flattened.

    Canceling a call leaves its request where it is: it may have been accepted.
    """

    def __init__(self, *, rest: str, key: str, secret: str, clock: Clock) -> None:
        if not key or not secret:
            msg = (
                "the risk daemon needs a key of its own: set venues.binance.risk.key "
                "and venues.binance.risk.secret"
            )
            raise SettingsError(msg)
        self._clock = clock
        self._key, self._secret, self._rest = key, secret, rest
        self._wire = open_wire(rest, key, secret)
        self._contracts: Mapping[str, Contract] = {}
        self._silent_until_ns = 0
        self._ahead_ms = 0

    @property
    def name(self) -> str:
        """The venue's name in this project."""
        return VENUE

    async def close(self) -> None:
        """Close every connection."""
        await close_wire(self._wire)

    # -- reading ----------------------------------------------------------------

    async def check_keys(self) -> None:
        """
        Prove that the key reads and trades futures, and cannot withdraw.

        Raises
        ------
        CredentialsRefused
            With the sentence to show: the daemon does not start with such a key.
        """
        await self._read_clock()
        await self.reading()
        try:
            rights = await self._call(
                "fapi key rights", "sapiGetAccountApiRestrictions", {}
            )
        except VenueUnavailable as error:
            if "HTTP 404" in str(error):
                return  # the futures testnet has no such address
            raise
        rows.refuse_rights(VENUE, rights)

    async def contracts(self) -> Mapping[str, Contract]:
        """Return the steps of every symbol; read once, then kept."""
        if not self._contracts:
            info = await self._call("exchangeInfo", "fapiPublicGetExchangeInfo", {})
            self._contracts = {
                found.symbol: found for found in map(rows.contract, info["symbols"])
            }
        return self._contracts

    async def reading(self) -> Reading:
        """Read equity and positions by one call of weight 5."""
        account = await self._call("account", "fapiPrivateV3GetAccount", {})
        return rows.reading(VENUE, account, self._clock.time_ns())

    async def positions_again(self) -> tuple[HeldPosition, ...]:
        """Read the positions by positionRisk."""
        found = await self._call("positionRisk", "fapiPrivateV3GetPositionRisk", {})
        return tuple(rows.risk_position(row) for row in found)

    async def equity_again(self) -> Decimal:
        """Read equity by the balance endpoint, of dollar coins alone."""
        found = await self._call("balance", "fapiPrivateV3GetBalance", {})
        return rows.equity(found)

    async def open_orders(
        self, symbols: Collection[str] | None = None
    ) -> tuple[OpenOrder, ...]:
        """Return normal and algo orders: weight 80 for all, 2 for each symbol named."""
        named = [{}] if symbols is None else [{"symbol": s} for s in sorted(symbols)]
        found = await asyncio.gather(
            *(self._orders(OrderClass.NORMAL, params) for params in named),
            *(self._orders(OrderClass.ALGO, params) for params in named),
        )
        return tuple(order for part in found for order in part)

    async def _orders(
        self, order_class: OrderClass, params: dict[str, str]
    ) -> list[OpenOrder]:
        method = {
            OrderClass.NORMAL: "fapiPrivateGetOpenOrders",
            OrderClass.ALGO: "fapiPrivateGetOpenAlgoOrders",
        }[order_class]
        found = await self._call(f"open {order_class} orders", method, params)
        return [rows.open_order(row, order_class) for row in found]

    async def ledger(self, since_ns: int) -> tuple[LedgerEntry, ...]:
        """Return income entries since ``since_ns`` of our clock: weight 30."""
        params = {"startTime": str(since_ns // NS_PER_MS + self._ahead_ms)}
        found = await self._call(
            "income", "fapiPrivateGetIncome", params | {"limit": "1000"}
        )
        return tuple(
            rows.ledger_entry(row, self._ahead_ms)
            for row in found
            if row["asset"] in rows.DOLLARS
        )

    async def dead_man_switch(self) -> DeadManSwitch:
        """Say that Binance tells nobody whether a countdown runs."""
        return DeadManSwitch(
            is_armed=None,
            scope="normal orders of each symbol whose countdown is kept alive",
            text="the venue has no call that shows a countdown",
        )

    async def keep_warm(self) -> None:
        """Use every spare connection once, and learn the venue's clock from it."""
        await asyncio.gather(*(self._read_clock() for _ in range(WARM_CONNECTIONS)))

    # -- acting -----------------------------------------------------------------

    async def cancel(self, order: OpenOrder) -> None:
        """Cancel one order; one that is gone already is success."""
        if order.order_class is OrderClass.NORMAL:
            method = "fapiPrivateDeleteOrder"
            params = {"symbol": order.symbol, "orderId": order.order_id}
        else:
            method, params = "fapiPrivateDeleteAlgoOrder", {"algoId": order.order_id}
        with contextlib.suppress(OrderNotFound):
            await self._call(f"cancel {order.order_id}", method, params, is_order=True)

    async def cancel_all(self, symbol: str, order_class: OrderClass) -> None:
        """Cancel every order of one class and symbol, by one call."""
        method = {
            OrderClass.NORMAL: "fapiPrivateDeleteAllOpenOrders",
            OrderClass.ALGO: "fapiPrivateDeleteAlgoOpenOrders",
        }[order_class]
        what = f"cancel all {order_class} of {symbol}"
        await self._call(what, method, {"symbol": symbol}, is_order=True)

    async def close_position(self, order: CloseOrder) -> None:
        """Send one reduce-only order; in hedge mode the closing leg."""
        params = {
            "symbol": order.symbol,
            "side": "BUY" if order.side is Side.BUY else "SELL",
            "type": "MARKET",
            "quantity": f"{order.size:f}",
            "newClientOrderId": order.client_order_id,
        }
        if order.leg == NO_LEG:
            params["reduceOnly"] = "true"
        else:
            params["positionSide"] = order.leg
        if order.price is not None:
            limit = {"type": "LIMIT", "timeInForce": "IOC", "price": f"{order.price:f}"}
            params |= limit
        what = f"close {order.size:f} {order.symbol}"
        await self._call(what, "fapiPrivatePostOrder", params, is_order=True)

    # -- the wire ---------------------------------------------------------------

    async def _read_clock(self) -> None:
        """Learn how far the venue's clock is ahead of ours."""
        sent_ns = self._clock.time_ns()
        answer = await self._call("time", "fapiPublicGetTime", {})
        middle_ms = (sent_ns + self._clock.time_ns()) // 2 // NS_PER_MS
        self._ahead_ms = int(answer["serverTime"]) - middle_ms
        self._wire.options["timeDifference"] = -self._ahead_ms

    async def _call(
        self,
        request: str,
        method: str,
        params: dict[str, str],
        *,
        is_order: bool = False,
    ) -> Any:  # noqa: ANN401 - JSON
        """Make one request; once more when only our clock was wrong."""
        for is_last in (False, True):
            attempt = Attempt(is_once=is_order)
            try:
                return await self._request(attempt, method, params, request)
            except ccxt.BaseError as error:
                failure = failure_of(VENUE, error, request, is_sent=attempt.is_sent)
            if is_last or not is_clock_doubtful(failure):
                raise self._error(failure, is_order=is_order) from None
            await self._read_clock()
        raise AssertionError

    async def _request(
        self, attempt: Attempt, method: str, params: dict[str, str], request: str
    ) -> Any:  # noqa: ANN401 - JSON
        wait_ns = self._silent_until_ns - self._clock.monotonic_ns()
        if wait_ns > 0:
            msg = (
                f"{VENUE} asked for silence: {request} waits {wait_ns // NS_PER_MS} ms"
            )
            raise RateLimited(msg, venue=VENUE, request=request, delay_ns=wait_ns)
        token = ATTEMPT.set(attempt)
        try:
            return await getattr(self._wire, method)(dict(params))
        finally:
            ATTEMPT.reset(token)

    def _error(self, failure: Failure, *, is_order: bool) -> VenueError:
        error = order_error(failure) if is_order else read_error(failure)
        if isinstance(error, RateLimited):
            until_ns = self._clock.monotonic_ns() + error.delay_ns
            self._silent_until_ns = max(self._silent_until_ns, until_ns)
        if isinstance(error, CredentialsRefused):
            msg = f"{error} (key venues.binance.risk.key)"
            return CredentialsRefused(msg, venue=VENUE, request=failure.request)
        return error
