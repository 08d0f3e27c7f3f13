"""One process takes the alarms at a time."""

from __future__ import annotations

from cryptoquantix.core.clock import NS_PER_SECOND
from cryptoquantix.risk_server.taking import LEASE_NS, Taking


def test_the_first_who_asks_takes_them_and_the_others_learn_who() -> None:
    taking = Taking()
    assert taking.ask("one", monotonic_ns=0) == ""
    assert taking.ask("two", monotonic_ns=NS_PER_SECOND) == "one"
    assert taking.ask("one", monotonic_ns=2 * NS_PER_SECOND) == ""


def test_who_asks_no_longer_is_followed_by_who_does() -> None:
    taking = Taking()
    taking.ask("one", monotonic_ns=0)
    assert taking.ask("two", monotonic_ns=LEASE_NS) == "one"
    assert taking.ask("two", monotonic_ns=LEASE_NS + 1) == ""
    assert taking.ask("one", monotonic_ns=LEASE_NS + 2) == "two"
