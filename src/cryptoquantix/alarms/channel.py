"""What a way to reach a person is; a channel that fails says so, and never retries."""

from __future__ import annotations

from typing import Protocol

from cryptoquantix.core.errors import CryptoquantixError


class DeliveryError(CryptoquantixError):
    """A message was not delivered; try again after ``delay_seconds`` at least."""

    def __init__(self, text: str, delay_seconds: float = 0.0) -> None:
        super().__init__(text)
        self.delay_seconds = delay_seconds


class Channel(Protocol):
    """Where alarms go; ``name`` is what settings, logs and status call it."""

    @property
    def name(self) -> str:
        """The channel's name."""
        ...

    async def deliver(self, text: str, severity: str) -> None:
        """Send ``text`` once; `DeliveryError` unless it is known to have arrived."""
        ...

    async def check(self) -> None:
        """Find out without a message whether it can work; `DeliveryError` if not."""
        ...

    async def close(self) -> None:
        """Release connections."""
        ...
