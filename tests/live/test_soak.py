"""What the soak holds for ten minutes holds for one in every run."""

from __future__ import annotations

import os

import pytest

from live.soak import ACTS, ROUND_SECONDS, run

SECONDS = float(os.environ.get("CRYPTOQUANTIX_SOAK_SECONDS", "60"))


@pytest.mark.slow
@pytest.mark.timeout(SECONDS + 300)
def test_after_everything_went_wrong_journal_and_venues_agree(tmp_path):
    result = run(tmp_path, SECONDS, seed=2)
    assert result["ok"], result
    # Some six a second where the machine has nothing else to do.
    assert result["taken"] > SECONDS / 2
    if SECONDS >= ROUND_SECONDS:
        assert set(ACTS) <= result["acts"].keys()
