"""Fixtures every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Settings files hold secrets and are refused where others may read them: what tests
# write is theirs alone, as it would be of somebody who is careful.
os.umask(0o077)

REAL_DATA_VARIABLE = "CRYPTOQUANTIX_REAL_DATA"


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real market data and recorded payloads, or a skip."""
    value = os.environ.get(REAL_DATA_VARIABLE)
    if not value:
        pytest.skip(f"{REAL_DATA_VARIABLE} is not set: no real data to test with")
    path = Path(value)
    if not path.is_dir():
        pytest.fail(f"{REAL_DATA_VARIABLE} is {value!r}, which is no directory")
    return path


@pytest.fixture(scope="session")
def kernel_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder of compiled kernels for the session: each is compiled once."""
    return tmp_path_factory.mktemp("kernels")
