"""
``cqx up``: every service on this machine, each restarted alone; it trades nothing.

The risk daemon outlives it. Stopping ends the daemon too only when the daemon says
that the book is flat, or when ``--leave-unguarded`` was given.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from cryptoquantix.apps.keys import refuse_keyless
from cryptoquantix.apps.logs import setup_logs
from cryptoquantix.apps.loopback import is_loopback, refuse_live
from cryptoquantix.apps.risk_digest import risk_digest
from cryptoquantix.apps.service import run_until_stopped
from cryptoquantix.apps.services import (
    NATS,
    RISK,
    child_specs,
    nats_port,
    nats_spec,
    risk_port,
    risk_spec,
    simulator_ports,
    simulator_spec,
    stop_stages,
)
from cryptoquantix.apps.settings import Settings, load_settings
from cryptoquantix.apps.token import make_risk_token, risk_token
from cryptoquantix.control.build import build_stamp
from cryptoquantix.core.clock import SystemClock
from cryptoquantix.core.errors import (
    CryptoquantixError,
    DaemonError,
    SettingsError,
)
from cryptoquantix.risk_client.operator import OperatorClient
from cryptoquantix.supervisor.child import Child
from cryptoquantix.supervisor.detached import Detached
from cryptoquantix.supervisor.process import describe, is_listening, listener
from cryptoquantix.supervisor.service import Condition, ServiceSpec, ServiceState
from cryptoquantix.supervisor.supervisor import Supervised, Supervisor

_NATS_SECONDS: Final = 10.0
_RISK_SECONDS: Final = 20.0
_OTHERS_SECONDS: Final = 25.0
_ASK_AGAIN_SECONDS: Final = 1.0
_PORT_SECONDS: Final = 3.0

type Announce = Callable[[ServiceState], None]
type OnReady = Callable[[dict[str, Any]], None]


class StoppedAtOnce(CryptoquantixError):  # noqa: N818 - it names what happened
    """A second Ctrl-C: what was being ended in order was killed."""


def run(
    config: Path | None,
    *,
    is_live: bool,
    leave_unguarded: bool,
    announce: Announce,
    on_ready: OnReady,
    say: Callable[[str], None],
) -> None:
    """
    Run everything until SIGINT or SIGTERM.

    ``announce`` is told when a service is ready, ends or is stopped, ``on_ready`` once
    that all are ready (with what is not yet, after 25 s), ``say`` what became of the
    daemon.

    Raises
    ------
    SettingsError
        If a setting does not allow it, a port is taken, or it already runs here.
    StoppedAtOnce
        If it was asked to stop a second time while it was stopping.
    """
    settings = load_settings(config)
    if not settings.venues:
        msg = "the settings name no venue: `cqx init` writes an example"
        raise SettingsError(msg)
    refuse_live(settings, is_live=is_live, act="cqx up")
    refuse_keyless(settings)
    with _only_one(settings.directory / "up" / "lock"):
        setup_logs("up", settings.log_directory / "up.log")
        up = Up(settings, config, announce, on_ready)
        run_until_stopped(lambda: up.run(leave_unguarded=leave_unguarded, say=say))


def line(state: ServiceState) -> str:
    """Return one service's change as a line for a person."""
    if state.condition is Condition.READY:
        again = " again" if state.restarts else ""
        return f"{state.name:<14}ready{again} (pid {state.pid})"
    said = state.note
    if state.condition is Condition.STOPPED:
        # Still what it said when it last ended by itself.
        said = said.removeprefix(f"{Condition.STOPPED}: ")
    note = f": {said}" if said else ""
    return f"{state.name:<14}{state.condition.value}{note}"


def started(what: dict[str, Any]) -> str:
    """Return ``on_ready``'s answer as a sentence for a person."""
    if not what["not_ready"]:
        return "everything is ready; Ctrl-C stops it"
    return f"not ready yet: {'; '.join(what['not_ready'])}; Ctrl-C stops everything"


class Up:
    """One run of ``cqx up``."""

    def __init__(
        self,
        settings: Settings,
        config: Path | None,
        announce: Announce,
        on_ready: OnReady,
    ) -> None:
        self._settings = settings
        self._config = config
        self._announce = announce
        self._on_ready = on_ready
        self._clock = SystemClock()
        self._token = _token(settings)
        self._specs = child_specs(settings, config, self._token)
        self._risk: Detached | None = None
        self._told: dict[str, tuple[Condition, str]] = {}

    async def run(self, *, leave_unguarded: bool, say: Callable[[str], None]) -> None:
        """Start in order, watch, and on cancellation stop in order."""
        supervisor = Supervisor(
            record=self._settings.directory / "up" / "services.json",
            build=build_stamp(),
            on_change=self._tell,
        )
        url = self._settings.risk.url
        async with OperatorClient(url, self._token, answer_seconds=4.0) as client:
            try:
                await self._start_bus(supervisor)
                await self._start_simulator(supervisor)
                await self._start_risk(supervisor, client)
                await self._start_others(supervisor)
                await supervisor.watch()
            finally:
                try:
                    await self._stop(
                        supervisor, client, say, leave_unguarded=leave_unguarded
                    )
                except asyncio.CancelledError:
                    # Asked to stop a second time. The kernel ends every child with
                    # us; the daemon has no parent and stays.
                    raise StoppedAtOnce(_left_by(self._risk)) from None
                finally:
                    supervisor.forget()

    async def _stop(
        self,
        supervisor: Supervisor,
        client: OperatorClient,
        say: Callable[[str], None],
        *,
        leave_unguarded: bool,
    ) -> None:
        """End all in order; the bus last, so that nobody misses it."""
        for stage in stop_stages(state.name for state in supervisor.states):
            await supervisor.stop(*stage)
        if self._risk is not None:
            await supervisor.stop(RISK)
            say(await release(self._risk, client, leave_unguarded=leave_unguarded))
        # A paper account's venue after the daemon, which asks it what is left.
        await supervisor.stop()

    async def _start_bus(self, supervisor: Supervisor) -> None:
        if not self._settings.nats.embedded:
            return
        await _wait_free(nats_port(self._settings), "nats.url")
        nats = self._child(supervisor, nats_spec(self._settings))
        supervisor.start(nats)
        await supervisor.wait_ready(nats, _NATS_SECONDS)

    async def _start_simulator(self, supervisor: Supervisor) -> None:
        spec = simulator_spec(self._settings, self._config)
        if spec is None:
            return
        for setting, port in simulator_ports(self._settings).items():
            await _wait_free(port, setting)
        simulator = self._child(supervisor, spec)
        supervisor.start(simulator)
        # However long: without a network it says so, and is started again.
        await supervisor.wait_ready(simulator, None)

    async def _start_risk(self, supervisor: Supervisor, client: OperatorClient) -> None:
        if not is_loopback(self._settings.risk.url):
            await _check_daemon(client, "the daemon at risk.url")
            return
        port = risk_port(self._settings)
        if is_listening(port):
            who = describe(await asyncio.to_thread(listener, port))
            what = f"risk.listen's port {port} is taken by {who}"
            await _check_daemon(client, what, risk_digest(self._settings))
        spec = risk_spec(self._settings, self._config, self._token, client.is_healthy)
        self._risk = Detached(
            spec, port=port, clock=self._clock, on_change=supervisor.changed
        )
        supervisor.start(self._risk)
        await supervisor.wait_ready(self._risk, _RISK_SECONDS)

    async def _start_others(self, supervisor: Supervisor) -> None:
        services: list[Supervised] = [
            self._child(supervisor, spec) for spec in self._specs
        ]
        for service in services:
            supervisor.start(service)
        waits = [asyncio.create_task(service.ready.wait()) for service in services]
        await asyncio.wait(waits, timeout=_OTHERS_SECONDS)
        for wait in waits:
            wait.cancel()
        states = supervisor.states
        self._on_ready(
            {
                "services": {state.name: state.pid for state in states},
                "not_ready": [
                    f"{state.name}: {state.note or state.condition.value}"
                    for state in states
                    if state.condition is not Condition.READY
                ],
                RISK: self._settings.risk.url,
                NATS: self._settings.nats.url,
            }
        )

    def _tell(self, state: ServiceState) -> None:
        """Announce what is news: the same failure again and again is none."""
        news = (state.condition, state.note)
        is_told = self._told.get(state.name) == news
        if state.condition is Condition.STARTING or is_told:
            return
        self._told[state.name] = news
        self._announce(state)

    def _child(self, supervisor: Supervisor, spec: ServiceSpec) -> Child:
        return Child(spec, clock=self._clock, on_change=supervisor.changed)


def _token(settings: Settings) -> str:
    """Return the daemon's token, made here when everything is on this machine."""
    if is_loopback(settings.risk.url) and is_loopback(f"tcp://{settings.risk.listen}"):
        return make_risk_token(settings)
    token = risk_token(settings)
    if not token:
        msg = (
            f"risk.token is empty, but the daemon at {settings.risk.url} is not only "
            f"for this machine: set one, the same on both"
        )
        raise SettingsError(msg)
    return token


async def _check_daemon(client: OperatorClient, what: str, settings: str = "") -> None:
    """Let a daemon pass that is ours, runs our code and knows these settings."""
    try:
        status = await client.status()
    except DaemonError as error:
        msg = f"{what}, which is no risk daemon of this deployment: {error}"
        raise SettingsError(msg) from None
    if status.build != build_stamp():
        msg = (
            f"{what}, a risk daemon of build {status.build}, but this is "
            f"{build_stamp()}: end it when the book is flat (SIGTERM), then start again"
        )
        raise SettingsError(msg)
    if settings and status.settings != settings:
        msg = (
            f"{what}, the risk daemon of this deployment, but [risk] or its addresses "
            f"and keys in [venues] were changed since it began: end it (SIGTERM; what "
            f"it guards by is kept), then start again, or take the change back"
        )
        raise SettingsError(msg)


def _left_by(risk: Detached | None) -> str:
    said = "stopped at once, nothing was ended in order"
    if risk is None:
        return said
    return (
        f"{said}; the risk daemon keeps running (pid {risk.state.pid}), the next "
        f"`cqx up` adopts it"
    )


async def release(
    risk: Detached, client: OperatorClient, *, leave_unguarded: bool
) -> str:
    """Stop the daemon if nothing is left to guard; return what was done and why."""
    if not risk.is_running:
        return (
            "the risk daemon does NOT run: nothing guards what is open; "
            "`cqx logs risk` says why it ended"
        )
    why = await _left(client)
    if why:
        # A halt's last step, or a reading that came late: asked once more.
        await asyncio.sleep(_ASK_AGAIN_SECONDS)
        why = await _left(client)
    is_flat = not why
    if is_flat or leave_unguarded:
        await risk.stop()
        note = "the book is flat" if is_flat else "UNGUARDED, as --leave-unguarded asks"
        return f"the risk daemon was stopped: {note}"
    return (
        f"the risk daemon keeps running (pid {risk.state.pid}): {why}; "
        f"the next `cqx up` adopts it"
    )


async def _left(client: OperatorClient) -> str:
    """Return what is left to guard, or why nobody knows; empty: the book is flat."""
    try:
        return await client.left()
    except DaemonError as error:
        return str(error)


async def _wait_free(port: int, setting: str) -> None:
    """Wait a moment for a port: what a killed `cqx up` left is still ending."""
    deadline = asyncio.get_running_loop().time() + _PORT_SECONDS
    while is_listening(port):
        if asyncio.get_running_loop().time() > deadline:
            who = describe(await asyncio.to_thread(listener, port))
            msg = f"{setting}'s port {port} is taken by {who}: stop it or change it"
            raise SettingsError(msg)
        await asyncio.sleep(0.1)


@contextmanager
def _only_one(lock: Path) -> Iterator[None]:
    """Hold the lock of this directory, which the kernel frees when we die."""
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        file = lock.open("a+")
    except OSError as error:
        msg = f"cannot write in {lock.parent}: {error.strerror}"
        raise SettingsError(msg) from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            pid = file.read().strip() or "?"
            msg = f"cqx up already runs in {lock.parent.parent} (pid {pid})"
            raise SettingsError(msg) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
