"""
A strategy's state as bytes and back, to the bit; it knows nothing of files.

A state is a NamedTuple of ints, floats, bools, arrays and such NamedTuples. Its bytes
are those of its leaves, one after the other; what they mean is the *layout*, a text
of the fields' names, kinds and shapes. Bytes are read with the layout of the state
that the strategy starts with, so that nothing in them is ever executed or trusted.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import combinations
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from cryptoquantix.core.errors import StateCorrupt

_INT, _FLOAT, _BOOL = struct.Struct("<q"), struct.Struct("<d"), struct.Struct("<?")


def layout(state: object) -> str:
    """
    Return what a state's bytes mean.

    Raises
    ------
    StateCorrupt
        If a part of it is of no kind that can be kept, or two of its arrays share
        memory: read back, each would be its own.

    Examples
    --------
    >>> from typing import NamedTuple
    >>> class State(NamedTuple):
    ...     bars: int
    ...     high: float
    >>> layout(State(0, 1.0))
    'State(bars:int,high:float)'
    """
    arrays = [leaf for leaf in _leaves(state) if isinstance(leaf, np.ndarray)]
    if any(np.may_share_memory(*two) for two in combinations(arrays, 2)):
        msg = "a state whose arrays share memory cannot be kept"
        raise StateCorrupt(msg)
    return _layout(state)


def _layout(state: object) -> str:
    fields = getattr(state, "_fields", None)
    if fields is not None:
        values = cast("tuple[object, ...]", state)
        parts = (f"{n}:{_layout(v)}" for n, v in zip(fields, values, strict=True))
        return f"{type(state).__name__}({','.join(parts)})"
    if isinstance(state, np.ndarray) and state.dtype.kind in "biuf":
        return f"{state.dtype.str}{state.shape}"
    if isinstance(state, np.generic):
        state = state.item()
    if isinstance(state, bool | int | float):
        return type(state).__name__
    msg = f"a state of {type(state).__name__} cannot be kept"
    raise StateCorrupt(msg)


def size_bytes(state: object) -> int:
    """Return how many bytes a state comes to."""
    return sum(
        leaf.nbytes if isinstance(leaf, np.ndarray) else _packer(leaf).size
        for leaf in _leaves(state)
    )


def encode(state: object) -> bytes:
    """
    Return a state's bytes.

    Raises
    ------
    StateCorrupt
        If an int does not fit into 64 bits, as in a state of compiled code it does.
    """
    try:
        return b"".join(_leaf_bytes(leaf) for leaf in _leaves(state))
    except struct.error as error:
        msg = f"a state cannot be kept: {error}"
        raise StateCorrupt(msg) from None


def decode[S](data: bytes, template: S) -> S:
    """
    Return the state whose bytes ``data`` is, laid out as ``template`` is.

    Its arrays are its own, writable, in the order of those in ``template``: to the
    compiled step, arrays of another order are arguments of another type.

    Raises
    ------
    StateCorrupt
        If ``data`` is not as long as ``template`` says.
    """
    if len(data) != size_bytes(template):
        msg = f"a state of {size_bytes(template)} bytes was kept as {len(data)}"
        raise StateCorrupt(msg)
    state, _ = _decoded(memoryview(data), 0, template)
    return cast("S", state)


def _decoded(data: memoryview, at: int, template: object) -> tuple[object, int]:
    if hasattr(template, "_fields"):
        values = []
        for part in cast("tuple[object, ...]", template):
            value, at = _decoded(data, at, part)
            values.append(value)
        return cast("Any", type(template))(*values), at
    if isinstance(template, np.ndarray):
        end = at + template.nbytes
        flat: NDArray[Any] = np.frombuffer(data[at:end], template.dtype)
        found = np.empty_like(template)
        found[...] = flat.reshape(template.shape)
        return found, end
    packer = _packer(template)
    return packer.unpack_from(data, at)[0], at + packer.size


def _leaves(state: object) -> Iterator[object]:
    if hasattr(state, "_fields"):
        for part in cast("tuple[object, ...]", state):
            yield from _leaves(part)
    else:
        yield state


def _leaf_bytes(leaf: object) -> bytes:
    if isinstance(leaf, np.ndarray):
        return leaf.tobytes("C")
    return _packer(leaf).pack(leaf)


def _packer(leaf: object) -> struct.Struct:
    if isinstance(leaf, bool | np.bool_):
        return _BOOL
    return _INT if isinstance(leaf, int | np.integer) else _FLOAT
