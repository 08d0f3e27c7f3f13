"""Archive files for tests, generated: names, columns and headers as Binance's."""

from __future__ import annotations

import zipfile
from pathlib import Path

DAY_MS = 1_706_745_600_000  # 2024-02-01
HEADERS = {
    "trades": "id,price,qty,quote_qty,time,is_buyer_maker",
    "aggTrades": (
        "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,"
        "is_buyer_maker"
    ),
    "klines": (
        "open_time,open,high,low,close,volume,close_time,quote_volume,count,"
        "taker_buy_volume,taker_buy_quote_volume,ignore"
    ),
    "fundingRate": "calc_time,funding_interval_hours,last_funding_rate",
}


def trade(
    number: int, time_ms: int, price: str = "42000.1", size: str = "0.010"
) -> str:
    quote = float(price) * float(size)
    maker = "true" if number % 2 else "false"
    return f"{1000 + number},{price},{size},{quote:.5f},{time_ms},{maker}"


def trades(count: int, step_ms: int = 1000, start_ms: int = DAY_MS) -> list[str]:
    return [
        trade(i, start_ms + i * step_ms, f"{42_000 + i % 7}.5", f"0.{1 + i % 9:03d}")
        for i in range(count)
    ]


def agg_trade(number: int, time: int) -> str:
    return f"{number},0.00000908,3591711.00,{number},{number},{time},False,True"


def kline(number: int, unit: int = 1, start_ms: int = DAY_MS) -> str:
    open_time = (start_ms + number * 60_000) * unit
    close_time = open_time + 60_000 * unit - 1
    low, high = 42_000 + number % 5, 42_010 + number % 5
    return (
        f"{open_time},{low + 2}.1,{high}.5,{low}.0,{low + 3}.3,{1 + number % 3}.125,"
        f"{close_time},52501.5,17,0.5,21000.1,0"
    )


def klines(count: int, **options) -> list[str]:
    return [kline(i, **options) for i in range(count)]


def text(lines: list[str], header: str = "") -> bytes:
    return "".join(
        f"{line}\n" for line in ([header] if header else []) + lines
    ).encode()


def write(path: Path, lines: list[str], header: str = "") -> Path:
    """Write a CSV, or a zip of one, as ``path`` says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(path.stem + ".csv", text(lines, header))
    else:
        path.write_bytes(text(lines, header))
    return path


def snapshot(root: Path) -> dict[str, bytes]:
    """Return every file below ``root`` with its bytes, hidden ones too."""
    if not root.exists():
        return {}
    return {
        str(path.relative_to(root)): path.read_bytes() if path.is_file() else b""
        for path in sorted(root.rglob("*"))
    }
