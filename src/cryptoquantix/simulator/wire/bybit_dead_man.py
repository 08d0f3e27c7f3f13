"""
Bybit's disconnection protection: orders are canceled when nobody listens any more.

It counts private connections that have subscribed to the ``dcp.future`` topic. Once
the last of them is gone for the time window, the account's active orders go;
conditional ones stay, as they wait for a price and not for the client.
"""

from __future__ import annotations

from cryptoquantix.simulator.wire.bybit_facts import BybitState, DeadMan


def set_dead_man(state: BybitState, account_id: int, seconds: int) -> None:
    """Switch the protection on with a time window, or change the window."""
    known = state.dead_men.get(account_id)
    if known is None:
        state.dead_men[account_id] = DeadMan(seconds)
    else:
        known.window_seconds = seconds


def dcp_info(state: BybitState, account_id: int) -> list[dict[str, str]]:
    """Return product, status and time window of the protection."""
    known = state.dead_men.get(account_id)
    if known is None:
        return []
    return [
        {
            "product": "DERIVATIVES",
            "dcpStatus": "ON",
            "timeWindow": str(known.window_seconds),
        }
    ]


def joined(state: BybitState, account_id: int) -> None:
    """Note that a connection listens to the topic: the count starts afresh."""
    known = state.dead_men.get(account_id)
    if known is not None:
        known.since_ns = None


def left(state: BybitState, account_id: int, time_ns: int) -> None:
    """Note that the last connection listening to the topic is gone."""
    known = state.dead_men.get(account_id)
    if known is not None and known.since_ns is None:
        known.since_ns = time_ns


def fire(state: BybitState, time_ns: int) -> None:
    """Let the core cancel what is due."""
    for account_id, dead_man in state.dead_men.items():
        since = dead_man.since_ns
        window_ns = dead_man.window_seconds * 1_000_000_000
        if since is None or time_ns - since < window_ns:
            continue
        dead_man.since_ns = None
        for symbol in state.exchange.markets:
            # The core's own dead-man's switch, due at once.
            state.exchange.countdown(account_id, symbol, time_ns)
