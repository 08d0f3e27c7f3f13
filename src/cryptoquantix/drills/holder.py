"""Who holds the permit in a drill, as execution would; it trades nothing."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from cryptoquantix.control.permit import PermitMode
from cryptoquantix.risk_client.permit import PermitClient


class Holder:
    """A permit client that runs from ``start`` to ``stop``."""

    def __init__(self, client: PermitClient) -> None:
        self._client = client
        self._task: asyncio.Task[None] | None = None

    @property
    def mode(self) -> PermitMode | None:
        """What it may do now; None where its last answer has run out."""
        permit = self._client.current()
        return permit.answer.mode if permit is not None else None

    @property
    def reason(self) -> str:
        """Why it may not do more."""
        permit = self._client.current()
        return permit.answer.reason if permit is not None else self._client.problem

    def start(self) -> None:
        """Begin to ask, as one that has reconciled."""
        self._client.reconciled()
        self._task = asyncio.create_task(self._client.run(), name="permit")

    async def stop(self) -> None:
        """Ask no more."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
