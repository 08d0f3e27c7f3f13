import asyncio
import sys

import pytest

from cryptoquantix.core.clock import SystemClock
from cryptoquantix.supervisor.child import Child
from cryptoquantix.supervisor.process import identify
from cryptoquantix.supervisor.record import read_record
from cryptoquantix.supervisor.service import ServiceSpec
from cryptoquantix.supervisor.supervisor import ServiceFailed, Supervisor

SLEEP = (sys.executable, "-S", "-c", "import time; time.sleep(60)")


class Case:
    def __init__(self, tmp_path) -> None:
        self.directory = tmp_path
        self.changes: list[str] = []
        self.supervisor = Supervisor(
            record=tmp_path / "services.json",
            build="1+abc",
            on_change=lambda s: self.changes.append(f"{s.name} {s.condition}"),
        )

    def child(self, name: str, command=SLEEP, ready=None) -> Child:
        log = self.directory / f"{name}.log"
        spec = ServiceSpec(name, command, {}, log, ready)
        return Child(spec, clock=SystemClock(), on_change=self.supervisor.changed)


async def test_the_record_follows_the_services(tmp_path) -> None:
    case = Case(tmp_path)
    one, two = case.child("one"), case.child("two")
    case.supervisor.start(one)
    case.supervisor.start(two)
    await case.supervisor.wait_ready(one, 5)
    await case.supervisor.wait_ready(two, 5)
    record = read_record(tmp_path / "services.json")
    assert record is not None
    assert [(s.name, s.condition, s.is_alive) for s in record.services] == [
        ("one", "ready", True),
        ("two", "ready", True),
    ]
    pid = two.state.pid
    await case.supervisor.stop("one")
    assert identify(pid) is not None
    await case.supervisor.stop()
    assert identify(pid) is None
    record = read_record(tmp_path / "services.json")
    assert record is not None
    assert {s.condition for s in record.services} == {"stopped"}
    assert case.changes.index("one stopped") < case.changes.index("two stopped")


async def test_a_service_that_does_not_get_ready_is_named_with_its_words(
    tmp_path,
) -> None:
    case = Case(tmp_path)
    command = (sys.executable, "-S", "-c", "import sys; sys.exit('cqx: no disk')")

    async def never() -> bool:
        return False

    child = case.child("one", command, never)
    case.supervisor.start(child)
    with pytest.raises(ServiceFailed, match=r"one was not ready.*no disk"):
        await case.supervisor.wait_ready(child, 1.0)
    await case.supervisor.stop()


async def test_a_fault_of_our_own_loop_is_raised_and_not_swallowed(
    tmp_path,
) -> None:
    case = Case(tmp_path)
    child = case.child("one", ready=None)

    async def broken() -> None:
        raise ZeroDivisionError

    child.run = broken
    case.supervisor.start(child)
    with pytest.raises(ZeroDivisionError):
        async with asyncio.timeout(5):
            await case.supervisor.watch()
