"""Writing to a catalog so that nobody ever sees half of it."""

from __future__ import annotations

import fcntl
import os
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from cryptoquantix.core.errors import DataError, SchemaError, StateCorrupt
from cryptoquantix.core.instrument import InstrumentId
from cryptoquantix.data.catalog import Catalog
from cryptoquantix.data.generator import generate_bars
from cryptoquantix.data.layout import DatasetKey, Marker
from cryptoquantix.data.schema import DatasetKind
from cryptoquantix.data.store import Staging, put, write_part

PERP = InstrumentId.parse("binance:BTCUSDT-PERP")
KEY = DatasetKey(DatasetKind.BARS, PERP, "1m")
START = 1_706_745_600_000_000_000
MARKER = Marker("built")


def bars(seed, days=3):
    return generate_bars(seed, START, days, Decimal(100), tick_size=Decimal("0.1"))


def held(root):
    return Catalog(root).scan(KEY).collect()


class KilledError(Exception):
    """Stands for SIGKILL: nothing of ours runs after it."""


def test_cut_short_at_any_move_the_next_reader_finishes_the_commit(
    tmp_path, monkeypatch
):
    """Every rename of a commit is once the last thing that happens."""
    old, new = bars(1), bars(2)
    rename, moves = Path.rename, 0
    for allowed in range(100):
        root = tmp_path / str(allowed)
        put(root, KEY, old, MARKER)
        moves = 0

        def killing(path, target, allowed=allowed):
            nonlocal moves
            if moves == allowed:
                raise KilledError
            moves += 1
            return rename(path, target)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "rename", killing)
            patch.setattr(Staging, "__exit__", lambda self, *_: self._close())
            try:
                put(root, KEY, new, MARKER)
            except KilledError:
                pass
            else:
                break
        assert held(root).equals(new)
        assert not (root / ".staging").exists()
    assert moves == 6  # three days out of the way, three into place


def test_what_was_staged_and_not_committed_is_thrown_away(tmp_path):
    put(tmp_path, KEY, bars(1), MARKER)
    folder = tmp_path / ".staging" / "new" / KEY.partition("2024-02-01")
    folder.mkdir(parents=True)
    write_part(bars(2, days=1), folder, 0)
    assert held(tmp_path).equals(bars(1))
    put(tmp_path, KEY, bars(3), MARKER)
    assert held(tmp_path).equals(bars(3))


def test_one_writer_at_a_time(tmp_path):
    descriptor = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        with pytest.raises(DataError, match="another process is writing"):
            put(tmp_path, KEY, bars(1), MARKER)
    finally:
        os.close(descriptor)
    put(tmp_path, KEY, bars(1), MARKER)


def test_an_unreadable_commit_record_is_said(tmp_path):
    put(tmp_path, KEY, bars(1), MARKER)
    (tmp_path / ".staging").mkdir()
    (tmp_path / ".staging" / "COMMIT").write_text("{")
    with pytest.raises(StateCorrupt, match="no commit record"):
        Catalog(tmp_path)


def test_columns_of_another_kind_are_refused(tmp_path):
    with pytest.raises(SchemaError, match="expected columns"):
        put(tmp_path / "c", KEY, pl.DataFrame({"x": [1]}), MARKER)
    assert not (tmp_path / "c").exists()
