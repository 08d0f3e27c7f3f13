"""Folds never overlap in their tests, and a test never precedes its train."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryptoquantix.core.errors import SettingsError
from cryptoquantix.research.folds import FoldRule, cut_folds

rules = st.builds(
    FoldRule, st.integers(1, 40), st.integers(1, 20), st.integers(0, 5), st.booleans()
)


@given(st.integers(1, 400), rules)
def test_every_fold_trains_before_it_tests_and_tests_join_without_overlap(days, rule):
    needed = rule.train_days + rule.embargo_days + rule.test_days
    if days < needed:
        with pytest.raises(SettingsError, match=f"one fold needs {needed} days"):
            cut_folds(days, rule)
        return
    folds = cut_folds(days, rule)
    for fold in folds:
        assert 0 <= fold.train_start < fold.train_stop
        assert fold.train_stop + rule.embargo_days == fold.test_start
        assert fold.test_stop - fold.test_start == rule.test_days
        assert fold.test_stop <= days
        if rule.anchored:
            assert fold.train_start == 0
        else:
            assert fold.train_stop - fold.train_start == rule.train_days
    for before, after in pairwise(folds):
        assert before.test_stop == after.test_start
    assert days - folds[-1].test_stop < rule.test_days
