"""
What others may ask of the daemon: permits, and the operator's three words.

``halt`` is a trip by hand; ``flatten`` cancels and closes everything and ends LOCKED;
``rearm`` is a named person accepting a new baseline, and the only way out of a halt.
"""

from __future__ import annotations

import asyncio
import sqlite3
from dataclasses import replace
from typing import Final

from cryptoquantix.control.permit import PermitAnswer, PermitMode, PermitRequest
from cryptoquantix.control.status import RiskState
from cryptoquantix.core.clock import NS_PER_SECOND
from cryptoquantix.risk import book as books
from cryptoquantix.risk import rules
from cryptoquantix.risk.daemon import Daemon
from cryptoquantix.risk.machine import Event, Refused, follow
from cryptoquantix.risk.permits import Granting
from cryptoquantix.risk.samples import SampleRow
from cryptoquantix.risk.state import Latch

LOOP_STALE_NS: Final = 3 * NS_PER_SECOND
SEQUENCE_MAX: Final = 1 << 62
WRITE_SECONDS: Final = 2.0


class Refusal(Exception):  # noqa: N818 - it names an answer, not a fault
    """A command that cannot be carried out now; its text says why."""


def permit(daemon: Daemon, request: PermitRequest, *, connection: int) -> PermitAnswer:
    """
    Return the answer to one request.

    A holder that has seen a higher sequence than the store knows proves that the
    store lost its memory: the daemon locks itself.
    """
    seen = request.sequence_seen
    if not 0 <= seen <= SEQUENCE_MAX:
        msg = f"sequence_seen must be between 0 and {SEQUENCE_MAX}, was {seen}"
        raise ValueError(msg)
    if seen > max(daemon.durable.sequence, daemon.sequence_floor):
        daemon.forgot(seen)
    return daemon.desk.answer(
        request,
        connection=connection,
        now_ns=daemon.clock.monotonic_ns(),
        granting=granting(daemon),
    )


def granting(daemon: Daemon) -> Granting:
    """Return what the daemon would grant right now, to the right holder."""
    mode, reason = rules.permit(daemon.state, daemon.concerns.texts)
    second_ns = daemon.second_ns
    now_ns = daemon.clock.monotonic_ns()
    if mode is PermitMode.TRADE and (
        second_ns is None or now_ns - second_ns > LOOP_STALE_NS
    ):
        mode, reason = PermitMode.REDUCE_ONLY, "the daemon's loop is stalled"
    return Granting(mode, reason, daemon.durable.sequence)


async def halt(daemon: Daemon, who: str, reason: str) -> RiskState:
    """
    Trip by hand, from any state; a halt that stands already only notes it.

    It waits behind no other command: permits are revoked before anything is awaited.
    """
    _named(who, reason)
    latch = daemon.latch
    daemon.record("command", {"word": "halt", "who": who, "reason": reason})
    if follow(latch.state, Event.HALT) is not latch.state:
        record = daemon.trip_record("by hand")
        await daemon.trip(record, reason, who, RiskState.HALTED)
    elif latch.goal is not RiskState.HALTED:  # a flatten becomes a halt
        daemon.latch = replace(latch, goal=RiskState.HALTED, who=who, reason=reason)
        await daemon.write_latch(f"halt by {who}: {reason}")
    return daemon.latch.state


async def flatten(daemon: Daemon, who: str, reason: str) -> RiskState:
    """Cancel and close everything, then LOCKED; a halt stays a halt."""
    _named(who, reason)
    daemon.record("command", {"word": "flatten", "who": who, "reason": reason})
    state = daemon.latch.state
    if follow(state, Event.FLATTEN) is not state:
        record = daemon.trip_record("flatten")
        await daemon.trip(record, reason, who, RiskState.LOCKED)
    return daemon.latch.state


async def rearm(daemon: Daemon, who: str, reason: str) -> RiskState:
    """
    Accept a new baseline, by name and reason; a halt ends only when flat is proven.

    A halt or a flatten that comes in meanwhile wins.

    Raises
    ------
    Refusal
        While a halt is being carried out, while anything is left after one, without a
        complete reading, without a checked key, when the store cannot be written, or
        when the daemon is armed already.
    """
    _named(who, reason)
    async with daemon.arming:
        daemon.record("command", {"word": "rearm", "who": who, "reason": reason})
        before = daemon.latch
        await _may_arm(daemon)
        problem = await daemon.watch.baseline()
        if problem:
            msg = f"cannot arm blind: {problem}"
            raise Refusal(msg)
        _unchanged(daemon, before)
        await _arm(daemon, who, reason)
        return daemon.latch.state


def _unchanged(daemon: Daemon, before: Latch) -> None:
    """Refuse to go on where another word came in."""
    if daemon.latch is not before:
        msg = f"another command came in between: {daemon.latch.reason}"
        raise Refusal(msg)


async def prove_flat(daemon: Daemon) -> str:
    """
    Return what is left by two fresh reads at every venue, or an empty text.

    In any state: whoever wants to stop the guard must know that there is nothing to
    guard. It changes nothing and holds no lock: a halt by hand never waits behind it.
    """
    if daemon.latch.is_acting:
        return daemon.halt_acts.not_flat() or "a halt is being carried out"
    return await daemon.halt_acts.prove_flat()


async def _may_arm(daemon: Daemon) -> None:
    state = daemon.latch.state
    try:
        follow(state, Event.REARM)
    except Refused as refused:
        left = daemon.halt_acts.not_flat() if daemon.latch.is_acting else ""
        step = f" ({state.value}): {left}" if left else ""
        msg = f"{refused}{step}"
        raise Refusal(msg) from None
    if daemon.durable.store.is_volatile:
        msg = f"the store cannot be written: {daemon.durable.problem}"
        raise Refusal(msg)
    unchecked = [text for name, text in daemon.concerns.texts.items() if "keys" in name]
    if unchecked:
        raise Refusal(unchecked[0])
    if state is RiskState.HALTED:
        left = await daemon.halt_acts.prove_flat()
        if left:
            raise Refusal(left)


async def _arm(daemon: Daemon, who: str, reason: str) -> None:
    """Write the baseline first; only what is durable arms."""
    watch = daemon.watch
    value = watch.book.value
    row = SampleRow(watch.sample_time_ns(), True, value, watch.book.equity)  # noqa: FBT003 - the row's own word is is_complete
    latch = Latch(
        state=RiskState.ARMED,
        reason=reason,
        who=who,
        since_ns=daemon.clock.time_ns(),
    )
    before = daemon.latch
    book = books.to_json(watch.book, daemon.clock.monotonic_ns())
    cause, floor = f"rearm by {who}: {reason}", daemon.sequence_floor
    try:
        written = await asyncio.wait_for(
            daemon.durable.write(
                lambda: daemon.durable.store.write_baseline(
                    latch, cause, row=row, book=book, sequence_floor=floor
                )
            ),
            WRITE_SECONDS,
        )
    except (sqlite3.Error, OSError, TimeoutError) as error:
        await daemon.write_latch("the baseline could not be written")
        msg = f"the store cannot be written: {error!r}"
        raise Refusal(msg) from None
    _unchanged(daemon, before)
    daemon.armed(written)


def _named(who: str, reason: str) -> None:
    if not who.strip() or not reason.strip():
        msg = "who and reason must both be given"
        raise ValueError(msg)
