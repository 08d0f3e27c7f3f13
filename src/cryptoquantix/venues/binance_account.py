"""
Binance USD-M account answers as orders, fills and positions; it requests nothing.

Sizes and prices stay decimal text until they are lots and Decimal: a float in an answer
is refused, because it may already have lost the venue's digits.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from cryptoquantix.core.account import Position
from cryptoquantix.core.clock import NS_PER_MS
from cryptoquantix.core.errors import VenueError
from cryptoquantix.core.instrument import Venue
from cryptoquantix.core.order import Fill, OrderState, Side
from cryptoquantix.core.quantity import to_lots_down, to_steps
from cryptoquantix.venues.account_reader import AccountReader, refuse_another
from cryptoquantix.venues.answers import number
from cryptoquantix.venues.port import CashFlow, VenueFill, VenueOrder

_VENUE: Final = Venue.BINANCE.value
_STATES: Final = {
    "NEW": OrderState.WORKING,
    "PARTIALLY_FILLED": OrderState.WORKING,
    "FILLED": OrderState.FILLED,
    "CANCELED": OrderState.CANCELED,
    "EXPIRED": OrderState.CANCELED,
    "EXPIRED_IN_MATCH": OrderState.CANCELED,
    "REJECTED": OrderState.REFUSED,
}


class BinanceReader(AccountReader):
    """Reads rows of Binance's account answers."""

    venue = Venue.BINANCE

    def positions(self, rows: Iterable[Mapping[str, Any]]) -> Iterator[Position]:
        """Yield the positions that are not flat."""
        for row in rows:
            size = number(row["positionAmt"])
            if size == 0:
                continue
            if row.get("positionSide", "BOTH") != "BOTH":
                msg = f"the {_VENUE} account was put into hedge mode: trading stops"
                raise VenueError(msg, venue=_VENUE, request="positionRisk")
            instrument = self._listed(row, "a position")
            if instrument is None:
                continue
            yield Position(
                instrument=instrument.id,
                size_lots=to_lots_down(size, instrument.lot_size),
                entry_price=number(row["entryPrice"]),
                mark_price=number(row["markPrice"]),
                pnl_unrealized=number(row["unRealizedProfit"]),
            )

    def order(self, row: Mapping[str, Any], client_order_id: str = "") -> VenueOrder:
        """
        Return one order, normal or conditional (an algo order).

        With ``client_order_id``, a row of any other order is refused.
        """
        refuse_another(client_order_id, row.get("clientOrderId"))
        if "algoId" in row:
            return self._conditional_order(row)
        instrument = self._instrument(row)
        status = str(row["status"])
        return VenueOrder(
            venue_order_id=str(row["orderId"]),
            client_order_id=str(row["clientOrderId"]),
            instrument=instrument.id,
            side=Side(str(row["side"]).lower()),
            size_lots=to_lots_down(number(row["origQty"]), instrument.lot_size),
            filled_lots=to_steps(number(row["executedQty"]), instrument.lot_size),
            state=_STATES[status],
            is_reduce_only=_is_reduce_only(row),
            is_conditional=False,
            detail=status,
        )

    def _conditional_order(self, row: Mapping[str, Any]) -> VenueOrder:
        instrument = self._instrument(row)
        return VenueOrder(
            venue_order_id=str(row["algoId"]),
            client_order_id=str(row["clientAlgoId"]),
            instrument=instrument.id,
            side=Side(str(row["side"]).lower()),
            size_lots=to_lots_down(number(row["quantity"]), instrument.lot_size),
            filled_lots=0,
            state=OrderState.WORKING,
            is_reduce_only=_is_reduce_only(row),
            is_conditional=True,
            detail=str(row["algoStatus"]),
        )

    def fill(self, row: Mapping[str, Any]) -> VenueFill:
        """Return one execution."""
        instrument = self._instrument(row)
        fill = Fill(
            trade_id=str(row["id"]),
            client_order_id="",
            instrument=instrument.id,
            side=Side(str(row["side"]).lower()),
            size_lots=to_steps(number(row["qty"]), instrument.lot_size),
            price=number(row["price"]),
            fee=number(row["commission"]),
            fee_currency=str(row["commissionAsset"]),
            venue_time_ns=int(row["time"]) * NS_PER_MS,
        )
        return VenueFill(fill, str(row["orderId"]))

    def funding(self, rows: Iterable[Mapping[str, Any]]) -> list[CashFlow]:
        """Return funding received (negative: paid) from rows of the income."""
        return [
            CashFlow(
                # One payment has one id for all symbols of the account.
                flow_id=f"{row['tranId']}",
                instrument=self._by_symbol[row["symbol"]].id,
                cash=number(row["income"]),
                currency=str(row["asset"]),
                venue_time_ns=int(row["time"]) * NS_PER_MS,
            )
            for row in rows
            if row["incomeType"] == "FUNDING_FEE" and row["symbol"] in self._by_symbol
        ]


def _is_reduce_only(row: Mapping[str, Any]) -> bool:
    """Return whether an order only closes; JSON says so as a bool or as text."""
    return any(
        str(row.get(name)).lower() == "true" for name in ("reduceOnly", "closePosition")
    )


def trade_number(found: VenueFill) -> int:
    """Return the number by which the venue counts its trades."""
    return int(found.fill.trade_id)
