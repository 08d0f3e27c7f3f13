"""A state comes back to the bit, or not at all."""

import math
import struct
from typing import NamedTuple

import numpy as np
import pytest

from cryptoquantix.core.errors import StateCorrupt
from cryptoquantix.core.market import Bar
from cryptoquantix.strategies.state_codec import decode, encode, layout
from cryptoquantix.strategies.stepper import Stepper


class Inner(NamedTuple):
    values: np.ndarray
    slot: int


class State(NamedTuple):
    bars: int
    price: float
    is_long: bool
    inner: Inner


def state(price=1.5, slot=3):
    return State(-(2**62), price, True, Inner(np.arange(6.0).reshape(2, 3), slot))


NANS = [struct.unpack("<d", struct.pack("<Q", bits))[0] for bits in (0x7FF8 << 48 | 7,)]


@pytest.mark.parametrize("price", [-0.0, math.inf, 5e-324, *NANS])
def test_every_bit_comes_back(price):
    before = state(price)
    before.inner.values[1, 1] = -math.nan
    after = decode(encode(before), state())
    assert encode(after) == encode(before)
    assert layout(after) == layout(before)
    assert [type(part) for part in after] == [int, float, bool, Inner]
    assert after.inner.values.flags.writeable
    assert after.inner.values.flags.c_contiguous


def test_what_is_decoded_shares_nothing_with_what_it_was_read_from():
    data = encode(state())
    one, other = decode(data, state()), decode(data, state())
    one.inner.values[0, 0] = 99.0
    assert other.inner.values[0, 0] == 0.0


def test_a_state_of_another_length_is_refused():
    data = encode(state())
    for wrong in (data[:-1], data + b"\0", b""):
        with pytest.raises(StateCorrupt, match="bytes was kept"):
            decode(wrong, state())


def test_the_layout_tells_kinds_shapes_and_names_apart():
    shapes = {
        layout(state()),
        layout(state()._replace(price=1)),
        layout(state()._replace(inner=Inner(np.zeros(6), 3))),
        layout(state()._replace(inner=Inner(np.zeros((2, 3), np.int64), 3))),
    }
    assert len(shapes) == 4


def test_arrays_keep_their_order_and_empty_ones_their_shape():
    values = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    before = (Inner(values, 1), Inner(np.zeros((0, 4)), 2))
    for one in before:
        after = decode(encode(one), one)
        assert np.array_equal(after.values, one.values)
        assert after.values.shape == one.values.shape
        assert after.values.flags.f_contiguous == one.values.flags.f_contiguous


def test_arrays_that_share_memory_are_refused():
    """Written through one, read through the other: read back, they are two."""
    values = np.zeros(6)
    shared = state()._replace(price=values, inner=Inner(values[2:], 1))
    with pytest.raises(StateCorrupt, match="share memory"):
        layout(shared)


@pytest.mark.parametrize("odd", [{"a": 1}, "text", None, np.array(["x"])])
def test_what_cannot_be_kept_is_refused(odd):
    with pytest.raises(StateCorrupt, match="cannot be kept"):
        layout(state()._replace(price=odd))


def test_an_int_beyond_64_bits_is_refused():
    with pytest.raises(StateCorrupt, match="cannot be kept"):
        encode(state(slot=2**63))


def walk(count, start=0):
    random = np.random.default_rng(11)
    price, bars = 100.0, []
    for i in range(count):
        price = max(1.0, price + random.normal())
        bars.append(
            Bar(i * 60, (i + 1) * 60, price, price + 1, price - 0.5, price, 1.0, 0.0)
        )
    return bars[start:]


ROWS = "strategies.weighted_rows"


@pytest.mark.parametrize("cut", [1, 9])
def test_arrays_in_parameters_and_state_are_gone_on_from_to_the_bit(cut, kernel_cache):
    bars, values = walk(40), {"decay": 0.7}
    whole, half, resumed = (Stepper(ROWS, values, kernel_cache) for _ in range(3))
    expected = [whole.step(bar) for bar in bars]
    for bar in bars[:cut]:
        half.step(bar)
    resumed.load(half.save(), bars[cut - 1].close_time_ns, cut)
    assert [resumed.step(bar) for bar in bars[cut:]] == expected[cut:]
    assert resumed.save() == whole.save()
    assert len(set(expected)) > 30


def test_parameters_in_arrays_are_told_apart_to_the_last_digit(kernel_cache):
    """As numpy shows them, both are the same."""
    one, other = (
        Stepper(ROWS, {"decay": decay}, kernel_cache)
        for decay in (0.7, math.nextafter(0.7, 1.0))
    )
    assert repr(one.params) == repr(other.params)
    assert one.params_text != other.params_text


PARAMS = {"gate_days": 2, "breakout_bars": 7, "exit_bars": 5, "exit_atr": 2.0}


@pytest.mark.parametrize("cut", [1, 7, 63, 200])
def test_a_strategy_goes_on_from_its_bytes_as_if_it_had_never_stopped(cut):
    bars = walk(300)
    whole, half = Stepper("trend_breakout", PARAMS), Stepper("trend_breakout", PARAMS)
    expected = [whole.step(bar) for bar in bars]
    for bar in bars[:cut]:
        half.step(bar)
    resumed = Stepper("trend_breakout", PARAMS)
    resumed.load(half.save(), bars[cut - 1].close_time_ns, cut)
    assert [resumed.step(bar) for bar in bars[cut:]] == expected[cut:]
    assert resumed.save() == whole.save()
    assert resumed.bars == whole.bars
