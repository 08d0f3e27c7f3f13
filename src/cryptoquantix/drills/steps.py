"""
What a drill can do, one small value each; none of them says what must hold.

``label`` names the moment for the checks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, Protocol

from cryptoquantix.control.permit import PermitMode
from cryptoquantix.control.status import RiskState
from cryptoquantix.core.clock import NS_PER_SECOND
from cryptoquantix.drills.account import place
from cryptoquantix.drills.book import BookOrder
from cryptoquantix.drills.simulator_admin import EVERYWHERE
from cryptoquantix.drills.stage import DrillFailed, Stage

_CRASH: Final = Decimal("0.94")
FIRST = "first"
LAST = "last"


class Step(Protocol):
    """One thing a drill does."""

    async def take(self, stage: Stage) -> None:
        """Do it; ``DrillFailed`` where it cannot be done."""
        ...


def _venue(name: str, stage: Stage) -> str:
    """Return the venue a step means: one by name, the first, the last, or all."""
    return {FIRST: stage.venues[0], LAST: stage.venues[-1]}.get(name, name)


@dataclass(frozen=True, slots=True)
class Fault:
    """
    Let something fail at a venue (``first``, ``last``, a name or ``*``).

    ``by_venue`` are the fault's fields that differ between venues; where it names
    none of them, nothing fails there.
    """

    kind: str
    venue: str = EVERYWHERE
    label: str = ""
    more: Mapping[str, str | float] = field(default_factory=dict)
    by_venue: Mapping[str, Mapping[str, str | float]] = field(default_factory=dict)

    async def take(self, stage: Stage) -> None:
        """Add it to the simulator's board."""
        stage.mark(self.label)
        if self.kind == "clock-skew":
            stage.skew_ms = float(self.more["milliseconds"])
        venue = _venue(self.venue, stage)
        fault = {"kind": self.kind, **self.more}
        if not self.by_venue:
            await stage.admin.add_fault(**fault, venue=venue)
            return
        for name, fields in self.by_venue.items():
            if name in stage.venues and venue in {EVERYWHERE, name}:
                await stage.admin.add_fault(**(fault | dict(fields)), venue=name)


@dataclass(frozen=True, slots=True)
class EndFaults:
    """Let nothing fail any more."""

    label: str = ""

    async def take(self, stage: Stage) -> None:
        """Clear the simulator's board."""
        await stage.admin.end_faults()
        stage.mark(self.label)


@dataclass(frozen=True, slots=True)
class Price:
    """Multiply every price by ``factor``: at once, or in a line over ``seconds``."""

    factor: str
    seconds: float = 0.0
    label: str = "crash"
    phase: float = 0.0

    async def take(self, stage: Stage) -> None:
        """Move it everywhere, at the same instant."""
        await asyncio.sleep(self.phase)
        stage.mark(self.label)
        await stage.admin.move_price(
            Decimal(self.factor), venue=EVERYWHERE, seconds=self.seconds
        )


@dataclass(frozen=True, slots=True)
class Wait:
    """Let time pass."""

    seconds: float
    label: str = ""

    async def take(self, stage: Stage) -> None:
        """Sleep, then take note."""
        await asyncio.sleep(self.seconds)
        stage.mark(self.label)


@dataclass(frozen=True, slots=True)
class Until:
    """Wait until the daemon is in a state."""

    state: RiskState
    seconds: float = 15.0
    label: str = ""

    async def take(self, stage: Stage) -> None:
        """Look until it is."""
        await stage.until((self.state,), self.seconds)
        stage.mark(self.label)


@dataclass(frozen=True, slots=True)
class UntilPermit:
    """Wait until the holder may trade."""

    seconds: float = 20.0
    label: str = ""

    async def take(self, stage: Stage) -> None:
        """Ask the holder until it may."""
        deadline_ns = stage.clock.monotonic_ns() + int(self.seconds * NS_PER_SECOND)
        while True:
            if stage.holder.mode is PermitMode.TRADE:
                stage.mark(self.label)
                return
            if stage.clock.monotonic_ns() > deadline_ns:
                reason = stage.holder.reason
                msg = f"no permit to trade after {self.seconds:g} s: {reason}"
                raise DrillFailed(msg)
            await asyncio.sleep(0.1)


@dataclass(frozen=True, slots=True)
class UntilRecord:
    """Wait until the venue's log has a record of a kind since a mark."""

    kind: str
    after: str
    seconds: float = 15.0
    label: str = ""

    async def take(self, stage: Stage) -> None:
        """Read the log until it has one."""
        deadline_ns = stage.clock.monotonic_ns() + int(self.seconds * NS_PER_SECOND)
        while True:
            records = await stage.admin.log()
            start_ns = stage.marks[self.after]
            if any(r["kind"] == self.kind and r["time_ns"] > start_ns for r in records):
                stage.mark(self.label)
                return
            if stage.clock.monotonic_ns() > deadline_ns:
                msg = f"no {self.kind} in the venue's log after {self.seconds:g} s"
                raise DrillFailed(msg)
            await asyncio.sleep(0.1)


@dataclass(frozen=True, slots=True)
class Order:
    """The owner opens something, far from the daemon: an order or a position."""

    venue: str = FIRST
    price_factor: str = ""
    value: str = "1000"
    label: str = ""

    async def take(self, stage: Stage) -> None:
        """Buy ``value`` of the venue's first symbol, at market or at a price."""
        owner = stage.owners[_venue(self.venue, stage)]
        listing = (await owner.listings())[0]
        price = (await owner.prices())[listing.symbol]
        whole = (
            Decimal(self.value) if listing.is_inverse else Decimal(self.value) / price
        )
        size = max(Decimal(1), whole // listing.lot_size) * listing.lot_size
        at = None
        if self.price_factor:
            wanted = price * Decimal(self.price_factor)
            at = wanted // listing.tick_size * listing.tick_size
        stage.mark(self.label)
        await place(owner, BookOrder(listing.symbol, "BUY", size, at))


@dataclass(frozen=True, slots=True)
class Transfer:
    """The owner sends USDT from the first venue to the second one; it takes time."""

    amount: str
    lag_seconds: float
    label: str = "sent"

    async def take(self, stage: Stage) -> None:
        """Send it; it arrives by itself."""
        stage.mark(self.label)
        sender, receiver = stage.venues[:2]
        await stage.admin.send(
            sender,
            receiver,
            coin="USDT",
            amount=self.amount,
            lag_seconds=self.lag_seconds,
        )


@dataclass(frozen=True, slots=True)
class Deleverage:
    """Close the short legs of the book, as the venue does to the winning side."""

    label: str = "adl"

    async def take(self, stage: Stage) -> None:
        """Take every short position away at its mark."""
        stage.mark(self.label)
        for venue in stage.venues:
            account = await stage.admin.account(venue)
            for name, size in account.positions.items():
                if size < 0:
                    await stage.admin.add_fault(kind="adl", venue=venue, symbol=name)


@dataclass(frozen=True, slots=True)
class Kill:
    """End the daemon as a crash does."""

    label: str = "killed"

    async def take(self, stage: Stage) -> None:
        """Send SIGKILL."""
        await stage.daemon.kill()
        stage.mark(self.label)


@dataclass(frozen=True, slots=True)
class Start:
    """Start the daemon again, with its wall clock off by ``step`` seconds."""

    step: float = 0.0
    label: str = "started"

    async def take(self, stage: Stage) -> None:
        """Start it, and wait for its line."""
        file = stage.directory / "clock"
        file.write_text(str(self.step))
        await stage.daemon.start(clock_file=file)
        stage.mark(self.label)


@dataclass(frozen=True, slots=True)
class StepClock:
    """Step the daemon's wall clock while it runs."""

    step: float
    label: str = "stepped"

    async def take(self, stage: Stage) -> None:
        """Write the step where the process looks for it."""
        (stage.directory / "clock").write_text(str(self.step))
        stage.mark(self.label)


@dataclass(frozen=True, slots=True)
class LoseStore:
    """Remove the daemon's store; it must not run."""

    async def take(self, stage: Stage) -> None:
        """Empty the volume."""
        stage.daemon.lose_store()


@dataclass(frozen=True, slots=True)
class FillDisk:
    """Let each of the daemon's writes fail."""

    label: str = "full"

    async def take(self, stage: Stage) -> None:
        """Leave no room."""
        stage.daemon.fill_disk()
        stage.mark(self.label)


@dataclass(frozen=True, slots=True)
class FreeDisk:
    """Let the daemon's writes pass again."""

    label: str = "freed"

    async def take(self, stage: Stage) -> None:
        """Give the room back."""
        stage.daemon.free_disk()
        stage.mark(self.label)


@dataclass(frozen=True, slots=True)
class KilledAt:
    """
    Kill the daemon at one step of a halt, and let another one finish it.

    ``step`` is the daemon's own name for it. The book is built anew each time.
    """

    step: str

    async def take(self, stage: Stage) -> None:
        """Crash, wait for the death, start again, wait for the end."""
        daemon = stage.daemon
        if stage.facts:
            await stage.admin.move_price(1 / _CRASH, venue=EVERYWHERE)
            await stage.arm()
            await stage.rebuild()
        await daemon.kill()
        await daemon.start(kill_at=self.step)
        await stage.until((RiskState.ARMED,), 10)
        await asyncio.sleep(1.2)  # a reading sees the book
        await stage.admin.move_price(_CRASH, venue=EVERYWHERE)
        deadline_ns = stage.clock.monotonic_ns() + 10 * NS_PER_SECOND
        while daemon.is_running:
            if stage.clock.monotonic_ns() > deadline_ns:
                msg = f"the halt never came to {self.step!r}: nothing was killed"
                raise DrillFailed(msg)
            await asyncio.sleep(0.02)
        killed_ns = stage.clock.monotonic_ns()
        await daemon.start()
        await stage.until((RiskState.HALTED,), 20)
        seconds = (stage.clock.monotonic_ns() - killed_ns) / NS_PER_SECOND
        stage.facts["kills"] = stage.facts.get("kills", 0) + 1
        slowest = stage.facts.get("slowest recovery", 0.0)
        stage.facts["slowest recovery"] = max(slowest, seconds)


@dataclass(frozen=True, slots=True)
class TwoHolders:
    """A second holder asks while the first one holds; then the first one ends."""

    overlap_seconds: float = 4.0
    wait_seconds: float = 15.0

    async def take(self, stage: Stage) -> None:
        """Count the permits both hold at once, and time the handover."""
        stage.second_holder.start()
        stage.facts["both"] = 0
        await self._look(stage, self.overlap_seconds)
        last_ns = stage.clock.monotonic_ns()
        await stage.holder.stop()
        taken_ns = await self._look(stage, self.wait_seconds)
        if taken_ns is not None:
            stage.facts["handover"] = (taken_ns - last_ns) / NS_PER_SECOND

    @staticmethod
    async def _look(stage: Stage, seconds: float) -> int | None:
        """Return when the second one may trade, None if it never may."""
        deadline_ns = stage.clock.monotonic_ns() + int(seconds * NS_PER_SECOND)
        while (now_ns := stage.clock.monotonic_ns()) < deadline_ns:
            if stage.second_holder.mode is PermitMode.TRADE:
                stage.facts["both"] += stage.holder.mode is PermitMode.TRADE
                return now_ns
            await asyncio.sleep(0.02)
        return None


@dataclass(frozen=True, slots=True)
class SilenceTelegram:
    """Let the Bot API take messages and never answer."""

    async def take(self, stage: Stage) -> None:
        """Hang every call from now on."""
        stage.bot.fail(1_000_000, hang_seconds=3_600.0)


@dataclass(frozen=True, slots=True)
class UntilDelivered:
    """Let the Bot API answer again, and wait for a message."""

    text: str
    seconds: float = 30.0
    label: str = "delivered"

    async def take(self, stage: Stage) -> None:
        """Count what was delivered before; wait for a text that says so."""
        bot = stage.bot
        stage.facts["delivered early"] = sum(self.text in one for one in bot.delivered)
        bot.fail(0)
        deadline_ns = stage.clock.monotonic_ns() + int(self.seconds * NS_PER_SECOND)
        while not any(self.text in one for one in bot.delivered):
            if stage.clock.monotonic_ns() > deadline_ns:
                msg = f"no message says {self.text!r} after {self.seconds:g} s"
                raise DrillFailed(msg)
            await asyncio.sleep(0.1)
        stage.mark(self.label)
