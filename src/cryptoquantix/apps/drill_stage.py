"""
A stage for one drill: fresh processes on loopback, or a deployment that runs already.

It starts and connects; what happens on the stage is the drill's.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

from cryptoquantix.apps.loopback import live_addresses
from cryptoquantix.apps.rehearsal import COMMAND, write_settings
from cryptoquantix.apps.settings import Settings, load_settings
from cryptoquantix.apps.token import risk_token
from cryptoquantix.control.build import build_stamp
from cryptoquantix.core.clock import Clock, SystemClock
from cryptoquantix.core.errors import SettingsError
from cryptoquantix.drills.account import AccountOwner
from cryptoquantix.drills.daemon_process import DaemonProcess
from cryptoquantix.drills.drill import Drill
from cryptoquantix.drills.holder import Holder
from cryptoquantix.drills.owners import owner_of
from cryptoquantix.drills.simulator_admin import SimulatorAdmin
from cryptoquantix.drills.stage import Sides, Stage
from cryptoquantix.drills.telegram_stand_in import TelegramStandIn
from cryptoquantix.risk_client.operator import OperatorClient
from cryptoquantix.risk_client.permit import PermitClient
from cryptoquantix.supervisor.announced import AnnouncedProcess

SEED: Final = 20_240_805
_TELEGRAM_TOKEN: Final = "1:drill"  # noqa: S105 - of a stand-in


@asynccontextmanager
async def fresh_stage(
    drill: Drill,
    directory: Path,
    venues: Sequence[str],
    *,
    risk: Mapping[str, object] | None = None,
) -> AsyncIterator[Stage]:
    """
    Start a simulator and a daemon in ``directory``, and end them with the block.

    Fresh for every drill: kills in a row would share one minute of a venue's request
    weight, which one kill has for itself. ``risk`` are settings of the daemon.
    """
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        simulate = [*COMMAND, "simulate", "--json", "--venues", ",".join(venues)]
        simulate += ["--generate", str(SEED), "--balance", drill.balance]
        if not drill.has_rate_limits:
            simulate.append("--no-rate-limits")
        simulator = await stack.enter_async_context(
            AnnouncedProcess(simulate, directory / "simulator.log")
        )
        stand_in = TelegramStandIn(clock) if drill.needs_telegram else None
        if stand_in is not None:
            await stack.enter_async_context(stand_in)
        path = write_settings(
            directory,
            simulator.line,
            catalog=directory / "catalog",
            telegram=_telegram(stand_in),
            risk=risk,
        )
        settings = load_settings(path)
        daemon = DaemonProcess(
            ["risk", "--json", "--config", str(path)],
            store=settings.risk_store_path.parent,
            log=directory / "risk.log",
            environment=os.environ,
        )
        stack.push_async_callback(daemon.stop)
        await daemon.start()
        if stand_in is not None:
            alarms = [*COMMAND, "alarms", "--json", "--config", str(path)]
            await stack.enter_async_context(
                AnnouncedProcess(alarms, directory / "alarms.log")
            )
        stage = await _stage(
            stack,
            settings,
            simulator.line["admin"],
            simulator.line["venues"],
            clock=clock,
            daemon=daemon,
            telegram=stand_in,
            directory=directory,
        )
        stage.holder.start()
        yield stage


@asynccontextmanager
async def running_stage(
    config: Path | None, admin: str, directory: Path
) -> AsyncIterator[Stage]:
    """
    Connect to a deployment that runs, and to the simulator it trades at.

    Raises
    ------
    SettingsError
        If any of its venues is not on this machine.
    """
    settings = load_settings(config)
    live = live_addresses(settings)
    if live:
        msg = f"a drill crashes prices and closes positions: not at {live[0]}"
        raise SettingsError(msg)
    if not settings.venues:
        msg = "no venue is set: there is nothing to drill (see [venues])"
        raise SettingsError(msg)
    where = {
        name: {
            "rest": venue.rest,
            "key": venue.key.get_secret_value(),
            "secret": venue.secret.get_secret_value(),
        }
        for name, venue in settings.venues.items()
    }
    async with AsyncExitStack() as stack:
        yield await _stage(
            stack, settings, admin, where, clock=SystemClock(), directory=directory
        )


async def _stage(
    stack: AsyncExitStack,
    settings: Settings,
    admin_url: str,
    where: Mapping[str, Any],
    *,
    clock: Clock,
    directory: Path,
    daemon: DaemonProcess | None = None,
    telegram: TelegramStandIn | None = None,
) -> Stage:
    token = risk_token(settings)
    admin = SimulatorAdmin(admin_url)
    operator = OperatorClient(settings.risk.url, token)
    owners: dict[str, AccountOwner] = {
        name: owner_of(name, venue, clock) for name, venue in where.items()
    }
    holders = [
        Holder(
            PermitClient(
                url=settings.risk.url,
                token=token,
                holder=name,
                build=build_stamp(),
                clock=clock,
            )
        )
        for name in ("drill", "second drill")
    ]
    await stack.enter_async_context(admin)
    await stack.enter_async_context(operator)
    for owner in owners.values():
        await stack.enter_async_context(owner)
    for holder in holders:
        stack.push_async_callback(holder.stop)
    return Stage(
        Sides(admin, owners, operator, *holders),
        clock=clock,
        daemon=daemon,
        telegram=telegram,
        directory=directory,
    )


def _telegram(stand_in: TelegramStandIn | None) -> dict[str, str] | None:
    if stand_in is None:
        return None
    return {"base_url": stand_in.url, "token": _TELEGRAM_TOKEN, "chat_id": "1"}
