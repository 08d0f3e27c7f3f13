"""Readings for tests, built from positions."""

from __future__ import annotations

from decimal import Decimal

from cryptoquantix.core.exposure import HeldPosition, Reading


def held(symbol, size, mark, entry):
    return HeldPosition(symbol, Decimal(size), Decimal(mark), Decimal(entry))


def reading(balance, *positions, venue="binance", time_ns=0):
    balance = Decimal(balance)
    pnl = sum((p.size * (p.mark_price - p.entry_price) for p in positions), Decimal(0))
    return Reading(venue, balance + pnl, balance, positions, time_ns)
