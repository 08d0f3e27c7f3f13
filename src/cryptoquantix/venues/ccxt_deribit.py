"""
The venue port over ccxt's Deribit client; it plans, stores and retries nothing.

Client order ids go as labels, which Deribit does not hold to be unique: that no order
is ever sent twice is the journal's doing alone. Amounts of inverse perpetuals are
dollars.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
from collections.abc import AsyncIterator, Collection, Iterable
from decimal import Decimal
from typing import Any, Final

from cryptoquantix.core.account import AccountSnapshot
from cryptoquantix.core.clock import NS_PER_MS, NS_PER_SECOND, Clock
from cryptoquantix.core.errors import VenueUnavailable
from cryptoquantix.core.exposure import DeadManSwitch
from cryptoquantix.core.instrument import Instrument, InstrumentId, Venue
from cryptoquantix.core.order import (
    Increase,
    OrderType,
    Reduction,
    Side,
    TimeInForce,
)
from cryptoquantix.venues import deribit
from cryptoquantix.venues.answers import UNREADABLE, json_number
from cryptoquantix.venues.ccxt_account import CcxtAccount, among
from cryptoquantix.venues.ccxt_wire import Attempt
from cryptoquantix.venues.deribit_account import DOLLARS, DeribitReader
from cryptoquantix.venues.port import BestQuote, CashFlow, VenueFill, VenueOrder
from cryptoquantix.venues.rights import deribit_unfit
from cryptoquantix.venues.weight import WeightBudget

_LOG = logging.getLogger(__name__)

# Half of 20 requests a second sustained and 100 at once, and of 5 orders a second and
# 20 at once, which is the lowest tier.
_REQUESTS: Final = (50, 5 * NS_PER_SECOND)
_ORDERS: Final = (10, 4 * NS_PER_SECOND)
_PAGES_MAX: Final = 50
_FILLS_PAGE: Final = 100
_LOG_PAGE: Final = 250
_HISTORY_PAGE: Final = 100
_TIMES_IN_FORCE: Final = {
    TimeInForce.GTC: "good_til_cancelled",
    TimeInForce.IOC: "immediate_or_cancel",
    TimeInForce.FOK: "fill_or_kill",
    TimeInForce.POST_ONLY: "good_til_cancelled",
}
_METHODS: Final = {Side.BUY: "privateGetBuy", Side.SELL: "privateGetSell"}


class CcxtDeribit(CcxtAccount):
    """One Deribit account: perpetuals, inverse and linear, over HTTP."""

    def __init__(self, *, rest: str, key: str, secret: str, clock: Clock) -> None:
        super().__init__(
            Venue.DERIBIT,
            rest=rest,
            key=key,
            secret=secret,
            clock=clock,
            budget=WeightBudget(clock, *_REQUESTS),
            order_budget=WeightBudget(clock, *_ORDERS),
        )
        self._reader = DeribitReader({})

    async def open(self) -> None:
        """Read instruments, clock and rights; refuse what is unfit."""
        self._connect()
        await self._read_clock()
        found = await self._perpetuals()
        self._reader = DeribitReader(found)
        self._instruments = {item.id: item for item in found.values()}
        await self._refuse_unfit_key()

    async def _perpetuals(self) -> dict[str, Instrument]:
        answer = await self._read(
            "get_instruments",
            1,
            "publicGetGetInstruments",
            currency="any",
            kind="future",
        )
        with self._shaped("get_instruments"):
            return deribit.perpetuals(answer["result"])

    # -- reading ----------------------------------------------------------------

    async def account(self) -> AccountSnapshot:
        """Return equity in dollars and every position."""
        receipt_ns = self._clock.time_ns()
        summaries, positions = await asyncio.gather(
            self._read("get_account_summaries", 1, "privateGetGetAccountSummaries"),
            self._read(
                "get_positions",
                1,
                "privateGetGetPositions",
                currency="any",
                kind="future",
            ),
        )
        with self._shaped("get_account_summaries"):
            rows = summaries["result"]["summaries"]
            coins = [
                str(row["currency"])
                for row in rows
                if json_number(row["equity"]) or json_number(row["balance"])
            ]
        rates = await self._rates(coins)
        with self._shaped("get_positions"):
            return self._reader.account(rows, positions["result"], rates, receipt_ns)

    async def _rates(self, coins: Iterable[str]) -> dict[str, Decimal]:
        """Return dollars a coin, by the venue's own index."""
        found = dict.fromkeys(DOLLARS, Decimal(1))
        wanted = [coin for coin in coins if coin not in found]
        answers = await asyncio.gather(
            *(
                self._read(
                    "get_index_price",
                    1,
                    "publicGetGetIndexPrice",
                    index_name=f"{coin.lower()}_usd",
                )
                for coin in wanted
            )
        )
        with self._shaped("get_index_price"):
            for coin, answer in zip(wanted, answers, strict=True):
                found[coin] = json_number(answer["result"]["index_price"])
        return found

    async def marks(
        self, instruments: Iterable[InstrumentId]
    ) -> dict[InstrumentId, Decimal]:
        """Return mark prices."""
        tickers = await self._tickers(instruments)
        with self._shaped("ticker"):
            return {id_: json_number(row["mark_price"]) for id_, row in tickers.items()}

    async def quotes(
        self, instruments: Iterable[InstrumentId]
    ) -> dict[InstrumentId, BestQuote]:
        """Return the best bid and ask."""
        tickers = await self._tickers(instruments)
        with self._shaped("ticker"):
            return {
                id_: BestQuote.of(
                    json_number(row["best_bid_price"] or 0),
                    json_number(row["best_ask_price"] or 0),
                )
                for id_, row in tickers.items()
            }

    async def _tickers(
        self, instruments: Iterable[InstrumentId]
    ) -> dict[InstrumentId, Any]:
        answers = await self._read_each(
            "ticker", 1, "publicGetTicker", instruments, name="instrument_name"
        )
        with self._shaped("ticker"):
            return {id_: answer["result"] for id_, answer in answers.items()}

    async def open_orders(
        self, instruments: Iterable[InstrumentId] | None
    ) -> list[VenueOrder]:
        """Return resting orders of every class, of all instruments where None."""
        answer = await self._read("get_open_orders", 1, "privateGetGetOpenOrders")
        with self._shaped("get_open_orders"):
            return among(self._reader.open_orders(answer["result"]), instruments)

    async def order_by_client_id(
        self, instrument: InstrumentId, client_order_id: str
    ) -> VenueOrder:
        """
        Return one order of any state; :class:`OrderNotFound` where unknown.

        By its label the venue knows recent orders alone; others are in its history.
        """
        request = f"order {client_order_id}"
        answer = await self._read(
            request,
            1,
            "privateGetGetOrderStateByLabel",
            currency=self._instruments[instrument].settlement,
            label=client_order_id,
        )
        with self._shaped(request):
            rows = answer["result"]
            if len(rows) > 1:
                _LOG.error("%d orders have the label %s", len(rows), client_order_id)
            if rows:
                return self._reader.order(rows[0], client_order_id)
        answer = await self._read(
            request,
            1,
            "privateGetGetOrderHistoryByInstrument",
            instrument_name=instrument.symbol,
            count=str(_HISTORY_PAGE),
            include_old="true",
            include_unfilled="true",
        )
        with self._shaped(request):
            for row in answer["result"]:
                if row.get("label") == client_order_id:
                    return self._reader.order(row, client_order_id)
        raise self._unknown_order(request)

    async def fills(
        self, instrument: InstrumentId, after_trade_id: str
    ) -> list[VenueFill]:
        """Return fills newer than ``after_trade_id``, oldest first (empty: newest)."""
        newest_first: list[VenueFill] = []
        extra: dict[str, str] = {}
        for _ in range(_PAGES_MAX):
            answer = await self._read(
                "get_user_trades_by_instrument",
                1,
                "privateGetGetUserTradesByInstrument",
                instrument_name=instrument.symbol,
                count=str(_FILLS_PAGE),
                sorting="desc",
                include_old="true",
                **extra,
            )
            with self._shaped("get_user_trades_by_instrument"):
                rows = answer["result"]["trades"]
                for row in rows:
                    if after_trade_id and str(row["trade_id"]) == after_trade_id:
                        return newest_first[::-1]
                    newest_first.append(self._reader.fill(row))
                if not rows or not after_trade_id or not answer["result"]["has_more"]:
                    break
                extra = {"end_seq": str(int(rows[-1]["trade_seq"]) - 1)}
        return newest_first[::-1]

    async def funding(
        self, instruments: Iterable[InstrumentId], since_ns: int
    ) -> list[CashFlow]:
        """Return funding booked at ``since_ns`` or later, oldest first."""
        wanted = set(instruments)
        found: list[CashFlow] = []
        for coin in sorted({self._instruments[id_].settlement for id_ in wanted}):
            async for row in self._log(coin, since_ns):
                with self._shaped("get_transaction_log"):
                    found += self._reader.funding([row])
        return sorted(
            (flow for flow in found if flow.instrument in wanted),
            key=lambda flow: flow.venue_time_ns,
        )

    async def _log(self, coin: str, since_ns: int) -> AsyncIterator[Any]:
        """Yield one coin's transaction log, which comes in pages, newest first."""
        request = "get_transaction_log"
        extra: dict[str, str] = {}
        for _ in range(_PAGES_MAX):
            answer = await self._read(
                request,
                1,
                "privateGetGetTransactionLog",
                currency=coin,
                start_timestamp=str(since_ns // NS_PER_MS),
                end_timestamp=str(self.venue_time_ms() + 1_000),
                count=str(_LOG_PAGE),
                **extra,
            )
            with self._shaped(request):
                rows = answer["result"]["logs"]
                following = answer["result"].get("continuation")
            for row in rows:
                yield row
            if not following or not rows:
                return
            extra = {"continuation": str(following)}
        # What is missing is the oldest: better asked for anew than left out.
        msg = f"{self.venue} has more than {_PAGES_MAX} pages of {request}"
        raise VenueUnavailable(msg, venue=self.venue, request=request)

    # -- acting -----------------------------------------------------------------

    async def cancel(self, instrument: InstrumentId, client_order_id: str) -> None:
        """Cancel one order; :class:`OrderNotFound` where it rests no more."""
        request = f"cancel {client_order_id}"
        await self.order_budget.take(1, is_urgent=True)
        answer = await self._call(
            request,
            Attempt(),
            "privateGetCancelByLabel",
            {
                "label": client_order_id,
                "currency": self._instruments[instrument].settlement,
            },
            changes_orders=True,
        )
        with self._shaped(request):
            count = int(answer["result"])
        if not count:
            raise self._unknown_order(request)

    async def keep_dead_man(self, resting: Collection[InstrumentId]) -> DeadManSwitch:
        """Say that Deribit has no switch that would cover orders sent over HTTP."""
        del resting
        return DeadManSwitch(
            False,  # noqa: FBT003 - its field
            scope="orders sent over one WebSocket connection",
            text="ours go over HTTP, which Deribit's cancel-on-disconnect leaves alone",
        )

    async def _place(self, order: Increase | Reduction, attempt: Attempt) -> VenueOrder:
        params = {
            "instrument_name": order.instrument.symbol,
            "amount": self._size_text(order),
            "type": order.type.value,
            "label": order.client_order_id,
        }
        if isinstance(order, Reduction):
            params["reduce_only"] = "true"
        if order.type is OrderType.LIMIT:
            params["price"] = self._price_text(order)
            params["time_in_force"] = _TIMES_IN_FORCE[order.time_in_force]
            if order.time_in_force is TimeInForce.POST_ONLY:
                # Without the second the venue would move the price.
                params |= {"post_only": "true", "reject_post_only": "true"}
        request = f"order {order.client_order_id}"
        answer = await self._call(
            request, attempt, _METHODS[order.side], params, changes_orders=True
        )
        try:
            return self._reader.order(answer["result"]["order"], order.client_order_id)
        except UNREADABLE as error:
            raise self._unreadable_order(request, error) from None

    async def _venue_time_ms(self) -> int:
        answer = await self._call("get_time", Attempt(), "publicGetGetTime", {})
        with self._shaped("get_time"):
            return int(answer["result"])

    async def _refuse_unfit_key(self) -> None:
        # The signature proves the key; credentials would put the secret in a URL.
        stamp = str(self.venue_time_ms())
        nonce = f"rights{stamp}"
        text = f"{stamp}\n{nonce}\n".encode()
        signature = hmac.new(self._secret.encode(), text, hashlib.sha256).hexdigest()
        answer = await self._read(
            "auth",
            1,
            "publicGetAuth",
            grant_type="client_signature",
            client_id=self._key,
            timestamp=stamp,
            nonce=nonce,
            signature=signature,
        )
        with self._shaped("auth"):
            unfit = deribit_unfit(str(answer["result"]["scope"]))
        self._refuse_unfit(unfit, "auth")
