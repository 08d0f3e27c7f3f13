"""The simulator's process: sockets, the pump of the tape, timers, orderly end."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import signal
from collections.abc import Callable
from typing import Any

from aiohttp import web

from cryptoquantix.simulator.admin import Admin
from cryptoquantix.simulator.server import BUFFER_BYTES_HIGH, VenueServer, listen
from cryptoquantix.simulator.world import World

TIMER_SECONDS = 0.05
WAIT_SECONDS_MAX = 0.02
WAIT_SECONDS_MIN = 0.001
TURNS_BETWEEN_BURSTS = 5
REAL_TIME_SPEED = 10.0  # up to here the tape waits for no reader


class Simulation:
    """A world behind its sockets."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.servers = {n: VenueServer(v, world.clock) for n, v in world.venues.items()}
        self._admin = Admin(world, self.servers)
        self._waiting_bytes = 0

    async def serve(
        self,
        host: str,
        ports: dict[str, int],
        admin_port: int,
        on_ready: Callable[[dict[str, int], int], None],
    ) -> None:
        """
        Serve until cancelled or told to stop by SIGINT or SIGTERM.

        ``on_ready`` gets the ports once all of them listen. Cancelled, it closes
        every connection.
        """
        _raise_file_limit()
        web_admin = web.Server(self._admin.handle, access_log=None)
        admin: asyncio.Server | None = None
        try:
            bound = {
                name: await server.start(host, ports.get(name, 0))
                for name, server in self.servers.items()
            }
            admin = await listen(web_admin, host, admin_port)
            on_ready(bound, int(admin.sockets[0].getsockname()[1]))
            await self._run()
        finally:
            if admin is not None:
                admin.close()
            for server in self.servers.values():
                await server.stop()
            await web_admin.shutdown(1.0)
            self.world.record.close()

    async def _run(self) -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
                loop.add_signal_handler(number, stop.set)
        async with asyncio.TaskGroup() as tasks:
            parts = [
                tasks.create_task(self._pump()),
                tasks.create_task(self._tick_timer()),
            ]
            await stop.wait()
            for part in parts:
                part.cancel()

    async def _pump(self) -> None:
        """Play the tape in bounded bursts; REST is served between two of them."""
        world, tape = self.world, self.world.tape
        while True:
            if self._waiting_bytes > BUFFER_BYTES_HIGH and tape.speed > REAL_TIME_SPEED:
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
            now_ns = world.clock.monotonic_ns()
            wait = tape.wait_seconds(now_ns, WAIT_SECONDS_MAX)
            await asyncio.sleep(max(WAIT_SECONDS_MIN, wait))

    async def _tick_timer(self) -> None:
        while True:
            self.world.timer()
            self._flush()
            self.world.record.flush()
            await asyncio.sleep(TIMER_SECONDS)

    def _flush(self) -> None:
        self._waiting_bytes = max(s.flush() for s in self.servers.values())


def _raise_file_limit() -> None:
    """Allow as many connections as the system lets this process have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def describe(host: str, bound: dict[str, int], admin: int) -> dict[str, Any]:
    """Return the line that says where everything is."""
    return {
        "venues": {
            name: {
                "rest": f"http://{host}:{port}",
                "ws": f"ws://{host}:{port}",
            }
            for name, port in bound.items()
        },
        "admin": f"http://{host}:{admin}",
    }
