"""
The venue port over ccxt's Binance USD-M client; it plans, stores and retries nothing.

Native parameters and raw answers only (ccxt's implicit methods): every price and size
stays decimal text until it is ticks and lots, and no unified parameter leaks. ccxt
signs and sends.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, Final

import ccxt

from cryptoquantix.core.account import AccountSnapshot
from cryptoquantix.core.clock import NS_PER_MS, NS_PER_SECOND, Clock
from cryptoquantix.core.errors import (
    CredentialsRefused,
    CryptoquantixError,
    VenueError,
    VenueUnavailable,
)
from cryptoquantix.core.instrument import Instrument, InstrumentId, Venue
from cryptoquantix.core.order import Increase, OrderType, Reduction, TimeInForce
from cryptoquantix.core.quantity import from_steps
from cryptoquantix.venues import binance
from cryptoquantix.venues.binance_account import (
    UNREADABLE,
    AccountReader,
    number,
    plain,
    shaped,
    trade_number,
)
from cryptoquantix.venues.ccxt_wire import ATTEMPT, Attempt, close_wire, open_wire
from cryptoquantix.venues.errors import CODES_CLOCK, Failure, order_error, read_error
from cryptoquantix.venues.port import PermitCheck, VenueFill, VenueOrder
from cryptoquantix.venues.weight import BINANCE_WEIGHT_PER_MINUTE, WeightBudget

_LOG = logging.getLogger(__name__)

_VENUE: Final = Venue.BINANCE.value
_FILLS_PAGE: Final = 1_000
_FILL_PAGES_MAX: Final = 20
# An increase that must queue for longer is better decided anew.
_INCREASE_WAIT_SECONDS: Final = 2.0
_CLOCK_AGE_NS_MAX: Final = 600 * NS_PER_SECOND

_TIMES_IN_FORCE: Final = {
    TimeInForce.GTC: "GTC",
    TimeInForce.IOC: "IOC",
    TimeInForce.FOK: "FOK",
    TimeInForce.POST_ONLY: "GTX",
}


class CcxtBinance:
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
        self._rest = rest
        self._key = key
        self._secret = secret
        self._clock = clock
        self._wire: Any = None
        self._clock_read_ns = 0
        self._is_clock_doubtful = True
        self._instruments: dict[InstrumentId, Instrument] = {}
        self._reader = AccountReader({})
        self.budget = WeightBudget(clock, weight_max)

    @property
    def venue(self) -> Venue:
        """Which venue it is."""
        return Venue.BINANCE

    def instruments(self) -> Mapping[InstrumentId, Instrument]:
        """Return what is traded, as of :meth:`open`."""
        return self._instruments

    async def open(self) -> None:
        """Read instruments, clock, position mode and rights; refuse what is unfit."""
        if self._wire is None:
            self._wire = open_wire(self._rest, self._key, self._secret)
        await self._read_clock()
        await self._read("exchangeInfo", 1, "fapiPublicGetExchangeInfo")
        found = binance.parse_instruments(self._wire.last_http_response.encode())
        self._reader = AccountReader(found)
        self._instruments = {item.id: item for item in found.values()}
        await self._refuse_hedge_mode()
        await self._refuse_withdrawals()

    async def close(self) -> None:
        """Close every connection; closing twice is fine."""
        if self._wire is not None:
            await close_wire(self._wire)

    # -- reading ----------------------------------------------------------------

    async def account(self) -> AccountSnapshot:
        """Return equity and every position."""
        receipt_ns = self._clock.time_ns()
        account, positions = await asyncio.gather(
            self._read("account", 5, "fapiPrivateV3GetAccount"),
            self._read("positionRisk", 5, "fapiPrivateV3GetPositionRisk"),
        )
        with shaped("account"):
            return AccountSnapshot(
                equity_quote=number(account["totalMarginBalance"]),
                balance_quote=number(account["totalWalletBalance"]),
                currency="USDT",
                positions=tuple(self._reader.positions(positions)),
                receipt_time_ns=receipt_ns,
            )

    async def marks(
        self, instruments: Iterable[InstrumentId]
    ) -> dict[InstrumentId, Decimal]:
        """Return mark prices."""
        wanted = list(instruments)
        answers = await asyncio.gather(
            *(
                self._read(
                    "premiumIndex", 1, "fapiPublicGetPremiumIndex", symbol=id_.symbol
                )
                for id_ in wanted
            )
        )
        with shaped("premiumIndex"):
            return {
                id_: number(answer["markPrice"])
                for id_, answer in zip(wanted, answers, strict=True)
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
        with shaped("openOrders"):
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
        with shaped("order"):
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
            with shaped("userTrades"):
                page = sorted(
                    (self._reader.fill(row) for row in rows), key=trade_number
                )
            found += page
            if len(page) < _FILLS_PAGE or not after_trade_id:
                return found
            after_trade_id = page[-1].fill.trade_id
        return found

    # -- acting -----------------------------------------------------------------

    async def place_increase(
        self, order: Increase, permit_check: PermitCheck
    ) -> VenueOrder:
        """Send an increase; ``permit_check`` runs right before the bytes go out."""
        permit_check()
        try:
            async with asyncio.timeout(_INCREASE_WAIT_SECONDS):
                await self.budget.take(1)
        except TimeoutError:
            msg = f"no request weight was free for the order at {_VENUE}: not sent"
            request = f"order {order.client_order_id}"
            raise VenueUnavailable(msg, venue=_VENUE, request=request) from None
        attempt = Attempt(check=permit_check, is_once=True)
        return await self._place(order, {}, attempt)

    async def place_reduction(self, order: Reduction) -> VenueOrder:
        """Send a reduction; nothing of ours holds it up."""
        await self.budget.take(1, is_urgent=True)
        return await self._place(order, {"reduceOnly": "true"}, Attempt(is_once=True))

    async def cancel(self, instrument: InstrumentId, client_order_id: str) -> None:
        """Cancel one order; :class:`OrderNotFound` where it rests no more."""
        await self.budget.take(1, is_urgent=True)
        await self._call(
            f"cancel {client_order_id}",
            Attempt(),
            "fapiPrivateDeleteOrder",
            {"symbol": instrument.symbol, "origClientOrderId": client_order_id},
            changes_orders=True,
        )

    async def _place(
        self, order: Increase | Reduction, extra: dict[str, str], attempt: Attempt
    ) -> VenueOrder:
        instrument = self._instruments[order.instrument]
        params = {
            "symbol": order.instrument.symbol,
            "side": order.side.value.upper(),
            "type": order.type.value.upper(),
            "quantity": plain(from_steps(order.size_lots, instrument.lot_size)),
            "newClientOrderId": order.client_order_id,
            "newOrderRespType": "RESULT",
        } | extra
        if order.type is OrderType.LIMIT:
            assert order.price_ticks is not None, "checked by the order itself"
            price = from_steps(order.price_ticks, instrument.tick_size)
            params["price"] = plain(price)
            params["timeInForce"] = _TIMES_IN_FORCE[order.time_in_force]
        request = f"order {order.client_order_id}"
        row = await self._call(
            request, attempt, "fapiPrivatePostOrder", params, changes_orders=True
        )
        try:
            return self._reader.order(row, order.client_order_id)
        except UNREADABLE as error:
            text = f"an answer of unknown shape: {error!r}"
            failure = Failure(_VENUE, request, is_sent=True, text=text)
            raise order_error(failure) from None

    # -- the wire ---------------------------------------------------------------

    async def _read(self, request: str, weight: int, method: str, **params: str) -> Any:  # noqa: ANN401 - JSON
        await self.budget.take(weight)
        if self._is_clock_stale() and method != "fapiPublicGetTime":
            await self._read_clock()
        return await self._call(request, Attempt(), method, params)

    async def _call(
        self,
        request: str,
        attempt: Attempt,
        method: str,
        params: Mapping[str, str],
        *,
        changes_orders: bool = False,
    ) -> Any:  # noqa: ANN401 - JSON
        assert self._wire is not None, "the venue is not open"
        token = ATTEMPT.set(attempt)
        try:
            return await getattr(self._wire, method)(dict(params))
        except CryptoquantixError:
            raise
        except Exception as error:  # noqa: BLE001 - ccxt lets others' through
            failure = _failure(error, request, is_sent=attempt.is_sent)
            self._heed(failure)
            tell = order_error if changes_orders else read_error
            told = tell(failure)
            if isinstance(told, CredentialsRefused):
                msg = f"{told} (key venues.{_VENUE}.key)"
                raise CredentialsRefused(msg, venue=_VENUE, request=request) from None
            raise told from None
        finally:
            ATTEMPT.reset(token)

    def _heed(self, failure: Failure) -> None:
        """Keep to what the venue just said: wait when limited, set the clock."""
        if failure.status in {418, 429}:
            self.budget.close_for(failure.delay_ns or 10 * NS_PER_SECOND)
        if failure.code in CODES_CLOCK:
            self._is_clock_doubtful = True

    def _is_clock_stale(self) -> bool:
        age_ns = self._clock.monotonic_ns() - self._clock_read_ns
        return self._is_clock_doubtful or age_ns > _CLOCK_AGE_NS_MAX

    async def _read_clock(self) -> None:
        """Measure how far our clock is from the venue's; ccxt stamps with it."""
        self._is_clock_doubtful = False
        before_ns = self._clock.monotonic_ns()
        answer = await self._read("time", 1, "fapiPublicGetTime")
        after_ns = self._clock.monotonic_ns()
        # The venue refuses stamps 1 s ahead of it and takes 2 s old ones: half the way
        # is the best guess, and what is left of the error makes us late, not early.
        midway_ns = self._clock.time_ns() - (after_ns - before_ns) // 2
        with shaped("time"):
            ahead_ms = midway_ns // NS_PER_MS - int(answer["serverTime"])
        self._wire.options["timeDifference"] = ahead_ms
        self._clock_read_ns = after_ns

    async def _refuse_hedge_mode(self) -> None:
        answer = await self._read("positionSide", 30, "fapiPrivateGetPositionSideDual")
        with shaped("positionSide"):
            is_one_way = str(answer["dualSidePosition"]).lower() == "false"
        if not is_one_way:
            msg = (
                f"the {_VENUE} account is in hedge mode, which is not supported: set "
                "position mode to one-way"
            )
            raise CredentialsRefused(msg, venue=_VENUE, request="positionSide")

    async def _refuse_withdrawals(self) -> None:
        try:
            rights = await self._read(
                "apiRestrictions", 1, "sapiGetAccountApiRestrictions"
            )
        except CredentialsRefused:
            raise
        except VenueError as error:
            # The futures testnet has no such address: not knowing is not a right.
            _LOG.warning("the key's rights cannot be read: %s", error)
            return
        with shaped("apiRestrictions"):
            may_withdraw = str(rights.get("enableWithdrawals")).lower() == "true"
        if may_withdraw:
            msg = (
                f"the {_VENUE} key may withdraw: make one for trading futures "
                "without that right"
            )
            raise CredentialsRefused(msg, venue=_VENUE, request="apiRestrictions")


def _failure(error: Exception, request: str, *, is_sent: bool) -> Failure:
    """Return what is known of a failed request; ccxt's own text is left behind."""
    status = getattr(error, "http_status", None)
    code = getattr(error, "venue_code", None)
    text = getattr(error, "venue_text", "")
    if status is None:
        cause = error.__cause__ or error
        text = "no answer in time" if _is_timeout(error) else type(cause).__name__
    return Failure(
        venue=_VENUE,
        request=request,
        is_sent=is_sent,
        status=status,
        code=_whole(code),
        text=str(text),
        delay_ns=(_whole(getattr(error, "retry_after", "")) or 0) * NS_PER_SECOND,
    )


def _is_timeout(error: Exception) -> bool:
    return isinstance(error, ccxt.RequestTimeout)


def _whole(value: object) -> int | None:
    with contextlib.suppress(TypeError, ValueError):
        return int(str(value))
    return None
