"""Choosing looks at the train window alone, and prefers plateaus when asked."""

from __future__ import annotations

import numpy as np
import pytest

from cryptoquantix.core.errors import SettingsError
from cryptoquantix.research.days import FIELDS, measure
from cryptoquantix.research.grid import build_grid
from cryptoquantix.research.selection import SCORES, choose, plateau
from cryptoquantix.strategies import registry

STRATEGY = registry.load("trend_breakout")


def test_a_plateau_beats_a_lone_peak():
    scores = np.array([[0, 0, 0, 0, 0], [0, 9, 0, 4, 4], [0, 0, 0, 4, 4]], dtype=float)
    flat = scores.ravel()
    assert np.argmax(flat) == 6
    assert np.argmax(plateau(flat, (3, 5))) in {8, 9, 13, 14}


def test_a_plateau_of_one_axis_counts_the_neighbors_there_are():
    assert plateau(np.array([2.0, 4.0, 9.0]), (3,)).tolist() == [3.0, 5.0, 6.5]
    assert plateau(np.array([2.0]), (1,)).tolist() == [2.0]


@pytest.mark.parametrize("score", SCORES)
def test_every_score_prefers_the_better_cell_and_the_first_of_equals(score):
    records = np.zeros((4, 10, len(FIELDS)))
    records[:, :, 0] = np.linspace(-0.01, 0.01, 10)
    records[2, :, 0] += 0.005
    records[3] = records[2]
    chosen, scores = choose(measure(records, 0, 10), score, (4,), use_plateau=False)
    assert chosen == 2
    assert scores[0] == scores[1] < scores[2] == scores[3]


def test_a_grid_is_every_combination_the_last_axis_fastest():
    axes = {"breakout_bars": [10, 20], "exit_atr": [1.0, 2.0, 3.0]}
    grid = build_grid(STRATEGY, {"gate_days": 7}, axes)
    assert grid.shape == (2, 3)
    assert [(c.breakout_bars, c.exit_atr) for c in grid.cells[:4]] == [
        (10, 1.0), (10, 2.0), (10, 3.0), (20, 1.0),
    ]  # fmt: skip
    assert all(cell.gate_days == 7 for cell in grid.cells)
    assert grid.values(5)["exit_atr"] == 3.0


def test_a_study_of_one_cell_needs_no_grid():
    assert build_grid(STRATEGY, {}, {}).shape == (1,)


@pytest.mark.parametrize(
    ("fixed", "axes", "sentence"),
    [
        ({}, {"breakout_bar": [1]}, "did you mean 'breakout_bars'?"),
        ({"gate_day": 1}, {}, "did you mean 'gate_days'?"),
        ({}, {"exit_bars": []}, "must be a list of at least one value"),
        ({}, {"exit_bars": 5}, "must be a list of at least one value"),
        ({}, {"exit_bars": [5, 5]}, "names a value twice"),
        ({}, {"exit_bars": [5, 5.0]}, "names a value twice"),
        ({"exit_bars": 5}, {"exit_bars": [5]}, "both in [parameters] and in [grid]"),
        ({}, {"exit_bars": [5, "x"]}, "must be a number, was 'x'"),
        ({}, {"exit_bars": [[1]]}, "must be a number, was [1]"),
        (
            {},
            {n: list(range(1, 401)) for n in ("exit_bars", "atr_bars")},
            "160000 cells",
        ),
    ],
)
def test_a_grid_that_makes_no_sense_is_refused_in_a_sentence(fixed, axes, sentence):
    with pytest.raises(SettingsError) as caught:
        build_grid(STRATEGY, fixed, axes)
    assert sentence in str(caught.value)
