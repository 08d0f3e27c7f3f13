"""How one kill ended, by the venue's own log and books; it asks no daemon."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from cryptoquantix.drills.scorecard import KillTimes


@dataclass(frozen=True, slots=True)
class KillResult:
    """One kill: its times, and what the venue says was left."""

    drawdown: float
    times: KillTimes
    open_orders: int
    positions: int
    latched: bool

    @property
    def passed(self) -> bool:
        """Whether the account was verified flat and the halt stands."""
        is_empty = self.open_orders == 0 and self.positions == 0
        return is_empty and self.latched and self.times.flat_ms is not None

    def as_json(self) -> dict[str, Any]:
        """Return one flat object."""
        return {
            "drawdown": self.drawdown,
            **asdict(self.times),
            "open_orders": self.open_orders,
            "positions": self.positions,
            "latched": self.latched,
        }
