"""Walk-forward folds over UTC days; a test never precedes its train."""

from __future__ import annotations

from dataclasses import dataclass

from cryptoquantix.core.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Fold:
    """
    One pair of windows, as days ``[start, stop)`` counted from the history's first.

    ``train`` ends ``embargo`` days before ``test`` starts.
    """

    number: int
    train_start: int
    train_stop: int
    test_start: int
    test_stop: int


@dataclass(frozen=True, slots=True)
class FoldRule:
    """
    How folds are cut; lengths in days.

    Test windows follow each other without a gap or overlap, so that together they are
    one out-of-sample path. ``anchored`` trains on everything since the first day.
    """

    train_days: int
    test_days: int
    embargo_days: int = 0
    anchored: bool = False


def cut_folds(days: int, rule: FoldRule) -> list[Fold]:
    """
    Return the whole folds that fit ``days``; what is left over is not tested.

    Raises
    ------
    SettingsError
        If not one fits.

    Examples
    --------
    >>> [(f.train_start, f.test_start) for f in cut_folds(8, FoldRule(4, 2))]
    [(0, 4), (2, 6)]
    """
    needed = rule.train_days + rule.embargo_days + rule.test_days
    if days < needed:
        msg = (
            f"one fold needs {needed} days (train {rule.train_days}, embargo "
            f"{rule.embargo_days}, test {rule.test_days}), the data have {days}"
        )
        raise SettingsError(msg)
    folds: list[Fold] = []
    test_start = rule.train_days + rule.embargo_days
    while test_start + rule.test_days <= days:
        train_stop = test_start - rule.embargo_days
        train_start = 0 if rule.anchored else train_stop - rule.train_days
        folds.append(
            Fold(
                len(folds),
                train_start,
                train_stop,
                test_start,
                test_start + rule.test_days,
            )
        )
        test_start += rule.test_days
    return folds
