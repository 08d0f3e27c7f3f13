"""
Target to lots: how much to hold; it plans no orders and knows no venue.

Plain Python that the research kernels compile as it stands and execution calls as it
is (without loading numba), so that both size alike.
"""

from __future__ import annotations

import math

# A size that misses a whole lot by less than this is that lot: doubles such as
# 0.3 / 0.1 fall short of it by one part in 1e16, and no venue trades 1e-9 lots.
_LOT_TOLERANCE = 1e-9


def target_lots(  # noqa: PLR0917 - kernels take no keyword arguments
    target: float,
    equity_quote: float,
    price: float,
    lot_size: float,
    notional_min: float,
) -> int:
    """
    Return the position that ``target`` asks for, in signed lots.

    Parameters
    ----------
    target : float
        Signed multiple of ``equity_quote``.
    equity_quote : float
        Equity allotted to the strategy, quote currency. Zero or less wants nothing.
    price : float
        Price that one base unit is valued at, quote currency, positive.
    lot_size : float
        Base units per lot, positive.
    notional_min : float
        Smallest position worth holding, quote currency; below it the answer is 0.

    Returns
    -------
    int
        Lots, toward zero. A NaN among the inputs gives 0: what is not known is not
        bought.

    Examples
    --------
    >>> target_lots(-0.5, 1000.0, 100.0, 0.1, 5.0)
    -50
    >>> target_lots(0.004, 1000.0, 100.0, 0.1, 5.0)
    0
    """
    if not (equity_quote > 0.0 and price > 0.0 and lot_size > 0.0):
        return 0
    wanted = abs(target) * equity_quote / price / lot_size
    if not wanted < 9.0e15:  # NaN, or beyond the whole numbers a double can count
        return 0
    lots = math.floor(wanted + _LOT_TOLERANCE)
    if lots * lot_size * price < notional_min:
        return 0
    return lots if target > 0.0 else -lots
