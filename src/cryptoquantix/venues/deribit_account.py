"""
Deribit account answers as orders, fills and positions; it requests nothing.

Amounts are dollars for inverse perpetuals and coins for linear ones, and so are lots:
an instrument's lot size is in the unit the venue trades it in. Money is in the coin an
instrument settles in.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

from cryptoquantix.core.account import AccountSnapshot, Position
from cryptoquantix.core.clock import NS_PER_MS
from cryptoquantix.core.instrument import Venue
from cryptoquantix.core.order import Fill, OrderState, Side
from cryptoquantix.core.quantity import to_lots_down, to_steps
from cryptoquantix.venues.account_reader import AccountReader, refuse_another
from cryptoquantix.venues.answers import json_number
from cryptoquantix.venues.port import CashFlow, VenueFill, VenueOrder

# What the venue itself counts as a dollar when it sums an account up.
DOLLARS: Final = frozenset({"USD", "USDC", "USDT", "USDE"})
_STATES: Final = {
    "open": OrderState.WORKING,
    "untriggered": OrderState.WORKING,
    "triggered": OrderState.WORKING,
    "filled": OrderState.FILLED,
    "cancelled": OrderState.CANCELED,
    "rejected": OrderState.REFUSED,
}
_CONDITIONAL: Final = ("stop", "take", "trailing")


class DeribitReader(AccountReader):
    """Reads rows of Deribit's account answers."""

    venue = Venue.DERIBIT
    symbol_field = "instrument_name"

    def account(
        self,
        summaries: Iterable[Mapping[str, Any]],
        positions: Iterable[Mapping[str, Any]],
        rates: Mapping[str, Decimal],
        receipt_ns: int,
    ) -> AccountSnapshot:
        """
        Return the account in dollars, each coin at ``rates``.

        Raises
        ------
        KeyError
            If a coin is held that has no rate: a sum without it is no sum.
        """
        equity = balance = Decimal(0)
        for row in summaries:
            if not json_number(row["equity"]) and not json_number(row["balance"]):
                continue
            rate = rates[row["currency"]]
            equity += json_number(row["equity"]) * rate
            balance += json_number(row["balance"]) * rate
        return AccountSnapshot(
            equity_quote=equity,
            balance_quote=balance,
            currency="USD",
            positions=tuple(self.positions(positions)),
            receipt_time_ns=receipt_ns,
        )

    def positions(self, rows: Iterable[Mapping[str, Any]]) -> Iterator[Position]:
        """Yield the positions that are not flat."""
        for row in rows:
            size = abs(json_number(row["size"]))
            if size == 0:
                continue
            instrument = self._listed(row, "a position")
            if instrument is None:
                continue
            sign = Side(str(row["direction"])).sign
            yield Position(
                instrument=instrument.id,
                size_lots=sign * to_lots_down(size, instrument.lot_size),
                entry_price=json_number(row["average_price"]),
                mark_price=json_number(row["mark_price"]),
                pnl_unrealized=json_number(row["floating_profit_loss"]),
            )

    def order(self, row: Mapping[str, Any], client_order_id: str = "") -> VenueOrder:
        """Return one order; with ``client_order_id``, of no other."""
        label = str(row.get("label", ""))
        refuse_another(client_order_id, label)
        instrument = self._instrument(row)
        status = str(row["order_state"])
        # A close by the risk daemon's key or by hand may be of no whole lot.
        amount = json_number(row["amount"] or 0)
        return VenueOrder(
            venue_order_id=str(row["order_id"]),
            client_order_id=label,
            instrument=instrument.id,
            side=Side(str(row["direction"])),
            size_lots=to_lots_down(amount, instrument.lot_size),
            filled_lots=to_steps(
                json_number(row.get("filled_amount") or 0), instrument.lot_size
            ),
            state=_STATES[status],
            is_reduce_only=bool(row.get("reduce_only")),
            is_conditional=str(row["order_type"]).startswith(_CONDITIONAL),
            detail=" ".join(
                part for part in (status, str(row.get("cancel_reason", ""))) if part
            ),
        )

    def fill(self, row: Mapping[str, Any]) -> VenueFill:
        """Return one execution."""
        instrument = self._instrument(row)
        fill = Fill(
            trade_id=str(row["trade_id"]),
            client_order_id="",
            instrument=instrument.id,
            side=Side(str(row["direction"])),
            size_lots=to_steps(json_number(row["amount"]), instrument.lot_size),
            price=json_number(row["price"]),
            fee=json_number(row["fee"]),
            fee_currency=str(row["fee_currency"]),
            venue_time_ns=int(row["timestamp"]) * NS_PER_MS,
        )
        return VenueFill(fill, str(row["order_id"]))

    def funding(self, rows: Iterable[Mapping[str, Any]]) -> list[CashFlow]:
        """
        Return funding received (negative: paid) from rows of the transaction log.

        Deribit settles funding with each fill and every eight hours; the log tells it
        as ``interest_pl`` of trades and settlements.
        """
        found = []
        for row in rows:
            instrument = self._by_symbol.get(str(row.get("instrument_name", "")))
            amount = json_number(row.get("interest_pl") or 0)
            if instrument is None or not amount:
                continue
            found.append(
                CashFlow(
                    flow_id=f"{row['currency']}-{row['id']}",
                    instrument=instrument.id,
                    cash=amount,
                    currency=str(row["currency"]),
                    venue_time_ns=int(row["timestamp"]) * NS_PER_MS,
                )
            )
        return found
