"""
Bybit v5 linear account answers as orders, fills and positions; it requests nothing.

Sizes and prices stay decimal text until they are lots and Decimal. Bybit answers with
every field as text; empty text stands for nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from cryptoquantix.core.account import AccountSnapshot, Position
from cryptoquantix.core.clock import NS_PER_MS
from cryptoquantix.core.errors import VenueError
from cryptoquantix.core.instrument import Venue
from cryptoquantix.core.order import Fill, OrderState, Side
from cryptoquantix.core.quantity import to_lots_down, to_steps
from cryptoquantix.venues.account_reader import AccountReader, refuse_another
from cryptoquantix.venues.answers import number
from cryptoquantix.venues.port import CashFlow, VenueFill, VenueOrder

_VENUE: Final = Venue.BYBIT.value
_STATES: Final = {
    "New": OrderState.WORKING,
    "PartiallyFilled": OrderState.WORKING,
    "Untriggered": OrderState.WORKING,
    "Triggered": OrderState.WORKING,
    "Filled": OrderState.FILLED,
    "Cancelled": OrderState.CANCELED,
    "PartiallyFilledCanceled": OrderState.CANCELED,
    "Deactivated": OrderState.CANCELED,
    "Rejected": OrderState.REFUSED,
}
# Executions that move the position; Funding is of type SETTLEMENT in the ledger.
_EXECUTIONS: Final = frozenset({"Trade", "AdlTrade", "BustTrade"})


class BybitReader(AccountReader):
    """Reads rows of Bybit's account answers."""

    venue = Venue.BYBIT

    def account(
        self,
        wallet: Mapping[str, Any],
        positions: Iterable[Mapping[str, Any]],
        receipt_ns: int,
    ) -> AccountSnapshot:
        """
        Return the unified account in dollars.

        ``totalEquity`` already holds unrealized PnL of every coin: nothing is added.
        """
        (account,) = wallet["list"]
        return AccountSnapshot(
            equity_quote=number(account["totalEquity"]),
            balance_quote=number(account["totalWalletBalance"]),
            currency="USD",
            positions=tuple(self.positions(positions)),
            receipt_time_ns=receipt_ns,
        )

    def positions(self, rows: Iterable[Mapping[str, Any]]) -> Iterator[Position]:
        """Yield the positions that are not flat."""
        for row in rows:
            size = number(row["size"] or "0")
            if size == 0:
                continue
            if int(row["positionIdx"]) != 0:
                msg = f"the {_VENUE} account was put into hedge mode: trading stops"
                raise VenueError(msg, venue=_VENUE, request="positions")
            instrument = self._listed(row, "a position")
            if instrument is None:
                continue
            sign = _side(row["side"]).sign
            yield Position(
                instrument=instrument.id,
                size_lots=sign * to_lots_down(size, instrument.lot_size),
                entry_price=number(row["avgPrice"]),
                mark_price=number(row["markPrice"]),
                pnl_unrealized=number(row["unrealisedPnl"] or "0"),
            )

    def open_orders(self, rows: Iterable[Mapping[str, Any]]) -> list[VenueOrder]:
        """Return the orders of ``rows`` whose symbol is listed and that still rest."""
        # ``realtime`` also shows orders that ended lately.
        found = super().open_orders(rows)
        return [order for order in found if order.state is OrderState.WORKING]

    def order(self, row: Mapping[str, Any], client_order_id: str = "") -> VenueOrder:
        """Return one order; with ``client_order_id``, of no other."""
        refuse_another(client_order_id, row["orderLinkId"])
        instrument = self._instrument(row)
        status = str(row["orderStatus"])
        reason = str(row.get("rejectReason", ""))
        is_reason = reason not in {"", "EC_NoError"}
        return VenueOrder(
            venue_order_id=str(row["orderId"]),
            client_order_id=str(row["orderLinkId"]),
            instrument=instrument.id,
            side=_side(row["side"]),
            size_lots=to_lots_down(number(row["qty"]), instrument.lot_size),
            filled_lots=to_steps(number(row["cumExecQty"]), instrument.lot_size),
            state=_STATES[status],
            is_reduce_only=bool(row["reduceOnly"]) or bool(row.get("closeOnTrigger")),
            is_conditional=str(row.get("stopOrderType") or "UNKNOWN") != "UNKNOWN",
            detail=f"{status} {reason}" if is_reason else status,
        )

    def fills(self, rows: Iterable[Mapping[str, Any]]) -> list[VenueFill]:
        """Return the executions of ``rows`` that moved a position, in their order."""
        return [self._fill(row) for row in rows if row["execType"] in _EXECUTIONS]

    def _fill(self, row: Mapping[str, Any]) -> VenueFill:
        instrument = self._instrument(row)
        fill = Fill(
            trade_id=str(row["execId"]),
            client_order_id="",
            instrument=instrument.id,
            side=_side(row["side"]),
            size_lots=to_steps(number(row["execQty"]), instrument.lot_size),
            price=number(row["execPrice"]),
            fee=number(row["execFee"] or "0"),
            fee_currency=str(row.get("feeCurrency") or instrument.settlement),
            venue_time_ns=int(row["execTime"]) * NS_PER_MS,
        )
        return VenueFill(fill, str(row["orderId"]))

    def funding(self, rows: Iterable[Mapping[str, Any]]) -> list[CashFlow]:
        """Return funding received (negative: paid) from rows of the ledger."""
        found = []
        for row in rows:
            if row["type"] != "SETTLEMENT" or row["symbol"] not in self._by_symbol:
                continue
            # ``funding`` is what was paid; the ledger's change has the sign we keep.
            found.append(
                CashFlow(
                    flow_id=str(row["id"]),
                    instrument=self._by_symbol[row["symbol"]].id,
                    cash=number(row["change"]),
                    currency=str(row["currency"]),
                    venue_time_ns=int(row["transactionTime"]) * NS_PER_MS,
                )
            )
        return found


def _side(text: str) -> Side:
    return Side(str(text).lower())
