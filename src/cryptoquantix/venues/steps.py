"""Decimals on the wire to whole steps, on the way of a tick; it rounds nothing."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Final

from cryptoquantix.core.quantity import to_steps

# Full, it is half a megabyte: a feed of 200 instruments has 400 of them.
_CACHE_MAX: Final = 4_096


class StepReader:
    """
    Reads decimal text as a whole number of ``step``.

    Venues repeat themselves (a book has few prices), so texts seen are remembered in
    ``known``, up to a bound; others are read digit by digit in integers. A hot loop
    may look into ``known`` before it calls :meth:`read`. Fewer steps than ``lowest``
    are refused: one print at a price of 0 would stay in a strategy's averages.

    A venue that writes JSON numbers instead of text is read by the shortest decimal
    that gives the same double, which is what it wrote (up to 15 digits).

    Examples
    --------
    >>> StepReader(Decimal("0.10")).read("7.6000")
    76
    """

    def __init__(self, step: Decimal, lowest: int = 0) -> None:
        self.step = step
        self._lowest = lowest
        numerator, denominator = step.as_integer_ratio()
        self._places = _places(step)
        # One step is this many units of 10 ** -places.
        self._units: int = numerator * int(10**self._places) // denominator
        self.known: dict[str | float, int] = {}

    def read(self, text: str | float) -> int:
        """
        Return how many steps ``text`` is, exactly.

        Raises
        ------
        ValueError
            If ``text`` is no decimal number, no whole number of steps, or too low.
        """
        found = self.known.get(text)
        if found is not None:
            return found
        steps = self._parse(text if isinstance(text, str) else repr(text))
        if steps < self._lowest:
            msg = f"expected at least {self._lowest} × {self.step}, found {text}"
            raise ValueError(msg)
        if len(self.known) >= _CACHE_MAX:
            self.known.clear()
        self.known[text] = steps
        return steps

    def _parse(self, text: str) -> int:
        whole, _, fraction = text.partition(".")
        if len(fraction) > self._places:
            fraction = fraction.rstrip("0")
        digits = whole + fraction
        missing = self._places - len(fraction)
        if missing < 0 or not (digits.isascii() and digits.isdigit()):
            return self._parse_slowly(text)
        steps, rest = divmod(int(digits + "0" * missing), self._units)
        if rest:
            msg = f"{text} is no whole number of steps of {self.step}"
            raise ValueError(msg)
        return steps

    def _parse_slowly(self, text: str) -> int:
        try:
            value = Decimal(text)
        except InvalidOperation:
            msg = f"expected a decimal number, found {text!r}"
            raise ValueError(msg) from None
        if not value.is_finite():
            msg = f"expected a finite number, found {text!r}"
            raise ValueError(msg)
        return to_steps(value, self.step)


def _places(step: Decimal) -> int:
    exponent = step.as_tuple().exponent
    assert isinstance(exponent, int), f"a step must be finite, was {step}"
    return max(0, -exponent)
