"""A daemon's settings are told from others by what it guards by, by nothing else."""

from __future__ import annotations

import pytest

from cryptoquantix.apps.risk_digest import risk_digest
from cryptoquantix.apps.settings import Settings

VENUE = {"rest": "http://127.0.0.1:1", "ws": "ws://127.0.0.1:1"}


def digest(risk=None, venue=None, key="k") -> str:
    pair = {"key": key, "secret": "s"}
    one = VENUE | {"key": "execution", "risk": pair} | (venue or {})
    return risk_digest(Settings(venues={"binance": one}, risk=risk or {}))


@pytest.mark.parametrize(
    "changed",
    [
        {"risk": {"drawdown_fraction_max": "0.02"}},
        {"risk": {"warning_fractions": ["0.5"]}},
        {"venue": {"rest": "http://127.0.0.1:2"}},
        {"key": "another"},
    ],
)
def test_what_it_guards_by_changes_it(changed) -> None:
    assert digest(**changed) != digest()


@pytest.mark.parametrize(
    "changed",
    [
        {"risk": {"token": "t"}},
        {"risk": {"listen": "127.0.0.1:1", "url": "http://127.0.0.1:1"}},
        {"risk": {"drawdown_fraction_max": "0.03"}},
        {"venue": {"key": "execution's other one"}},
    ],
)
def test_how_it_is_reached_and_what_others_hold_does_not(changed) -> None:
    assert digest(**changed) == digest()
