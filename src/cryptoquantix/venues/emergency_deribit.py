"""
The risk daemon's way to Deribit: inverse and linear perpetuals, over HTTP.

It satisfies the daemon's port by shape alone and never opens a position: every order it
can send is reduce-only. Every request has a nonce of its own and is signed by itself,
so there is no session that could have ended. A reading costs two private calls, and an
index price for each coin held that is no dollar, of 20 a second that the venue allows.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Collection, Mapping
from decimal import Decimal
from typing import Any, ClassVar, Final

from cryptoquantix.core.clock import Clock
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
from cryptoquantix.venues import emergency_deribit_rows as rows
from cryptoquantix.venues.emergency_client import (
    EVERYTHING,
    PROBES,
    EmergencyClient,
)
from cryptoquantix.venues.errors import Failure
from cryptoquantix.venues.weight import ReadBudget

READ_BURST: Final = 60
READS_PER_SECOND: Final = 12
"""Of 100 at once and 20 a second, which execution's key shares."""

RATED: Final = ("BTC", "ETH", "USDT", "USDC")
"""Coins whose rate is a vote, held or not."""

_NS_PER_US: Final = 1_000
_MATCHING: Final = "matching"
_CREDITS: Final = "credits"
_NO_SUCH_INDEX: Final = "code -32602"
_LOGS_PAGE: Final = 250
_PAGES_MAX: Final = 20


class DeribitEmergency(EmergencyClient):
    """One Deribit account with all its currencies."""

    venue: ClassVar[Venue] = Venue.DERIBIT
    # 20 at once and 5 a second, whatever the act.
    reads_all_cheaply: ClassVar[bool] = True
    paces: ClassVar[Mapping[Act, Pace]] = dict.fromkeys(
        Act, Pace(_MATCHING, per_second=4.98, burst=20)
    )
    connections: ClassVar[int] = 12  # of 32 that an address may have, for all services
    _time_method: ClassVar[str] = "publicGetGetTime"

    def __init__(self, *, rest: str, key: str, secret: str, clock: Clock) -> None:
        super().__init__(rest=rest, key=key, secret=secret, clock=clock)
        self._rates: dict[str, Decimal] = {}
        self._held: set[str] = set()
        self._unrated: set[str] = set()

    def _read_budget(self) -> ReadBudget:
        return ReadBudget(self._clock, burst=READ_BURST, per_second=READS_PER_SECOND)

    def _venue_ms(self, answer: Any) -> int:  # noqa: ANN401 - JSON
        return int(answer["result"])

    def _silence_of(self, failure: Failure, bucket: str) -> str:
        # Matching and other requests have budgets of their own.
        return bucket if failure.code == 10028 else EVERYTHING

    # -- reading -----------------------------------------------------------------

    async def check_keys(self) -> None:
        """
        Prove that the key reads and trades, and cannot move money out.

        Signed, not with the secret in an address: that would be in a proxy's log.

        Raises
        ------
        CredentialsRefused
            With the sentence to show: the daemon does not start with such a key.
        """
        await self._read_clock(PROBES)
        await self.reading()
        stamp, nonce = str(self._wire.milliseconds()), str(self._wire.nonce())
        text = f"{stamp}\n{nonce}\n"
        params = {
            "grant_type": "client_signature",
            "client_id": self._key,
            "timestamp": stamp,
            "nonce": nonce,
            "data": "",
            "signature": self._wire.hmac(
                text.encode(), self._secret.encode(), hashlib.sha256
            ),
        }
        answer = await self._get("key rights", "publicGetAuth", params)
        with self._shaped("key rights"):
            refusal = rows.scope_refusal(str(answer["result"]["scope"]))
        if refusal is not None:
            raise refusal

    async def contracts(self) -> Mapping[str, Contract]:
        """Return the steps of every future; read once, then kept."""
        if not self._contracts:
            answer = await self._get(
                "instruments",
                "publicGetGetInstruments",
                {"currency": "any", "kind": "future"},
            )
            with self._shaped("instruments"):
                found = [rows.contract(row) for row in answer["result"]]
            self._contracts = {item.symbol: item for item in found}
        return self._contracts

    async def reading(self) -> Reading:
        """Read every currency's summary and every position at the same time."""
        summaries, positions, _ = await asyncio.gather(
            self._get("summaries", "privateGetGetAccountSummaries", {}),
            self._get("positions", "privateGetGetPositions", {"currency": "any"}),
            self._rate(self._held),
        )
        with self._shaped("summaries"):
            listed = summaries["result"]["summaries"]
            held = {
                str(row["currency"])
                for row in listed
                if rows.number(row["equity"]) or rows.number(row["balance"])
            }
        await self._rate(held - self._held)
        self._held |= held
        with self._shaped("summaries"):
            coins = tuple(
                rows.coin_balance(row, self._rates.get(str(row["currency"])))
                for row in listed
                if str(row["currency"]) in held
            )
            equity, balance = rows.in_dollars(coins)
            futures, options = _split(positions["result"])
            return Reading(
                venue=self.name,
                equity=equity,
                balance=balance,
                positions=futures,
                time_ns=self._clock.time_ns(),
                hints_orders=any(rows.has_orders(row) for row in listed),
                coins=coins,
                rates=tuple(self._rates.items()),
                others=(*rows.spot(coins), *options),
                venue_time_ns=int(summaries["usOut"]) * _NS_PER_US,
            )

    async def _rate(self, coins: Collection[str]) -> None:
        """
        Read the index of each coin that is no dollar; dollars keep theirs longer.

        A coin that the venue has no index of is not asked for again: it has no rate.
        """
        fixed = rows.DOLLARS | self._unrated
        moving = [coin for coin in coins if coin not in fixed]
        await asyncio.gather(*(self._rate_one(coin) for coin in moving))

    async def _rate_one(self, coin: str) -> None:
        try:
            await self._index(coin)
        except VenueUnavailable as error:
            if _NO_SUCH_INDEX not in str(error):
                raise
            self._unrated.add(coin)

    async def _index(self, coin: str) -> None:
        answer = await self._get(
            f"index of {coin}",
            "publicGetGetIndexPrice",
            {"index_name": f"{coin.lower()}_usd"},
        )
        with self._shaped(f"index of {coin}"):
            rate = rows.number(answer["result"]["index_price"])
            if not (rate.is_finite() and rate > 0):
                raise ValueError(rate)
            self._rates[coin] = rate

    async def positions_again(self) -> tuple[HeldPosition, ...]:
        """Read the positions once more, of futures alone."""
        params = {"currency": "any", "kind": "future"}
        answer = await self._get("positions", "privateGetGetPositions", params)
        with self._shaped("positions"):
            return _split(answer["result"])[0]

    async def equity_again(self) -> Decimal:
        """Read equity by each currency's own summary."""
        coins = sorted(self._held)
        answers, _ = await asyncio.gather(
            asyncio.gather(
                *(
                    self._get(
                        f"summary of {coin}",
                        "privateGetGetAccountSummary",
                        {"currency": coin},
                    )
                    for coin in coins
                )
            ),
            self._rate(coins),
        )
        with self._shaped("summary"):
            found = [
                rows.coin_balance(answer["result"], self._rates.get(coin))
                for coin, answer in zip(coins, answers, strict=True)
            ]
            if not found:
                raise ValueError(coins)
            return rows.in_dollars(found)[0]

    async def open_orders(
        self, symbols: Collection[str] | None = None
    ) -> tuple[OpenOrder, ...]:
        """Return orders of both classes: one call, for all or for one symbol."""
        method, params = "privateGetGetOpenOrders", {}
        if symbols is not None and len(symbols) == 1:
            method = "privateGetGetOpenOrdersByInstrument"
            params = {"instrument_name": next(iter(symbols))}
        answer = await self._get("open orders", method, params)
        with self._shaped("open orders"):
            found = [rows.open_order(row) for row in answer["result"]]
        return tuple(o for o in found if symbols is None or o.symbol in symbols)

    async def ledger(self, since_ns: int) -> tuple[LedgerEntry, ...]:
        """
        Return the transaction log of every currency ever held, oldest first.

        It holds deposits, withdrawals and transfers between the owner's accounts.
        """
        found = await asyncio.gather(
            *(self._log(coin, since_ns) for coin in sorted(self._held))
        )
        with self._shaped("transaction log"):
            # The venue tells the newest first, also among those of one millisecond.
            entries = [
                rows.ledger_entry(row, self._ahead_ms)
                for part in found
                for row in reversed(part)
            ]
        return tuple(sorted(entries, key=lambda entry: entry.time_ns))

    async def _log(self, coin: str, since_ns: int) -> list[Any]:
        params = {
            "currency": coin,
            "start_timestamp": str(self._since_ms(since_ns)),
            "end_timestamp": str(self._venue_time_ms(self._clock.time_ns()) + 1_000),
            "count": str(_LOGS_PAGE),
        }
        request = f"transaction log of {coin}"
        found: list[Any] = []
        for _ in range(_PAGES_MAX):
            answer = await self._get(request, "privateGetGetTransactionLog", params)
            with self._shaped(request):
                part = answer["result"]
                found += part["logs"]
                following = part.get("continuation")
            if not following or not part["logs"]:
                return found
            params = params | {"continuation": str(following)}
        msg = f"{self.name} has more than {_PAGES_MAX} pages of {request}"
        raise VenueUnavailable(msg, venue=self.name, request=request)

    async def dead_man_switch(self) -> DeadManSwitch:
        """Ask whether new connections of the account cancel on disconnect."""
        answer = await self._get(
            "cancel on disconnect",
            "privateGetGetCancelOnDisconnect",
            {"scope": "account"},
        )
        with self._shaped("cancel on disconnect"):
            is_armed = str(answer["result"]["enabled"]).lower() == "true"
        return DeadManSwitch(
            is_armed=is_armed,
            scope=(
                "orders sent over a WebSocket connection, when it ends; not those sent "
                "over HTTP"
            ),
            text="" if is_armed else "nobody has switched cancel-on-disconnect on",
        )

    async def keep_warm(self) -> None:
        """Use every spare connection once; learn the venue's clock and its rates."""
        await asyncio.gather(
            super().keep_warm(), *(self._index_if_any(coin) for coin in RATED)
        )

    async def _index_if_any(self, coin: str) -> None:
        """Read an index; a coin without one keeps its last rate, or has none."""
        with contextlib.suppress(VenueError):
            await self._index(coin)

    # -- acting ------------------------------------------------------------------

    async def cancel(self, order: OpenOrder) -> None:
        """Cancel one order of either class; one that is gone already is success."""
        with contextlib.suppress(OrderNotFound):
            await self._match(
                f"cancel {order.order_id}",
                "privateGetCancel",
                {"order_id": order.order_id},
            )

    async def cancel_all(self, symbol: str, order_class: OrderClass) -> None:
        """Cancel every order of one class and symbol, by one call."""
        kind = "limit" if order_class is OrderClass.NORMAL else "trigger_all"
        await self._match(
            f"cancel all {order_class} of {symbol}",
            "privateGetCancelAllByInstrument",
            {"instrument_name": symbol, "type": kind},
        )

    async def cancel_everything(self) -> None:
        """Cancel every order of every class and currency, by one call."""
        await self._match("cancel everything", "privateGetCancelAll", {})

    async def close_position(self, order: CloseOrder) -> None:
        """Send one reduce-only order."""
        params = {
            "instrument_name": order.symbol,
            "amount": f"{order.size:f}",
            "type": "market",
            "reduce_only": "true",
            "label": order.client_order_id,
        }
        if order.price is not None:
            params["type"] = "limit"
            params["price"] = f"{order.price:f}"
            params["time_in_force"] = "immediate_or_cancel"
        method = "privateGetBuy" if order.side is Side.BUY else "privateGetSell"
        await self._match(f"close {order.size:f} {order.symbol}", method, params)

    # -- the wire ----------------------------------------------------------------

    async def _get(self, request: str, method: str, params: Mapping[str, str]) -> Any:  # noqa: ANN401 - JSON
        return await self._read(request, method, params, bucket=_CREDITS)

    async def _match(self, request: str, method: str, params: Mapping[str, str]) -> Any:  # noqa: ANN401 - JSON
        return await self._act(request, method, params, bucket=_MATCHING)


def _split(
    found: list[Any],
) -> tuple[tuple[HeldPosition, ...], tuple[OtherHolding, ...]]:
    """Return futures to be guarded, and options that are only listed."""
    open_rows = [row for row in found if rows.number(row["size"])]
    futures = [rows.position(row) for row in open_rows if row["kind"] == "future"]
    options = [rows.option(row) for row in open_rows if row["kind"] == "option"]
    return tuple(futures), tuple(options)
