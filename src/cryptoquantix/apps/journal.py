"""``cqx journal``: trades, orders and money by the journal; it writes none of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Final

from cryptoquantix.apps.journal_forms import Answer, Kind, Row, decimal_text
from cryptoquantix.apps.merged_log import age_ns
from cryptoquantix.apps.settings import load_settings
from cryptoquantix.core.clock import SystemClock
from cryptoquantix.core.errors import SettingsError
from cryptoquantix.core.instrument import InstrumentId
from cryptoquantix.core.quantity import from_steps
from cryptoquantix.journal.reader import JournalReader
from cryptoquantix.journal.records import FillRecord
from cryptoquantix.journal.store import Journal
from cryptoquantix.live.round_trips import Books, Trade, fold

TRADES: Final = {
    "opened": Kind.TIME,
    "closed": Kind.TIME,
    "strategy": Kind.TEXT,
    "instrument": Kind.TEXT,
    "side": Kind.TEXT,
    "size_max": Kind.DECIMAL,
    "entry_price": Kind.DECIMAL,
    "exit_price": Kind.DECIMAL,
    "pnl": Kind.DECIMAL,
    "fees": Kind.DECIMAL,
    "funding": Kind.DECIMAL,
    "net": Kind.DECIMAL,
    "currency": Kind.TEXT,
    "fees_other": Kind.TEXT,
    "fills": Kind.COUNT,
}
ORDERS: Final = {
    "created": Kind.TIME,
    "updated": Kind.TIME,
    "instrument": Kind.TEXT,
    "strategy": Kind.TEXT,
    "kind": Kind.TEXT,
    "side": Kind.TEXT,
    "size": Kind.DECIMAL,
    "filled": Kind.DECIMAL,
    "limit_price": Kind.DECIMAL,
    "average_price": Kind.DECIMAL,
    "fee": Kind.DECIMAL,
    "currency": Kind.TEXT,
    "fees_other": Kind.TEXT,
    "state": Kind.TEXT,
    "type": Kind.TEXT,
    "style": Kind.TEXT,
    "target": Kind.NUMBER,
    "size_lots": Kind.COUNT,
    "filled_lots": Kind.COUNT,
    "wanted_lots": Kind.COUNT,
    "held_lots": Kind.COUNT,
    "attempt": Kind.COUNT,
    "client_order_id": Kind.TEXT,
    "venue_order_id": Kind.TEXT,
}
EQUITY: Final = {
    "time": Kind.TIME,
    "venue": Kind.TEXT,
    "currency": Kind.TEXT,
    "pnl": Kind.DECIMAL,
    "fees": Kind.DECIMAL,
    "funding": Kind.DECIMAL,
    "net": Kind.DECIMAL,
}
REPORTS: Final = {
    "time": Kind.TIME,
    "kind": Kind.TEXT,
    "subject": Kind.TEXT,
    "text": Kind.TEXT,
}


@dataclass(frozen=True, slots=True)
class Question:
    """
    Which journal is asked, and what of it.

    ``since`` is an age (``2h``) or an ISO date or time in UTC, ``instrument`` a name;
    empty: all.
    """

    config: Path | None = None
    since: str = ""
    instrument: str = ""

    def reader(self) -> JournalReader:
        """
        Return the journal asked.

        Raises
        ------
        SettingsError
            If there is none, or it never met the instrument.
        """
        reader = JournalReader(load_settings(self.config).journal_path)
        if self.instrument:
            name, known = str(InstrumentId.parse(self.instrument)), reader.instruments()
            if name not in known:
                held = ", ".join(known) or "none yet"
                msg = f"the journal has no {name}; its instruments: {held}"
                raise SettingsError(msg)
        return reader

    def since_ns(self) -> int:
        """Return the first time asked for, 0: from the beginning."""
        return since_ns(self.since, SystemClock().time_ns()) if self.since else 0


def since_ns(text: str, now_ns: int) -> int:
    """
    Return the time that an age or an ISO date or time (UTC unless it says) means.

    Raises
    ------
    SettingsError
        If ``text`` is neither.
    """
    with suppress(SettingsError):
        return now_ns - age_ns(text)
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        msg = (
            "--since must be an age (90s, 10m, 2h, 1d) or an ISO 8601 date or time, "
            f"was {text!r}"
        )
        raise SettingsError(msg) from None
    time = time if time.tzinfo else time.replace(tzinfo=UTC)
    return round(time.timestamp() * 1_000_000) * 1_000


def trades(question: Question) -> Answer:
    """Return round trips that were open at ``since`` or later, open ones unclosed."""
    from_ns, books = question.since_ns(), _books(question)
    rows = [
        _trade_row(trade)
        for trade in books.trades
        if trade.closed_ns is None or trade.closed_ns >= from_ns
    ]
    return Answer("trades", TRADES, rows)


def orders(question: Question) -> Answer:
    """Return orders as they stand, of which something was learned since."""
    from_ns, reader = question.since_ns(), question.reader()
    fills: dict[str, list[FillRecord]] = defaultdict(list)
    for fill in reader.fills(question.instrument):
        fills[fill.client_order_id].append(fill)
    rows = [
        _order_row(row, fills.get(row["client_order_id"], ()))
        for row in reader.orders(question.instrument)
        if row["updated_ns"] >= from_ns
    ]
    return Answer("orders", ORDERS, rows)


def equity(question: Question) -> Answer:
    """
    Return what each venue's account earned in each coin, after every booking since.

    The sums begin with the journal; of one instrument they are its own alone.
    """
    from_ns, books = question.since_ns(), _books(question)
    rows = [
        {
            "time": one.time_ns,
            "venue": one.venue,
            "currency": one.currency,
            "pnl": one.pnl,
            "fees": one.fees,
            "funding": one.funding,
            "net": one.net,
        }
        for one in books.earned
        if one.time_ns >= from_ns
    ]
    return Answer("equity", EQUITY, rows)


def reports(question: Question) -> Answer:
    """Return what execution reported to a person since, oldest first."""
    from_ns, reader = question.since_ns(), question.reader()
    rows = [
        {"time": row["time_ns"], **{name: row[name] for name in REPORTS if name in row}}
        for row in reader.reports(question.instrument)
        if row["time_ns"] >= from_ns
    ]
    return Answer("reports", REPORTS, rows)


def upgrade(config: Path | None = None) -> str:
    """Bring the journal to this build's version; execution must not be running."""
    path = load_settings(config).journal_path
    Journal(path).close()
    return f"{path} is of this build's version"


def _books(question: Question) -> Books:
    reader, name = question.reader(), question.instrument
    return fold(
        reader.records(name),
        reader.fills(name),
        reader.flows(name),
        reader.crosses(name),
    )


def _trade_row(trade: Trade) -> Row:
    return {
        "opened": trade.opened_ns,
        "closed": trade.closed_ns,
        "strategy": trade.strategy,
        "instrument": trade.instrument,
        "side": trade.side,
        "size_max": trade.size_max,
        "entry_price": trade.entry_price,
        "exit_price": trade.exit_price or None,
        "pnl": trade.pnl,
        "fees": trade.fees,
        "funding": trade.funding,
        "net": trade.net,
        "currency": trade.currency,
        "fees_other": _fees_text(trade.fees_other),
        "fills": trade.fills,
    }


def _order_row(row: Row, fills: Sequence[FillRecord]) -> Row:
    lot_size, limit_price = Decimal(row["lot_size"]), None
    if row["price_ticks"] is not None and row["tick_size"]:
        limit_price = from_steps(row["price_ticks"], Decimal(row["tick_size"]))
    as_is = {name: row[name] for name in ORDERS if name in row}
    return as_is | {
        "created": row["created_ns"],
        "updated": row["updated_ns"],
        "size": from_steps(row["size_lots"], lot_size),
        "filled": from_steps(row["filled_lots"], lot_size),
        "limit_price": limit_price,
        "average_price": _average_price(fills) if fills else None,
        **_fee_row(fills),
    }


def _average_price(fills: Sequence[FillRecord]) -> Decimal:
    """Return what a unit cost; of an inverse contract, dollars by coins."""
    sizes = [from_steps(fill.size_lots, Decimal(fill.lot_size)) for fill in fills]
    prices = [Decimal(fill.price) for fill in fills]
    priced = list(zip(sizes, prices, strict=True))
    if fills[0].is_inverse:
        return sum(sizes) / sum((size / price for size, price in priced), Decimal(0))
    return sum((size * price for size, price in priced), Decimal(0)) / sum(sizes)


def _fee_row(fills: Sequence[FillRecord]) -> Row:
    """Return what fills cost: in the coin they settle in, and in others apart."""
    if not fills:
        return {"fee": None, "currency": "", "fees_other": ""}
    currency = fills[0].settlement or fills[0].fee_currency
    fees: dict[str, Decimal] = defaultdict(Decimal)
    for fill in fills:
        fees[fill.fee_currency] += Decimal(fill.fee)
    fee = fees.pop(currency, Decimal(0))
    return {"fee": fee, "currency": currency, "fees_other": _fees_text(fees)}


def _fees_text(fees: Mapping[str, Decimal]) -> str:
    return " ".join(f"{decimal_text(fee)} {coin}" for coin, fee in fees.items() if fee)
