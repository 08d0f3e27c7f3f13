"""The kernel cache: hit by a second process, never stale, safe to race, bounded."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import cryptoquantix.kernel as kernel_module
from cryptoquantix.kernel import (
    imported_sources,
    is_compiled,
    kernel,
    load_driver,
)

STEP_TEMPLATE = "cryptoquantix.strategies.step_driver"
IMPORT_LINE = "from cryptoquantix.strategies import trend_breakout as strategy"

RULE = """
from cryptoquantix.kernel import kernel

@kernel
def scaled(close):
    return close * {factor}
"""

STRATEGY = """
from typing import NamedTuple
from cryptoquantix.kernel import kernel
from cryptoquantix.strategies.contract import parse_fields
from tiny_rule import scaled

class Params(NamedTuple):
    plus: float = 0.0

class State(NamedTuple):
    bars: int

def start(params):
    return State(0)

def parse_params(values):
    return parse_fields(Params, values)

def warmup_bars(params, bar_seconds=60):
    return 0

@kernel
def step(state, bar, params):
    return State(state.bars + 1), scaled(bar.close) + params.plus
"""

RUN = """
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from cryptoquantix.core.market import Bar
from cryptoquantix.kernel import cache_hits
from cryptoquantix.strategies.stepper import Stepper
stepper = Stepper("tiny.strategy", {}, Path(sys.argv[2]))
target = stepper.step(Bar(0, 60, 1.0, 1.0, 1.0, 2.0, 1.0, 0.0))
hits, misses = cache_hits(stepper._advance)
print(json.dumps({"target": target, "hits": hits, "misses": misses}))
"""


def write_strategy(folder: Path, factor: float, strategy: str = STRATEGY) -> None:
    (folder / "tiny").mkdir(parents=True, exist_ok=True)
    (folder / "tiny" / "__init__.py").touch()
    (folder / "tiny" / "strategy.py").write_text(textwrap.dedent(strategy))
    (folder / "tiny_rule.py").write_text(textwrap.dedent(RULE.format(factor=factor)))


def start(source: Path, cache: Path, **environment: str) -> subprocess.Popen[str]:
    # -B: Python's own bytecode cache cannot tell edits within a second apart.
    command = [sys.executable, "-B", "-c", RUN, str(source), str(cache)]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "NUMBA_DISABLE_JIT": "0", **environment},
    )


def finish(process: subprocess.Popen[str]) -> dict[str, float]:
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return json.loads(out)


def run(source: Path, cache: Path, **environment: str) -> dict[str, float]:
    return finish(start(source, cache, **environment))


def test_a_second_process_does_not_compile(tmp_path):
    write_strategy(tmp_path / "src", 1.5)
    first = run(tmp_path / "src", tmp_path / "cache")
    second = run(tmp_path / "src", tmp_path / "cache")
    assert first == {"target": 3.0, "hits": 0, "misses": 1}
    assert second == {"target": 3.0, "hits": 1, "misses": 0}


def test_an_edited_strategy_and_an_edited_import_run_as_edited(tmp_path):
    source, cache = tmp_path / "src", tmp_path / "cache"
    write_strategy(source, 1.5)
    assert run(source, cache)["target"] == 3.0
    write_strategy(source, 2.5)  # only what the strategy imports
    assert run(source, cache) == {"target": 5.0, "hits": 0, "misses": 1}
    edited = STRATEGY.replace("+ params.plus", "- 1.0 + params.plus")
    write_strategy(source, 2.5, edited)  # only the strategy
    assert run(source, cache) == {"target": 4.0, "hits": 0, "misses": 1}
    write_strategy(source, 2.5)  # and back: the entry before is still there
    assert run(source, cache) == {"target": 5.0, "hits": 1, "misses": 0}


def test_two_processes_may_compile_the_same_strategy_at_once(tmp_path):
    write_strategy(tmp_path / "src", 1.5)
    both = [start(tmp_path / "src", tmp_path / "cache") for _ in range(2)]
    assert [finish(process)["target"] for process in both] == [3.0, 3.0]
    third = run(tmp_path / "src", tmp_path / "cache")
    assert third == {"target": 3.0, "hits": 1, "misses": 0}
    entries = [path.name for path in (tmp_path / "cache").iterdir()]
    assert len(entries) == 1, f"drafts were left behind: {entries}"


def test_without_the_compiler_the_same_files_run_as_plain_python(tmp_path):
    write_strategy(tmp_path / "src", 1.5)
    found = run(tmp_path / "src", tmp_path / "cache", NUMBA_DISABLE_JIT="1")
    assert found == {"target": 3.0, "hits": 0, "misses": 0}


def test_a_folder_that_cannot_be_written_costs_the_cache_and_nothing_else(tmp_path):
    write_strategy(tmp_path / "src", 1.5)
    blocked = tmp_path / "a-file"
    blocked.write_text("")
    assert run(tmp_path / "src", blocked / "cache")["target"] == 3.0


def test_old_entries_are_bounded_and_foreign_files_stay(tmp_path, monkeypatch):
    monkeypatch.setattr(kernel_module, "CACHE_ENTRIES_MAX", 5)
    for number in range(9):
        entry = tmp_path / f"cqx_driver_old_{number}"
        entry.mkdir()
        os.utime(entry, (number, number))
    (tmp_path / "notes.txt").write_text("not ours")
    os.utime(tmp_path / "notes.txt", (0, 0))
    driver = load_driver(STEP_TEMPLATE, (IMPORT_LINE, IMPORT_LINE), tmp_path)
    left = {path.name for path in tmp_path.iterdir()}
    assert driver.__name__ in left
    assert "notes.txt" in left
    kept = {name for name in left if name.startswith("cqx_driver_old")}
    assert kept == {f"cqx_driver_old_{number}" for number in (5, 6, 7, 8)}


def test_code_that_may_be_older_than_its_file_is_never_shared(tmp_path, monkeypatch):
    write_strategy(tmp_path / "src", 1.5)
    monkeypatch.syspath_prepend(str(tmp_path / "src"))
    line = "import tiny.strategy as strategy"
    load_driver(STEP_TEMPLATE, (IMPORT_LINE, line), tmp_path / "cache")
    # The files are younger than this process: it cannot know what it has loaded.
    assert not (tmp_path / "cache").exists()


def test_a_template_without_the_line_is_refused(tmp_path):
    with pytest.raises(ValueError, match="must hold the line"):
        load_driver(STEP_TEMPLATE, ("import nothing", "import x"), tmp_path)


def test_the_key_covers_a_strategys_imports_and_theirs():
    text = Path(kernel_module.__file__).with_name("strategies") / "step_driver.py"
    found = imported_sources(text.read_text(), "cryptoquantix.strategies")
    assert "cryptoquantix.strategies.trend_breakout" in found
    assert "cryptoquantix.strategies.windows" in found
    assert "cryptoquantix.kernel" in found
    assert not any(name.startswith(("numpy", "numba", "math")) for name in found)


@pytest.mark.skipif(not is_compiled(), reason="plain Python raises instead")
def test_a_kernel_that_divides_by_zero_gives_infinity():
    @kernel
    def divided(value):
        return 1.0 / value

    assert divided(0.0) == float("inf")
