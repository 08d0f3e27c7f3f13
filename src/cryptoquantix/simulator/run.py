"""The simulator's process: sockets, the pump of the tape, timers, orderly end."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import signal
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cryptoquantix.core.errors import SettingsError
from cryptoquantix.simulator.admin import Admin
from cryptoquantix.simulator.delay import NO_DELAY, Delay
from cryptoquantix.simulator.edges import listen
from cryptoquantix.simulator.fault_runner import FaultRunner
from cryptoquantix.simulator.faults import FaultBoard
from cryptoquantix.simulator.listener import BUFFER_BYTES_HIGH
from cryptoquantix.simulator.server import VenueServer
from cryptoquantix.simulator.tls_door import TlsDoor, make_files
from cryptoquantix.simulator.waiting_room import WaitingRoom
from cryptoquantix.simulator.world import World

TIMER_SECONDS = 0.05
WAIT_SECONDS_MAX = 0.02
WAIT_SECONDS_MIN = 0.001
WAIT_SECONDS_LOCK_STEP = 0.002
SAVE_SECONDS = 30.0
PATROL_SECONDS = 1.0
TURNS_BETWEEN_BURSTS = 5
REAL_TIME_SPEED = 10.0  # up to here the tape waits for no reader


class TlsBound(NamedTuple):
    """The TLS port, and the file of the authority to trust."""

    port: int
    ca: Path


class Bound(NamedTuple):
    """Where everything listens: venues by name, the admin API, the TLS port."""

    ports: dict[str, int]
    admin: int
    tls: TlsBound | None = None


class Simulation:
    """A world behind its sockets."""

    def __init__(
        self,
        world: World,
        *,
        fault_seed: int = 0,
        tls: Path | None = None,
        on_save: Callable[[], None] | None = None,
        delay: Delay = NO_DELAY,
        beside: Sequence[Callable[[], Coroutine[Any, Any, None]]] = (),
    ) -> None:
        """
        Prepare the servers; nothing listens yet.

        ``tls`` is a folder to put new certificates in, None for no TLS port;
        ``delay`` is how late what WebSockets say leaves; ``beside`` runs as long as
        the simulation, and what it raises ends it.
        """
        self.world = world
        board = FaultBoard(fault_seed)
        self.servers = {
            name: VenueServer(venue, world.clock, board, delay=delay)
            for name, venue in world.venues.items()
        }
        self.faults = FaultRunner(board, world, self.servers)
        self._admin = Admin(world, self.servers, self.faults)
        self._tls = tls
        self._on_save = on_save
        self._beside = beside
        self._waiting_bytes = 0

    async def serve(
        self,
        host: str,
        ports: dict[str, int],
        admin_port: int,
        on_ready: Callable[[Bound], None],
        *,
        tls_port: int = 0,
    ) -> None:
        """
        Serve until cancelled or told to stop by SIGINT or SIGTERM.

        ``on_ready`` gets the ports once all of them listen. Cancelled, it closes
        every connection. What is to be kept is saved last of all.
        """
        _raise_file_limit()
        # Before anybody knows that we are ready: an end is always an orderly one.
        stop = _stop_event()
        room = WaitingRoom(self._admin.handle, self.world.clock)
        admin: asyncio.Server | None = None
        door = TlsDoor(self.servers, self.world.clock)
        patrols = [room.patrol, door.patrol, *(s.patrol for s in self.servers.values())]
        try:
            bound = {
                name: await server.start(host, ports.get(name, 0))
                for name, server in self.servers.items()
            }
            admin = await listen(room.server, host, admin_port)
            tls: TlsBound | None = None
            if self._tls is not None:
                files = make_files(self._tls, self.world.clock.time_ns())
                tls = TlsBound(await door.start(host, tls_port, files), files.ca)
            on_ready(Bound(bound, int(admin.sockets[0].getsockname()[1]), tls))
            await self._run(stop, patrols)
        finally:
            if admin is not None:
                admin.close()
            for server in self.servers.values():
                await server.stop()
            await door.stop()
            await room.server.shutdown(1.0)
            if self._on_save is not None:
                self._on_save()
            self.world.record.close()

    async def _run(
        self, stop: asyncio.Event, patrols: Sequence[Callable[[], object]]
    ) -> None:
        async with asyncio.TaskGroup() as tasks:
            parts = [
                tasks.create_task(self._pump()),
                tasks.create_task(self._tick_timer()),
                tasks.create_task(self._save_timer()),
                tasks.create_task(_patrol(patrols)),
                *(tasks.create_task(start()) for start in self._beside),
            ]
            await stop.wait()
            for part in parts:
                part.cancel()

    async def _pump(self) -> None:
        """Play the tape in bounded bursts; REST is served between two of them."""
        world, tape = self.world, self.world.tape
        while True:
            is_fast = tape.is_lock_step or tape.speed > REAL_TIME_SPEED
            if self._waiting_bytes > BUFFER_BYTES_HIGH and is_fast:
                # A tape much faster than time waits for its slowest reader.
                tape.hold(world.clock.monotonic_ns())
                self._flush()
                await asyncio.sleep(WAIT_SECONDS_MAX / 4)
                continue
            is_behind = world.play()
            self._flush()
            if is_behind:
                # A request takes a few turns of the loop: all before the next burst.
                for _ in range(TURNS_BETWEEN_BURSTS):
                    await asyncio.sleep(0)
                continue
            if world.inlet is not None:
                await world.inlet.wait(WAIT_SECONDS_MAX)
                continue
            now_ns = world.clock.monotonic_ns()
            wait = tape.wait_seconds(now_ns, WAIT_SECONDS_MAX)
            if tape.is_lock_step:
                wait = WAIT_SECONDS_LOCK_STEP
            await asyncio.sleep(max(WAIT_SECONDS_MIN, wait))

    async def _tick_timer(self) -> None:
        while True:
            self.faults.turn()
            self.world.timer()
            self._flush()
            self.world.record.flush()
            await asyncio.sleep(TIMER_SECONDS)

    async def _save_timer(self) -> None:
        while self._on_save is not None:
            await asyncio.sleep(SAVE_SECONDS)
            try:
                self._on_save()
            except SettingsError as error:
                # A full disk is no reason to end; the last save will say so.
                record, time_ns = self.world.record, self.world.clock.time_ns()
                record.add("state", time_ns, error=str(error))

    def _flush(self) -> None:
        self._waiting_bytes = max(s.flush() for s in self.servers.values())


async def _patrol(patrols: Sequence[Callable[[], object]]) -> None:
    """Close what has been idle for too long, every second."""
    while True:
        await asyncio.sleep(PATROL_SECONDS)
        for patrol in patrols:
            patrol()


def _stop_event() -> asyncio.Event:
    """Return an event that SIGINT and SIGTERM set."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
            loop.add_signal_handler(number, stop.set)
    return stop


def _raise_file_limit() -> None:
    """Allow as many connections as the system lets this process have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def describe(host: str, bound: Bound) -> dict[str, Any]:
    """Return the line that says where everything is."""
    line: dict[str, Any] = {
        "venues": {
            name: {
                "rest": f"http://{host}:{port}",
                "ws": f"ws://{host}:{port}",
            }
            for name, port in bound.ports.items()
        },
        "admin": f"http://{host}:{bound.admin}",
    }
    if bound.tls is not None:
        line["tls"] = {"port": bound.tls.port, "ca": str(bound.tls.ca.absolute())}
    return line
