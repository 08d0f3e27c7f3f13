"""A venue's order budget is spent in order and never overdrawn."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryptoquantix.core.exposure import Act, Pace
from cryptoquantix.risk import pacing
from cryptoquantix.risk.pacing import Pacer

MATCHING = Pace("matching", per_second=50, burst=5)


class Instant(selectors.DefaultSelector):
    """Waits for nothing: what is waited for has passed, however slow the machine."""

    now = 0.0

    def select(self, timeout=None):
        self.now += timeout or 0.0
        return super().select(0)


def played[T](coroutine: Coroutine[object, object, T]) -> T:
    """Run ``coroutine`` on a loop whose time is only what was waited for."""
    selector = Instant()

    def loop() -> asyncio.AbstractEventLoop:
        made = asyncio.SelectorEventLoop(selector)
        made.time = lambda: selector.now
        return made

    with asyncio.Runner(loop_factory=loop) as runner:
        return runner.run(coroutine)


async def sent(pacer, acts):
    loop = asyncio.get_running_loop()
    started = loop.time()
    times = []

    async def one(act):
        await pacer.turn(act)
        times.append(loop.time() - started)

    await asyncio.gather(*(one(act) for act in acts))
    return times


def test_a_burst_goes_at_once_and_the_rest_at_the_rate():
    times = played(sent(Pacer({Act.CLOSE: MATCHING}), [Act.CLOSE] * 10))
    assert times[4] == 0
    assert times[9] == pytest.approx(5 / 50 / pacing.MARGIN)


def test_acts_of_one_bucket_share_it_and_others_pass():
    paces = {Act.CLOSE: MATCHING, Act.CANCEL: MATCHING}
    pacer = Pacer(paces)

    async def one_after_another():
        return [
            await sent(pacer, [act] * count)
            for act, count in ((Act.CANCEL, 5), (Act.CANCEL_ALL, 50), (Act.CLOSE, 1))
        ]

    _, others, (close,) = played(one_after_another())
    assert others[-1] == 0
    assert close > 0.01


def test_a_rolling_window_never_holds_more_than_its_count(monkeypatch):
    monkeypatch.setattr(pacing, "WINDOW_MARGIN_SECONDS", 0.0)
    pace = Pace("create", per_second=50, burst=5, window_seconds=0.1)
    times = played(sent(Pacer({Act.CLOSE: pace}), [Act.CLOSE] * 12))
    assert len(times) == 12
    for first, sixth in zip(times, times[5:], strict=False):
        assert sixth - first >= 0.1 - 1e-9


async def test_a_canceled_wait_gives_its_turn_back():
    pacer = Pacer({Act.CLOSE: Pace("x", per_second=1, burst=1)})
    await pacer.turn(Act.CLOSE)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(pacer.turn(Act.CLOSE), 0.01)
    assert not pacer.is_holding
    assert len(pacer._grants["x"]) == 1


@settings(max_examples=60, deadline=None)
@given(
    burst=st.integers(1, 30),
    per_second=st.floats(1, 100),
    gaps=st.lists(st.floats(0, 0.5), max_size=60),
)
def test_no_bucket_is_ever_overdrawn(burst, per_second, gaps):
    """Checked against the plainest bucket there is."""
    from collections import deque

    pace = Pace("x", per_second=per_second, burst=burst)
    grants, now, left, at = deque(), 0.0, float(burst), 0.0
    for gap in gaps:
        now += gap
        granted = max(pacing._next(grants, pace, now), now)
        grants.append(granted)
        left = min(burst, left + (granted - at) * per_second) - 1
        at = granted
        assert left >= -1e-6
