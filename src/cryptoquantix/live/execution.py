"""
The execution service: one trading loop after another, each ended by a halt.

It grants itself nothing: the loop trades with the permits it is given, ends when they
say *halted* (cancelling nothing: that is the daemon's act), goes on asking, and starts
afresh, comparing venue and journal first, once a person has rearmed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Final

from cryptoquantix.control.permit import PermitMode
from cryptoquantix.core.instrument import InstrumentId, Venue
from cryptoquantix.live.desk import Desk
from cryptoquantix.live.events import OnStop, PermitSource, Wanted

_LOG = logging.getLogger(__name__)

_WATCH_SECONDS: Final = 0.05


class Execution:
    """
    Trading loops over the desks of all venues.

    Parameters
    ----------
    make_desks : callable
        Returns a new desk per venue, for each trading loop.
    permits : PermitSource
        Whoever asks the risk daemon.
    on_stop : OnStop
        What becomes of resting orders when this is stopped, and not halted.
    """

    def __init__(
        self,
        make_desks: Callable[[], Sequence[Desk]],
        permits: PermitSource,
        on_stop: OnStop = OnStop.CANCEL_INCREASES,
    ) -> None:
        self._make_desks = make_desks
        self._permits = permits
        self._on_stop = on_stop
        self._desks: Sequence[Desk] = ()
        self._targets: dict[tuple[str, InstrumentId], Wanted] = {}
        self.loops = 0

    def on_target(self, wanted: Wanted, instrument: InstrumentId) -> None:
        """Keep a target, and hand it to its venue's desk where one trades."""
        self._targets[wanted.strategy, instrument] = wanted
        for desk in self._desks:
            if desk.venue is instrument.venue:
                desk.on_target(wanted, instrument)

    @property
    def desks(self) -> Sequence[Desk]:
        """The desks of the present trading loop; none while halted."""
        return self._desks

    def on_hint(self, venue: Venue) -> None:
        """Let a venue's desk look at once: something may have changed there."""
        for desk in self._desks:
            if desk.venue is venue:
                desk.hint()

    async def run(self) -> None:
        """
        Trade for ever; cancellation does with resting orders as ``on_stop`` says.

        Raises
        ------
        CryptoquantixError
            What no later try can mend: a refused key, a journal that cannot write.
        """
        while True:
            # Before the wait: a rearm must not find what was said of the last loop.
            self._permits.unreconciled()
            await self._until_not_halted()
            self.loops += 1
            await self._trade()

    @property
    def is_halted(self) -> bool:
        """True while the newest answer of the daemon says so."""
        permit = self._permits.current()
        return permit is not None and permit.answer.mode is PermitMode.HALTED

    async def _until_not_halted(self) -> None:
        while self.is_halted:  # noqa: ASYNC110 - the permit is read, not signalled
            await asyncio.sleep(_WATCH_SECONDS)

    async def _trade(self) -> None:
        """Run one trading loop, until halted."""
        self._desks = self._make_desks()
        for (_, instrument), wanted in list(self._targets.items()):
            for desk in self._desks:
                if desk.venue is instrument.venue:
                    desk.on_target(wanted, instrument)
        tasks = [asyncio.create_task(desk.run()) for desk in self._desks]
        watch = asyncio.create_task(self._until_halted())
        is_halt = False
        _LOG.info("trading loop %d begins", self.loops)
        try:
            done, _ = await asyncio.wait(
                {*tasks, watch}, return_when=asyncio.FIRST_COMPLETED
            )
            is_halt = watch in done
            for task in done - {watch}:
                task.result()
        finally:
            await self._end([*tasks, watch], None if is_halt else self._on_stop)
            _LOG.info("trading loop %d ended", self.loops, extra={"halted": is_halt})

    async def _end(
        self, tasks: Sequence[asyncio.Task[None]], on_stop: OnStop | None
    ) -> None:
        desks, self._desks = self._desks, ()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        results = await asyncio.gather(
            *(desk.stop(on_stop) for desk in desks),
            return_exceptions=True,
        )
        for result in results:
            if isinstance(result, BaseException):
                _LOG.error("a desk did not end well: %r", result)

    async def _until_halted(self) -> None:
        """Return when halted; say so once venue and journal were compared."""
        is_said = False
        while not self.is_halted:
            if not is_said and self._is_reconciled():
                self._permits.reconciled()
                is_said = True
            await asyncio.sleep(_WATCH_SECONDS)

    def _is_reconciled(self) -> bool:
        # A venue that cannot be reached must not keep the others from trading; its
        # own desk plans nothing before it was compared.
        return any(desk.is_reconciled for desk in self._desks) and all(
            desk.is_reconciled or desk.is_unreachable for desk in self._desks
        )
