"""The columns of Binance's archive files."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from archives import DAY_MS, HEADERS, agg_trade, kline, klines, text, trade, trades
from cryptoquantix.core.errors import SchemaError
from cryptoquantix.data.archive import Answers, describe
from cryptoquantix.data.readers.binance import frames
from cryptoquantix.data.schema import BARS, FUNDING, TICKS

NAMES = {
    "trades": "futures-um-BTCUSDT-trades-2024-02-01.csv",
    "aggTrades": "spot-PEPEUSDT-aggTrades-2024-02-01.csv",
    "klines": "futures-um-BTCUSDT-1m-2024-02-01.csv",
    "fundingRate": "BTCUSDT-fundingRate-2024-02.csv",
}


def read(kind, lines, header="", chunk_lines=1000):
    body = ([header] if header else []) + lines
    chunks = [text(body[i : i + chunk_lines]) for i in range(0, len(body), chunk_lines)]
    return pl.concat(list(frames(describe(Path(NAMES[kind])), chunks)))


@pytest.mark.parametrize("header", ["", HEADERS["trades"]])
def test_trades_with_and_without_a_header(header):
    found = read("trades", [trade(0, DAY_MS), trade(1, DAY_MS + 1)], header)
    assert found.schema == TICKS
    assert found.with_columns(pl.col("time").to_physical()).rows() == [
        (DAY_MS * 10**6, 1000, 42000.1, 0.01, False),
        (DAY_MS * 10**6 + 10**6, 1001, 42000.1, 0.01, True),
    ]


def test_spot_trades_have_one_more_column():
    found = read("trades", [trade(0, DAY_MS) + ",True"])
    assert found["trade_id"].to_list() == [1000]


def test_microseconds_are_exact():
    stamp = 1_735_689_600_123_457
    found = read("aggTrades", [agg_trade(1, stamp), agg_trade(2, stamp + 1)])
    assert found["time"].to_physical().to_list() == [stamp * 1000, (stamp + 1) * 1000]


@pytest.mark.parametrize(("unit", "header"), [(1, HEADERS["klines"]), (1000, "")])
def test_klines_close_where_the_next_open(unit, header):
    found = read("klines", klines(5, unit=unit), header)
    assert found.schema == BARS
    assert found["close_time"][:-1].equals(found["open_time"][1:], check_names=False)
    assert found["open_time"][0].timestamp() * 1000 == DAY_MS
    assert found.row(0)[2:] == (42002.1, 42010.5, 42000.0, 42003.3, 1.125, 52501.5, 17)


def test_funding_rates():
    lines = [f"{DAY_MS + 6},8,0.00037409", f"{DAY_MS + 28_800_000},8,-0.0001"]
    found = read("fundingRate", lines, HEADERS["fundingRate"])
    assert found.schema == FUNDING
    assert found["rate"].to_list() == [0.00037409, -0.0001]
    assert found["time"].to_physical().to_list()[0] == (DAY_MS + 6) * 10**6


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_either_newline_and_a_last_line_without_one(newline):
    body = newline.join([HEADERS["trades"], *trades(3)]).encode()
    [found] = frames(describe(Path(NAMES["trades"])), [body])
    assert len(found) == 3


def bad(kind, lines, header=""):
    with pytest.raises(SchemaError) as raised:
        read(kind, lines, header, chunk_lines=4)
    sentence = str(raised.value)
    assert "\n" not in sentence
    assert NAMES[kind] in sentence
    return sentence.partition(NAMES[kind])[2]


def test_a_wrong_header_names_the_column():
    header = HEADERS["trades"].replace("qty", "volume", 1)
    assert (
        bad("trades", trades(3), header)
        == " line 1 column 3: found 'volume', expected 'qty'"
    )


def test_columns_in_another_order_are_a_wrong_header():
    header = HEADERS["klines"].replace("high,low", "low,high")
    assert "column 3: found 'low', expected 'high'" in bad("klines", klines(3), header)


def test_another_kind_is_a_wrong_number_of_columns():
    found = bad("trades", klines(3))
    assert found.startswith(" line 1: found 12 columns, expected 6 or 7 (trades: id")


@pytest.mark.parametrize("header", ["", HEADERS["trades"]])
@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda line: line + ",1", ": found 7 columns, expected 6"),
        (lambda line: line.rpartition(",")[0], ": found 5 columns, expected 6"),
        (lambda line: "", ": found 1 columns, expected 6"),
        (
            lambda line: line.replace("42004.5", "x"),
            " column 2 (price): found 'x', expected a number above 0",
        ),
        (
            lambda line: line.replace("42004.5", ""),
            " column 2 (price): found '', expected a number above 0",
        ),
        (
            lambda line: line.replace("42004.5", "nan"),
            " column 2 (price): found 'nan', expected a number above 0",
        ),
        (
            lambda line: line.replace("42004.5", "-1"),
            " column 2 (price): found '-1', expected a number above 0",
        ),
        (
            lambda line: line.replace("42004.5", "0"),
            " column 2 (price): found '0', expected a number above 0",
        ),
        (
            lambda line: line.replace("42004.5", "1e999"),
            " column 2 (price): found '1e999', expected a number above 0",
        ),
        (
            lambda line: line.replace(",0.005,", ",-0.005,"),
            " column 3 (qty): found '-0.005', expected a number of at least 0",
        ),
        (
            lambda line: line.replace("1004,", "1004.5,"),
            " column 1 (id): found '1004.5', expected a whole number of at least 0",
        ),
        (
            lambda line: line.replace("false", "maybe"),
            " column 6 (is_buyer_maker): found 'maybe', expected true or false",
        ),
    ],
)
def test_a_bad_line_is_named_with_what_was_expected(header, change, expected):
    lines = trades(9)
    lines[4] = change(lines[4])
    number = 6 if header else 5
    assert bad("trades", lines, header) == f" line {number}{expected}"


def test_a_time_in_another_unit_than_the_first_is_refused():
    lines = [agg_trade(1, DAY_MS), *[agg_trade(i, DAY_MS * 1000) for i in range(2, 8)]]
    found = bad("aggTrades", lines)
    assert found == (
        " line 2 column 6 (transact_time): found 1706745600000000, "
        "expected milliseconds as in the file's first row"
    )
    found = bad("aggTrades", [*reversed(lines)])
    assert "line 7" in found
    assert "expected microseconds" in found


@pytest.mark.parametrize("stamp", [1_706_745_600, 1_706_745_600_000_000_000, 0])
def test_seconds_and_nanoseconds_are_refused(stamp):
    assert "expected milliseconds (13 digits)" in bad(
        "aggTrades", [agg_trade(1, stamp)]
    )


def test_bars_of_another_interval_are_refused():
    lines = [
        kline(i).replace(
            str(DAY_MS + i * 60_000 + 59_999), str(DAY_MS + (i + 5) * 60_000 - 1)
        )
        for i in range(4)
    ]
    assert "found a bar of 300 s, expected 1m" in bad("klines", lines)


def test_one_bar_that_closed_early_in_an_outage_is_accepted():
    lines = klines(10)
    lines[0] = lines[0].replace(str(DAY_MS + 59_999), str(DAY_MS + 20_000))
    assert len(read("klines", lines)) == 10


def test_a_bar_that_contradicts_itself_is_refused():
    lines = klines(3)
    lines[1] = lines[1].replace("42011.5", "42000.5")
    found = bad("klines", lines)
    assert "line 2: found open 42003.1, high 42000.5" in found


@pytest.mark.parametrize("header", ["", HEADERS["klines"]])
def test_an_empty_file_is_refused(header):
    lines = [header] if header else []
    archive = describe(Path(NAMES["klines"]))
    with pytest.raises(SchemaError, match="is empty, expected rows of klines"):
        list(frames(archive, [text(lines)] if lines else []))


def test_the_interval_may_be_an_answer():
    archive = describe(Path("x.csv"), Answers("", "klines", "BTCUSDT", "um", "1m"))
    [found] = frames(archive, [text(klines(2))])
    assert len(found) == 2
