"""What ``cqx strategy`` refuses before it runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from cryptoquantix.apps.strategy import run
from cryptoquantix.core.errors import SettingsError
from cryptoquantix.strategies import registry


def test_a_strategy_that_decides_by_funding_is_not_run_where_it_accrues(
    tmp_path, monkeypatch
):
    source = Path(registry.__file__).with_name("trend_breakout.py").read_text()
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "carry.py").write_text(source + "\n\n# by bar.funding_rate\n")
    monkeypatch.syspath_prepend(tmp_path)
    config = tmp_path / "cryptoquantix.toml"
    config.write_text(
        '[venues.deribit]\nrest = "http://127.0.0.1:1"\nws = "ws://127.0.0.1:1"\n'
        '[[strategies]]\nname = "mine.carry"\n'
        'instrument = "deribit:BTCUSD-PERP"\nbar_seconds = 60\n'
    )
    sentence = r"'mine.carry' reads funding_rate, and deribit charges funding all the"
    with pytest.raises(SettingsError, match=sentence):
        run(config)
