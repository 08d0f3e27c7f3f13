"""
The columns of Binance's archive files, chunk by chunk; it corrects no value.

One row of each, as published (the first with a header, spot files without one)::

    trades       3892,61.5,0.010,0.615,1706745600012,true        (+ best match: spot)
    aggTrades    60953854,0.00000908,3591711.00,209942017,209942017,1729987202368,
                 False,True                                      (spot, 2024-10-27)
    klines       1730073600000,67992.70,68094.60,67804.70,67835.20,5179.117,
                 1730077199999,351923638.03910,85022,2415.052,164090858.68940,0
    fundingRate  1704067200000,8,0.00037409

Times are milliseconds, in spot files since 2025 microseconds. Which of the two is
taken from the first row's magnitude and then holds for every row.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

import polars as pl

from cryptoquantix.core.clock import NS_PER_MS, NS_PER_SECOND
from cryptoquantix.core.errors import SchemaError
from cryptoquantix.data.archive import Archive, ArchiveKind
from cryptoquantix.data.schema import BARS, FUNDING, INTERVALS, TICKS, TIME

_NS_PER_US = 1000


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its names in headers, its type, and the least it may be."""

    names: tuple[str, ...]
    dtype: type[pl.DataType]
    least: float | None = None


def _whole(*names: str) -> Column:
    return Column(names, pl.Int64, 0)


def _price(name: str) -> Column:
    return Column((name,), pl.Float64, 0)


def _size(*names: str) -> Column:
    return Column(names, pl.Float64, 0)


_FLAG_MAKER = Column(("is_buyer_maker", "isbuyermaker"), pl.Boolean)
_FLAG_BEST = Column(("is_best_match", "isbestmatch"), pl.Boolean)

_COLUMNS: dict[ArchiveKind, tuple[Column, ...]] = {
    ArchiveKind.TRADES: (
        _whole("id", "trade_id"),
        _price("price"),
        _size("qty", "quantity"),
        _size("quote_qty", "quoteqty", "base_qty"),
        _whole("time", "transact_time"),
        _FLAG_MAKER,
        _FLAG_BEST,
    ),
    ArchiveKind.AGG_TRADES: (
        _whole("agg_trade_id", "aggregate_trade_id"),
        _price("price"),
        _size("quantity", "qty"),
        Column(("first_trade_id",), pl.Int64),
        Column(("last_trade_id",), pl.Int64),
        _whole("transact_time", "time", "timestamp"),
        _FLAG_MAKER,
        _FLAG_BEST,
    ),
    ArchiveKind.KLINES: (
        _whole("open_time"),
        _price("open"),
        _price("high"),
        _price("low"),
        _price("close"),
        _size("volume"),
        _whole("close_time"),
        _size("quote_volume", "quote_asset_volume"),
        _whole("count", "number_of_trades", "trades"),
        _size("taker_buy_volume", "taker_buy_base_asset_volume"),
        _size("taker_buy_quote_volume", "taker_buy_quote_asset_volume"),
        Column(("ignore",), pl.Float64),
    ),
    ArchiveKind.FUNDING: (
        _whole("calc_time"),
        _whole("funding_interval_hours"),
        Column(("last_funding_rate",), pl.Float64),
    ),
}

_OPTIONAL = {ArchiveKind.TRADES: 1, ArchiveKind.AGG_TRADES: 1}  # best match, at the end
_PRICES = {"price", "open", "high", "low", "close"}
_TIME = {
    ArchiveKind.TRADES: "time",
    ArchiveKind.AGG_TRADES: "transact_time",
    ArchiveKind.KLINES: "open_time",
    ArchiveKind.FUNDING: "calc_time",
}


def frames(archive: Archive, chunks: Iterable[bytes]) -> Iterator[pl.DataFrame]:
    """
    Yield the rows of an archive's text in the schema of its dataset, unsorted.

    Parameters
    ----------
    archive : Archive
        What the file holds.
    chunks : iterable of bytes
        Its text in pieces of whole lines.

    Raises
    ------
    SchemaError
        With file, line, column, what was found and what was expected: a header or
        a number of columns that are not the kind's, a cell that is no number,
        a price that is not positive, a time in another unit than the first row's,
        bars of another interval than the name says, or no rows at all.
    """
    parser: _Parser | None = None
    for chunk in chunks:
        if parser is None:
            parser = _Parser.of(archive, chunk)
            chunk = chunk[parser.header_bytes :]  # noqa: PLW2901 - the rest of it
        if chunk:
            yield parser.parse(chunk)
    if parser is None or not parser.rows:
        msg = f"{archive.path} is empty, expected rows of {archive.kind.value}"
        raise SchemaError(msg)


class _Parser:
    """Parses the chunks of one file; remembers the unit and the line it is at."""

    def __init__(
        self, path: Path, archive: Archive, columns: tuple[Column, ...], header: int
    ) -> None:
        self._path = path
        self._archive = archive
        self._columns = columns
        self._names = [column.names[0] for column in columns]
        self._schema = {c.names[0]: c.dtype for c in columns}
        self._ns_per_unit = 0
        self._line = 1 + bool(header)
        self.header_bytes = header
        self.rows = 0

    @classmethod
    def of(cls, archive: Archive, chunk: bytes) -> _Parser:
        """Return the parser that the first line calls for, header or not."""
        first, newline, _ = chunk.partition(b"\n")
        cells = [c.strip() for c in first.decode("utf-8", "replace").split(",")]
        expected = _COLUMNS[archive.kind]
        optional = _OPTIONAL.get(archive.kind, 0)
        least = len(expected) - optional
        if not least <= len(cells) <= len(expected):
            counts = f"{least} or {len(expected)}" if optional else str(least)
            msg = (
                f"{archive.path} line 1: found {len(cells)} columns, expected {counts} "
                f"({archive.kind.value}: {', '.join(c.names[0] for c in expected)})"
            )
            raise SchemaError(msg)
        columns = expected[: len(cells)]
        is_header = not _NUMBER.fullmatch(cells[0]) and bool(cells[0])
        if is_header:
            _check_header(archive.path, cells, columns)
        header = len(first) + len(newline) if is_header else 0
        return cls(archive.path, archive, columns, header)

    def parse(self, chunk: bytes) -> pl.DataFrame:
        """Return the rows of a chunk of whole lines."""
        try:
            raw = pl.read_csv(
                chunk,
                has_header=False,
                schema=self._schema,
                quote_char=None,
                raise_if_empty=False,
                low_memory=False,
            )
        except pl.exceptions.PolarsError as error:
            self._explain(chunk)
            msg = (
                f"{self._path} line {self._line} or later: {str(error).splitlines()[0]}"
            )
            raise SchemaError(msg) from None
        if self._is_bad(raw):
            self._explain(chunk)
            msg = (
                f"{self._path} line {self._line} or later: a cell is empty or no number"
            )
            raise SchemaError(msg)
        frame = self._convert(raw)
        self.rows += len(raw)
        self._line += len(raw)
        return frame

    def _is_bad(self, raw: pl.DataFrame) -> bool:
        """Whether some cell is missing, infinite or below what it may be."""
        for column in self._columns if len(raw) else ():
            cells = raw[column.names[0]]
            if cells.null_count():
                return True
            if column.dtype is pl.Float64 and not isfinite(cells.sum()):
                return True
            least = column.least if column.least is None else cells.min()
            if least is not None and not self._is_enough(column, least):
                return True
        return False

    @staticmethod
    def _is_enough(column: Column, least: Any) -> bool:  # noqa: ANN401 - int or float
        return bool(least > 0 if column.names[0] in _PRICES else least >= column.least)

    def _explain(self, chunk: bytes) -> None:
        """Raise for the first line that is wrong, if plain Python finds one."""
        lines = chunk.decode("utf-8", "replace").split("\n")
        if lines and not lines[-1]:
            lines.pop()
        for number, line in enumerate(lines, self._line):
            cells = line.rstrip("\r").split(",")
            where = f"{self._path} line {number}"
            if len(cells) != len(self._columns):
                msg = (
                    f"{where}: found {len(cells)} columns, "
                    f"expected {len(self._columns)}"
                )
                raise SchemaError(msg)
            for at, (cell, column) in enumerate(zip(cells, self._columns, strict=True)):
                wanted = _wanted(column)
                if not _fits(cell, column):
                    msg = (
                        f"{where} column {at + 1} ({column.names[0]}): "
                        f"found {cell[:40]!r}, expected {wanted}"
                    )
                    raise SchemaError(msg)

    def _convert(self, raw: pl.DataFrame) -> pl.DataFrame:
        kind = self._archive.kind
        time = _TIME[kind]
        if not self._ns_per_unit and len(raw):
            self._ns_per_unit = _unit(self._path, self._line, int(raw[time][0]))
        self._check_times(raw, time)
        at = (pl.col(time) * self._ns_per_unit).cast(TIME)
        if kind is ArchiveKind.KLINES:
            self._check_bars(raw)
            interval_ns = INTERVALS[self._archive.interval] * NS_PER_SECOND
            close = (pl.col(time) * self._ns_per_unit + interval_ns).cast(TIME)
            return raw.select(
                at.alias("open_time"),
                close.alias("close_time"),
                *(pl.col(name) for name in list(BARS)[2:-1]),
                pl.col("count").alias("trades"),
            )
        if kind is ArchiveKind.FUNDING:
            return raw.select(
                at.alias("time"), pl.col("last_funding_rate").alias("rate")
            ).select(list(FUNDING))
        size = "qty" if kind is ArchiveKind.TRADES else "quantity"
        trade_id = self._names[0]
        return raw.select(
            at.alias("time"),
            pl.col(trade_id).alias("trade_id"),
            "price",
            pl.col(size).alias("size"),
            "is_buyer_maker",
        ).select(list(TICKS))

    def _check_times(self, raw: pl.DataFrame, time: str) -> None:
        low, high = _RANGES[self._ns_per_unit] if self._ns_per_unit else (0, 0)
        wrong = (raw[time] < low) | (raw[time] >= high)
        if wrong.any():
            at = int(wrong.arg_max() or 0)
            unit = _UNIT_NAMES[self._ns_per_unit]
            column = self._names.index(time) + 1
            msg = (
                f"{self._path} line {self._line + at} column {column} ({time}): found "
                f"{raw[time][at]}, expected {unit} as in the file's first row"
            )
            raise SchemaError(msg)

    def _check_bars(self, raw: pl.DataFrame) -> None:
        self._check_interval(raw)
        low = pl.min_horizontal("open", "close") < pl.col("low")
        high = pl.max_horizontal("open", "close") > pl.col("high")
        wrong = raw.select(low | high).to_series()
        if wrong.any():
            at = int(wrong.arg_max() or 0)
            row = raw.row(at, named=True)
            prices = ", ".join(
                f"{n} {row[n]}" for n in ("open", "high", "low", "close")
            )
            msg = (
                f"{self._path} line {self._line + at}: found {prices}, "
                f"expected open and close between low and high"
            )
            raise SchemaError(msg)

    def _check_interval(self, raw: pl.DataFrame) -> None:
        # Some published bars around outages close early: the first row's neighbors
        # decide, not each row.
        if self.rows or not len(raw):
            return
        interval = self._archive.interval
        units = INTERVALS[interval] * NS_PER_SECOND // self._ns_per_unit
        lengths = (raw["close_time"] - raw["open_time"]).head(100)
        fits = ((lengths == units - 1) | (lengths == units)).sum()
        if fits * 2 < len(lengths):
            seconds = (int(lengths[0]) + 1) * self._ns_per_unit / NS_PER_SECOND
            msg = (
                f"{self._path} line {self._line} column 7 (close_time): found a bar of "
                f"{seconds:g} s, expected {interval}"
            )
            raise SchemaError(msg)


_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_INTEGER = re.compile(r"[+-]?\d{1,18}")
_UNIT_NAMES = {NS_PER_MS: "milliseconds", _NS_PER_US: "microseconds"}
# 2001 to 2286; the two units do not overlap.
_RANGES = {NS_PER_MS: (10**12, 10**13), _NS_PER_US: (10**15, 10**16)}


def _unit(path: Path, line: int, stamp: int) -> int:
    for ns_per_unit, (low, high) in _RANGES.items():
        if low <= stamp < high:
            return ns_per_unit
    msg = (
        f"{path} line {line}: found time {stamp}, expected milliseconds (13 digits) "
        f"or microseconds (16 digits) since 1970"
    )
    raise SchemaError(msg)


def _check_header(path: Path, cells: list[str], columns: tuple[Column, ...]) -> None:
    for at, (cell, column) in enumerate(zip(cells, columns, strict=True)):
        if cell.lower() not in column.names:
            msg = (
                f"{path} line 1 column {at + 1}: found {cell[:40]!r}, "
                f"expected {column.names[0]!r}"
            )
            raise SchemaError(msg)


def _wanted(column: Column) -> str:
    if column.dtype is pl.Boolean:
        return "true or false"
    noun = "a whole number" if column.dtype is pl.Int64 else "a number"
    if column.names[0] in _PRICES:
        return f"{noun} above 0"
    return noun if column.least is None else f"{noun} of at least {column.least:g}"


def _fits(cell: str, column: Column) -> bool:
    if column.dtype is pl.Boolean:
        return cell in {"true", "false", "True", "False", "TRUE", "FALSE"}
    pattern = _INTEGER if column.dtype is pl.Int64 else _NUMBER
    if not pattern.fullmatch(cell):
        return False
    value = float(cell)
    if not isfinite(value):
        return False
    if column.names[0] in _PRICES:
        return value > 0
    return column.least is None or value >= column.least
