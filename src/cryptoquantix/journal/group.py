"""
Orders decided in one turn of the loop, written with one commit; it sends none.

A commit waits for the disk, whatever is in it: orders of several instruments or venues
that a turn decides wait once, not each in turn behind the others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import NamedTuple

from cryptoquantix.core.errors import JournalError
from cryptoquantix.journal.records import OrderRecord


class _Waiting(NamedTuple):
    record: OrderRecord
    written: asyncio.Future[None]


class OrderGroup:
    """
    Writes the orders of a turn together.

    Parameters
    ----------
    write : callable
        Makes records durable, all of them or none; raises :class:`JournalError`.
    """

    def __init__(self, write: Callable[[Sequence[OrderRecord]], None]) -> None:
        self._write = write
        self._waiting: list[_Waiting] = []

    async def add(self, record: OrderRecord) -> None:
        """
        Return once ``record`` is durable.

        Cancellation before the commit leaves it unwritten.

        Raises
        ------
        JournalError
            If it could not be written, whatever became of the others.
        """
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._commit)
        one = _Waiting(record, loop.create_future())
        self._waiting.append(one)
        await one.written

    def _commit(self) -> None:
        group = [one for one in self._waiting if not one.written.done()]
        self._waiting = []
        error = self._attempt(group)
        if isinstance(error, JournalError) and len(group) > 1:
            # One of them may be at fault alone: each has its own answer.
            for one in group:
                _tell([one], self._attempt([one]))
        else:
            _tell(group, error)

    def _attempt(self, group: Sequence[_Waiting]) -> Exception | None:
        """Write a group, and return what went wrong."""
        if not group:
            return None
        try:
            self._write([one.record for one in group])
        except Exception as error:  # noqa: BLE001 - raised to whoever waits
            return error
        return None


def _tell(group: Sequence[_Waiting], error: Exception | None) -> None:
    for one in group:
        if error is None:
            one.written.set_result(None)
        else:
            one.written.set_exception(error)
