"""
What ``cqx journal`` answers, as a table, JSON, CSV or Parquet; it asks nothing.

An answer's columns are fixed, so that one without rows has them as well.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cryptoquantix.core.clock import NS_PER_SECOND
from cryptoquantix.core.errors import SettingsError

if TYPE_CHECKING:
    import polars as pl

_PLACES: Final = Decimal("1e-10")

type Row = dict[str, Any]


class Kind(StrEnum):
    """What a column holds; None where there is none."""

    TIME = "time"  # int, UTC ns
    DECIMAL = "decimal"
    COUNT = "count"  # int
    NUMBER = "number"  # float
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class Answer:
    """Rows of the columns ``columns``, each value of its column's kind."""

    name: str
    columns: Mapping[str, Kind]
    rows: Sequence[Row]

    def shown(self) -> list[Row]:
        """Return the rows as JSON takes them: times and amounts as text."""
        return [
            {name: _shown(row[name], kind) for name, kind in self.columns.items()}
            for row in self.rows
        ]

    def table(self) -> str:
        """Return it for a person, in columns."""
        if not self.rows:
            return "nothing found"
        shown = [[str(v) for v in row.values()] for row in self.shown()]
        lines = [[*self.columns], *shown]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join(
            "  ".join(
                cell.ljust(width) for cell, width in zip(line, widths, strict=True)
            ).rstrip()
            for line in lines
        )

    def csv(self) -> str:
        """Return it as CSV with a header."""
        output = io.StringIO()
        writer = csv.DictWriter(output, fieldnames=[*self.columns], lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.shown())
        return output.getvalue().rstrip("\n")

    def write_parquet(self, path: Path) -> str:
        """
        Write it to a Parquet file: times in UTC ns, amounts as doubles.

        Raises
        ------
        SettingsError
            If the file cannot be written.
        """
        import polars as pl  # noqa: PLC0415 - a second that other forms do not pay

        frame = pl.DataFrame(
            [
                _series(name, kind, [row[name] for row in self.rows])
                for name, kind in self.columns.items()
            ]
        )
        try:
            frame.write_parquet(path)
        except OSError as error:
            msg = f"cannot write {path}: {error}"
            raise SettingsError(msg) from None
        return f"{len(self.rows)} rows in {path}"


def _series(name: str, kind: Kind, values: Sequence[Any]) -> pl.Series:
    import polars as pl  # noqa: PLC0415 - as above

    if kind is Kind.TIME:
        whole = pl.Series(name, values, dtype=pl.Int64)
        return whole.cast(pl.Datetime("ns", "UTC"))
    if kind is Kind.DECIMAL:
        doubles = [None if value is None else float(value) for value in values]
        return pl.Series(name, doubles, dtype=pl.Float64)
    types = {Kind.COUNT: pl.Int64, Kind.NUMBER: pl.Float64, Kind.TEXT: pl.String}
    return pl.Series(name, values, dtype=types[kind])


def _shown(value: Any, kind: Kind) -> Any:  # noqa: ANN401 - of any kind
    if value is None:
        return ""
    if kind is Kind.TIME:
        return _time(value)
    return decimal_text(value) if kind is Kind.DECIMAL else value


def _time(time_ns: int) -> str:
    moment = datetime.fromtimestamp(time_ns // NS_PER_SECOND, UTC)
    millis = time_ns // 1_000_000 % 1_000
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{millis:03d}Z"


def decimal_text(value: Decimal) -> str:
    """Return a number without an exponent and without digits beyond the tenth."""
    text = format(value.quantize(_PLACES), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
