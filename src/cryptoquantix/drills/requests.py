"""
What a request in the simulator's log was for, at each venue; it judges nothing.

The log has the venue's own words. A drill asks three things of them: was it a reading
of the account, was it a part of what flat means, was it an act.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

type Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class VenueWords:
    """
    Patterns over ``METHOD path``.

    ``flat`` are the requests that must all have been made to see that an account is
    flat: positions, and open orders of every class.
    """

    account: re.Pattern[str]
    flat: tuple[re.Pattern[str], ...]
    act: re.Pattern[str]
    opens: re.Pattern[str]


_WORDS: Final = {
    "binance": VenueWords(
        account=re.compile(r"^GET /fapi/v[23]/(account|balance)$"),
        flat=(
            re.compile(r"^GET /fapi/v[23]/(positionRisk|account|balance)$"),
            re.compile(r"^GET /fapi/v1/openOrders$"),
            re.compile(r"^GET /fapi/v1/openAlgoOrders$"),
        ),
        act=re.compile(r"^(POST|DELETE|PUT) /fapi/v1/\w*([oO]rder|cancel)"),
        opens=re.compile(r"^POST /fapi/v1/\w*[oO]rder"),
    ),
    "bybit": VenueWords(
        account=re.compile(r"^GET /v5/account/wallet-balance$"),
        flat=(
            re.compile(r"^GET /v5/(position/list|account/wallet-balance)$"),
            re.compile(r"^GET /v5/order/realtime$"),
        ),
        act=re.compile(r"^POST /v5/(order|position)/"),
        opens=re.compile(r"^POST /v5/order/create"),
    ),
    "deribit": VenueWords(
        account=re.compile(r"private/get_account_summar(y|ies)$"),
        flat=(
            re.compile(r"private/get_(positions?|account_summar(y|ies))$"),
            re.compile(r"private/get_(open_orders|trigger_order)\w*$"),
        ),
        act=re.compile(r"private/(buy|sell|edit|cancel|close_position|mass_quote)"),
        opens=re.compile(r"private/(buy|sell|close_position)"),
    ),
}


def words(record: Record) -> tuple[VenueWords, str]:
    """Return the words of a request's venue, and the request as one text."""
    text = f"{record['method']} {record['path']}"
    return _WORDS[record.get("venue", "binance")], text


def is_account_reading(record: Record) -> bool:
    """Return whether a request asked for equity."""
    known, text = words(record)
    return known.account.search(text) is not None


def is_act(record: Record) -> bool:
    """Return whether a request cancels, places or changes an order."""
    known, text = words(record)
    return known.act.search(text) is not None


def is_order(record: Record) -> bool:
    """Return whether a request places an order."""
    known, text = words(record)
    return known.opens.search(text) is not None


def requests_of(records: Iterable[Record], role: str = "risk") -> list[Record]:
    """Return the requests that one key signed."""
    return [r for r in records if r["kind"] == "request" and r["key_role"] == role]


def flat_requests(venue: str) -> tuple[re.Pattern[str], ...]:
    """Return what must have been asked at ``venue`` to know that it is flat."""
    return _WORDS[venue].flat


def at_venue(records: Iterable[Record], venue: str) -> list[Record]:
    """Return the records of one venue."""
    return [r for r in records if r.get("venue", "binance") == venue]


def unskewed(records: Sequence[Record], skew_ms: float) -> list[Record]:
    """
    Return the records in true time, though a venue's clock was ``skew_ms`` ahead.

    A venue logs by its own clock; the fault's beginning and end are in the log.
    """
    skewed: set[str] = set()
    found: list[Record] = []
    for record in records:
        if record.get("fault") == "clock-skew":
            change = skewed.add if record["event"] == "begins" else skewed.discard
            change(record["venue"])
            found.append(record)
            continue
        is_off = record.get("venue") in skewed or "*" in skewed
        if is_off and record["kind"] not in {"fault", "shock", "outage"}:
            off_ns = int(skew_ms * 1_000_000)
            record = {**record, "time_ns": record["time_ns"] - off_ns}  # noqa: PLW2901 - the same record, in true time
        found.append(record)
    return found
