"""
What the kill switch did, read from the simulator's own log; it asks no service.

The judge is the venue: when a request of the daemon's key arrived, what was filled,
when the account was flat. All times count from the moment the account's true
drawdown first reached the threshold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from cryptoquantix.core.clock import NS_PER_MS
from cryptoquantix.drills.requests import (
    Record,
    at_venue,
    flat_requests,
    is_account_reading,
    is_act,
    requests_of,
    words,
)

VERIFY_INTERVAL_NS: Final = 500 * NS_PER_MS


@dataclass(frozen=True, slots=True)
class KillTimes:
    """
    Milliseconds from the true crossing of the threshold; None: it never happened.

    ``detected_ms``: the answer of the last account reading before the first act, the
    reading on which the daemon acted. ``sent_ms``: the last cancel or close that
    arrived before its account was flat. ``filled_ms``: every account was flat.
    ``flat_ms``: flat was verified everywhere: the second of two complete readings
    (positions and all classes of open orders) at least 500 ms apart, both after the
    venue's last fill.
    """

    detected_ms: float | None
    sent_ms: float | None
    filled_ms: float | None
    flat_ms: float | None


def read_kill_times(
    records: Sequence[Record],
    crossed_ns: int,
    venues: Sequence[str] = ("binance",),
) -> KillTimes:
    """
    Return the times of one kill from the log records of its run.

    Parameters
    ----------
    records : the simulator's log, in order
    crossed_ns : wall ns, when the true drawdown first reached the threshold
    venues : where the book was; every one of them must come to be flat
    """
    requests = requests_of(records)
    acts = [r for r in requests if is_act(r) and r["time_ns"] >= crossed_ns]
    detected_ns = None
    if acts:
        first_ns = min(r["time_ns"] for r in acts)
        readings = [
            r["time_ns"]
            for r in requests
            if is_account_reading(r) and r["time_ns"] <= first_ns
        ]
        detected_ns = max(readings, default=None)
    ends = [_Ending.read(at_venue(records, v), acts, v) for v in venues]
    return KillTimes(
        detected_ms=_since(crossed_ns, detected_ns),
        sent_ms=_since(crossed_ns, max((e.sent_ns or 0 for e in ends), default=0)),
        filled_ms=_since(crossed_ns, _all([e.flat_ns for e in ends])),
        flat_ms=_since(crossed_ns, _all([e.verified_ns for e in ends])),
    )


@dataclass(frozen=True, slots=True)
class _Ending:
    """How one venue came to its end."""

    sent_ns: int | None
    flat_ns: int | None
    verified_ns: int | None

    @classmethod
    def read(
        cls, records: Sequence[Record], acts: Sequence[Record], venue: str
    ) -> _Ending:
        flats = [r["time_ns"] for r in records if r["kind"] == "flat"]
        flat_ns = flats[-1] if flats else None
        sent = [
            r["time_ns"]
            for r in at_venue(acts, venue)
            if flat_ns is None or r["time_ns"] <= flat_ns
        ]
        verified_ns = None
        if flat_ns is not None:
            verified_ns = _verified(requests_of(records), flat_ns, venue)
        return cls(max(sent, default=None), flat_ns, verified_ns)


def _all(times: Sequence[int | None]) -> int | None:
    reached = [time_ns for time_ns in times if time_ns is not None]
    return max(reached) if reached and len(reached) == len(times) else None


def _since(start_ns: int, end_ns: int | None) -> float | None:
    return None if not end_ns else round((end_ns - start_ns) / NS_PER_MS, 1)


def _verified(requests: Sequence[Record], flat_ns: int, venue: str) -> int | None:
    first = _complete_reading(requests, flat_ns, venue)
    if first is None:
        return None
    second = _complete_reading(requests, first[0] + VERIFY_INTERVAL_NS, venue)
    return None if second is None else second[1]


def _complete_reading(
    requests: Sequence[Record], after_ns: int, venue: str
) -> tuple[int, int] | None:
    """Return (first, last) time of the first reading of all that flat means."""
    times = []
    for pattern in flat_requests(venue):
        time_ns = next(
            (
                r["time_ns"]
                for r in requests
                if pattern.search(words(r)[1]) and r["time_ns"] >= after_ns
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
