"""
The journal held against the venues after everything went wrong.

Wrong is: a position that is not the journal's to the last lot; a balance that is not
the journal's to the last unit of 1e-8 a venue keeps; an order that a venue took and the
journal does not know, or has not seen the end of; one taken twice; an increase taken
while no permit could have allowed it; a fill that is of no order, or not all of an
order's; anything left resting.

Why not a cent: venues book each fill rounded to eight decimals, and so does the
journal (:mod:`cryptoquantix.live.account_books`). Whatever is left over is then no
rounding but something lost or booked twice, however little it is worth.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from cryptoquantix.core.clock import SystemClock
from cryptoquantix.core.instrument import InstrumentId, Venue
from cryptoquantix.data.catalog import Catalog
from cryptoquantix.journal.reader import JournalReader
from cryptoquantix.journal.records import FillRecord
from cryptoquantix.live.round_trips import fold
from cryptoquantix.venues.trading import trading_port
from live.world import INSTRUMENTS, VENUES, World

PERMIT_NS = 5_000_000_000
# Between what this process writes and what the stand-in answers, and the clocks' grain.
SLACK_NS = 500_000_000
ORDER_PATHS = ("/fapi/v1/order", "/order/create", "/private/buy", "/private/sell")
type Money = dict[tuple[str, str], Decimal]


@dataclass
class Case:
    """What there is to judge by."""

    orders: dict[str, dict[str, Any]]
    fills: list[FillRecord]
    taken: list[tuple[str, int]]
    modes: Sequence[tuple[int, str]]
    wrong: list[str] = field(default_factory=list)


def judge(
    world: World, modes: Sequence[tuple[int, str]], before: Money
) -> dict[str, Any]:
    """Return the verdict, with its figures."""
    journal = JournalReader(world.directory / "journal" / "journal.sqlite")
    case = Case(
        {o["client_order_id"]: o for o in journal.orders()},
        journal.fills(),
        list(taken_of(world.directory / "simulator.jsonl")),
        modes,
    )
    judge_orders(case)
    judge_fills(case)
    held, resting = asyncio.run(holdings(world))
    judge_positions(case, held)
    case.wrong += [f"{text} is left resting" for text in resting]
    after = asyncio.run(balances(world))
    differences = judge_money(case, journal, before, after)
    recorded = judge_recorded(case, world)
    kinds = Counter(o["kind"] for o in case.orders.values())
    return {
        "ok": not case.wrong,
        "wrong": case.wrong[:20],
        "orders": len(case.orders),
        "kinds": dict(kinds),
        "taken": len(case.taken),
        "states": dict(Counter(o["state"] for o in case.orders.values())),
        "fills": len(case.fills),
        "fundings": len(journal.flows()),
        "reports": dict(
            Counter(row["kind"] for row in journal.rows("SELECT kind FROM reports"))
        ),
        "recorded": recorded,
        "lots_differ_by": {
            i: held[i] - lots for i, lots in lots_of(case.fills).items()
        },
        "money_differs_by": differences,
    }


def judge_orders(case: Case) -> None:
    """Each taken once, known, ended, and an increase only under a permit."""
    counts = Counter(name for name, _ in case.taken)
    case.wrong += [f"{name} was taken {n} times" for name, n in counts.items() if n > 1]
    for name, time_ns in case.taken:
        order = case.orders.get(name)
        if order is None:
            case.wrong.append(f"{name} is not in the journal")
        elif order["state"] == "not_found":
            case.wrong.append(f"{name} is held for not found, and was taken")
        elif order["kind"] == "increase" and not is_allowed(case.modes, time_ns):
            case.wrong.append(f"{name} increased without a permit")
    for name, order in case.orders.items():
        if order["filled_lots"] and name not in counts:
            case.wrong.append(f"{name} filled and no venue took it")


def is_allowed(modes: Sequence[tuple[int, str]], time_ns: int) -> bool:
    """Return whether a permit to trade may have been alive at a moment."""
    last, ended_ns = "silent", -PERMIT_NS
    for since_ns, mode in modes:
        if since_ns > time_ns:
            break
        if last == "trade" and mode != "trade":
            ended_ns = since_ns
        last = mode
    return last == "trade" or time_ns <= ended_ns + PERMIT_NS + SLACK_NS


def judge_fills(case: Case) -> None:
    """All of every order's, and none of no order."""
    filled: Counter = Counter()
    for fill in case.fills:
        filled[fill.client_order_id] += fill.size_lots
    if lots := filled.pop("", 0):
        case.wrong.append(f"fills of {lots} lots are of no order")
    for name, order in case.orders.items():
        if filled[name] != order["filled_lots"]:
            case.wrong.append(
                f"{name} filled {order['filled_lots']} lots, its fills {filled[name]}"
            )


def lots_of(fills: Sequence[FillRecord]) -> dict[str, int]:
    """Return the position that fills make, of each instrument."""
    found = dict.fromkeys(INSTRUMENTS.values(), 0)
    for fill in fills:
        found[fill.instrument] += fill.size_lots * fill.side.sign
    return found


def judge_positions(case: Case, held: Mapping[str, int]) -> None:
    """Equal to the last lot."""
    for instrument, lots in lots_of(case.fills).items():
        if lots != held[instrument]:
            text = f"{instrument}: journal {lots} lots, venue {held[instrument]}"
            case.wrong.append(text)


def judge_money(
    case: Case, journal: JournalReader, before: Money, after: Money
) -> dict[str, str]:
    """Equal to the last unit."""
    books = fold(journal.records(), case.fills, journal.flows())
    earned = {(e.venue, e.currency): e.net for e in books.earned}
    found = {}
    for key, balance in after.items():
        moved, ours = balance - before[key], earned.get(key, Decimal(0))
        found["/".join(key)] = format((moved - ours).normalize(), "f")
        if moved != ours:
            case.wrong.append(f"{key}: the balance moved {moved}, the journal {ours}")
    return found


def judge_recorded(case: Case, world: World) -> dict[str, dict[str, int]]:
    """Return how much of the market was recorded; nothing may be there twice."""
    found = {}
    for instrument in INSTRUMENTS.values():
        ticks = Catalog(world.directory / "catalog").ticks(
            InstrumentId.parse(instrument)
        )
        ids = ticks.select("trade_id").collect()["trade_id"]
        unique = ids.n_unique()
        if unique != len(ids):
            case.wrong.append(f"{instrument}: {len(ids) - unique} ticks recorded twice")
        found[instrument] = {"ticks": unique}
        if not instrument.startswith("bybit:"):  # whose ids leave numbers out
            first, last = int(ids.min()), int(ids.max())  # type: ignore[arg-type]
            found[instrument]["missing"] = last - first + 1 - unique
    return found


def taken_of(path: Path) -> Iterator[tuple[str, int]]:
    """Yield the id and time of every order that a venue took, answered or not."""
    for line in path.read_text().splitlines():
        record = json.loads(line)
        if record["kind"] != "request" or record["status"] != 200:
            continue
        is_order = record["path"].endswith(ORDER_PATHS) and (
            record["method"] == "POST" or record["venue"] == "deribit"
        )
        if is_order and record["code"] in {0, 200}:
            yield record["clientOrderId"], record["time_ns"]


async def _ports(world: World) -> AsyncIterator[Any]:
    for venue in Venue:
        line = world.simulator.line["venues"][venue.value]
        port = trading_port(
            venue,
            rest=line["rest"],
            key=line["key"],
            secret=line["secret"],
            clock=SystemClock(),
        )
        await port.open()
        yield port
        await port.close()


async def holdings(world: World) -> tuple[dict[str, int], list[str]]:
    """Return the venues' positions in lots, and the orders that rest there."""
    held, resting = dict.fromkeys(INSTRUMENTS.values(), 0), []
    async for port in _ports(world):
        for position in (await port.account()).positions:
            held[str(position.instrument)] = position.size_lots
        orders = await port.open_orders(None)
        resting += [f"{o.instrument} {o.client_order_id}" for o in orders]
    return held, resting


async def balances(world: World) -> Money:
    """Return what each venue holds for us in the coin that is traded with."""
    found: Money = {}
    async for port in _ports(world):
        if port.venue is Venue.BINANCE:
            row = await port._read("account", 5, "fapiPrivateV3GetAccount")
            found["binance", "USDT"] = Decimal(row["totalWalletBalance"])
        elif port.venue is Venue.BYBIT:
            row = await port._read(
                "wallet", 1, "privateGetV5AccountWalletBalance", accountType="UNIFIED"
            )
            (coin,) = row["result"]["list"][0]["coin"]
            found["bybit", "USDT"] = Decimal(coin["walletBalance"])
        else:
            row = await port._read("summaries", 1, "privateGetGetAccountSummaries")
            for one in row["result"]["summaries"]:
                if one["currency"] == "BTC":
                    found["deribit", "BTC"] = Decimal(repr(one["balance"]))
    assert {venue for venue, _ in found} == set(VENUES)
    return found
