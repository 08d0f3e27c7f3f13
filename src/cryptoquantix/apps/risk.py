"""
``cqx risk``: the kill-switch daemon, put together; it loads nothing that trades.

No bus, no journal, no strategy, no dataframe: what is not in this process cannot stop
it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptoquantix.apps.loopback import is_loopback, live_addresses
from cryptoquantix.apps.risk_digest import risk_digest
from cryptoquantix.apps.risk_limits import limits_of
from cryptoquantix.apps.service import run_until_stopped
from cryptoquantix.apps.settings import Settings, load_settings
from cryptoquantix.apps.token import risk_token
from cryptoquantix.control.build import build_stamp
from cryptoquantix.core.clock import Clock, SystemClock
from cryptoquantix.core.errors import SettingsError
from cryptoquantix.risk.daemon import Daemon
from cryptoquantix.risk.durable import DurableStore
from cryptoquantix.risk.rules import Limits
from cryptoquantix.risk.steps import KillAt, Reached, nothing
from cryptoquantix.risk_server.server import RiskServer
from cryptoquantix.venues.emergency import Emergency, open_emergency

type Ready = Callable[[dict[str, Any]], None]


def run(config: Path | None, listen: str | None, on_ready: Ready) -> None:
    """
    Run the daemon until it is told to stop.

    Raises
    ------
    SettingsError, CredentialsRefused
        Before anything was read, written or sent: one sentence.
    """
    settings = load_settings(config)
    host, port = address(listen or settings.risk.listen)
    token = risk_token(settings)
    if not token and not is_loopback(f"//{host}"):
        msg = (
            f"risk.token must be set to listen on {host}: without one, anybody who "
            "reaches the daemon could rearm it"
        )
        raise SettingsError(msg)
    if not settings.venues:
        msg = "no venue is set: the risk daemon has nothing to watch (see [venues])"
        raise SettingsError(msg)
    limits = limits_of(settings.risk)
    run_until_stopped(
        lambda: _serve(settings, limits, (host, port), token, on_ready=on_ready)
    )


def address(text: str) -> tuple[str, int]:
    """
    Return host and port of ``host:port``.

    Raises
    ------
    SettingsError
        If ``text`` is something else.
    """
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > 65_535:
        msg = f"risk.listen must be host:port, was {text!r}"
        raise SettingsError(msg)
    return host.strip("[]"), int(port)


async def _serve(
    settings: Settings,
    limits: Limits,
    where: tuple[str, int],
    token: str,
    *,
    on_ready: Ready,
) -> None:
    clock = SystemClock()
    reached = _seam(settings)
    durable = DurableStore.open(settings.risk_store_path, clock)
    venues = await _venues(settings, clock)
    try:
        daemon = Daemon(
            venues,
            durable,
            limits=limits,
            clock=clock,
            build=build_stamp(),
            reached=reached,
            settings=risk_digest(settings),
        )
        await daemon.check_keys()
        server = RiskServer(daemon, token=token)
        listening = await server.start(*where)
        try:
            daemon.resume()
            on_ready({"listening": listening, "state": daemon.state.value})
            logging.getLogger(__name__).info("listening on %s", listening)
            await daemon.run()
        finally:
            await server.close()
    finally:
        await asyncio.gather(*(venue.close() for venue in venues.values()))
        durable.close()


def _seam(settings: Settings) -> Reached:
    """Return what is told of each step of a halt: drills may kill the daemon at one."""
    text = settings.risk.kill_at_step
    if not text:
        return nothing
    live = live_addresses(settings)
    if live:
        msg = f"risk.kill_at_step is for drills on this machine, not for {live[0]}"
        raise SettingsError(msg)
    return KillAt(text)


async def _venues(settings: Settings, clock: Clock) -> dict[str, Emergency]:
    """Return a client with keys of its own for every venue, or none open at all."""
    opened: dict[str, Emergency] = {}
    try:
        for name, venue in settings.venues.items():
            opened[name] = open_emergency(
                name,
                rest=venue.rest,
                key=venue.risk.key.get_secret_value(),
                secret=venue.risk.secret.get_secret_value(),
                clock=clock,
            )
    except SettingsError:
        await asyncio.gather(*(client.close() for client in opened.values()))
        raise
    return opened
