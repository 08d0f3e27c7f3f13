"""
Which services one machine runs, and what each of them is given; it starts none.

Every service gets the settings file by ``CQX_CONFIG`` and, by environment, an empty
value over each secret it has no business with: execution never holds the daemon's
venue key, the daemon never execution's, feed and strategy none at all.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable, Iterable, Iterator
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from cryptoquantix.apps.settings import DEFAULT_FILE, Settings
from cryptoquantix.bus.server import nats_command
from cryptoquantix.core.errors import SettingsError
from cryptoquantix.supervisor.process import is_listening
from cryptoquantix.supervisor.service import ServiceSpec

COMMAND: Final = (sys.executable, "-m", "cryptoquantix")
NATS: Final = "nats"
RISK: Final = "risk"
EXECUTION: Final = "execution"
ALARMS: Final = "alarms"
STRATEGY: Final = "strategy"
RECORDER: Final = "recorder"
MIRROR: Final = "mirror"
FEED: Final = "feed-"
SIMULATOR: Final = "simulator"
# What each writes to its log when it does its work: execution also when it has
# found a halt, in which there is nothing for it to do.
_READY_WORDS: Final = {
    "feed": ("market data subscribed",),
    "strategy": ("bus connected",),
    "recorder": ("bus connected",),
    "execution": ('"reconciled"', '"halted": true'),
    "alarms": ('"channel"',),
    "mirror": ("the mirror is up to date",),
}
# How long each may take to end, where it has more to do than to close connections:
# execution has orders under way answered and resting ones canceled (4 s each at
# most) and lets the venue's switch go, the recorder puts its open segment into the
# catalog.
_STOP_SECONDS: Final = 3.0
_STOP_SECONDS_OF: Final = {EXECUTION: 15.0, RECORDER: 15.0, STRATEGY: 5.0, RISK: 5.0}

type Probe = Callable[[], Awaitable[bool]]


def nats_spec(settings: Settings) -> ServiceSpec:
    """
    Return how to run the embedded bus.

    Raises
    ------
    SettingsError
        If ``nats.url`` is not a port of this machine, or there is no server.
    """
    host, port = _address(settings.nats.url, "nats.url")
    if host not in {"127.0.0.1", "localhost"}:
        msg = (
            f"nats.url is {settings.nats.url}, but an embedded server listens on "
            f"127.0.0.1 alone: correct it, or set nats.embedded = false"
        )
        raise SettingsError(msg)

    async def ready() -> bool:
        return is_listening(port)

    return ServiceSpec(
        name=NATS,
        command=tuple(nats_command(settings.nats_directory, port)),
        environment={"PATH": os.environ.get("PATH", "")},
        log=settings.log_directory / "nats.log",
        ready=ready,
        stop_seconds=_STOP_SECONDS,
    )


def nats_port(settings: Settings) -> int:
    """Return the port of the embedded bus."""
    return _address(settings.nats.url, "nats.url")[1]


def risk_port(settings: Settings) -> int:
    """Return the port on which the daemon of this machine listens."""
    port = _address(f"tcp://{settings.risk.listen}", "risk.listen")[1]
    if port == 0 or _address(settings.risk.url, "risk.url")[1] != port:
        msg = (
            f"risk.listen ({settings.risk.listen}) and risk.url "
            f"({settings.risk.url}) must name the same port, which is not 0"
        )
        raise SettingsError(msg)
    return port


def risk_spec(
    settings: Settings, config: Path | None, token: str, ready: Probe
) -> ServiceSpec:
    """Return how to run the risk daemon; ``ready`` asks for its health."""
    return ServiceSpec(
        name=RISK,
        command=(*COMMAND, "risk", "--json"),
        environment=_environment(settings, config, RISK, token),
        log=settings.log_directory / "risk.log",
        ready=ready,
        stop_seconds=_STOP_SECONDS_OF[RISK],
    )


def simulator_spec(settings: Settings, config: Path | None) -> ServiceSpec | None:
    """Return how to run a paper account's simulator; None where there is none."""
    if settings.simulator.source != "venue":
        return None
    state = settings.simulator_state_path
    arguments = ("simulate", "--source", "venue", "--state", str(state), "--json")
    return ServiceSpec(
        name=SIMULATOR,
        command=(*COMMAND, *arguments),
        environment=_environment(settings, config, SIMULATOR, ""),
        log=settings.log_directory / f"{SIMULATOR}.log",
        stop_seconds=_STOP_SECONDS,
        ready_words=('"venues"',),
    )


def simulator_ports(settings: Settings) -> dict[str, int]:
    """Return, by setting, the ports on which a paper account's venues listen."""
    return {
        f"venues.{name}.rest": _address(venue.rest, f"venues.{name}.rest")[1]
        for name, venue in settings.venues.items()
    }


def child_specs(
    settings: Settings, config: Path | None, token: str
) -> list[ServiceSpec]:
    """Return the services that end with ``cqx up``, the bus apart."""
    return [
        ServiceSpec(
            name=name,
            command=(*COMMAND, *arguments),
            environment=_environment(settings, config, name, token),
            log=settings.log_directory / f"{name}.log",
            stop_seconds=_STOP_SECONDS_OF.get(name, _STOP_SECONDS),
            ready_words=_READY_WORDS[arguments[0]],
        )
        for name, arguments in _children(settings)
    ]


def stop_stages(names: Iterable[str]) -> list[list[str]]:
    """
    Return which of ``names`` end together, in the order in which they end.

    Execution first and alone, so that nothing is ordered in a half-stopped
    deployment and its working orders are canceled while all else still runs; then who
    speaks, then who only listens. The bus and a paper account's venue are not among
    them: they outlive the question to the daemon of what is left.
    """
    stages: dict[int, list[str]] = {}
    for name in names:
        if name not in {NATS, SIMULATOR, RISK}:
            place = "feed" if name.startswith(FEED) else name
            stages.setdefault(_STAGE.get(place, len(_STAGE)), []).append(name)
    return [stages[stage] for stage in sorted(stages)]


_STAGE: Final = {EXECUTION: 0, STRATEGY: 1, "feed": 2, RECORDER: 3, MIRROR: 4}


def _children(settings: Settings) -> list[tuple[str, tuple[str, ...]]]:
    venues = sorted({one.venue.value for one in settings.fed_instruments})
    missing = [venue for venue in venues if venue not in settings.venues]
    if missing:
        names = [one for one in settings.fed_instruments if one.venue.value in missing]
        msg = (
            f"[[strategies]] or [feeds] name {names[0]}, but there is no "
            f"[venues.{names[0].venue.value}] in the settings"
        )
        raise SettingsError(msg)
    feeds = [(f"{FEED}{venue}", ("feed", venue)) for venue in venues]
    is_mirrored = bool(settings.journal.mirror.get_secret_value())
    trading = [(STRATEGY, ("strategy",)), (EXECUTION, ("execution",))]
    recorder = [(RECORDER, ("recorder",))] if settings.recorder.enabled else []
    mirror = [(MIRROR, ("mirror",))] if is_mirrored else []
    return [
        *feeds,
        *(trading if settings.strategies else ()),
        *recorder,
        *mirror,
        (ALARMS, ("alarms", "--json")),
    ]


def _environment(
    settings: Settings, config: Path | None, name: str, token: str
) -> dict[str, str]:
    environment = dict(os.environ)
    # An arena a thread keeps what other threads free: memory that only ever grows.
    environment.setdefault("MALLOC_ARENA_MAX", "2")
    file = config or Path(environment.get("CQX_CONFIG", DEFAULT_FILE))
    if file.exists():
        environment["CQX_CONFIG"] = str(file.resolve())
    needs_token = name in {RISK, EXECUTION, ALARMS}
    environment["CQX_RISK__TOKEN"] = token if needs_token else ""
    return environment | dict.fromkeys(_hidden(settings, name), "")


def _hidden(settings: Settings, name: str) -> Iterator[str]:
    """Yield the variables of each secret that a service has no business with."""
    if name != MIRROR:
        yield "CQX_JOURNAL__MIRROR"
    if name != ALARMS:
        yield "CQX_ALARMS__TELEGRAM__TOKEN"
        for channel in settings.alarms.apprise:
            yield f"CQX_ALARMS__APPRISE__{channel.upper()}"
    for venue in settings.venues:
        prefix = f"CQX_VENUES__{venue.upper()}__"
        # The simulator is the venue: it knows both pairs, which are made up.
        if name not in {EXECUTION, SIMULATOR}:
            yield from (f"{prefix}KEY", f"{prefix}SECRET")
        if name not in {RISK, SIMULATOR}:
            yield from (f"{prefix}RISK__KEY", f"{prefix}RISK__SECRET")


def _address(url: str, setting: str) -> tuple[str, int]:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or port is None:
        msg = f"{setting} must have a host and a port, was {url!r}"
        raise SettingsError(msg)
    return host, port
