"""What the supervisor knows of its services, in a file others read; it judges not."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cryptoquantix.supervisor.process import ProcessId, identify
from cryptoquantix.supervisor.service import ServiceState


@dataclass(frozen=True, slots=True)
class ServiceReport:
    """One service as recorded; ``is_alive`` is looked up when it is read."""

    name: str
    condition: str
    pid: int | None
    is_alive: bool
    restarts: int
    since_ns: int
    note: str
    log: str


@dataclass(frozen=True, slots=True)
class SupervisorReport:
    """``is_alive`` is of the supervisor itself (``cqx up``)."""

    pid: int
    is_alive: bool
    build: str
    services: tuple[ServiceReport, ...]


def write_record(path: Path, build: str, states: Iterable[ServiceState]) -> None:
    """Write the record whole: readers see the old one or the new one."""
    own = identify(os.getpid())
    assert own is not None
    value = {
        "supervisor": {"pid": own.pid, "started_ticks": own.started_ticks},
        "build": build,
        "services": [asdict(state) for state in states],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(path.name + ".new")
    fresh.write_text(json.dumps(value, indent=1))
    fresh.replace(path)


def read_record(path: Path) -> SupervisorReport | None:
    """Return the record with each process looked up; None if there is none."""
    try:
        value = json.loads(path.read_text())
        supervisor = value["supervisor"]
        return SupervisorReport(
            pid=supervisor["pid"],
            is_alive=_is_alive(supervisor),
            build=value["build"],
            services=tuple(_service(item) for item in value["services"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _service(item: dict[str, Any]) -> ServiceReport:
    return ServiceReport(
        name=item["name"],
        condition=item["condition"],
        pid=item["pid"],
        is_alive=_is_alive(item),
        restarts=item["restarts"],
        since_ns=item["since_ns"],
        note=item["note"],
        log=item["log"],
    )


def _is_alive(item: dict[str, Any]) -> bool:
    if item["pid"] is None or item["started_ticks"] is None:
        return False
    return ProcessId(item["pid"], item["started_ticks"]).is_alive
