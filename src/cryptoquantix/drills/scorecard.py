"""
What the kill switch did, read from the simulator's own log; it asks no service.

The judge is the venue: when a request of the daemon's key arrived, what was filled,
when the account was flat. All times count from the moment the account's true
drawdown first reached the threshold.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from cryptoquantix.core.clock import NS_PER_MS

Record = Mapping[str, Any]

VERIFY_INTERVAL_NS: Final = 500 * NS_PER_MS
_ACTS: Final = frozenset({"POST", "DELETE"})
_ACCOUNT_PATHS: Final = frozenset(
    {"/fapi/v2/account", "/fapi/v3/account", "/fapi/v2/balance", "/fapi/v3/balance"}
)
_POSITION_PATHS: Final = frozenset({"/fapi/v2/positionRisk", "/fapi/v3/positionRisk"})
_ORDER_PATHS: Final = ("/fapi/v1/openOrders", "/fapi/v1/openAlgoOrders")


@dataclass(frozen=True, slots=True)
class KillTimes:
    """
    Milliseconds from the true crossing of the threshold; None: it never happened.

    ``detected_ms``: the answer of the last account reading before the first act, the
    reading on which the daemon acted. ``sent_ms``: the last cancel or close that
    arrived before the account was flat. ``filled_ms``: the account was flat.
    ``flat_ms``: flat was verified: the second of two complete readings (positions
    and both classes of open orders) at least 500 ms apart, both after the last fill.
    """

    detected_ms: float | None
    sent_ms: float | None
    filled_ms: float | None
    flat_ms: float | None


def read_kill_times(records: Sequence[Record], crossed_ns: int) -> KillTimes:
    """
    Return the times of one kill from the log records of its run.

    Parameters
    ----------
    records : the simulator's log, in order
    crossed_ns : wall ns, when the true drawdown first reached the threshold
    """
    flat_ns = _last_flat(records)
    requests = [
        r for r in records if r["kind"] == "request" and r["key_role"] == "risk"
    ]
    acts = [r for r in requests if r["method"] in _ACTS and r["time_ns"] >= crossed_ns]
    before = [a for a in acts if flat_ns is None or a["time_ns"] <= flat_ns]
    detected_ns = None
    if acts:
        readings = [
            r["time_ns"]
            for r in requests
            if r["path"] in _ACCOUNT_PATHS and r["time_ns"] <= acts[0]["time_ns"]
        ]
        detected_ns = readings[-1] if readings else None
    verified_ns = None if flat_ns is None else _verified(requests, flat_ns)
    return KillTimes(
        detected_ms=_since(crossed_ns, detected_ns),
        sent_ms=_since(crossed_ns, before[-1]["time_ns"] if before else None),
        filled_ms=_since(crossed_ns, flat_ns),
        flat_ms=_since(crossed_ns, verified_ns),
    )


def _last_flat(records: Iterable[Record]) -> int | None:
    flats = [r["time_ns"] for r in records if r["kind"] == "flat"]
    return flats[-1] if flats else None


def _since(start_ns: int, end_ns: int | None) -> float | None:
    return None if end_ns is None else round((end_ns - start_ns) / NS_PER_MS, 1)


def _verified(requests: Sequence[Record], flat_ns: int) -> int | None:
    first = _complete_reading(requests, flat_ns)
    if first is None:
        return None
    second = _complete_reading(requests, first[0] + VERIFY_INTERVAL_NS)
    return None if second is None else second[1]


def _complete_reading(
    requests: Sequence[Record], after_ns: int
) -> tuple[int, int] | None:
    """Return (first, last) time of the first reading of all that flat means."""
    times = []
    for paths in (_POSITION_PATHS | _ACCOUNT_PATHS, *({p} for p in _ORDER_PATHS)):
        time_ns = next(
            (
                r["time_ns"]
                for r in requests
                if r["path"] in paths
                and r["method"] == "GET"
                and r["time_ns"] >= after_ns
            ),
            None,
        )
        if time_ns is None:
            return None
        times.append(time_ns)
    return min(times), max(times)


@dataclass(frozen=True, slots=True)
class ClosedPosition:
    """One position that execution opened and the daemon closed."""

    symbol: str
    opened_by: str
    opened_size: Decimal
    closed_by: str
    closed_time_ns: int


def closed_positions(records: Sequence[Record]) -> list[ClosedPosition]:
    """
    Return each position that the trading key opened and the daemon's key closed.

    Whose order a fill belongs to is read from the request that placed it: the log
    holds the role of the key that signed it, and the client order id it carried.
    """
    roles = {
        r["clientOrderId"]: r["key_role"]
        for r in records
        if r["kind"] == "request" and r["method"] == "POST" and "clientOrderId" in r
    }
    opened: dict[str, Record] = {}
    closed = []
    for record in records:
        if record["kind"] != "fill":
            continue
        symbol, role = record["symbol"], roles.get(record["client_id"])
        after = Decimal(record["position_after"])
        if after == 0:
            opening = opened.pop(symbol, None)
            if opening is not None and role == "risk":
                closed.append(
                    ClosedPosition(
                        symbol=symbol,
                        opened_by=opening["client_id"],
                        opened_size=Decimal(opening["position_after"]),
                        closed_by=record["client_id"],
                        closed_time_ns=record["time_ns"],
                    )
                )
        elif role == "trade":
            opened.setdefault(symbol, record)
    return closed
