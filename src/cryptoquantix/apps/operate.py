"""
``cqx status``, ``halt``, ``flatten``, ``rearm``: the operator's hand on the daemon.

They speak to the daemon alone. Neither the bus, nor a strategy, nor `cqx up` has to
run for a halt.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from cryptoquantix.alarms.keeper import read_progress
from cryptoquantix.apps.acknowledge import FOLDER as ALARMS
from cryptoquantix.apps.alarms_view import alarms_view
from cryptoquantix.apps.drill_record import with_kept_drill
from cryptoquantix.apps.heard import Heard, hear
from cryptoquantix.apps.loopback import is_loopback, refuse_live
from cryptoquantix.apps.mirror_progress import read_progress as read_mirror
from cryptoquantix.apps.risk_digest import risk_digest
from cryptoquantix.apps.settings import Settings, load_settings
from cryptoquantix.apps.status_reading import trading
from cryptoquantix.apps.status_view import WIDTH, Verdict, view
from cryptoquantix.apps.token import risk_token
from cryptoquantix.control.build import build_stamp
from cryptoquantix.control.status import RiskState, RiskStatus
from cryptoquantix.core.clock import SystemClock
from cryptoquantix.core.errors import CryptoquantixError, DaemonError, SettingsError
from cryptoquantix.journal.reader import JournalReader
from cryptoquantix.risk_client.operator import OperatorClient
from cryptoquantix.risk_client.verdict import problems, remarks
from cryptoquantix.supervisor.record import SupervisorReport, read_record
from cryptoquantix.supervisor.service import Condition

MEANING: Final = {
    "halt": (
        "halt: cancels what could increase, closes every position, cancels the rest, "
        "verifies flat, and stays halted until `cqx rearm`."
    ),
    "flatten": (
        "flatten: cancels every order and closes every position, verifies flat, and "
        "then stays LOCKED until `cqx rearm`."
    ),
    "rearm": (
        "rearm: accepts the equity read now as the new baseline, starts a new 24 h "
        "window, ends a halt (only if the account is proven flat) and lets new "
        "positions open again.\n"
        "It does not open, restore or close anything, change a limit, or clear the "
        "journal, the trip record or undelivered alarms."
    ),
}


_OTHER_SETTINGS: Final = (
    "the daemon began with other settings ([risk], or its addresses and keys in "
    "[venues]) than there are now: they hold from its next start"
)


def status(
    config: Path | None, *, is_color: bool = False, width: int = WIDTH
) -> tuple[dict[str, Any], str, bool]:
    """
    Return the status as an object, as a page, and whether the guard is well.

    Nothing of it needs another part to run: an unreachable daemon or bus is a problem
    told, and the rest is still shown. The bus is listened to for 1.6 s at most.
    """
    settings = load_settings(config)
    found: RiskStatus | None = None
    answer, heard = asyncio.run(_ask(settings))
    now_ns = SystemClock().time_ns()
    if isinstance(answer, DaemonError):
        wrong, notes = [str(answer)], []
    else:
        found = with_kept_drill(answer, settings, now_ns)
        wrong, notes = problems(found, build_stamp()), remarks(found)
        is_here = is_loopback(settings.risk.url)
        if is_here and found.settings and found.settings != risk_digest(settings):
            notes.append(_OTHER_SETTINGS)
    traded = trading(
        settings,
        heard,
        read_mirror(settings.journal_path),
        _journal_rows(settings),
        build=build_stamp(),
        now_ns=now_ns,
    )
    report = read_record(settings.directory / "up" / "services.json")
    notes += [*_not_ready(report), *traded.problems()]
    alarms = alarms_view(read_progress(settings.directory / ALARMS), now_ns)
    notes += alarms.remarks
    value: dict[str, Any] = {
        "ok": not wrong,
        "problems": wrong,
        "remarks": notes,
        "state": None,
        **(asdict(found) if found else {}),
        **asdict(traded),
        "supervisor": asdict(report) if report else None,
        "alarms": alarms.value,
    }
    page = view(
        found,
        report,
        traded,
        verdict=Verdict(wrong, notes, alarms.rows),
        now_ns=now_ns,
        is_color=is_color,
        width=width,
    )
    return value, page, not wrong


def _not_ready(report: SupervisorReport | None) -> Iterator[str]:
    if report is None:
        return
    if not report.is_alive:
        yield "`cqx up` does not run here: nothing trades, records or tells"
        return
    for service in report.services:
        if not (service.is_alive and service.condition == Condition.READY):
            yield f"{service.name} is not ready: {service.note or 'see ' + service.log}"


def order(
    verb: str,
    config: Path | None,
    *,
    who: str | None,
    reason: str | None,
    is_live: bool = False,
) -> dict[str, str]:
    """
    Carry out ``halt``, ``flatten`` or ``rearm``; return the daemon's new state.

    Raises
    ------
    SettingsError
        If nobody or no reason is named, or a live venue would be armed unsaid.
    DaemonError
        If the daemon does not answer or refuses: its own sentence.
    """
    assert verb in MEANING, verb
    if not (who and who.strip()) or not (reason and reason.strip()):
        msg = f"cqx {verb} needs a person and a reason: --who NAME --reason TEXT"
        raise SettingsError(msg)
    settings = load_settings(config)
    if verb == "rearm":
        refuse_live(settings, is_live=is_live, act="cqx rearm")
    state = asyncio.run(
        _order(verb, settings.risk.url, risk_token(settings), who.strip(), reason)
    )
    return {"done": verb, "state": state.value, "who": who.strip(), "reason": reason}


async def _ask(settings: Settings) -> tuple[RiskStatus | DaemonError, Heard]:
    """Ask the daemon and listen to the bus, at the same time."""
    heard = asyncio.create_task(hear(settings))
    url, token = settings.risk.url, risk_token(settings)
    async with OperatorClient(url, token) as client:
        try:
            answer: RiskStatus | DaemonError = await client.status()
        except DaemonError as error:
            answer = error
    return answer, await heard


def _journal_rows(settings: Settings) -> int | None:
    """Return how many rows the mirror has to repeat; None where nobody can say."""
    if not settings.journal.mirror.get_secret_value():
        return None
    try:
        return JournalReader(settings.journal_path).last_change()
    except CryptoquantixError:
        return None


async def _order(verb: str, url: str, token: str, who: str, reason: str) -> RiskState:  # noqa: PLR0917 - one call site
    async with OperatorClient(url, token) as client:
        carry_out = {
            "halt": client.halt,
            "flatten": client.flatten,
            "rearm": client.rearm,
        }[verb]
        return await carry_out(who=who, reason=reason)
