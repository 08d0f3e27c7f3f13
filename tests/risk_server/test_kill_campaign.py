"""SIGKILL at the numbered steps of a halt, at three venues (all 200 by hand)."""

from __future__ import annotations

import os

import pytest

from risk_server.kill_campaign import plan, run

RUNS = int(os.environ.get("CQX_KILL_RUNS", "20"))


def test_the_plan_dies_at_every_step():
    from cryptoquantix.risk.steps import STEPS

    planned = plan(20)
    assert {step.partition(":")[0] for step, _ in planned} == set(STEPS)
    assert any(is_crash for _, is_crash in planned)
    assert len(set(plan(200))) > 60


@pytest.mark.slow
# Only against a hang: two daemons start in each run, some ten seconds of a core.
@pytest.mark.timeout(120 + 60 * RUNS)
def test_killed_at_any_step_of_a_halt_three_venues_end_flat_and_halted(tmp_path):
    outcomes = run(plan(RUNS), tmp_path)
    bad = [outcome for outcome in outcomes if not outcome.is_good]
    assert not bad, bad
    assert sum(outcome.was_killed for outcome in outcomes) >= 0.9 * RUNS
