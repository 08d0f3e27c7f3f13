"""
The risk daemon's way to Binance USD-M: few calls, the shortest path, keys of its own.

It satisfies the daemon's port by shape alone and never opens a position: every order it
can send is reduce-only (in hedge mode the closing leg). A reading while armed costs 5
of 2 400 weight a minute.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection, Mapping
from decimal import Decimal
from typing import Any, ClassVar, Final

from cryptoquantix.core.errors import OrderNotFound, VenueError, VenueUnavailable
from cryptoquantix.core.exposure import (
    NO_LEG,
    Act,
    CloseOrder,
    Contract,
    DeadManSwitch,
    HeldPosition,
    LedgerEntry,
    OpenOrder,
    OrderClass,
    Pace,
    Reading,
)
from cryptoquantix.core.instrument import Venue
from cryptoquantix.core.order import Side
from cryptoquantix.venues import emergency_rows as rows
from cryptoquantix.venues.emergency_client import (
    PROBES,
    EmergencyClient,
    params_of,
)
from cryptoquantix.venues.errors import Failure
from cryptoquantix.venues.weight import ReadBudget

READ_BURST: Final = 1_000
READ_WEIGHT_PER_SECOND: Final = 38
"""Of 40 that the venue allows; while armed the daemon uses eight. What others on this
address use is in the venue's own count, which each answer brings."""

READ_RESERVE: Final = 60
"""What lists of all orders (80) leave: readings of weight 5 and the clock go on."""

WEIGHT_COUNTED_MAX: Final = 2_250
"""Whatever the venue counts on this address beyond it, only cheap reads are made."""

_WEIGHT_HEADER: Final = "X-MBX-USED-WEIGHT-1M"

_ORDERS: Final = "orders"
_LEDGER_PAGE: Final = 1_000


class BinanceEmergency(EmergencyClient):
    """One Binance USD-M account."""

    venue: ClassVar[Venue] = Venue.BINANCE
    # 300 orders in 10 s by account; a cancel weighs 1 of the address's 2 400.
    paces: ClassVar[Mapping[Act, Pace]] = {
        Act.CLOSE: Pace(_ORDERS, per_second=28.0, burst=280, window_seconds=10.0),
        Act.CANCEL: Pace("weight", per_second=20.0, burst=1_000),
        Act.CANCEL_ALL: Pace("weight", per_second=20.0, burst=1_000),
    }
    _time_method: ClassVar[str] = "fapiPublicGetTime"
    _rates: tuple[tuple[str, Decimal], ...] = ()
    _settlement: Mapping[str, str] = {}

    def _read_budget(self) -> ReadBudget:
        return ReadBudget(
            self._clock,
            burst=READ_BURST,
            per_second=READ_WEIGHT_PER_SECOND,
            reserve=READ_RESERVE,
        )

    def _note_headers(self, budget: ReadBudget, headers: Mapping[str, str]) -> None:
        # Other services share the address: the venue's own count is what counts.
        used = headers.get(_WEIGHT_HEADER)
        if used is not None and used.isdecimal():
            left = WEIGHT_COUNTED_MAX - int(used)
            budget.cap(max(left, READ_RESERVE))

    def _venue_ms(self, answer: Any) -> int:  # noqa: ANN401 - JSON
        return int(answer["serverTime"])

    def _silence_of(self, failure: Failure, bucket: str) -> str:
        # -1015 is the account's order count: reading and canceling may go on.
        is_orders = failure.code == -1015 and failure.status != 418
        return bucket if is_orders else super()._silence_of(failure, bucket)

    # -- reading -----------------------------------------------------------------

    async def check_keys(self) -> None:
        """
        Prove that the key reads and trades futures, and cannot withdraw.

        Raises
        ------
        CredentialsRefused
            With the sentence to show: the daemon does not start with such a key.
        """
        await self._read_clock(PROBES)
        await self.reading()
        try:
            rights = await self._read(
                "fapi key rights", "sapiGetAccountApiRestrictions", {}
            )
        except VenueUnavailable as error:
            if "HTTP 404" in str(error):
                return  # the futures testnet has no such address
            raise
        rows.refuse_rights(self.name, rights)

    async def contracts(self) -> Mapping[str, Contract]:
        """Return the steps of every symbol; read once, then kept."""
        if not self._contracts:
            info = await self._read("exchangeInfo", "fapiPublicGetExchangeInfo", {})
            with self._shaped("exchangeInfo"):
                found = info["symbols"]
                self._settlement = {r["symbol"]: str(r["marginAsset"]) for r in found}
                self._contracts = {c.symbol: c for c in map(rows.contract, found)}
        return self._contracts

    async def reading(self) -> Reading:
        """Read equity and positions by one call of weight 5."""
        account = await self._read("account", "fapiPrivateV3GetAccount", {}, cost=5)
        with self._shaped("account"):
            return rows.reading(
                self.name,
                account,
                self._clock.time_ns(),
                rates=self._rates,
                settlement=self._settlement,
            )

    async def positions_again(self) -> tuple[HeldPosition, ...]:
        """Read the positions by positionRisk."""
        found = await self._read(
            "positionRisk", "fapiPrivateV3GetPositionRisk", {}, cost=5
        )
        with self._shaped("positionRisk"):
            return tuple(rows.risk_position(row, self._settlement) for row in found)

    async def equity_again(self) -> Decimal:
        """Read equity by the balance endpoint; coins without a rate count nothing."""
        found = await self._read("balance", "fapiPrivateV3GetBalance", {}, cost=5)
        with self._shaped("balance"):
            return rows.equity(found, dict(self._rates))

    async def open_orders(
        self, symbols: Collection[str] | None = None
    ) -> tuple[OpenOrder, ...]:
        """Return normal and algo orders: weight 80 for all, 2 for each symbol named."""
        named = params_of(symbols)
        # The whole price at once: half of the orders would be no answer.
        await self._pay(80 if symbols is None else 2 * len(named))
        found = await asyncio.gather(
            *(
                self._orders(order_class, params)
                for order_class in OrderClass
                for params in named
            )
        )
        return tuple(order for part in found for order in part)

    async def _orders(
        self, order_class: OrderClass, params: dict[str, str]
    ) -> list[OpenOrder]:
        method = {
            OrderClass.NORMAL: "fapiPrivateGetOpenOrders",
            OrderClass.ALGO: "fapiPrivateGetOpenAlgoOrders",
        }[order_class]
        request = f"open {order_class} orders"
        found = await self._read(request, method, params, cost=0)
        with self._shaped(request):
            return [rows.open_order(row, order_class) for row in found]

    async def ledger(self, since_ns: int) -> tuple[LedgerEntry, ...]:
        """Return income entries since ``since_ns`` of our clock: weight 30."""
        params = {
            "startTime": str(self._since_ms(since_ns)),
            "limit": str(_LEDGER_PAGE),
        }
        found = await self._read("income", "fapiPrivateGetIncome", params, cost=30)
        with self._shaped("income"):
            return tuple(rows.ledger_entry(row, self._ahead_ms) for row in found)

    async def dead_man_switch(self) -> DeadManSwitch:
        """Say that Binance tells nobody whether a countdown runs."""
        return DeadManSwitch(
            is_armed=None,
            scope="normal orders of each symbol whose countdown is kept alive",
            text="the venue has no call that shows a countdown",
        )

    async def keep_warm(self) -> None:
        """Use every spare connection once; learn the venue's clock and its rates."""
        await asyncio.gather(super().keep_warm(), self._read_rates())

    async def _read_rates(self) -> None:
        """Read what the venue rates coins at; without it they keep their last rate."""
        with contextlib.suppress(VenueError):
            found = await self._read(
                "assetIndex", "fapiPublicGetAssetIndex", {}, cost=10
            )
            with self._shaped("assetIndex"):
                self._rates = rows.asset_rates(found)

    # -- acting ------------------------------------------------------------------

    async def cancel(self, order: OpenOrder) -> None:
        """Cancel one order; one that is gone already is success."""
        if order.order_class is OrderClass.NORMAL:
            method = "fapiPrivateDeleteOrder"
            params = {"symbol": order.symbol, "orderId": order.order_id}
        else:
            method, params = "fapiPrivateDeleteAlgoOrder", {"algoId": order.order_id}
        with contextlib.suppress(OrderNotFound):
            await self._act(f"cancel {order.order_id}", method, params, bucket="weight")

    async def cancel_all(self, symbol: str, order_class: OrderClass) -> None:
        """Cancel every order of one class and symbol, by one call."""
        method = {
            OrderClass.NORMAL: "fapiPrivateDeleteAllOpenOrders",
            OrderClass.ALGO: "fapiPrivateDeleteAlgoOpenOrders",
        }[order_class]
        what = f"cancel all {order_class} of {symbol}"
        await self._act(what, method, {"symbol": symbol}, bucket="weight")

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
        await self._act(what, "fapiPrivatePostOrder", params, bucket=_ORDERS)
