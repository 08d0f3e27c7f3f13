"""Bybit's order and execution queries; they change nothing."""

from __future__ import annotations

from cryptoquantix.simulator.orders import AlgoOrder, AlgoStatus, VenueOrder
from cryptoquantix.simulator.wire.bybit_ids import PLAIN, parse_uuid
from cryptoquantix.simulator.wire.bybit_orders import (
    algo_json,
    charge_json,
    execution_json,
    order_json,
)
from cryptoquantix.simulator.wire.bybit_requests import (
    Call,
    Json,
    Route,
    page,
    route,
)
from cryptoquantix.simulator.wire.bybit_trading import find_order

CLOSED_SHOWN = 500
WEEK_NS = 7 * 86_400 * 1_000_000_000
ORDER_FILTERS = {"", "Order", "StopOrder", "tpslOrder"}
_NAMES = (
    "category symbol baseCoin settleCoin orderId orderLinkId openOnly orderFilter "
    "limit cursor"
)


def realtime(call: Call) -> Json:
    """
    Return open orders of both classes; with an id, an order in any state.

    ``openOnly=1`` shows the latest 500 that are closed.
    """
    parameters = call.parameters
    limit = parameters.limit(20, 50)
    if "orderId" in parameters.values or "orderLinkId" in parameters.values:
        call.category()
        found = find_order(call)
        rows = [] if found is None else [_row(call, found)]
        return _answer(call, rows, "")
    if parameters.choice("openOnly", {"0", "1", "2"}, "0") != "0":
        closed = _closed(call)[-CLOSED_SHOWN:]
        shown, cursor = page(_distinct(_numbered(call, closed)), call, limit)
        return _answer(call, shown, cursor)
    shown, cursor = page(_distinct(_numbered(call, _open(call))), call, limit)
    return _answer(call, shown, cursor)


def _answer(call: Call, rows: list[Json], cursor: str) -> Json:
    category = call.parameters.text("category")
    return {"category": category, "list": rows, "nextPageCursor": cursor}


def _row(call: Call, order: VenueOrder | AlgoOrder) -> Json:
    if isinstance(order, AlgoOrder):
        return algo_json(call.state, order)
    return order_json(call.state, order)


def _numbered(
    call: Call, orders: list[VenueOrder | AlgoOrder]
) -> list[tuple[int, Json]]:
    """Return rows with a number that rises with the time of their creation."""
    return [
        (o.created_ns // 1_000 * 2 + isinstance(o, AlgoOrder), _row(call, o))
        for o in orders
    ]


def _open(call: Call) -> list[VenueOrder | AlgoOrder]:
    kind = call.parameters.choice("orderFilter", ORDER_FILTERS, "")
    found: list[VenueOrder | AlgoOrder] = []
    for market in call.markets():
        found += [
            o
            for o in market.open_orders.values()
            if o.account_id == call.account_id and kind in {"", "Order"}
        ]
        found += [
            a
            for a in market.triggers.orders.values()
            if a.account_id == call.account_id and kind != "Order"
        ]
    return found


def _closed(call: Call) -> list[VenueOrder | AlgoOrder]:
    """Return finished orders of both classes, oldest first."""
    kind = call.parameters.choice("orderFilter", ORDER_FILTERS, "")
    symbols = _symbols(call)
    found: list[VenueOrder | AlgoOrder] = []
    for order in call.exchange.orders.values():
        if (
            order.account_id == call.account_id
            and not order.status.is_open
            and order.listing.symbol in symbols
        ):
            is_stop = call.state.parent_of(order) is not None
            if not kind or is_stop == (kind != "Order"):
                found.append(order)
    if kind != "Order":
        found += [
            a
            for a in call.exchange.algos.values()
            if a.account_id == call.account_id
            and a.child is None
            and a.status is not AlgoStatus.NEW
            and a.listing.symbol in symbols
        ]
    return sorted(found, key=lambda o: o.created_ns)


def _symbols(call: Call) -> set[str]:
    values = call.parameters.values
    if values.keys() & {"symbol", "baseCoin", "settleCoin"}:
        return {m.listing.symbol for m in call.markets()}
    return set(call.exchange.markets) if call.category() == "linear" else set()


def history(call: Call) -> Json:
    """Return finished orders, newest first, of seven days unless asked otherwise."""
    parameters = call.parameters
    limit = parameters.limit(20, 50)
    if "orderId" in parameters.values or "orderLinkId" in parameters.values:
        call.category()
        found = find_order(call)
        orders = [] if found is None or _is_open(found) else [found]
    else:
        start, end = _period(call)
        orders = [o for o in _closed(call) if start <= o.created_ns <= end]
    rows = _distinct(_numbered(call, orders))
    if "orderStatus" in parameters.values:
        wanted = parameters.text("orderStatus")
        rows = [r for r in rows if r[1]["orderStatus"] == wanted]
    shown, cursor = page(rows, call, limit)
    return _answer(call, shown, cursor)


def _is_open(order: VenueOrder | AlgoOrder) -> bool:
    if isinstance(order, AlgoOrder):
        return order.status is AlgoStatus.NEW
    return order.status.is_open


def _period(call: Call) -> tuple[int, int]:
    """Return the times asked for: seven days from the start, or up to the end."""
    start = call.parameters.time_ns("startTime")
    end = call.parameters.time_ns("endTime")
    if start is None:
        end = call.time_ns if end is None else end + 999_999
        return end - WEEK_NS, end
    return start, start + WEEK_NS if end is None else end + 999_999


def executions(call: Call) -> Json:
    """Return fills and funding, newest first."""
    parameters = call.parameters
    limit = parameters.limit(50, 100)
    start, end = _period(call)
    symbols = _symbols(call)
    wanted = parameters.values.get("execType")
    rows: list[tuple[int, Json]] = []
    for fill in call.exchange.clearing.fills[call.account_id]:
        if not start <= fill.time_ns <= end:
            continue
        if fill.order.listing.symbol in symbols and _is_of_order(call, fill.order):
            row = execution_json(call.state, fill)
            rows.append((fill.time_ns // 1_000 * 2, row))
    if "orderId" not in parameters.values and "orderLinkId" not in parameters.values:
        rows += [
            (charge.time_ns // 1_000 * 2 + 1, charge_json(charge))
            for charge in call.state.charges.get(call.account_id, ())
            if start <= charge.time_ns <= end and charge.held.listing.symbol in symbols
        ]
    rows = [r for r in rows if wanted in {None, r[1]["execType"]}]
    shown, cursor = page(_distinct(rows), call, limit)
    return _answer(call, shown, cursor)


def _distinct(rows: list[tuple[int, Json]]) -> list[tuple[int, Json]]:
    """Return the rows with numbers that never repeat, in the same order."""
    distinct: list[tuple[int, Json]] = []
    last = 0
    for number, row in sorted(rows, key=lambda r: r[0]):
        last = max(number, last + 1)
        distinct.append((last, row))
    return distinct


def _is_of_order(call: Call, order: VenueOrder) -> bool:
    values = call.parameters.values
    if "orderId" in values:
        named = parse_uuid(call.parameters.text("orderId"))
        parent = call.state.parent_of(order)
        own = (PLAIN, order.id) if parent is None else (PLAIN + 1, parent.id)
        return named == own
    if "orderLinkId" in values:
        return order.request.client_id == call.parameters.link_id()
    return True


ROUTES: dict[tuple[str, str], Route] = {
    ("GET", "/v5/order/realtime"): route(realtime, _NAMES, limit=50),
    ("GET", "/v5/order/history"): route(
        history, _NAMES + " orderStatus startTime endTime", limit=50
    ),
    ("GET", "/v5/execution/list"): route(
        executions,
        "category symbol orderId orderLinkId baseCoin settleCoin startTime endTime "
        "execType limit cursor",
        limit=50,
    ),
}
