"""``cqx drill``: composes a fault drill on a fresh simulator; it judges nothing."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

import numpy as np

from cryptoquantix.apps.rehearsal import COMMAND, write_settings
from cryptoquantix.apps.settings import load_settings
from cryptoquantix.control.build import build_stamp
from cryptoquantix.core.clock import SystemClock
from cryptoquantix.core.errors import SettingsError
from cryptoquantix.drills.account import AccountOwner
from cryptoquantix.drills.flash_crash import FlashCrash, KillResult
from cryptoquantix.drills.simulator_admin import SimulatorAdmin
from cryptoquantix.risk_client.operator import OperatorClient
from cryptoquantix.risk_client.permit import PermitClient
from cryptoquantix.supervisor.announced import AnnouncedProcess

DRILLS: Final = ("flash-crash",)
RUNS_MAX: Final = 1_000
_SEED: Final = 20_240_805


def run(
    name: str, runs: int, report: Callable[[int, KillResult], None]
) -> dict[str, Any]:
    """
    Carry a drill out ``runs`` times and return ``{"drills": [...], "runs": [...]}``.

    ``report`` is called after each run. Times are milliseconds from the moment the
    simulated account's true drawdown reached the threshold.

    Raises
    ------
    SettingsError
        If there is no such drill, or ``runs`` is out of bounds.
    """
    if name not in (*DRILLS, "all"):
        msg = f"no drill {name!r}, expected one of {', '.join((*DRILLS, 'all'))}"
        raise SettingsError(msg)
    if not 1 <= runs <= RUNS_MAX:
        msg = f"runs must be from 1 to {RUNS_MAX}, was {runs}"
        raise SettingsError(msg)
    with tempfile.TemporaryDirectory(prefix="cqx-drill-") as directory:
        results = asyncio.run(_flash_crash(Path(directory), runs, report))
    return {
        "drills": [_summary("flash-crash", results)],
        "runs": [result.as_json() for result in results],
    }


async def _flash_crash(
    directory: Path, runs: int, report: Callable[[int, KillResult], None]
) -> list[KillResult]:
    phases = np.random.default_rng(_SEED).uniform(0.0, 1.0, runs)
    results = []
    for number, phase in enumerate(phases, start=1):
        result = await _one_crash(directory / f"run-{number}", float(phase))
        report(number, result)
        results.append(result)
    return results


async def _one_crash(directory: Path, phase_seconds: float) -> KillResult:
    """
    Crash a fresh simulator under a fresh daemon.

    Fresh, because kills in a row would share one minute of the venue's request
    weight, which one kill has for itself.
    """
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        simulate = [*COMMAND, "simulate", "--json", "--venues", "binance"]
        simulate += ["--generate", str(_SEED)]
        simulator = await stack.enter_async_context(
            AnnouncedProcess(simulate, directory / "simulator.log")
        )
        path = write_settings(directory, simulator.line, catalog=directory / "catalog")
        settings = load_settings(path)
        token = settings.risk.token.get_secret_value()
        risk = [*COMMAND, "risk", "--json", "--config", str(path)]
        await stack.enter_async_context(AnnouncedProcess(risk, directory / "risk.log"))
        await stack.enter_async_context(_holder(settings.risk.url, token))
        binance = simulator.line["venues"]["binance"]
        admin = SimulatorAdmin(simulator.line["admin"])
        owner = AccountOwner(binance["rest"], binance["key"], binance["secret"], clock)
        operator = OperatorClient(settings.risk.url, token)
        for client in (admin, owner, operator):
            await stack.enter_async_context(client)
        return await FlashCrash(admin, owner, operator, clock).run(phase_seconds)


@asynccontextmanager
async def _holder(url: str, token: str) -> AsyncIterator[None]:
    """Hold the permit as execution does: without a holder the daemon cancels."""
    client = PermitClient(
        url=url,
        token=token,
        holder="drill",
        build=build_stamp(),
        clock=SystemClock(),
    )
    client.reconciled()
    task = asyncio.create_task(client.run(), name="permit")
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def _summary(name: str, results: list[KillResult]) -> dict[str, Any]:
    """Return the drill's line: medians and worst of what was reached."""
    summary: dict[str, Any] = {
        "drill": name,
        "passed": all(result.passed for result in results),
    }
    for field in ("detected_ms", "sent_ms", "filled_ms", "flat_ms"):
        values = [getattr(result.times, field) for result in results]
        reached = [value for value in values if value is not None]
        summary[field] = statistics.median(reached) if reached else None
        summary[f"{field}_worst"] = max(reached, default=None)
    flat = sum(result.passed for result in results)
    summary["notes"] = f"{flat} of {len(results)} runs ended verified flat and latched"
    return summary


def table(result: Mapping[str, Any]) -> str:
    """Return a drill's result as text for a person, medians with worst in brackets."""
    lines = [f"{'drill':<14}{'passed':<8}{'detected':>16}{'sent':>16}{'flat':>16}"]
    for one in result["drills"]:
        times = "".join(
            f"{_both(one[field], one[f'{field}_worst']):>16}"
            for field in ("detected_ms", "sent_ms", "flat_ms")
        )
        lines.append(f"{one['drill']:<14}{one['passed']!s:<8}{times}  {one['notes']}")
    lines.append("ms from the true crossing of the threshold: median (worst)")
    return "\n".join(lines)


def _both(median: float | None, worst: float | None) -> str:
    return "never" if median is None else f"{median:.0f} ({worst:.0f})"
