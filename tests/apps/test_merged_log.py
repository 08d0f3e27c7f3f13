"""The logs of all services read as one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from cryptoquantix.apps import merged_log
from cryptoquantix.apps.merged_log import LogLine, Tail
from cryptoquantix.core.errors import SettingsError


def line(second: int, event: str, level: str = "info", **more: object) -> str:
    record = {"time": f"2026-01-01T00:00:{second:02d}.5Z", "level": level}
    return json.dumps(record | {"event": event} | more) + "\n"


@pytest.fixture
def deployment(tmp_path: Path) -> Path:
    config = tmp_path / "cryptoquantix.toml"
    config.write_text('directory = "var"\n')
    config.chmod(0o600)
    logs = tmp_path / "var" / "logs"
    logs.mkdir(parents=True)
    (logs / "risk.log.1").write_text(line(1, "oldest"))
    (logs / "risk.log").write_text(line(4, "tripped", "critical", drawdown="0.031"))
    (logs / "feed-binance.log").write_text(
        line(2, "subscribed") + "Traceback: plain text\n" + line(5, "closed", "warning")
    )
    return config


def read(config: Path, **options: object) -> list[LogLine]:
    lines: list[LogLine] = []
    merged_log.run(config, lines.append, **options)  # type: ignore[arg-type]
    return lines


def test_lines_of_all_services_come_in_order_of_time(deployment: Path) -> None:
    lines = read(deployment)
    events = [found.record["event"] if found.record else found.text for found in lines]
    assert events == [
        "oldest",
        "subscribed",
        "Traceback: plain text",
        "tripped",
        "closed",
    ]
    assert lines[2].time_ns == lines[1].time_ns, "a plain line keeps its place"
    assert lines[3].shown() == (
        "00:00:04.500 risk           critical tripped drawdown=0.031"
    )
    assert json.loads(lines[2].as_json())["service"] == "feed-binance"


def test_level_and_service_choose(deployment: Path) -> None:
    assert [found.level for found in read(deployment, level="warning")] == [
        "critical",
        "warning",
    ]
    chosen = read(deployment, services=("feed-binance",))
    assert {found.service for found in chosen} == {"feed-binance"}
    assert read(deployment, since="1s") == [], "all of it is older"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"services": ("nobody",)}, r"no log of 'nobody'.*feed-binance, risk"),
        ({"level": "loud"}, "level must be one of debug"),
        ({"since": "yesterday"}, "since must be an age"),
    ],
)
def test_a_wrong_question_is_one_sentence(
    deployment: Path, options: dict[str, object], sentence: str
) -> None:
    with pytest.raises(SettingsError, match=sentence):
        read(deployment, **options)


def test_no_logs_at_all_are_one_sentence(tmp_path: Path) -> None:
    config = tmp_path / "cryptoquantix.toml"
    config.write_text("")
    with pytest.raises(SettingsError, match=r"no logs in .* yet: `cqx up` writes"):
        merged_log.run(config, print)


def test_a_tail_waits_for_whole_lines_and_begins_anew_when_cut(tmp_path: Path) -> None:
    file = tmp_path / "risk.log"
    file.write_text(line(1, "one") + line(2, "two")[:10])
    tail = Tail("risk", tmp_path)
    assert len(list(tail.kept())) == 1
    with file.open("a") as log:
        log.write(line(2, "two")[10:])
    assert next(found.record for found in tail.fresh())["event"] == "two"  # type: ignore[index]
    assert list(tail.fresh()) == []
    file.write_text(line(3, "three"))  # what the supervisor does to a long log
    assert [found.time_ns % 60_000_000_000 for found in tail.fresh()] == [3_500_000_000]


def test_the_command_prints_and_a_gone_reader_ends_it(deployment: Path) -> None:
    command = [sys.executable, "-m", "cryptoquantix", "logs", "--config"]
    done = subprocess.run(
        [*command, str(deployment), "--level", "critical"],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert done.stdout.count("\n") == 1
    with subprocess.Popen(
        [*command, str(deployment), "--follow"], stdout=subprocess.PIPE, text=True
    ) as follow:
        assert follow.stdout is not None
        assert "oldest" in follow.stdout.readline()
        follow.terminate()
        follow.wait(10)
