"""``cqx journal``: what the journal says, as a table, JSON, CSV or Parquet."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from cryptoquantix.apps.settings import load_settings
from cryptoquantix.core.clock import NS_PER_SECOND
from cryptoquantix.core.errors import SettingsError
from cryptoquantix.journal.reader import JournalReader
from cryptoquantix.journal.store import Journal
from cryptoquantix.live.round_trips import Books, fold

Row = dict[str, Any]
_PLACES: Final = Decimal("1e-10")


def trades(config: Path | None = None) -> list[Row]:
    """Return every round trip, open ones with an empty ``closed``."""
    return [
        {
            "opened": _time(trade.opened_ns),
            "closed": _time(trade.closed_ns),
            "strategy": trade.strategy,
            "instrument": trade.instrument,
            "side": trade.side,
            "size_max": _text(trade.size_max),
            "entry_price": _text(trade.entry_price),
            "exit_price": _text(trade.exit_price) if trade.exit_price else "",
            "pnl": _text(trade.pnl),
            "fees": _text(trade.fees),
            "funding": _text(trade.funding),
            "net": _text(trade.net),
            "currency": trade.currency,
            "fees_other": " ".join(
                f"{_text(fee)} {coin}" for coin, fee in trade.fees_other.items()
            ),
            "fills": trade.fills,
        }
        for trade in _books(_reader(config)).trades
    ]


def orders(config: Path | None = None) -> list[Row]:
    """Return every order as it stands."""
    return [
        {
            "created": _time(row["created_ns"]),
            "updated": _time(row["updated_ns"]),
            "instrument": row["instrument"],
            "strategy": row["strategy"],
            "kind": row["kind"],
            "side": row["side"],
            "size_lots": row["size_lots"],
            "filled_lots": row["filled_lots"],
            "state": row["state"],
            "type": row["type"],
            "style": row["style"],
            "target": row["target"],
            "wanted_lots": row["wanted_lots"],
            "held_lots": row["held_lots"],
            "attempt": row["attempt"],
            "client_order_id": row["client_order_id"],
            "venue_order_id": row["venue_order_id"],
        }
        for row in _reader(config).orders()
    ]


def equity(config: Path | None = None) -> list[Row]:
    """Return what each venue's account earned in each coin, after every booking."""
    return [
        {
            "time": _time(one.time_ns),
            "venue": one.venue,
            "currency": one.currency,
            "pnl": _text(one.pnl),
            "fees": _text(one.fees),
            "funding": _text(one.funding),
            "net": _text(one.net),
        }
        for one in _books(_reader(config)).earned
    ]


def upgrade(config: Path | None = None) -> str:
    """Bring the journal to this build's version; execution must not be running."""
    path = load_settings(config).journal_path
    Journal(path).close()
    return f"{path} is of this build's version"


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as text in columns."""
    if not rows:
        return "nothing yet"
    lines = [[*rows[0]], *([str(v) for v in row.values()] for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) for cell, width in zip(line, widths, strict=True)
        ).rstrip()
        for line in lines
    )


def as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as CSV with a header."""
    if not rows:
        return ""
    output = io.StringIO()
    writer = csv.DictWriter(output, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return output.getvalue().rstrip("\n")


def write_parquet(rows: Sequence[Row], path: Path) -> str:
    """
    Write rows to a Parquet file; amounts are doubles there, times text.

    Raises
    ------
    SettingsError
        If the file cannot be written.
    """
    import polars as pl  # noqa: PLC0415 - a second that other forms do not pay

    numbers = ("size_max", "entry_price", "exit_price", "pnl", "fees", "funding", "net")
    frame = pl.DataFrame(rows)
    frame = frame.with_columns(
        pl.col(name).cast(pl.Float64, strict=False)
        for name in numbers
        if name in frame.columns
    )
    try:
        frame.write_parquet(path)
    except OSError as error:
        msg = f"cannot write {path}: {error}"
        raise SettingsError(msg) from None
    return f"{len(rows)} rows in {path}"


def _reader(config: Path | None) -> JournalReader:
    return JournalReader(load_settings(config).journal_path)


def _books(reader: JournalReader) -> Books:
    return fold(reader.records(), reader.fills(), reader.flows(), reader.crosses())


def _time(time_ns: int | None) -> str:
    if time_ns is None:
        return ""
    moment = datetime.fromtimestamp(time_ns // NS_PER_SECOND, UTC)
    millis = time_ns // 1_000_000 % 1_000
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{millis:03d}Z"


def _text(value: Decimal) -> str:
    """Return a number without an exponent and without digits beyond the tenth."""
    text = format(value.quantize(_PLACES), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
