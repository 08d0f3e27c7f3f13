"""
What one reading says of itself, and what two of them say of each other; no policy.

Per coin: linear positions earn in the coin they are settled in, inverse ones in the
coin itself. A reading whose parts do not make its sums is *blind*. A change of equity
that marks and fills do not make is a *jump*.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Final

from cryptoquantix.core.exposure import HeldPosition, OtherHolding, Reading
from cryptoquantix.risk.rates import DOLLARS, own_rates

FILL_LOSS_TOLERANCE: Final = Decimal("0.01")
"""How far beyond the marks of one second its fills may have lost, fee included."""

FILL_GAIN_TOLERANCE: Final = Decimal("0.002")
"""How far they may have gained: rebates and a better price than the mark. It is small,
so that no deposit hides among fills and lifts the peak."""

CONSISTENCY_TOLERANCE: Final = Decimal("0.001")
"""How far, of equity, the parts of one reading may miss their sum."""

SKEW_TOLERANCE: Final = Decimal("0.01")
"""How far marks may move between the calls that one reading of coins is made of."""

SUM_TOLERANCE: Final = Decimal("0.02")
"""How far a venue's own total may miss the sum of its coins at its own rates."""

ZERO: Final = Decimal(0)

type Jumps = dict[str, Decimal]


def equities(reading: Reading) -> Mapping[str, Decimal]:
    """Return equity by coin; an account without coins is one of the coin ``""``."""
    if not reading.coins:
        return {"": reading.equity}
    return {item.coin: item.equity for item in reading.coins}


def balances(reading: Reading) -> Mapping[str, Decimal]:
    """Return the balance by coin."""
    if not reading.coins:
        return {"": reading.balance}
    return {item.coin: item.balance for item in reading.coins}


def home_coin(reading: Reading, coin: str = "") -> str:
    """
    Return the coin that ``coin`` means at this venue.

    ``""`` is its one dollar coin: the only coin there is, else the first dollar coin.
    """
    if coin or not reading.coins:
        return coin if reading.coins else ""
    names = [item.coin for item in reading.coins]
    return next((name for name in names if name in DOLLARS), names[0])


def open_pnl(held: HeldPosition) -> Decimal:
    """Return the unrealized PnL of one position, in its coin."""
    entry, mark = held.entry_price, held.mark_price
    if held.is_inverse:
        return held.size * (mark - entry) / (mark * entry)
    return held.size * (mark - entry)


def notional(held: HeldPosition) -> Decimal:
    """Return the unsigned value of a position in dollars, near enough."""
    return abs(held.size if held.is_inverse else held.size * held.mark_price)


# -- one reading --------------------------------------------------------------------


def blindness(reading: Reading) -> str:
    """
    Return why ``reading`` is no number to compare, or an empty text.

    NaN, infinity, zero and negative equity, positions without a mark, and parts that
    do not make the sum are *blind*: neither a drawdown nor an all-clear.
    """
    if not (reading.equity.is_finite() and reading.balance.is_finite()):
        return f"equity is {reading.equity}"
    if reading.equity <= 0:
        return f"equity is {reading.equity}"
    return inconsistency(reading)


def inconsistency(reading: Reading) -> str:
    """Return how the parts of ``reading`` contradict each other, or nothing."""
    for held in reading.positions:
        if not _is_position(held):
            return f"{held.symbol} has size {held.size} at mark {held.mark_price}"
    for item in reading.coins:
        if not (item.equity.is_finite() and item.balance.is_finite()):
            return f"equity of {item.coin} is {item.equity}"
    rates = own_rates(reading)
    return _parts(reading, rates) or _sum(reading, rates)


def _is_position(held: HeldPosition) -> bool:
    mark, entry = held.mark_price, held.entry_price
    if not (held.size.is_finite() and mark.is_finite() and entry.is_finite()):
        return False
    return mark > 0 and (entry > 0 or not held.is_inverse)


def _parts(reading: Reading, rates: Mapping[str, Decimal]) -> str:
    """Return which coin's equity is not balance plus PnL, or nothing."""
    balance, home = balances(reading), home_coin(reading)
    made = dict(balance)
    gross = ZERO
    for held in reading.positions:
        coin = (held.coin or home) if reading.coins else ""
        made[coin] = made.get(coin, ZERO) + open_pnl(held)
        gross += notional(held)
    for other in reading.others:
        if other.value is not None:
            coin = home_coin(reading, other.coin)
            made[coin] = made.get(coin, ZERO) + other.value
    allowed = CONSISTENCY_TOLERANCE * max(abs(reading.equity), Decimal(1))
    if reading.coins:
        allowed += SKEW_TOLERANCE * gross
    for coin, equity in equities(reading).items():
        missing = equity - made[coin]
        if not missing or abs(missing) * rates.get(coin, ZERO) <= allowed:
            continue
        if coin not in _unknown(reading):
            pnl = made[coin] - balance[coin]
            return (
                f"equity {equity}{coin and ' ' + coin} is not balance {balance[coin]} "
                f"plus open PnL {pnl:f}"
            )
    return ""


def _unknown(reading: Reading) -> set[str]:
    """Return the coins that hold something whose value the venue does not say."""
    return {home_coin(reading, o.coin) for o in reading.others if o.value is None}


def _sum(reading: Reading, rates: Mapping[str, Decimal]) -> str:
    """Return that the coins do not make the total, or nothing."""
    if not reading.coins:
        return ""
    total = ZERO
    for item in reading.coins:
        if item.coin in rates:
            total += item.equity * rates[item.coin]
        elif item.equity:
            return ""
    if abs(total - reading.equity) <= SUM_TOLERANCE * abs(reading.equity):
        return ""
    return f"equity {reading.equity} is not the sum of its coins, {total:f}"


# -- two readings -------------------------------------------------------------------


def unexplained(before: Reading, after: Reading) -> Jumps:
    """
    Return, by coin, the part of the change of equity that nothing explains.

    Held sizes move with their marks, other holdings with their value. A size that
    changed was filled somewhere between both marks, give or take a tolerance of what
    was traded, fee included: that makes a range of changes. A change within it is
    explained; of one outside it, only what the marks alone would have made is.
    """
    if bool(before.coins) != bool(after.coins):
        before, after = _one_coin(before), _one_coin(after)
    spans: dict[str, list[Decimal]] = {}
    home = home_coin(after)
    for old, new in _matched(before.positions, after.positions):
        some = new or old
        assert some is not None
        coin = (some.coin or home) if after.coins else ""
        least, middle, most = _moves(old, new)
        span = spans.get(coin)
        if span is None:
            spans[coin] = [least, middle, most]
        else:
            span[0] += least
            span[1] += middle
            span[2] += most
    for coin, move in _other_moves(before, after):
        span = spans.setdefault(coin, [ZERO, ZERO, ZERO])
        spans[coin] = [number + move for number in span]
    jumps = {}
    old_equity, new_equity = equities(before), equities(after)
    for coin in old_equity.keys() | new_equity.keys():
        change = new_equity.get(coin, ZERO) - old_equity.get(coin, ZERO)
        least, middle, most = spans.get(coin, (ZERO, ZERO, ZERO))
        if not least <= change <= most:
            jumps[coin] = change - middle
    return jumps


def _one_coin(reading: Reading) -> Reading:
    """Return the account as one of dollars: its coins came or went between readings."""
    held = tuple(
        replace(item, coin="", is_inverse=False, size=item.size / item.entry_price)
        if item.is_inverse
        else replace(item, coin="")
        for item in reading.positions
    )
    others = tuple(replace(item, value=None) for item in reading.others)
    return replace(reading, coins=(), positions=held, others=others)


def _matched(
    old: tuple[HeldPosition, ...], new: tuple[HeldPosition, ...]
) -> list[tuple[HeldPosition | None, HeldPosition | None]]:
    """Return positions of both readings side by side."""
    if len(old) == len(new) and all(
        a.symbol == b.symbol and a.leg == b.leg for a, b in zip(old, new, strict=True)
    ):
        return list(zip(old, new, strict=True))
    olds = {(held.symbol, held.leg): held for held in old}
    news = {(held.symbol, held.leg): held for held in new}
    return [(olds.get(key), news.get(key)) for key in olds.keys() | news.keys()]


def _moves(
    old: HeldPosition | None, new: HeldPosition | None
) -> tuple[Decimal, Decimal, Decimal]:
    """Return the least, the middle and the most one position can have moved equity."""
    some = new or old
    assert some is not None
    mark_new = new.mark_price if new else some.mark_price
    mark_old = old.mark_price if old else some.entry_price
    size_old = old.size if old else ZERO
    traded = (new.size if new else ZERO) - size_old
    # what one contract earns on the way from the old mark to the new
    step = mark_new - mark_old
    unit = Decimal(1)
    if some.is_inverse:
        step /= mark_new * mark_old
        unit /= min(mark_new, mark_old)
    else:
        unit = max(mark_new, mark_old)
    moved = size_old * step
    if not traded:
        return moved, moved, moved
    filled = traded * step
    value = abs(traded) * unit
    return (
        moved + min(filled, ZERO) - value * FILL_LOSS_TOLERANCE,
        moved + filled / 2,
        moved + max(filled, ZERO) + value * FILL_GAIN_TOLERANCE,
    )


def _other_moves(before: Reading, after: Reading) -> list[tuple[str, Decimal]]:
    """Return how the marks of other holdings moved equity; sizes that changed, not."""
    if not (before.others and after.others):
        return []
    old: dict[tuple[str, str], OtherHolding] = {
        (item.symbol, item.kind): item for item in before.others
    }
    found = []
    for new in after.others:
        was = old.get((new.symbol, new.kind))
        if was is None or was.size != new.size:
            continue
        if was.value is not None and new.value is not None:
            found.append((home_coin(after, new.coin), new.value - was.value))
    return found


# -- marks --------------------------------------------------------------------------

MARK_FACTOR: Final = 2
"""A mark that halves or doubles within a second is believed only when others agree."""

AGREEMENT: Final = Decimal("0.1")


def strange_marks(before: Reading, after: Reading) -> dict[str, Decimal]:
    """Return the new mark of each symbol that halved or doubled since ``before``."""
    found = {}
    for old, new in _matched(before.positions, after.positions):
        if old is None or new is None:
            continue
        was, now = old.mark_price, new.mark_price
        if now * MARK_FACTOR < was or now > was * MARK_FACTOR:
            found[new.symbol] = now
    return found
