"""
The one module that names numba: compile flags, and a cache that cannot go stale.

It refuses fast math (targets must be the same to the bit compiled and not) and it
refuses to cache a kernel by its own file's date, as numba does: a kernel cached like
that keeps running the *old* code of everything it calls after an edit, and one that
takes another kernel as an argument is compiled anew in every process.

So ``kernel`` compiles without a cache, and only *drivers* are cached. A driver is a
small module whose source is a template of ours with the strategy's import put in. It
is written to a folder named by a hash of all that its machine code is made of: the
driver's text, every project module that it imports (directly or not), this module
and the versions of Python, numba and numpy. An edit names another folder.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import importlib.util
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import numba
import numpy as np
from numpy.typing import NDArray

# Fifty strategy versions of about 0.3 MB each are kept, the least used go first.
CACHE_ENTRIES_MAX = 50
# Far above any strategy's imports; a bound so that no import graph runs away.
SOURCES_MAX = 500

_DRIVER_PREFIX = "cqx_driver_"
# Without numba's reference counting (``_nrt``) a pass is four times as fast: a state's
# arrays would be counted up and down, atomically, at every bar. What it costs: a kernel
# cannot allocate, which is as it should be, and numba says so at compile time.
_FLAGS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "_nrt": False}
# A file changed after this moment may not be what this process has loaded.
_LOADED_TIME_NS = time.time_ns()


def kernel[F: Callable[..., Any]](function: F) -> F:
    """
    Return ``function`` compiled when first called, and inlined where kernels call it.

    Strict IEEE arithmetic, no global lock held; a division by zero gives inf or NaN
    instead of an exception. With ``NUMBA_DISABLE_JIT=1`` the function itself.
    """
    return cast("F", numba.njit(forceinline=True, **_FLAGS)(function))


def entry_point[F: Callable[..., Any]](function: F) -> F:
    """
    Return a driver's ``function`` compiled, from the cache where it is a cached driver.

    An entry point must be called with one signature only: numba numbers the files of
    several signatures in a way that two processes compiling at once can confuse.
    """
    cached = function.__module__.startswith(_DRIVER_PREFIX)
    return cast("F", numba.njit(cache=cached, **_FLAGS)(function))


def is_compiled() -> bool:
    """Return False where ``NUMBA_DISABLE_JIT`` asks for plain Python."""
    return not cast("Any", numba).config.DISABLE_JIT


def row_reader(count: int) -> Callable[[NDArray[np.float64]], tuple[float, ...]]:
    """
    Return a kernel that returns the first ``count`` values of an array as a tuple.

    One value after the other, each index a constant: numba's own conversion keeps the
    tuple in memory and writes it in a loop, which was most of a decision's time.
    """
    last = count - 1
    if last == 0:
        return kernel(lambda row: (row[0],))
    before = row_reader(last)
    return kernel(lambda row: (*before(row), row[last]))


def row_writer(count: int) -> Callable[[NDArray[np.float64], tuple[float, ...]], None]:
    """Return a kernel that writes a tuple of ``count`` values to an array."""
    last = count - 1

    def write_first(row: NDArray[np.float64], values: tuple[float, ...]) -> None:
        row[0] = values[0]

    if last == 0:
        return kernel(write_first)
    before = row_writer(last)

    def write(row: NDArray[np.float64], values: tuple[float, ...]) -> None:
        before(row, values)
        row[last] = values[last]

    return kernel(write)


def cache_hits(function: Callable[..., Any]) -> tuple[int, int]:
    """Return how often this process loaded ``function``, and how often compiled it."""
    stats = getattr(function, "stats", None)
    if stats is None:
        return 0, 0
    return sum(stats.cache_hits.values()), sum(stats.cache_misses.values())


def default_cache_directory() -> Path:
    """Return the user's own cache folder for kernels, by the platform's custom."""
    if sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        named = os.environ.get("XDG_CACHE_HOME", "")
        base = Path(named) if Path(named).is_absolute() else Path.home() / ".cache"
    return base / "cryptoquantix" / "kernels"


def load_driver(
    template: str,
    replace: tuple[str, str] | None = None,
    directory: Path | None = None,
) -> ModuleType:
    """
    Return the module of ``template``, one line of it replaced, its kernels cached.

    Parameters
    ----------
    template : str
        Dotted name of the module whose source is the driver's text.
    replace : (str, str) or None
        The line of it that imports the strategy, and the line to put there; None
        leaves the text as it is.
    directory : Path or None
        Cache folder, made where missing; None is the user's own. Where it cannot be
        written the driver still works, from a temporary folder of this process.

    Raises
    ------
    ValueError
        If the template does not hold the line exactly once.
    """
    text = _driver_text(template, replace)
    sources = imported_sources(text, template.rpartition(".")[0])
    key = _key(text, sources)
    name = f"{_DRIVER_PREFIX}{template.rpartition('.')[2]}_{key}"
    if name in sys.modules:
        return sys.modules[name]
    folder = directory or default_cache_directory()
    if any(path.stat().st_mtime_ns >= _LOADED_TIME_NS for path in sources.values()):
        # What is on disk may be newer than what is loaded: never share that code.
        return _import(name, _write_private(name, text))
    try:
        file = _write(folder, name, text)
        _prune(folder, keep=file.parent)
    except OSError:
        file = _write_private(name, text)
    return _import(name, file)


def _driver_text(template: str, replace: tuple[str, str] | None) -> str:
    source = _source_of(template)
    text = "" if source is None else source.read_text()
    if replace is None and text:
        return text
    if replace is None or text.count(replace[0]) != 1:
        msg = f"driver template {template} must hold the line {replace!r} once"
        raise ValueError(msg)
    return text.replace(*replace)


def imported_sources(text: str, package: str) -> dict[str, Path]:
    """
    Return the files that ``text`` imports, by module, and those they import.

    Left out are the standard library and installed packages other than this one:
    numba's and numpy's versions are part of the key instead.
    """
    found: dict[str, Path] = {}
    open_names = list(_imports(text, package))
    while open_names:
        name = open_names.pop()
        if name in found or name.partition(".")[0] in sys.stdlib_module_names:
            continue
        path = _source_of(name)
        if path is None or _is_foreign(name, path):
            continue
        found[name] = path
        assert len(found) <= SOURCES_MAX, f"more than {SOURCES_MAX} modules imported"
        parent = name if path.name == "__init__.py" else name.rpartition(".")[0]
        open_names.extend(_imports(path.read_text(), parent))
    return found


def _imports(text: str, package: str) -> Iterator[str]:
    """Yield every module that ``text`` may import, packages on the way included."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name
        elif isinstance(node, ast.ImportFrom):
            dots = "." * node.level + (node.module or "")
            base = importlib.util.resolve_name(dots, package) if node.level else dots
            yield base
            for alias in node.names:  # a name may be a module of that package
                yield f"{base}.{alias.name}"


def _source_of(name: str) -> Path | None:
    spec: ModuleSpec | None = None
    with contextlib.suppress(ImportError, ValueError, AttributeError):
        spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return None
    return Path(spec.origin)


def _is_foreign(name: str, path: Path) -> bool:
    ours = name.partition(".")[0] == __name__.partition(".")[0]
    return "site-packages" in path.parts and not ours


def _key(text: str, sources: dict[str, Path]) -> str:
    digest = hashlib.sha256()
    versions = f"{sys.version}|{numba.__version__}|{np.__version__}"
    for part in (versions, Path(__file__).read_text(), text):
        digest.update(part.encode() + b"\0")
    for name in sorted(sources):
        digest.update(name.encode() + b"\0" + sources[name].read_bytes() + b"\0")
    return digest.hexdigest()[:24]


def _write(folder: Path, name: str, text: str) -> Path:
    """Write the driver as a whole or not at all, whoever else does the same."""
    final = folder / name / f"{name}.py"
    if not final.exists():
        folder.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=folder))
        try:
            _write_driver(draft / final.name, text)
            with contextlib.suppress(OSError):  # another process was first
                draft.rename(final.parent)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    os.utime(final.parent)  # the age that pruning goes by
    return final


def _write_driver(file: Path, text: str) -> None:
    file.write_text(text)
    # numba takes a file's date for its version; equal text must have an equal date.
    os.utime(file, (0, 0))


def _write_private(name: str, text: str) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="cqx-kernels-"))
    _remove_at_exit(folder)
    file = folder / f"{name}.py"
    _write_driver(file, text)
    return file


def _remove_at_exit(folder: Path) -> None:
    """Remove ``folder`` when this process ends."""
    import atexit  # noqa: PLC0415 - rarely needed

    atexit.register(shutil.rmtree, folder, ignore_errors=True)


def _import(name: str, file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _prune(folder: Path, keep: Path) -> None:
    """Remove the entries used longest ago beyond the bound; races do no harm."""
    entries: list[tuple[float, Path]] = []
    for path in folder.iterdir():
        with contextlib.suppress(OSError):
            entries.append((path.stat().st_mtime, path))
    entries.sort(reverse=True)
    for _, path in entries[CACHE_ENTRIES_MAX:]:
        if path != keep and path.name.startswith((_DRIVER_PREFIX, ".draft-")):
            shutil.rmtree(path, ignore_errors=True)
