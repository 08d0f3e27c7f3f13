"""
The venue port over ccxt's Binance USD-M client; it plans, stores and retries nothing.

What is common to the three venues (budgets, clock, errors) is in ``ccxt_account``.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection, Iterable
from decimal import Decimal
from typing import Final

from cryptoquantix.core.account import AccountSnapshot
from cryptoquantix.core.clock import NS_PER_MS, Clock
from cryptoquantix.core.errors import CredentialsRefused, VenueError, VenueUnavailable
from cryptoquantix.core.exposure import DeadManSwitch
from cryptoquantix.core.instrument import Instrument, InstrumentId, Venue
from cryptoquantix.core.order import Increase, OrderType, Reduction, TimeInForce
from cryptoquantix.venues import binance
from cryptoquantix.venues.answers import UNREADABLE, number
from cryptoquantix.venues.binance_account import BinanceReader, trade_number
from cryptoquantix.venues.ccxt_account import CcxtAccount
from cryptoquantix.venues.ccxt_wire import Attempt
from cryptoquantix.venues.port import BestQuote, CashFlow, VenueFill, VenueOrder
from cryptoquantix.venues.rights import binance_unfit
from cryptoquantix.venues.weight import BINANCE_WEIGHT_PER_MINUTE, WeightBudget

_VENUE: Final = Venue.BINANCE.value
_FILLS_PAGE: Final = 1_000
_FILL_PAGES_MAX: Final = 20
_INCOME_PAGE: Final = 1_000
_INCOME_PAGES_MAX: Final = 20
_COUNTDOWN_MS: Final = 30_000

_TIMES_IN_FORCE: Final = {
    TimeInForce.GTC: "GTC",
    TimeInForce.IOC: "IOC",
    TimeInForce.FOK: "FOK",
    TimeInForce.POST_ONLY: "GTX",
}


class CcxtBinance(CcxtAccount):
    """
    One Binance USD-M account, one-way position mode.

    Parameters
    ----------
    rest : str
        The venue's REST address; every address of ccxt is held to it.
    key, secret : str
        Execution's own key: trading allowed, withdrawing not.
    weight_max : int
        Request weight a minute; half of what the venue documents.
    """

    def __init__(
        self,
        *,
        rest: str,
        key: str,
        secret: str,
        clock: Clock,
        weight_max: int = BINANCE_WEIGHT_PER_MINUTE,
    ) -> None:
        super().__init__(
            Venue.BINANCE,
            rest=rest,
            key=key,
            secret=secret,
            clock=clock,
            budget=WeightBudget(clock, weight_max),
        )
        self._reader = BinanceReader({})
        self._armed: frozenset[InstrumentId] = frozenset()

    async def open(self) -> None:
        """Read instruments, clock, position mode and rights; refuse what is unfit."""
        self._connect()
        await self._read_clock()
        found = await self._perpetuals()
        self._reader = BinanceReader(found)
        self._instruments = {item.id: item for item in found.values()}
        await self._refuse_hedge_mode()
        await self._refuse_unfit_key()

    async def _perpetuals(self) -> dict[str, Instrument]:
        answer = await self._read("exchangeInfo", 1, "fapiPublicGetExchangeInfo")
        # Not the client's last text: while trading, that may be another answer's.
        return binance.parse_instruments(json.dumps(answer).encode())

    # -- reading ----------------------------------------------------------------

    async def account(self) -> AccountSnapshot:
        """Return equity and every position."""
        receipt_ns = self._clock.time_ns()
        account, positions = await asyncio.gather(
            self._read("account", 5, "fapiPrivateV3GetAccount"),
            self._read("positionRisk", 5, "fapiPrivateV3GetPositionRisk"),
        )
        with self._shaped("account"):
            return AccountSnapshot(
                equity_quote=number(account["totalMarginBalance"]),
                balance_quote=number(account["totalWalletBalance"]),
                currency="USD",
                positions=tuple(self._reader.positions(positions)),
                receipt_time_ns=receipt_ns,
            )

    async def marks(
        self, instruments: Iterable[InstrumentId]
    ) -> dict[InstrumentId, Decimal]:
        """Return mark prices."""
        answers = await self._read_each(
            "premiumIndex", 1, "fapiPublicGetPremiumIndex", instruments
        )
        with self._shaped("premiumIndex"):
            return {id_: number(answer["markPrice"]) for id_, answer in answers.items()}

    async def quotes(
        self, instruments: Iterable[InstrumentId]
    ) -> dict[InstrumentId, BestQuote]:
        """Return the best bid and ask."""
        answers = await self._read_each(
            "bookTicker", 2, "fapiPublicGetTickerBookTicker", instruments
        )
        with self._shaped("bookTicker"):
            return {
                id_: BestQuote.of(number(row["bidPrice"]), number(row["askPrice"]))
                for id_, row in answers.items()
            }

    async def open_orders(
        self, instruments: Iterable[InstrumentId] | None
    ) -> list[VenueOrder]:
        """Return resting orders of every class, of all instruments where None."""
        symbols: list[dict[str, str]] = [{}]
        if instruments is not None:
            symbols = [{"symbol": id_.symbol} for id_ in instruments]
        weight = 40 if instruments is None else 1
        answers = await asyncio.gather(
            *(
                self._read(request, weight, method, **symbol)
                for symbol in symbols
                for request, method in (
                    ("openOrders", "fapiPrivateGetOpenOrders"),
                    ("openAlgoOrders", "fapiPrivateGetOpenAlgoOrders"),
                )
            )
        )
        with self._shaped("openOrders"):
            rows = [row for answer in answers for row in answer]
            return self._reader.open_orders(rows)

    async def order_by_client_id(
        self, instrument: InstrumentId, client_order_id: str
    ) -> VenueOrder:
        """Return one order of any state; :class:`OrderNotFound` where unknown."""
        row = await self._read(
            f"order {client_order_id}",
            1,
            "fapiPrivateGetOrder",
            symbol=instrument.symbol,
            origClientOrderId=client_order_id,
        )
        with self._shaped("order"):
            return self._reader.order(row, client_order_id)

    async def fills(
        self, instrument: InstrumentId, after_trade_id: str
    ) -> list[VenueFill]:
        """Return fills newer than ``after_trade_id``, oldest first (empty: newest)."""
        found: list[VenueFill] = []
        for _ in range(_FILL_PAGES_MAX):
            params = {"symbol": instrument.symbol, "limit": str(_FILLS_PAGE)}
            if after_trade_id:
                params["fromId"] = str(int(after_trade_id) + 1)
            rows = await self._read(
                "userTrades", 5, "fapiPrivateGetUserTrades", **params
            )
            with self._shaped("userTrades"):
                page = sorted(
                    (self._reader.fill(row) for row in rows), key=trade_number
                )
            found += page
            if len(page) < _FILLS_PAGE or not after_trade_id:
                return found
            after_trade_id = page[-1].fill.trade_id
        return found

    async def funding(
        self, instruments: Iterable[InstrumentId], since_ns: int
    ) -> list[CashFlow]:
        """Return funding booked at ``since_ns`` or later, oldest first."""
        wanted, start_ms = set(instruments), since_ns // NS_PER_MS
        found: list[CashFlow] = []
        for _ in range(_INCOME_PAGES_MAX):
            rows = await self._read(
                "income",
                30,
                "fapiPrivateGetIncome",
                incomeType="FUNDING_FEE",
                startTime=str(start_ms),
                limit=str(_INCOME_PAGE),
            )
            with self._shaped("income"):
                found += self._reader.funding(rows)
                last_ms = max((int(row["time"]) for row in rows), default=start_ms)
            if len(rows) < _INCOME_PAGE or last_ms <= start_ms:
                break
            # Bookings of one moment may lie on both pages.
            start_ms = last_ms
        once = {(f.instrument, f.flow_id): f for f in found if f.instrument in wanted}
        return sorted(once.values(), key=lambda flow: flow.venue_time_ns)

    async def listen_key(self) -> str:
        """Return the key of the private stream, which holds for an hour."""
        self._connect()
        answer = await self._read("listenKey", 1, "fapiPrivatePostListenKey")
        with self._shaped("listenKey"):
            return str(answer["listenKey"])

    async def keep_listen_key(self) -> None:
        """Renew the key of the private stream."""
        await self._read("listenKey", 1, "fapiPrivatePutListenKey")

    # -- acting -----------------------------------------------------------------

    async def cancel(self, instrument: InstrumentId, client_order_id: str) -> None:
        """Cancel one order; :class:`OrderNotFound` where it rests no more."""
        await self.order_budget.take(1, is_urgent=True)
        await self._call(
            f"cancel {client_order_id}",
            Attempt(),
            "fapiPrivateDeleteOrder",
            {"symbol": instrument.symbol, "origClientOrderId": client_order_id},
            changes_orders=True,
        )

    async def keep_dead_man(self, resting: Collection[InstrumentId]) -> DeadManSwitch:
        """Count down to a cancel of all orders of each symbol that has some."""
        scope = "normal orders of the symbols that have some, 30 s after we fall silent"
        failed = ""
        for id_ in sorted(self._armed | set(resting)):
            is_resting = id_ in resting
            params = {
                "symbol": id_.symbol,
                "countdownTime": str(_COUNTDOWN_MS if is_resting else 0),
            }
            try:
                await self._read(
                    "countdownCancelAll",
                    10,
                    "fapiPrivatePostCountdownCancelAll",
                    **params,
                )
            except VenueError as error:
                failed = str(error)
            else:
                self._armed = self._armed | {id_} if is_resting else self._armed - {id_}
        return DeadManSwitch(not failed, scope, failed)

    async def _place(self, order: Increase | Reduction, attempt: Attempt) -> VenueOrder:
        params = {
            "symbol": order.instrument.symbol,
            "side": order.side.value.upper(),
            "type": order.type.value.upper(),
            "quantity": self._size_text(order),
            "newClientOrderId": order.client_order_id,
            "newOrderRespType": "RESULT",
        }
        if isinstance(order, Reduction):
            params["reduceOnly"] = "true"
        if order.type is OrderType.LIMIT:
            params["price"] = self._price_text(order)
            params["timeInForce"] = _TIMES_IN_FORCE[order.time_in_force]
        request = f"order {order.client_order_id}"
        row = await self._call(
            request, attempt, "fapiPrivatePostOrder", params, changes_orders=True
        )
        try:
            return self._reader.order(row, order.client_order_id)
        except UNREADABLE as error:
            raise self._unreadable_order(request, error) from None

    @property
    def can_amend(self) -> bool:
        """True: GTX, reduce-only, id and size stay as they are."""
        return True

    async def _amend(self, order: Increase | Reduction, attempt: Attempt) -> VenueOrder:
        # The size is that of the whole order, what has filled included.
        params = {
            "symbol": order.instrument.symbol,
            "side": order.side.value.upper(),
            "origClientOrderId": order.client_order_id,
            "quantity": self._size_text(order),
            "price": self._price_text(order),
        }
        request = f"amend {order.client_order_id}"
        row = await self._call(
            request, attempt, "fapiPrivatePutOrder", params, changes_orders=True
        )
        try:
            return self._reader.order(row, order.client_order_id)
        except UNREADABLE as error:
            raise self._unreadable_order(request, error) from None

    async def _venue_time_ms(self) -> int:
        answer = await self._call("time", Attempt(), "fapiPublicGetTime", {})
        with self._shaped("time"):
            return int(answer["serverTime"])

    async def _refuse_hedge_mode(self) -> None:
        answer = await self._read("positionSide", 30, "fapiPrivateGetPositionSideDual")
        with self._shaped("positionSide"):
            is_one_way = str(answer["dualSidePosition"]).lower() == "false"
        if not is_one_way:
            msg = (
                f"the {_VENUE} account is in hedge mode, which is not supported: set "
                "position mode to one-way"
            )
            raise CredentialsRefused(msg, venue=_VENUE, request="positionSide")

    async def _refuse_unfit_key(self) -> None:
        try:
            rights = await self._read(
                "apiRestrictions", 1, "sapiGetAccountApiRestrictions"
            )
        except VenueUnavailable as error:
            if "HTTP 404" in str(error):
                return  # the futures testnet has no such address
            raise
        with self._shaped("apiRestrictions"):
            unfit = binance_unfit(rights)
        self._refuse_unfit(unfit, "apiRestrictions")
