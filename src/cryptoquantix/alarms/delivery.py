"""
Messages to channels: each channel alone, for as long as it takes; it judges none.

A channel that is down delays only its own. Its schedule of retries is bounded to a
minute, or to what it asks for itself. Many messages that wait together go as one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from cryptoquantix.alarms.channel import Channel, DeliveryError
from cryptoquantix.alarms.keeper import Keeper
from cryptoquantix.alarms.progress import Entry, Health, Ledger
from cryptoquantix.alarms.texts import digest, message
from cryptoquantix.core.clock import NS_PER_SECOND, Clock

_LOG = logging.getLogger(__name__)

_BACKOFF_SECONDS: Final = (0.5, 1.0, 2.0, 5.0, 15.0, 60.0)
_TEST_SECONDS: Final = 30.0
_SINGLE_MAX: Final = 5
_DIGEST_MAX: Final = 20
_DIGEST_LENGTH_MAX: Final = 3_800
_ORDER: Final = ("info", "warning", "critical")


class LogChannel:
    """The log, where there is no channel: it reaches nobody, and does not claim to."""

    name = "log"

    async def deliver(self, text: str, severity: str) -> None:
        """Write ``text`` to the log."""
        _LOG.warning("%s", text, extra={"severity": severity})

    async def check(self) -> None:
        """Find nothing out."""

    async def close(self) -> None:
        """Release nothing."""


class Delivery:
    """
    Takes what waits in the ledger to the channels.

    Parameters
    ----------
    down_seconds : float
        After so long a failing channel is a warning on the others.
    """

    def __init__(
        self,
        ledger: Ledger,
        channels: Sequence[Channel],
        keeper: Keeper,
        *,
        clock: Clock,
        down_seconds: float,
    ) -> None:
        self._ledger = ledger
        self._channels = list(channels)
        self._keeper = keeper
        self._clock = clock
        self._down_seconds = down_seconds
        self._wakes = {channel.name: asyncio.Event() for channel in channels}
        self.has_delivered = asyncio.Event()

    def wake(self) -> None:
        """Say that something waits in the ledger."""
        self._keeper.changed()
        for wake in self._wakes.values():
            wake.set()

    async def run(self) -> None:
        """Deliver for ever; cancellation leaves the rest to the next start."""
        async with asyncio.TaskGroup() as tasks:
            for channel in self._channels:
                tasks.create_task(self._serve(channel), name=f"to-{channel.name}")
                tasks.create_task(self._test(channel), name=f"test-{channel.name}")

    async def _test(self, channel: Channel) -> None:
        """Ask it at the start whether it can work, then whether it can again."""
        await self._check(channel)
        while True:
            await asyncio.sleep(_TEST_SECONDS)
            # One that has something to deliver finds out by that.
            is_idle = not self._ledger.waiting(channel.name)
            if is_idle and self._health(channel.name).problem:
                await self._check(channel)

    async def _check(self, channel: Channel) -> None:
        try:
            await channel.check()
        except DeliveryError as error:
            _LOG.error("the channel %s fails its self-test: %s", channel.name, error)
            self._failed(channel.name, error)
        else:
            self._worked(channel.name, ())

    async def _serve(self, channel: Channel) -> None:
        wake = self._wakes[channel.name]
        failures = 0
        while True:
            wake.clear()
            batch = _batch(self._ledger.waiting(channel.name))
            if not batch:
                await wake.wait()
                continue
            try:
                await channel.deliver(*self._text(channel.name, batch))
            except DeliveryError as error:
                step = min(failures, len(_BACKOFF_SECONDS) - 1)
                delay = max(_BACKOFF_SECONDS[step], error.delay_seconds)
                failures += 1
                _LOG.warning(
                    "not delivered to %s, trying again in %.1f s: %s",
                    *(channel.name, delay, error),
                )
                self._failed(channel.name, error)
                await asyncio.sleep(delay)
            else:
                failures = 0
                self._worked(channel.name, batch)

    def _text(self, channel: str, batch: Sequence[Entry]) -> tuple[str, str]:
        let_go = self._health(channel).let_go
        worst = max((entry.severity for entry in batch), key=_rank)
        if len(batch) == 1 and not let_go:
            return batch[0].text, worst
        return digest([entry.text for entry in batch], let_go), worst

    def _worked(self, channel: str, batch: Sequence[Entry]) -> None:
        health = self._health(channel)
        if health.is_told:
            self._tell_others(channel, "info", f"the channel {channel} works again")
        if health.problem or batch:
            since_ns = self._clock.time_ns() if health.problem else health.since_ns
            let_go = 0 if batch else health.let_go
            self._ledger.progress.channels[channel] = Health(
                since_ns=since_ns, let_go=let_go
            )
        self._ledger.delivered(channel, batch)
        self._keeper.changed()
        self.has_delivered.set()

    def _failed(self, channel: str, error: DeliveryError) -> None:
        health, now_ns = self._health(channel), self._clock.time_ns()
        if not health.problem:
            health.since_ns = now_ns
        health.problem = str(error)
        seconds = (now_ns - health.since_ns) / NS_PER_SECOND
        if not health.is_told and seconds >= self._down_seconds:
            health.is_told = True
            why = f"has failed for {seconds / 60:.0f} minutes: {error}"
            self._tell_others(channel, "warning", f"the channel {channel} {why}")
        self._keeper.changed()

    def _tell_others(self, channel: str, severity: str, text: str) -> None:
        others = [name for name in self._ledger.channels if name != channel]
        now_ns = self._clock.time_ns()
        self._ledger.raise_own(
            message(severity, now_ns, text), severity, now_ns, channels=others
        )
        self.wake()

    def _health(self, channel: str) -> Health:
        return self._ledger.progress.channels.setdefault(channel, Health())


def _batch(waiting: Sequence[Entry]) -> list[Entry]:
    """Return what goes as one message: one, or many where many wait."""
    if len(waiting) <= _SINGLE_MAX:
        return list(waiting[:1])
    batch: list[Entry] = []
    length = 0
    for entry in waiting[:_DIGEST_MAX]:
        length += len(entry.text)
        if batch and length > _DIGEST_LENGTH_MAX:
            break
        batch.append(entry)
    return batch


def _rank(severity: str) -> int:
    return _ORDER.index(severity) if severity in _ORDER else len(_ORDER)
