"""
The risk daemon's way to Bybit v5: a unified account's linear and inverse contracts.

It satisfies the daemon's port by shape alone and never opens a position: every order it
can send is reduce-only. A reading costs a wallet read and a position list for each of
three scopes, of 50 a second that the venue allows.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection, Iterable, Mapping
from decimal import Decimal
from typing import Any, ClassVar, Final

from cryptoquantix.core.clock import NS_PER_MS, Clock
from cryptoquantix.core.errors import OrderNotFound, VenueError, VenueUnavailable
from cryptoquantix.core.exposure import (
    Act,
    CloseOrder,
    Contract,
    DeadManSwitch,
    HeldPosition,
    LedgerEntry,
    OpenOrder,
    OrderClass,
    OtherHolding,
    Pace,
    Reading,
)
from cryptoquantix.core.instrument import Venue
from cryptoquantix.core.order import Side
from cryptoquantix.venues import emergency_bybit_rows as rows
from cryptoquantix.venues.emergency_client import (
    EVERYTHING,
    PROBES,
    EmergencyClient,
)
from cryptoquantix.venues.errors import Failure
from cryptoquantix.venues.weight import ReadBudget

type Params = dict[str, str]

SCOPES: Final[tuple[Params, ...]] = (
    {"category": "linear", "settleCoin": "USDT"},
    {"category": "linear", "settleCoin": "USDC"},
    {"category": "inverse"},
)
"""What a derivatives account can hold; the venue lists each apart."""

READS_PER_SECOND: Final = 24
"""Of each path; a bucket starts with as many: never more than 48 of 50 a second."""

OPTIONS_EVERY: Final = 10
"""Options are never closed: the list of them may be some readings old."""

_PAGES_MAX: Final = 20
# A millisecond clock and a rolling second: a call early by its rounding is refused.
_WINDOW_SECONDS: Final = 1.005


class BybitEmergency(EmergencyClient):
    """One Bybit unified trading account."""

    venue: ClassVar[Venue] = Venue.BYBIT
    reads_all_cheaply: ClassVar[bool] = True
    # 10 in a rolling second on each of the three paths.
    paces: ClassVar[Mapping[Act, Pace]] = {
        Act.CLOSE: Pace("create", 9.9, 10, _WINDOW_SECONDS),
        Act.CANCEL: Pace("cancel", 9.9, 10, _WINDOW_SECONDS),
        Act.CANCEL_ALL: Pace("cancel-all", 9.9, 10, _WINDOW_SECONDS),
    }
    _time_method: ClassVar[str] = "publicGetV5MarketTime"
    _time_cost: ClassVar[int] = 0  # counts on the address alone
    _options: tuple[OtherHolding, ...] = ()
    _readings = 0

    def __init__(self, *, rest: str, key: str, secret: str, clock: Clock) -> None:
        super().__init__(rest=rest, key=key, secret=secret, clock=clock)
        self._inverse: set[str] = set()

    def _read_budget(self) -> ReadBudget:
        return ReadBudget(
            self._clock, burst=READS_PER_SECOND, per_second=READS_PER_SECOND
        )

    def _venue_ms(self, answer: Any) -> int:  # noqa: ANN401 - JSON
        return int(answer["time"])

    def _silence_of(self, failure: Failure, bucket: str) -> str:
        # 10006 is one path's own limit; all else is the address's.
        return bucket if failure.code == 10006 else EVERYTHING

    # -- reading -----------------------------------------------------------------

    async def check_keys(self) -> None:
        """
        Prove that the key reads and trades contracts, and cannot move money out.

        Raises
        ------
        CredentialsRefused
            With the sentence to show: the daemon does not start with such a key.
        """
        await self._read_clock(PROBES)
        await self.reading()
        answer = await self._get("key rights", "privateGetV5UserQueryApi", {})
        with self._shaped("key rights"):
            refusal = rows.key_refusal(answer["result"])
        if refusal is not None:
            raise refusal

    async def contracts(self) -> Mapping[str, Contract]:
        """Return the steps of every symbol; read once, then kept."""
        if not self._contracts:
            found = await asyncio.gather(
                *(
                    self._pages(
                        f"{category} instruments",
                        "publicGetV5MarketInstrumentsInfo",
                        {"category": category, "limit": "1000"},
                    )
                    for category in ("linear", "inverse")
                )
            )
            with self._shaped("instruments"):
                listed = [rows.contract(row) for part in found for row in part]
            self._contracts = {item.symbol: item for item in listed}
        return self._contracts

    async def reading(self) -> Reading:
        """Read the wallet, and the positions of every scope at the same time."""
        wallet, positions, _ = await asyncio.gather(
            self._wallet(), self._positions(), self._look_at_options()
        )
        with self._shaped("wallet-balance"):
            row = wallet["result"]["list"][0]
            coins = rows.coins(row)
            return Reading(
                venue=self.name,
                equity=rows.number(row["totalEquity"]),
                balance=rows.number(row["totalWalletBalance"]),
                positions=positions,
                time_ns=self._clock.time_ns(),
                hints_orders=rows.has_orders(row),
                coins=coins,
                rates=tuple((c.coin, c.rate) for c in coins if c.rate is not None),
                others=(*rows.spot(coins), *self._options),
                venue_time_ns=int(wallet["time"]) * NS_PER_MS,
            )

    async def positions_again(self) -> tuple[HeldPosition, ...]:
        """Read the positions once more: the venue has no second endpoint of them."""
        return await self._positions()

    async def equity_again(self) -> Decimal:
        """Add equity up from wallet balances and each position's own profit."""
        wallet, positions = await asyncio.gather(self._wallet(), self._positions())
        with self._shaped("wallet-balance"):
            coins = rows.coins(wallet["result"]["list"][0])
            rates = {item.coin: item.rate or Decimal(1) for item in coins}
            total = sum((c.balance * rates[c.coin] for c in coins), Decimal(0))
            for held in positions:
                if held.is_inverse:
                    profit = held.size * (1 / held.entry_price - 1 / held.mark_price)
                else:
                    profit = held.size * (held.mark_price - held.entry_price)
                total += profit * rates.get(held.coin, Decimal(1))
        return total

    async def open_orders(
        self, symbols: Collection[str] | None = None
    ) -> tuple[OpenOrder, ...]:
        """
        Return active and conditional orders, tp/sl of positions among them.

        All scopes cost six calls, a symbol two: many symbols are read as all.
        """
        scopes: list[Params] = [dict(scope) for scope in SCOPES]
        if symbols is not None and len(symbols) <= len(SCOPES):
            scopes = [
                {"category": self._category(name), "symbol": name}
                for name in sorted(symbols)
            ]
        found = await asyncio.gather(
            *(
                self._pages(
                    f"{kind} orders",
                    "privateGetV5OrderRealtime",
                    scope | {"orderFilter": kind, "limit": "50"},
                )
                for scope in scopes
                for kind in ("Order", "StopOrder")
            )
        )
        with self._shaped("open orders"):
            listed = [rows.open_order(row) for part in found for row in part]
        self._note_inverse(order.symbol for order in listed)
        # Classic accounts do not tell the filters apart: each order once.
        once = {order.order_id: order for order in listed}.values()
        return tuple(o for o in once if symbols is None or o.symbol in symbols)

    async def ledger(self, since_ns: int) -> tuple[LedgerEntry, ...]:
        """
        Return the unified account's transaction log, oldest first, a week at most.

        It holds every transfer into and out of the account, deposits and withdrawals
        included: those pass through the owner's funding account.
        """
        now_ms = self._venue_time_ms(self._clock.time_ns())
        start_ms = max(self._since_ms(since_ns), now_ms - 7 * 86_400_000 + 1)
        params = {
            "accountType": "UNIFIED",
            "startTime": str(start_ms),
            "endTime": str(now_ms + 1_000),
            "limit": "50",
        }
        found = await self._pages(
            "transaction log", "privateGetV5AccountTransactionLog", params
        )
        with self._shaped("transaction log"):
            entries = [rows.ledger_entry(row, self._ahead_ms) for row in found]
        return tuple(reversed(entries))

    async def dead_man_switch(self) -> DeadManSwitch:
        """Ask whether disconnection protection is on for derivatives."""
        answer = await self._get(
            "disconnection protection", "privateGetV5AccountQueryDcpInfo", {}
        )
        with self._shaped("disconnection protection"):
            found = {
                row["product"]: row for row in answer["result"].get("dcpInfos") or ()
            }
            row = found.get("DERIVATIVES", {})
        is_armed = row.get("dcpStatus") == "ON"
        window = f"{row['timeWindow']} s" if "timeWindow" in row else "the time set"
        return DeadManSwitch(
            is_armed=is_armed,
            scope=(
                "active orders of derivatives, once no private stream of the account "
                f"has listened for {window}; conditional orders stay"
            ),
            text="" if is_armed else "nobody has switched disconnection protection on",
        )

    async def _wallet(self) -> Any:  # noqa: ANN401 - JSON
        params = {"accountType": "UNIFIED"}
        return await self._get("wallet", "privateGetV5AccountWalletBalance", params)

    async def _positions(self) -> tuple[HeldPosition, ...]:
        found = await asyncio.gather(
            *(
                self._pages(
                    f"{scope['category']} positions",
                    "privateGetV5PositionList",
                    scope | {"limit": "200"},
                )
                for scope in SCOPES
            )
        )
        with self._shaped("positions"):
            held = tuple(
                rows.position(
                    row,
                    coin=scope.get("settleCoin", ""),
                    is_inverse=scope["category"] == "inverse",
                )
                for scope, part in zip(SCOPES, found, strict=True)
                for row in part
                if rows.number(row["size"])
            )
        self._note_inverse(item.symbol for item in held)
        return held

    def _note_inverse(self, symbols: Iterable[str]) -> None:
        self._inverse.update(s for s in symbols if self._category(s) == "inverse")

    async def _look_at_options(self) -> None:
        """List the options now and then; a key without the right to has none."""
        self._readings += 1
        if self._readings % OPTIONS_EVERY != 1:
            return
        with contextlib.suppress(VenueError):
            found = await self._pages(
                "options",
                "privateGetV5PositionList",
                {"category": "option", "limit": "200", "settleCoin": "USDC"},
            )
            with self._shaped("options"):
                self._options = tuple(
                    rows.option(row) for row in found if rows.number(row["size"])
                )

    # -- acting ------------------------------------------------------------------

    async def cancel(self, order: OpenOrder) -> None:
        """Cancel one order of either class; one that is gone already is success."""
        params = {
            "category": self._category(order.symbol),
            "symbol": order.symbol,
            "orderId": order.order_id,
        }
        with contextlib.suppress(OrderNotFound):
            await self._act(
                f"cancel {order.order_id}",
                "privatePostV5OrderCancel",
                params,
                bucket="cancel",
            )

    async def cancel_all(self, symbol: str, order_class: OrderClass) -> None:
        """Cancel every order of one class and symbol, by one call."""
        params = {
            "category": self._category(symbol),
            "symbol": symbol,
            "orderFilter": "Order" if order_class is OrderClass.NORMAL else "StopOrder",
        }
        await self._cancel_all(f"cancel all {order_class} of {symbol}", params)

    async def cancel_everything(self) -> None:
        """Cancel every order of every class, by a call for each coin settled in."""
        scopes: list[Params] = [
            dict(scope) for scope in SCOPES if scope["category"] == "linear"
        ]
        scopes += [
            {"category": "inverse", "settleCoin": coin}
            for coin in sorted({rows.base_coin(name) for name in self._inverse})
        ]
        await asyncio.gather(
            *(self._cancel_all("cancel everything", scope) for scope in scopes)
        )

    async def _cancel_all(self, request: str, params: Params) -> None:
        await self._act(
            request, "privatePostV5OrderCancelAll", params, bucket="cancel-all"
        )

    async def close_position(self, order: CloseOrder) -> None:
        """Send one reduce-only order; in hedge mode for the leg it closes."""
        params: dict[str, object] = {
            "category": self._category(order.symbol),
            "symbol": order.symbol,
            "side": "Buy" if order.side is Side.BUY else "Sell",
            "orderType": "Market",
            "qty": f"{order.size:f}",
            "orderLinkId": order.client_order_id,
            "positionIdx": int(rows.POSITION_INDEX[order.leg]),
            "reduceOnly": True,
        }
        if order.price is not None:
            limit = {"timeInForce": "IOC", "price": f"{order.price:f}"}
            params |= {"orderType": "Limit"} | limit
        await self._act(
            f"close {order.size:f} {order.symbol}",
            "privatePostV5OrderCreate",
            params,
            bucket="create",
        )

    # -- the wire ----------------------------------------------------------------

    async def _get(self, request: str, method: str, params: Params) -> Any:  # noqa: ANN401 - JSON
        return await self._read(request, method, params, bucket=method)

    async def _pages(self, request: str, method: str, params: Params) -> list[Any]:
        """Return the rows of every page; a list that never ends is no answer."""
        found: list[Any] = []
        cursor: Params = {}
        for _ in range(_PAGES_MAX):
            answer = await self._get(request, method, params | cursor)
            with self._shaped(request):
                part = answer["result"]
                found += part["list"]
                following = str(part.get("nextPageCursor") or "")
            if not following or not part["list"]:
                return found
            cursor = {"cursor": following}
        msg = f"{self.name} has more than {_PAGES_MAX} pages of {request}"
        raise VenueUnavailable(msg, venue=self.name, request=request)

    def _category(self, symbol: str) -> str:
        known = self._contracts.get(symbol)
        if known is not None:
            return "inverse" if known.is_inverse else "linear"
        return "inverse" if rows.is_inverse_name(symbol) else "linear"
