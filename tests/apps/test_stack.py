"""The stack's settings are whole, and each service's file holds its own keys alone."""

from __future__ import annotations

import json
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from cryptoquantix.apps.settings import load_settings

DEPLOY = Path(__file__).parents[2] / "deploy"
VENUES = ("binance", "bybit", "deribit")


def prepare(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, str(DEPLOY / "prepare.py"), str(folder), *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=30
    )


@pytest.mark.parametrize("venues", [VENUES, ("bybit",)])
def test_each_file_is_read_and_holds_what_its_service_needs(tmp_path, venues) -> None:
    folder = tmp_path / "secrets"
    done = prepare(folder, "--venues", ",".join(venues))
    assert done.returncode == 0, done.stderr
    keys = json.loads((folder / "simulator-keys.json").read_text())
    assert sorted(keys) == sorted(venues)
    names = {"market", "execution", "risk", "alarms"}
    settings = {name: load_settings(folder / f"{name}.toml") for name in names}
    for name, found in settings.items():
        assert stat.S_IMODE((folder / f"{name}.toml").stat().st_mode) == 0o600
        assert sorted(found.venues) == sorted(venues)
        assert {one.venue.value for one in found.fed_instruments} == set(venues)
        assert bool(found.risk.token.get_secret_value()) is (name != "market")
        for venue, held in found.venues.items():
            trade = keys[venue]["key"] if name == "execution" else ""
            risk = keys[venue]["risk"]["key"] if name == "risk" else ""
            assert held.key.get_secret_value() == trade
            assert held.risk.key.get_secret_value() == risk


def test_files_that_are_there_are_left_alone(tmp_path) -> None:
    assert prepare(tmp_path / "s").returncode == 0
    before = (tmp_path / "s" / "risk.toml").read_text()
    done = prepare(tmp_path / "s")
    assert "left alone" in done.stdout
    assert (tmp_path / "s" / "risk.toml").read_text() == before
    assert prepare(tmp_path / "t", "--venues", "kraken").returncode == 2
    assert not (tmp_path / "t").exists()


def test_every_venue_has_a_feed_of_its_own_and_a_port_at_the_simulator(
    tmp_path,
) -> None:
    stack = (DEPLOY / "stack.yml").read_text()
    assert re.findall(r'command: \["feed", "(\w+)"\]', stack) == list(VENUES)
    prepare(tmp_path / "s")
    for name, venue in load_settings(tmp_path / "s" / "market.toml").venues.items():
        port = venue.rest.rpartition(":")[2]
        assert f'"--{name}-port", "{port}"' in stack
