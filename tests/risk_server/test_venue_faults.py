"""The daemon over three simulated venues: one hangs, the disk is full at a restart."""

from __future__ import annotations

import resource
import shutil
import signal
import time

import pytest

from cryptoquantix.risk.calls import CALL_SECONDS
from processes import start_simulator, wait_for
from risk_server.kill_campaign import VENUES, WHO, Campaign

HUNG = "bybit"
OTHERS = [venue for venue in VENUES if venue != HUNG]


@pytest.fixture(scope="module")
def campaign(tmp_path_factory):
    folder = tmp_path_factory.mktemp("three")
    arguments = ("--venues", ",".join(VENUES), "--generate", "5", "--no-rate-limits")
    with start_simulator(folder, *arguments) as simulator:
        yield Campaign(folder, simulator)


@pytest.fixture
def risk(campaign):
    shutil.rmtree(campaign.folder / "var", ignore_errors=True)
    yield campaign
    campaign.stop()


def open_at(campaign, venue):
    account = campaign.simulator.admin(f"/account?venue={venue}")
    kinds = ("positions", "open_orders", "algo_orders")
    return sum(len(account.get(kind) or ()) for kind in kinds)


def halted(campaign):
    """Build, halt by hand, and return the seconds until the others are empty."""
    campaign.build()
    started = time.monotonic()
    assert campaign.call("/v1/halt", WHO)["state"]
    wait_for(lambda: not any(open_at(campaign, v) for v in OTHERS), 20)
    return time.monotonic() - started


def test_with_one_venue_hanging_the_other_two_are_flat_as_fast(risk):
    assert risk.start() == "LOCKED"
    before = halted(risk)
    wait_for(lambda: risk.call("/v1/status")["state"] == "HALTED", 20)
    risk.stop()
    shutil.rmtree(risk.folder / "var")
    assert risk.start() == "LOCKED"
    risk.build()
    hang = {"venue": HUNG, "seconds": 600, "kind": "hang"}
    risk.simulator.admin("/outage", hang)
    try:
        started = time.monotonic()
        risk.call("/v1/halt", WHO)
        wait_for(lambda: not any(open_at(risk, v) for v in OTHERS), 20)
        hanging = time.monotonic() - started
        assert open_at(risk, HUNG), "the third still hangs"
    finally:
        risk.simulator.admin("/outage", hang | {"seconds": 0})
    assert hanging < before + CALL_SECONDS, "two venues wait for no call of a third"
    wait_for(lambda: risk.call("/v1/status")["state"] == "HALTED", 30)
    assert not risk.left()


def full(command_limit=4096):
    """In the child: no file may grow, as on a full disk."""

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (command_limit, command_limit))

    return limit


def test_a_restart_on_a_full_disk_runs_and_ends_the_halt_that_was_begun(risk):
    risk.start("close-sent:2")
    risk.build()
    risk.call("/v1/halt", WHO)
    wait_for(lambda: risk.process.poll() is not None, 20)
    risk.process.stdout.close()
    state = risk.start(before=full())
    assert state in {"TRIPPED", "CANCELING", "CLOSING", "VERIFYING", "HALTED"}
    found = wait_for(
        lambda: (s := risk.call("/v1/status")).get("state") == "HALTED" and s, 30
    )
    assert not risk.left()
    assert found["permit_mode"] == "halted"
    texts = [alarm["text"] for alarm in risk.call("/v1/alarms")["alarms"]]
    assert any("No disk" in text for text in texts)
