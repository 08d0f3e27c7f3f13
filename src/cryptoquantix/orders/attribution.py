"""
Whose order it was: one order's lots among the strategies that wanted it.

Strategies that trade one instrument are netted into one order. Each order carries the
signed lots that each strategy had still to go; what fills is theirs in that proportion,
so that the strategies' positions always sum up to what the account's own orders made.
What no strategy asked for (a correction of what was there before) is nobody's, ``""``.
What two of them want of each other needs no order at all: they cross.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

NOBODY = ""


def shares_of(missing_lots: Mapping[str, int], order_lots: int) -> dict[str, int]:
    """
    Return whose the lots of an order are, by what each strategy had to go.

    Parameters
    ----------
    missing_lots : mapping of str to int
        Wanted minus attributed so far, signed lots by strategy.
    order_lots : int
        Signed lots of the order.

    Examples
    --------
    >>> shares_of({"a": 5, "b": -3}, 2)
    {'a': 5, 'b': -3}
    >>> shares_of({"a": 0}, -4)
    {'': -4}
    """
    shares = {name: lots for name, lots in sorted(missing_lots.items()) if lots}
    if sum(shares.values()) * order_lots <= 0:
        return {NOBODY: order_lots}
    return shares


def attributed(
    shares: Mapping[str, int], order_lots: int, filled_lots: int
) -> dict[str, int]:
    """
    Return whose the first ``filled_lots`` of an order are, signed.

    They always sum up to ``filled_lots`` with the order's sign: parts are cut out of
    the running total, so that no lot is lost to rounding.

    Examples
    --------
    >>> attributed({"a": 5, "b": -3}, 2, 1)
    {'a': 2, 'b': -1}
    >>> attributed({"a": 5, "b": -3}, 2, 2)
    {'a': 5, 'b': -3}
    """
    total = sum(shares.values())
    sign = 1 if order_lots > 0 else -1
    target = filled_lots * sign
    found: dict[str, int] = {}
    running = given = 0
    for name, lots in shares.items():
        running += lots
        upto = _toward_zero(running * target, total)
        found[name] = upto - given
        given = upto
    assert given == target, "the running total ends at what filled"
    return found


def crossed(missing_lots: Mapping[str, int]) -> dict[str, int]:
    """
    Return what strategies can take over from each other, so that no order is needed.

    The side on which less is missing gets all of it, the other is served in
    proportion; the lots sum up to zero.

    Examples
    --------
    >>> crossed({"a": 5, "b": -3, "c": 1})
    {'a': 2, 'b': -3, 'c': 1}
    >>> crossed({"a": 5, "b": 0})
    {}
    """
    found: dict[str, int] = {}
    sides = [
        {name: lots for name, lots in sorted(missing_lots.items()) if lots * sign > 0}
        for sign in (1, -1)
    ]
    common = min(abs(sum(side.values())) for side in sides)
    if not common:
        return {}
    for sign, side in zip((1, -1), sides, strict=True):
        found |= attributed(side, sign, common)
    return {name: lots for name, lots in sorted(found.items()) if lots}


def encode_shares(shares: Mapping[str, int]) -> str:
    """Return shares as the journal keeps them."""
    return json.dumps(dict(shares), sort_keys=True, separators=(",", ":"))


def decode_shares(text: str, strategy: str, order_lots: int) -> dict[str, int]:
    """Return an order's shares; one of version 1 is its one strategy's."""
    if not text:
        return {strategy: order_lots}
    return {str(name): int(lots) for name, lots in json.loads(text).items()}


def _toward_zero(numerator: int, denominator: int) -> int:
    quotient = abs(numerator) // abs(denominator)
    return quotient if (numerator < 0) == (denominator < 0) else -quotient
