"""
How many orders a second the simulator's matching core takes, alone on one core.

Random limit orders around a price that wanders, of forty owners: most rest, a third
trade, one in ten is canceled again. ``exchange`` is the same through accounts,
margin, booking and events of a venue's core, where each order is of one of three
accounts. At least 50 000 orders/s of the book alone are required.

    python benchmarks/simulator_matching.py [--orders 200000]
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import time
from collections.abc import Callable
from decimal import Decimal

import numpy as np

from cryptoquantix.core.order import Side, TimeInForce
from cryptoquantix.simulator.conditional import ConditionalExchange
from cryptoquantix.simulator.listing import Listing, to_units
from cryptoquantix.simulator.matching import Book, BookOrder, Traded
from cryptoquantix.simulator.orders import OrderRequest
from cryptoquantix.simulator.refusals import CommandRefusedError

ROUNDS = 5
NEEDED = 50_000
CANCEL_EVERY = 10
PRICE = 600_000


def orders(count: int, seed: int = 1) -> list[tuple[int, int, int, int]]:
    """Return (owner, sign, price ticks, lots) of each order."""
    random = np.random.default_rng(seed)
    middle = PRICE + np.cumsum(random.integers(-1, 2, count))
    sign = random.choice((1, -1), count)
    behind = random.integers(-5, 20, count)
    return list(
        zip(
            random.integers(1, 41, count).tolist(),
            sign.tolist(),
            (middle - sign * behind).tolist(),
            random.integers(1, 100, count).tolist(),
            strict=True,
        )
    )


def match(asked: list[tuple[int, int, int, int]]) -> tuple[float, int]:
    """Run the orders through a book; return seconds and trades."""
    book, trades = Book(), 0
    began = time.perf_counter()
    for number, (owner, sign, price, lots) in enumerate(asked, 1):
        order = BookOrder(number, owner, sign, price_ticks=price, size_lots=lots)
        for event in book.execute(order, TimeInForce.GTC):
            trades += isinstance(event, Traded)
        if number % CANCEL_EVERY == 0:
            book.remove(number)
    return time.perf_counter() - began, trades


def trade(asked: list[tuple[int, int, int, int]]) -> tuple[float, int]:
    """Run the orders through a whole core; return seconds and fills."""
    exchange = ConditionalExchange()
    listing = Listing("BTCUSDT", "BTC", "USDT", Decimal("0.1"), Decimal("0.001"))
    exchange.list_instrument(listing, PRICE)
    for _ in range(3):
        exchange.clearing.open_account(to_units(Decimal(10**9)), 0)
    fills = 0
    began = time.perf_counter()
    for number, (owner, sign, price, lots) in enumerate(asked, 1):
        request = OrderRequest(
            "BTCUSDT", Side.of(sign), lots, f"b{number}", price_ticks=price
        )
        try:
            order = exchange.place(1 + owner % 3, request, number)
        except CommandRefusedError:
            continue
        fills += bool(order.filled_lots)
        if order.status.is_open and number % 3:
            exchange.cancel(order, number)
        exchange.drain()
    return time.perf_counter() - began, fills


def measure(
    contender: str,
    run: Callable[[list[tuple[int, int, int, int]]], tuple[float, int]],
    asked: list[tuple[int, int, int, int]],
) -> float:
    """Print the median of the rounds as a JSON line; return orders a second."""
    cpu = time.process_time()
    results = [run(asked) for _ in range(ROUNDS)]
    cpu = (time.process_time() - cpu) / ROUNDS
    assert len({trades for _, trades in results}) == 1, "a run is deterministic"
    seconds = statistics.median(s for s, _ in results)
    per_second = len(asked) / seconds
    line = {
        "benchmark": "simulator_matching",
        "contender": contender,
        "median_seconds": round(seconds, 4),
        "cpu_seconds": round(cpu, 4),
        "unit": "order",
        "ns_per_unit": round(seconds / len(asked) * 1e9),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "ratio": None,
        "agree": 0,
        "orders_per_second": round(per_second),
        "trades": results[0][1],
    }
    print(json.dumps(line), flush=True)
    return per_second


def main() -> int:
    """Measure the book alone and the whole core; 1 if the book is too slow."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--orders", type=int, default=200_000)
    count = parser.parse_args().orders
    asked = orders(count)
    per_second = measure("book", match, asked)
    measure("exchange", trade, asked[: count // 10])
    return 0 if per_second >= NEEDED else 1


if __name__ == "__main__":
    raise SystemExit(main())
