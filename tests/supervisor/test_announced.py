"""A child that announces itself is waited for, and stopped whatever happens."""

import os
import sys

import pytest

from cryptoquantix.supervisor.announced import AnnouncedProcess, ChildFailed


def python(code):
    return [sys.executable, "-c", code]


READY = "import json,time; print(json.dumps({'port': 7}), flush=True); time.sleep(60)"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {READY}"


def runs(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_the_line_of_a_child_is_read_and_the_child_ends_with_its_context(
    tmp_path,
):
    async with AnnouncedProcess(python(READY), tmp_path / "log") as child:
        assert child.line == {"port": 7}
        pid = child.pid
        assert runs(pid)
    assert not runs(pid)


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("import sys; sys.exit('port 80 is taken')", "port 80 is taken"),
        ("print('ready')", "it said nothing"),
        ("print([1])", "it said nothing"),
    ],
)
async def test_a_child_that_does_not_start_is_one_sentence(tmp_path, code, says):
    with pytest.raises(ChildFailed, match=says):
        async with AnnouncedProcess(python(code), tmp_path / "log"):
            pass


async def test_a_silent_child_is_given_up_and_ended(tmp_path):
    child = AnnouncedProcess(
        python("import time; time.sleep(60)"), tmp_path / "log", deadline_seconds=0.3
    )
    with pytest.raises(ChildFailed, match="did not start"):
        await child.__aenter__()
    assert not child.is_running


async def test_a_child_that_ignores_the_request_to_end_is_killed(tmp_path):
    stubborn = AnnouncedProcess(python(STUBBORN), tmp_path / "log", grace_seconds=0.3)
    async with stubborn as child:
        pid = child.pid
    assert not runs(pid)
