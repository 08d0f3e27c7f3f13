"""Bybit's private topics, sans-I/O: the core's events as messages; it decides none."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from cryptoquantix.simulator.orders import (
    AlgoChanged,
    AlgoStatus,
    FundsChanged,
    LeverageChanged,
    ModeChanged,
    OrderChanged,
    VenueEvent,
    WentFlat,
)
from cryptoquantix.simulator.wire.bybit_facts import BybitState, Charge
from cryptoquantix.simulator.wire.bybit_holdings import position_json, wallet_json
from cryptoquantix.simulator.wire.bybit_orders import (
    algo_json,
    charge_json,
    execution_json,
    order_json,
)
from cryptoquantix.simulator.wire.bybit_requests import Json

CATEGORY = "linear"
DEAD_MAN_TOPIC = "dcp.future"
# Each topic also under the name of its product, where the venue has both.
TOPICS = {
    "order": "order",
    "order.linear": "order",
    "execution": "execution",
    "execution.linear": "execution",
    "execution.fast": "execution.fast",
    "execution.fast.linear": "execution.fast",
    "position": "position",
    "position.linear": "position",
    "wallet": "wallet",
    DEAD_MAN_TOPIC: DEAD_MAN_TOPIC,
}
_FAST = (
    "category",
    "symbol",
    "execId",
    "execPrice",
    "execQty",
    "orderId",
    "isMaker",
    "orderLinkId",
    "side",
    "execTime",
    "seq",
)
# What a conditional order became speaks for itself from then on.
_SILENT = {AlgoStatus.TRIGGERED, AlgoStatus.FINISHED}


class Notice(NamedTuple):
    """One row for one topic of one account."""

    account_id: int
    topic: str
    row: Json


def notices(
    state: BybitState, events: Iterable[VenueEvent], charges: Iterable[Charge]
) -> Iterator[Notice]:
    """
    Yield what private topics say of ``events``, in order.

    Positions and the wallet come last and once, as they are after all of it.
    """
    touched: dict[tuple[int, str], None] = {}
    wallets: dict[int, None] = {}
    charge_rows = iter(charges)
    for event in events:
        if isinstance(event, WentFlat):
            continue
        account_id, symbol = _concerns(event)
        wallets[account_id] = None
        if symbol:
            touched[account_id, symbol] = None
        yield from _rows(state, event, account_id, charge_rows)
    for account_id, symbol in touched:
        account = state.exchange.clearing.accounts[account_id]
        market = state.exchange.markets[symbol]
        for leg in account.legs(symbol):
            row = position_row(position_json(state, account, market, leg))
            yield Notice(account_id, "position", row)
    for account_id in wallets:
        account = state.exchange.clearing.accounts[account_id]
        yield Notice(account_id, "wallet", wallet_json(state, account))


def _concerns(
    event: OrderChanged | AlgoChanged | FundsChanged | ModeChanged | LeverageChanged,
) -> tuple[int, str]:
    """Return account and symbol of an event, no symbol where it has none."""
    if isinstance(event, OrderChanged):
        return event.order.account_id, event.order.listing.symbol
    if isinstance(event, AlgoChanged):
        return event.algo.account_id, event.algo.listing.symbol
    return event.account_id, event.symbol


def _rows(
    state: BybitState, event: VenueEvent, account_id: int, charges: Iterator[Charge]
) -> Iterator[Notice]:
    if isinstance(event, OrderChanged):
        order = event.order
        if event.fill is not None:
            row = {"category": CATEGORY} | execution_json(state, event.fill)
            row["isLeverage"] = "0"
            yield Notice(account_id, "execution", row)
            if row["execType"] == "Trade":
                fast = {name: row[name] for name in _FAST}
                yield Notice(account_id, "execution.fast", fast)
        yield Notice(account_id, "order", _order_row(order_json(state, order)))
    elif isinstance(event, AlgoChanged):
        if event.algo.status not in _SILENT:
            row = algo_json(state, event.algo)
            yield Notice(account_id, "order", _order_row(row))
    elif isinstance(event, FundsChanged) and event.reason == "FUNDING_FEE":
        charge = next(charges, None)
        if charge is not None:
            row = {"category": CATEGORY} | charge_json(charge) | {"isLeverage": "0"}
            yield Notice(account_id, "execution", row)


def _order_row(row: Json) -> Json:
    return {"category": CATEGORY, "feeCurrency": "USDT"} | row


def position_row(row: Json) -> Json:
    """Return a position as the stream words it."""
    row = dict(row)
    row["entryPrice"] = row.pop("avgPrice")
    return {"category": CATEGORY} | row
