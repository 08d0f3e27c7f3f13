"""
The venue port over ccxt's linear Bybit client; it plans, stores and retries nothing.

Bybit answers an order with its id alone: what became of it is asked at once, and where
that cannot be told the order counts as resting until it is looked up. Fills have no
order of ids, so they are read newest first until the one that is known.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Collection, Iterable
from decimal import Decimal
from typing import Any, Final

from cryptoquantix.core.account import AccountSnapshot
from cryptoquantix.core.clock import NS_PER_MS, NS_PER_SECOND, Clock
from cryptoquantix.core.errors import (
    CredentialsRefused,
    OrderNotFound,
    OutcomeUnknown,
    VenueError,
)
from cryptoquantix.core.exposure import DeadManSwitch
from cryptoquantix.core.instrument import Instrument, InstrumentId, Venue
from cryptoquantix.core.order import (
    Increase,
    OrderState,
    OrderType,
    Reduction,
    TimeInForce,
)
from cryptoquantix.venues import bybit
from cryptoquantix.venues.answers import UNREADABLE, number
from cryptoquantix.venues.bybit_account import BybitReader
from cryptoquantix.venues.ccxt_account import CcxtAccount, among
from cryptoquantix.venues.ccxt_wire import Attempt
from cryptoquantix.venues.port import BestQuote, CashFlow, VenueFill, VenueOrder
from cryptoquantix.venues.rights import bybit_unfit
from cryptoquantix.venues.weight import WeightBudget

_LOG = logging.getLogger(__name__)

# Half of 600 requests in 5 s an address, and of 10 orders a second an account.
_REQUESTS: Final = (300, 5 * NS_PER_SECOND)
_ORDERS: Final = (5, NS_PER_SECOND)
_PAGES_MAX: Final = 50
_FILLS_PAGE: Final = 100
_WINDOW_SECONDS: Final = 10
_LEDGER_SPAN_MS: Final = 7 * 86_400_000
# Half a year at most is looked back: the venue takes 50 such requests a second.
_LEDGER_KEPT_MS: Final = 26 * _LEDGER_SPAN_MS
_TIMES_IN_FORCE: Final = {
    TimeInForce.GTC: "GTC",
    TimeInForce.IOC: "IOC",
    TimeInForce.FOK: "FOK",
    TimeInForce.POST_ONLY: "PostOnly",
}
_LINEAR: Final = {"category": "linear"}
_COIN: Final = "USDT"


class CcxtBybit(CcxtAccount):
    """One Bybit unified account, linear perpetuals settled in USDT, one-way mode."""

    def __init__(self, *, rest: str, key: str, secret: str, clock: Clock) -> None:
        super().__init__(
            Venue.BYBIT,
            rest=rest,
            key=key,
            secret=secret,
            clock=clock,
            budget=WeightBudget(clock, *_REQUESTS),
            order_budget=WeightBudget(clock, *_ORDERS),
        )
        self._reader = BybitReader({})
        self._is_armed = False

    async def open(self) -> None:
        """Read instruments, clock, position mode and rights; refuse what is unfit."""
        self._connect()
        await self._read_clock()
        found = await self._perpetuals()
        self._reader = BybitReader(found)
        self._instruments = {item.id: item for item in found.values()}
        await self._refuse_unfit_key()
        await self._refuse_hedge_mode()
        await self.account()

    async def _perpetuals(self) -> dict[str, Instrument]:
        rows = [
            row
            async for row in self._rows(
                "instruments-info",
                "publicGetV5MarketInstrumentsInfo",
                **_LINEAR,
                limit="1000",
            )
        ]
        with self._shaped("instruments-info"):
            # Positions and orders are asked for by the coin they settle in.
            return {
                symbol: instrument
                for symbol, instrument in bybit.perpetuals(rows).items()
                if instrument.settlement == _COIN
            }

    # -- reading ----------------------------------------------------------------

    async def account(self) -> AccountSnapshot:
        """Return equity in dollars and every position."""
        receipt_ns = self._clock.time_ns()
        wallet, positions = await asyncio.gather(
            self._read(
                "wallet-balance",
                1,
                "privateGetV5AccountWalletBalance",
                accountType="UNIFIED",
            ),
            self._positions(),
        )
        with self._shaped("wallet-balance"):
            return self._reader.account(wallet["result"], positions, receipt_ns)

    async def _positions(self) -> list[Any]:
        return [
            row
            async for row in self._rows(
                "position list",
                "privateGetV5PositionList",
                **_LINEAR,
                settleCoin=_COIN,
                limit="200",
            )
        ]

    async def marks(
        self, instruments: Iterable[InstrumentId]
    ) -> dict[InstrumentId, Decimal]:
        """Return mark prices."""
        tickers = await self._tickers(instruments)
        with self._shaped("tickers"):
            return {id_: number(row["markPrice"]) for id_, row in tickers.items()}

    async def quotes(
        self, instruments: Iterable[InstrumentId]
    ) -> dict[InstrumentId, BestQuote]:
        """Return the best bid and ask."""
        tickers = await self._tickers(instruments)
        with self._shaped("tickers"):
            return {
                id_: BestQuote.of(
                    number(row["bid1Price"] or "0"), number(row["ask1Price"] or "0")
                )
                for id_, row in tickers.items()
            }

    async def _tickers(
        self, instruments: Iterable[InstrumentId]
    ) -> dict[InstrumentId, Any]:
        answers = await self._read_each(
            "tickers", 1, "publicGetV5MarketTickers", instruments, **_LINEAR
        )
        with self._shaped("tickers"):
            return {id_: answer["result"]["list"][0] for id_, answer in answers.items()}

    async def open_orders(
        self, instruments: Iterable[InstrumentId] | None
    ) -> list[VenueOrder]:
        """Return resting orders of every class, of all instruments where None."""
        rows = [
            row
            async for row in self._rows(
                "order realtime",
                "privateGetV5OrderRealtime",
                **_LINEAR,
                settleCoin=_COIN,
                limit="50",
            )
        ]
        with self._shaped("order realtime"):
            return among(self._reader.open_orders(rows), instruments)

    async def order_by_client_id(
        self, instrument: InstrumentId, client_order_id: str
    ) -> VenueOrder:
        """Return one order of any state; :class:`OrderNotFound` where unknown."""
        request = f"order {client_order_id}"
        # Ended orders leave the first answer after a while; they stay in the second.
        for method in ("privateGetV5OrderRealtime", "privateGetV5OrderHistory"):
            answer = await self._read(
                request,
                1,
                method,
                **_LINEAR,
                symbol=instrument.symbol,
                orderLinkId=client_order_id,
            )
            with self._shaped(request):
                rows = answer["result"]["list"]
                if rows:
                    return self._reader.order(rows[0], client_order_id)
        raise self._unknown_order(request)

    async def fills(
        self, instrument: InstrumentId, after_trade_id: str
    ) -> list[VenueFill]:
        """Return fills newer than ``after_trade_id``, oldest first (empty: newest)."""
        newest_first: list[VenueFill] = []
        async for row in self._rows(
            "execution list",
            "privateGetV5ExecutionList",
            **_LINEAR,
            symbol=instrument.symbol,
            limit=str(_FILLS_PAGE),
        ):
            with self._shaped("execution list"):
                if after_trade_id and row["execId"] == after_trade_id:
                    break
                newest_first += self._reader.fills([row])
            if not after_trade_id and len(newest_first) >= _FILLS_PAGE:
                break
        return newest_first[::-1]

    async def funding(
        self, instruments: Iterable[InstrumentId], since_ns: int
    ) -> list[CashFlow]:
        """
        Return funding booked at ``since_ns`` or later, oldest first.

        The venue answers for a week at a time (told a start alone, for the day after
        it); what is older than half a year is not looked for.
        """
        wanted = set(instruments)
        end_ms = self.venue_time_ms() + 1_000
        start_ms = max(since_ns // NS_PER_MS, end_ms - _LEDGER_KEPT_MS)
        found: list[CashFlow] = []
        for week_ms in range(start_ms, end_ms, _LEDGER_SPAN_MS):
            newest_first: list[CashFlow] = []
            async for row in self._rows(
                "transaction-log",
                "privateGetV5AccountTransactionLog",
                **_LINEAR,
                accountType="UNIFIED",
                type="SETTLEMENT",
                startTime=str(week_ms),
                endTime=str(min(week_ms + _LEDGER_SPAN_MS, end_ms) - 1),
                limit="50",
            ):
                with self._shaped("transaction-log"):
                    newest_first += self._reader.funding([row])
            found += reversed(newest_first)
        return [flow for flow in found if flow.instrument in wanted]

    # -- acting -----------------------------------------------------------------

    async def cancel(self, instrument: InstrumentId, client_order_id: str) -> None:
        """Cancel one order; :class:`OrderNotFound` where it rests no more."""
        await self.order_budget.take(1, is_urgent=True)
        await self._call(
            f"cancel {client_order_id}",
            Attempt(),
            "privatePostV5OrderCancel",
            _LINEAR | {"symbol": instrument.symbol, "orderLinkId": client_order_id},
            changes_orders=True,
        )

    async def keep_dead_man(self, resting: Collection[InstrumentId]) -> DeadManSwitch:
        """
        Arm Bybit's disconnection protection, once.

        It counts private WebSocket connections that hold the topic ``dcp``, which the
        wake-up listener does; the venue may refuse it to the account.
        """
        scope = (
            f"all derivatives orders, {_WINDOW_SECONDS} s after the last private "
            "WebSocket connection with the topic dcp is gone"
        )
        if self._is_armed or not resting:
            return DeadManSwitch(self._is_armed, scope)
        try:
            await self.budget.take(1)
            await self._call(
                "disconnected-cancel-all",
                Attempt(),
                "privatePostV5OrderDisconnectedCancelAll",
                {"product": "DERIVATIVES", "timeWindow": _WINDOW_SECONDS},
            )
        except VenueError as error:
            return DeadManSwitch(False, scope, str(error))  # noqa: FBT003 - its field
        self._is_armed = True
        return DeadManSwitch(True, scope)  # noqa: FBT003 - its field

    async def _place(self, order: Increase | Reduction, attempt: Attempt) -> VenueOrder:
        params: dict[str, Any] = _LINEAR | {
            "symbol": order.instrument.symbol,
            "side": order.side.value.capitalize(),
            "orderType": order.type.value.capitalize(),
            "qty": self._size_text(order),
            "orderLinkId": order.client_order_id,
        }
        if isinstance(order, Reduction):
            params["reduceOnly"] = True
        if order.type is OrderType.LIMIT:
            params["price"] = self._price_text(order)
            params["timeInForce"] = _TIMES_IN_FORCE[order.time_in_force]
        request = f"order {order.client_order_id}"
        answer = await self._call(
            request, attempt, "privatePostV5OrderCreate", params, changes_orders=True
        )
        try:
            venue_order_id = str(answer["result"]["orderId"])
        except UNREADABLE as error:
            raise self._unreadable_order(request, error) from None
        with contextlib.suppress(VenueError):
            return await self.order_by_client_id(
                order.instrument, order.client_order_id
            )
        return _accepted(order, venue_order_id)

    @property
    def can_amend(self) -> bool:
        """True: PostOnly, reduceOnly, id and size stay as they are."""
        return True

    async def _amend(self, order: Increase | Reduction, attempt: Attempt) -> VenueOrder:
        name, request = order.client_order_id, f"amend {order.client_order_id}"
        params = _LINEAR | {
            "symbol": order.instrument.symbol,
            "orderLinkId": name,
            "price": self._price_text(order),
        }
        await self._call(
            request, attempt, "privatePostV5OrderAmend", params, changes_orders=True
        )
        # The answer is an id alone, and one that would take is canceled after it.
        try:
            return await self.order_by_client_id(order.instrument, name)
        except OrderNotFound:
            raise
        except VenueError as error:
            msg = f"what became of {request} cannot be read: {error}"
            raise OutcomeUnknown(msg, venue=self.venue, request=request) from None

    async def _venue_time_ms(self) -> int:
        answer = await self._call("time", Attempt(), "publicGetV5MarketTime", {})
        with self._shaped("time"):
            return int(answer["time"])

    async def _rows(
        self, request: str, method: str, **params: str
    ) -> AsyncIterator[Any]:
        """Yield the rows of a list that comes in pages, within a bound."""
        cursor = ""
        for _ in range(_PAGES_MAX):
            extra = {"cursor": cursor} if cursor else {}
            answer = await self._read(request, 1, method, **params, **extra)
            with self._shaped(request):
                rows = answer["result"]["list"]
                cursor = str(answer["result"].get("nextPageCursor") or "")
            for row in rows:
                yield row
            if not cursor or not rows:
                return

    async def _refuse_hedge_mode(self) -> None:
        """Look at one symbol: the list of all shows nothing where all is flat."""
        symbols = sorted(id_.symbol for id_ in self._instruments)
        if not symbols:
            return
        symbol = "BTCUSDT" if "BTCUSDT" in symbols else symbols[0]
        answer = await self._read(
            "position list", 1, "privateGetV5PositionList", **_LINEAR, symbol=symbol
        )
        with self._shaped("position list"):
            rows = answer["result"]["list"]
            is_one_way = all(int(row["positionIdx"]) == 0 for row in rows)
        if not is_one_way:
            msg = (
                f"the {self.venue} account is in hedge mode, which is not supported: "
                "set position mode to one-way"
            )
            raise CredentialsRefused(msg, venue=self.venue, request="position list")

    async def _refuse_unfit_key(self) -> None:
        answer = await self._read("query-api", 1, "privateGetV5UserQueryApi")
        with self._shaped("query-api"):
            unfit = bybit_unfit(answer["result"])
        self._refuse_unfit(unfit, "query-api")


def _accepted(order: Increase | Reduction, venue_order_id: str) -> VenueOrder:
    return VenueOrder(
        venue_order_id=venue_order_id,
        client_order_id=order.client_order_id,
        instrument=order.instrument,
        side=order.side,
        size_lots=order.size_lots,
        filled_lots=0,
        state=OrderState.WORKING,
        is_reduce_only=isinstance(order, Reduction),
        is_conditional=False,
        detail="accepted",
    )
