"""
Where the results of drills are kept: the daemon's audit log, else a file beside it.

The file is for drills that were carried out while no daemon ran. ``cqx status`` shows
whichever is newer.
"""

from __future__ import annotations

import asyncio
import getpass
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

from cryptoquantix.apps.settings import Settings
from cryptoquantix.apps.token import risk_token
from cryptoquantix.control.status import DrillResult, RiskStatus
from cryptoquantix.core.clock import NS_PER_MS, Clock
from cryptoquantix.core.errors import DaemonError
from cryptoquantix.risk_client.operator import OperatorClient

_TIMES: Final = ("detected_ms", "sent_ms", "flat_ms")
_NOTES_MAX: Final = 400


def results_of(result: Mapping[str, Any], clock: Clock) -> list[DrillResult]:
    """
    Return what a run of drills is remembered by: each drill, and then all of them.

    Of several drills a last entry named ``all`` says how many passed.
    """
    now_ns, who = clock.time_ns(), _who()
    found = [
        DrillResult(
            drill=one["drill"],
            passed=one["passed"],
            time_ns=now_ns,
            who=who,
            notes=one["notes"][:_NOTES_MAX],
            **{name: one[name] for name in _TIMES},
        )
        for one in result["drills"]
    ]
    if len(found) > 1:
        passed = sum(one.passed for one in found)
        notes = f"{passed} of {len(found)} drills passed"
        every = DrillResult(
            "all", passed == len(found), now_ns + 1, who=who, notes=notes
        )
        found.append(every)
    return found


def keep_results(
    settings: Settings, result: Mapping[str, Any], clock: Clock
) -> tuple[str, str]:
    """
    Give the results to the daemon, else to the file; return where, and why there.

    Where the settings' folder does not exist there is no deployment, and the results
    are kept nowhere: then both texts are empty.
    """
    found = results_of(result, clock)
    try:
        asyncio.run(_report(settings.risk.url, risk_token(settings), found))
    except DaemonError as error:
        if not settings.directory.is_dir():
            return "", ""
        file = _file(settings)
        file.parent.mkdir(exist_ok=True)
        _write(file, found)
        return str(file), str(error)
    return "the daemon's audit log", ""


async def _report(url: str, token: str, results: Sequence[DrillResult]) -> None:
    async with OperatorClient(url, token) as client:
        for one in results:
            await client.add_drill(one)


def with_kept_drill(status: RiskStatus, settings: Settings, now_ns: int) -> RiskStatus:
    """Return the status with the newest drill, from the file if that one is."""
    kept = last_kept(settings)
    if kept is None:
        return status
    if status.drill is not None and status.drill.time_ns >= kept.time_ns:
        return status
    age_ms = (now_ns - kept.time_ns) // NS_PER_MS
    return replace(status, drill=kept, drill_age_ms=age_ms)


def last_kept(settings: Settings) -> DrillResult | None:
    """Return the newest result in the file, None where there is none."""
    try:
        rows = json.loads(_file(settings).read_text())["drills"]
        return DrillResult(**rows[-1])
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return None


def _file(settings: Settings) -> Path:
    return settings.risk_store_path.parent / "drills.json"


def _write(file: Path, results: Sequence[DrillResult]) -> None:
    """Replace the file whole: half of it would be no record."""
    text = json.dumps({"drills": [asdict(one) for one in results]}, indent=1)
    fresh = file.with_suffix(".new")
    fresh.write_text(text + "\n")
    fresh.replace(file)


def _who() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "somebody"
