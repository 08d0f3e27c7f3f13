"""A process loads what it needs and nothing more."""

import subprocess
import sys

import pytest


def loaded_by(code):
    """The modules that a fresh interpreter holds after running ``code``."""
    script = f"{code}\nimport sys\nprint(' '.join(sorted(sys.modules)))"
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return set(run.stdout.split())


@pytest.mark.parametrize(
    ("code", "forbidden"),
    [
        ("import cryptoquantix.cli", {"polars", "numba", "ccxt", "nats", "aiohttp"}),
        ("import cryptoquantix.core.order", {"numpy", "msgspec", "pydantic"}),
        (
            "import cryptoquantix.apps.risk",
            {"aiogram", "polars", "numba", "numpy", "nats", "sqlalchemy", "plotly"},
        ),
        ("import cryptoquantix.apps.alarms", {"ccxt", "polars", "numba", "nats"}),
        ("import cryptoquantix.apps.execution", {"polars", "aiogram", "plotly"}),
        ("import cryptoquantix.apps.feed", {"ccxt", "polars", "aiogram"}),
    ],
)
def test_a_command_loads_nothing_that_it_does_not_need(code, forbidden):
    assert not loaded_by(code) & forbidden
