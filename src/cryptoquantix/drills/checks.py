"""
What must hold after a drill: from the evidence to a sentence; pure.

Each check returns what is wrong, or an empty text. The venue's log and books are the
judge; what the daemon says of itself must agree with them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Final

from cryptoquantix.control.permit import PermitMode
from cryptoquantix.control.status import RiskState
from cryptoquantix.core.clock import NS_PER_MS, NS_PER_SECOND
from cryptoquantix.drills.evidence import Evidence
from cryptoquantix.drills.requests import (
    Record,
    at_venue,
    is_act,
    is_order,
    requests_of,
)

type Check = Callable[[Evidence], str]

UNMOVED: Final = Decimal("0.004")
"""How far the drawdown may wander by prices and fees while nothing happens."""


def halted(evidence: Evidence) -> str:
    """Check that the halt stands and every account is empty, by the venue's books."""
    kill = evidence.kill()
    if not kill.latched:
        state = evidence.final.state if evidence.final else "silent"
        return f"the daemon is {state}, not HALTED"
    if kill.positions or kill.open_orders:
        return f"{kill.positions} positions and {kill.open_orders} orders are left"
    return "" if kill.times.flat_ms is not None else "flat was never verified"


def flat_within(seconds: float, *, after: str = "") -> Check:
    """Check that flat is verified in time: from the true crossing, or from a mark."""

    def check(evidence: Evidence) -> str:
        flat_ms = evidence.times().flat_ms
        if flat_ms is None or evidence.crossed_ns is None:
            return "flat was never verified"
        if after:
            flat_ms -= (evidence.mark(after) - evidence.crossed_ns) / NS_PER_MS
        if flat_ms > seconds * 1_000:
            since = f"after {after}" if after else "after the crossing"
            return f"flat {flat_ms:.0f} ms {since}, more than {seconds * 1000:.0f}"
        return ""

    return check


def others_flat_within(seconds: float) -> Check:
    """Check that every venue but the first is empty in time, whatever that one does."""

    def check(evidence: Evidence) -> str:
        for venue in evidence.venues[1:]:
            flat_ms = evidence.times((venue,)).filled_ms
            if flat_ms is None or flat_ms > seconds * 1_000:
                shown = "never" if flat_ms is None else f"{flat_ms:.0f} ms"
                return f"{venue} was empty {shown}, later than {seconds * 1000:.0f} ms"
        return ""

    return check


def only_reduced(evidence: Evidence) -> str:
    """Check that no order of the daemon opened, grew or turned a position."""
    placed = {
        (r["venue"], r["clientOrderId"])
        for r in requests_of(evidence.records)
        if is_order(r) and "clientOrderId" in r
    }
    held: dict[tuple[str, str, str], Decimal] = {}
    for record in evidence.records:
        if record["kind"] != "fill":
            continue
        key = (record["venue"], record["symbol"], record["leg"])
        after = Decimal(record["position_after"])
        size = Decimal(record["size"])
        before = after - size if record["side"] == "buy" else after + size
        before = held.get(key, before)
        held[key] = after
        is_ours = (record["venue"], record["client_id"]) in placed
        if is_ours and (abs(after) > abs(before) or after * before < 0):
            return (
                f"the daemon's {record['client_id']} moved {record['symbol']} from "
                f"{before} to {after}"
            )
    return ""


def no_acts(start: str, end: str | None = None, *, venue: str = "") -> Check:
    """Check that the daemon canceled and placed nothing between two marks."""

    def check(evidence: Evidence) -> str:
        end_ns = evidence.marks[end] if end else None
        records = at_venue(evidence.records, venue) if venue else evidence.records
        acts = [
            r
            for r in requests_of(records)
            if is_act(r)
            and r["time_ns"] > evidence.mark(start)
            and (end_ns is None or r["time_ns"] < end_ns)
        ]
        if not acts:
            return ""
        first = acts[0]
        return f"the daemon sent {first['method']} {first['path']} to {first['venue']}"

    return check


def never_halted(start: str, end: str | None = None) -> Check:
    """Check that the daemon tripped at no time between two marks."""

    def check(evidence: Evidence) -> str:
        for glance in evidence.between(start, end):
            if glance.status is not None and glance.status.state.is_halt:
                return f"a false halt: {glance.status.reason}"
        return ""

    return check


def peak_unmoved(start: str, end: str | None = None) -> Check:
    """
    Check that no money moved or misread makes a peak or a loss: the drawdown stays.

    Glances at which the reading is blind or unexplained count too: what is shown then
    must be the last belief, not the wrong number.
    """

    def check(evidence: Evidence) -> str:
        glances = evidence.between(start, end)
        shown = [
            Decimal(g.status.drawdown)
            for g in glances
            if g.status is not None and g.status.drawdown is not None
        ]
        if not shown:
            return "no drawdown was ever shown"
        furthest = max(shown, key=lambda value: abs(value - shown[0]))
        if abs(furthest - shown[0]) > UNMOVED:
            return (
                f"the drawdown went from {shown[0]:.2%} to {furthest:.2%} "
                f"though nothing was won or lost"
            )
        return ""

    return check


def state_within(state: RiskState, seconds: float, *, after: str) -> Check:
    """Check that the daemon is in a state in time after a mark."""

    def check(evidence: Evidence) -> str:
        found = evidence.first_state(state, after)
        if found is None:
            return f"the daemon was never {state} after {after}"
        if found > seconds:
            return f"{state} only {found:.1f} s after {after}, not within {seconds:g}"
        return ""

    return check


def state_throughout(state: RiskState, start: str, end: str | None = None) -> Check:
    """Check that the daemon is in a state at every glance between two marks."""

    def check(evidence: Evidence) -> str:
        for glance in evidence.between(start, end):
            if glance.status is not None and glance.status.state is not state:
                return f"the daemon was {glance.status.state}, not {state}"
        return ""

    return check


def no_permit(
    start: str, *, grace_seconds: float = 0, seconds: float = float("inf")
) -> Check:
    """Check that the holder may not trade, from grace to end after the mark."""

    def check(evidence: Evidence) -> str:
        for glance in evidence.between(start, None):
            late = (glance.time_ns - evidence.mark(start)) / NS_PER_SECOND
            is_within = grace_seconds < late < seconds
            if is_within and glance.permit is PermitMode.TRADE:
                return f"a permit to trade {late:.1f} s after {start}"
        return ""

    return check


def permitted(at: str) -> Check:
    """Check that the holder may trade at a mark, give or take a second."""

    def check(evidence: Evidence) -> str:
        modes = {
            g.permit
            for g in evidence.glances
            if abs(g.time_ns - evidence.mark(at)) < NS_PER_SECOND
        }
        return "" if PermitMode.TRADE in modes else f"no permit to trade at {at}"

    return check


def noted(text: str, *, at_least: int = 1) -> Check:
    """Check that the fault took place: the venue's log says so."""

    def check(evidence: Evidence) -> str:
        hits = [r for r in evidence.records if _mentions(r, text)]
        if len(hits) >= at_least:
            return ""
        return f"the fault missed: {text!r} is {len(hits)} times in the venue's log"

    return check


def _mentions(record: Record, text: str) -> bool:
    values = [record.get("event"), record.get("fault"), *record.get("notes", ())]
    return any(text in str(value) for value in values)


def refused(codes: Sequence[int], *, at_least: int = 1) -> Check:
    """Check that the venue refused orders of the daemon with one of these codes."""

    def check(evidence: Evidence) -> str:
        hits = [
            r
            for r in requests_of(evidence.records)
            if is_order(r) and r["code"] in codes
        ]
        if len(hits) >= at_least:
            return ""
        return f"the fault missed: {len(hits)} orders were refused with {list(codes)}"

    return check


def alarmed(text: str, *, at_least: int = 1) -> Check:
    """Check that the daemon queued alarms that say so."""

    def check(evidence: Evidence) -> str:
        hits = [said for _, said in evidence.alarms if text.lower() in said.lower()]
        if len(hits) >= at_least:
            return ""
        return f"{len(hits)} alarms say {text!r}, not {at_least}"

    return check


def closed_in_parts(evidence: Evidence) -> str:
    """Check that at least one position took more than one order to close."""
    orders: dict[tuple[str, str], set[str]] = defaultdict(set)
    fills: dict[tuple[str, str], int] = defaultdict(int)
    placed = {
        r["clientOrderId"]
        for r in requests_of(evidence.records)
        if is_order(r) and "clientOrderId" in r
    }
    for record in evidence.records:
        if record["kind"] == "fill" and record["client_id"] in placed:
            key = (record["venue"], record["symbol"])
            orders[key].add(record["client_id"])
            fills[key] += 1
    if any(len(found) > 1 for found in orders.values()):
        return ""
    return f"the fault missed: every close was one order, {dict(fills)}"


def quiet_while_banned(start: str, seconds: float, *, at_most: int) -> Check:
    """Check that the first venue is left in peace while it asks for silence."""

    def check(evidence: Evidence) -> str:
        venue = evidence.venues[0]
        start_ns = evidence.mark(start)
        asked = [
            r
            for r in requests_of(at_venue(evidence.records, venue), "none")
            + requests_of(at_venue(evidence.records, venue))
            if 0 < r["time_ns"] - start_ns < seconds * NS_PER_SECOND
            and any("fault 4" in str(note) for note in r["notes"])
        ]
        if not asked:
            return "the fault missed: nothing was refused"
        if len(asked) > at_most:
            return f"{venue} was asked {len(asked)} times though it wanted silence"
        return ""

    return check


def fact_at_most(name: str, most: float, words: str) -> Check:
    """Check that a number which the drill found out is small enough."""

    def check(evidence: Evidence) -> str:
        found = evidence.facts.get(name)
        if found is None:
            return f"{words}: never measured"
        return "" if found <= most else f"{words}: {found:g}, more than {most:g}"

    return check


def fact_at_least(name: str, least: float, words: str) -> Check:
    """Check that a number which the drill found out is large enough."""

    def check(evidence: Evidence) -> str:
        found = evidence.facts.get(name)
        if found is None:
            return f"{words}: never measured"
        return "" if found >= least else f"{words}: {found:g}, less than {least:g}"

    return check


def empty(evidence: Evidence) -> str:
    """Check that every account is empty by the venue's own books."""
    left = [
        f"{venue}: {len(a.positions)} positions, {a.open_orders + a.algo_orders} orders"
        for venue, a in evidence.accounts.items()
        if a.positions or a.open_orders or a.algo_orders
    ]
    return "; ".join(left)


def untouched(evidence: Evidence) -> str:
    """Check that every account still holds positions and orders."""
    bare = [
        venue
        for venue, a in evidence.accounts.items()
        if not a.positions or not (a.open_orders + a.algo_orders)
    ]
    return f"nothing is left at {', '.join(bare)}" if bare else ""
