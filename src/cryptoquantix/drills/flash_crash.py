"""
The flash crash: prices fall against a held book, and the kill switch is timed.

It talks to running processes from outside: the simulator's admin API and the
account's own key on one side, the risk daemon's API on the other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any, Final

from cryptoquantix.control.status import RiskState
from cryptoquantix.core.clock import NS_PER_SECOND, Clock
from cryptoquantix.core.errors import CryptoquantixError
from cryptoquantix.drills.account import AccountOwner
from cryptoquantix.drills.scenario import BookOrder, Listing, build_book
from cryptoquantix.drills.scorecard import KillTimes, read_kill_times
from cryptoquantix.drills.simulator_admin import SimulatorAdmin
from cryptoquantix.risk_client.operator import OperatorClient

GROSS_EXPOSURE: Final = Decimal("1.5")
CRASH_FACTOR: Final = Decimal("0.94")
THRESHOLD: Final = Decimal("0.03")
_WHO: Final = "drill"
_WAIT_SECONDS: Final = 30.0
_POLL_SECONDS: Final = 0.05


class DrillFailed(CryptoquantixError):  # noqa: N818 - it names a state
    """A drill could not be carried out, or the kill switch did not do its part."""


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

    def sentence(self) -> str:
        """Return the result as one line for a person."""
        times = self.times
        flat = "NOT FLAT" if times.flat_ms is None else f"flat {times.flat_ms:.0f} ms"
        detected = "never" if times.detected_ms is None else f"{times.detected_ms:.0f}"
        return (
            f"{'passed' if self.passed else 'FAILED'}: drawdown {self.drawdown:.2%}, "
            f"detected {detected} ms, {flat}, "
            f"{self.positions} positions and {self.open_orders} orders left"
        )

    def as_json(self) -> dict[str, Any]:
        """Return one flat object."""
        return {
            "passed": self.passed,
            "drawdown": self.drawdown,
            **asdict(self.times),
            "open_orders": self.open_orders,
            "positions": self.positions,
            "latched": self.latched,
        }


class FlashCrash:
    """
    One simulator, one daemon, one crash.

    Parameters
    ----------
    admin, owner, operator : open clients of the three sides
    clock : wall and monotonic time of this machine
    """

    def __init__(
        self,
        admin: SimulatorAdmin,
        owner: AccountOwner,
        operator: OperatorClient,
        clock: Clock,
    ) -> None:
        self._admin = admin
        self._owner = owner
        self._operator = operator
        self._clock = clock

    async def run(self, phase_seconds: float) -> KillResult:
        """
        Arm, build the book, crash, and wait for flat.

        ``phase_seconds`` is waited before the crash, so that crashes fall anywhere
        between two readings of the daemon.

        Cancellation leaves the account as it is; the daemon goes on guarding it.

        Raises
        ------
        DrillFailed
            If the daemon cannot be armed or does not come to an end in 30 s.
        """
        await self._operator.rearm(who=_WHO, reason="drill: flash crash")
        await self._until(RiskState.ARMED)
        await self._build_book()
        await asyncio.sleep(2.0)  # two readings of the daemon see the book
        await self._admin.begin_watch(THRESHOLD)
        start = await self._log_end()
        await asyncio.sleep(phase_seconds)
        await self._admin.move_price(CRASH_FACTOR)
        await self._until(RiskState.HALTED)
        return await self.judge(start)

    async def judge(self, log_start: int) -> KillResult:
        """Return what the venue's log says of the kill since ``log_start``."""
        watch = await self._admin.watch()
        if watch.crossed_time_ns is None:
            msg = (
                f"the account's drawdown was {watch.deepest:.2%}, "
                f"short of {THRESHOLD:.2%}"
            )
            raise DrillFailed(msg)
        account = await self._admin.account()
        status = await self._operator.status()
        records = await self._admin.log(log_start)
        return KillResult(
            drawdown=float(watch.deepest),
            times=read_kill_times(records, watch.crossed_time_ns),
            open_orders=account.open_orders + account.algo_orders,
            positions=len(account.positions),
            latched=status.state is RiskState.HALTED,
        )

    async def _build_book(self) -> None:
        listings = await self._listings()
        prices = {s: Decimal(p) for s, p in (await self._owner.prices()).items()}
        equity = (await self._admin.account()).equity
        for order in build_book(
            listings, prices, equity, gross_exposure=GROSS_EXPOSURE
        ):
            await self._place(order)

    async def _place(self, order: BookOrder) -> None:
        quantity = format(order.quantity, "f")
        if order.price is None:
            await self._owner.market(order.symbol, order.side, quantity)
            return
        price = format(order.price, "f")
        if order.is_conditional:
            await self._owner.stop(order.symbol, order.side, quantity, price)
        else:
            await self._owner.limit(order.symbol, order.side, quantity, price)

    async def _listings(self) -> Sequence[Listing]:
        answer = await self._owner.exchange_information()
        return [
            Listing(
                symbol=row["symbol"],
                tick_size=_filter(row, "PRICE_FILTER", "tickSize"),
                lot_size=_filter(row, "LOT_SIZE", "stepSize"),
            )
            for row in answer["symbols"]
        ]

    async def _log_end(self) -> int:
        records = await self._admin.log()
        return int(records[-1]["sequence"]) if records else 0

    async def _until(self, state: RiskState) -> None:
        deadline_ns = self._clock.monotonic_ns() + int(_WAIT_SECONDS * NS_PER_SECOND)
        while True:
            status = await self._operator.status()
            if status.state is state:
                return
            if self._clock.monotonic_ns() > deadline_ns:
                msg = (
                    f"the daemon is {status.state} after {_WAIT_SECONDS:.0f} s, "
                    f"expected {state}: {status.reason} {status.not_flat}"
                )
                raise DrillFailed(msg)
            await asyncio.sleep(_POLL_SECONDS)


def _filter(row: dict[str, Any], kind: str, field: str) -> Decimal:
    return next(Decimal(f[field]) for f in row["filters"] if f["filterType"] == kind)
