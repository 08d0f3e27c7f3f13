"""
Where a drill takes place: the simulator, the accounts, the daemon; it judges nothing.

It acts from outside: admin API and accounts' own keys on one side, the daemon's API on
the other. What it saw becomes evidence.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Final

from cryptoquantix.control.status import RiskState, RiskStatus
from cryptoquantix.core.clock import NS_PER_SECOND, Clock
from cryptoquantix.core.errors import CryptoquantixError, DaemonError
from cryptoquantix.drills.account import AccountOwner, place
from cryptoquantix.drills.book import Book, BookOrder, Listing, build_book
from cryptoquantix.drills.daemon_process import DaemonProcess
from cryptoquantix.drills.evidence import Evidence, Glance
from cryptoquantix.drills.holder import Holder
from cryptoquantix.drills.requests import unskewed
from cryptoquantix.drills.simulator_admin import EVERYWHERE, SimulatorAdmin
from cryptoquantix.drills.telegram_stand_in import TelegramStandIn
from cryptoquantix.risk_client.operator import OperatorClient

THRESHOLD: Final = Decimal("0.03")
_WHO: Final = "drill"
_ARM_SECONDS: Final = 30.0
_POLL_SECONDS: Final = 0.05
_GLANCE_SECONDS: Final = 0.1


class DrillFailed(CryptoquantixError):  # noqa: N818 - it names a state
    """A drill could not be carried out to its end."""


@dataclass(frozen=True, slots=True)
class Sides:
    """
    Open clients of all sides.

    ``holder`` holds the permit as execution does; ``second_holder`` would like to.
    """

    admin: SimulatorAdmin
    owners: Mapping[str, AccountOwner]
    operator: OperatorClient
    holder: Holder
    second_holder: Holder | None = None


class Stage:
    """
    One simulator, one daemon, one drill.

    Parameters
    ----------
    sides : open clients of the simulator, the accounts and the daemon
    clock : wall and monotonic time of this machine
    daemon : the process, where the drill may harm it
    telegram : the Bot API that the daemon's alarms go to, if any do
    directory : a folder of the drill's own
    """

    def __init__(
        self,
        sides: Sides,
        *,
        clock: Clock,
        daemon: DaemonProcess | None = None,
        telegram: TelegramStandIn | None = None,
        directory: Path = Path(),
    ) -> None:
        self.admin = sides.admin
        self.owners = sides.owners
        self.operator = sides.operator
        self.holder = sides.holder
        self._second = sides.second_holder
        self.clock = clock
        self._telegram = telegram
        self.directory = directory
        self.marks: dict[str, int] = {}
        self.facts: dict[str, float] = {}
        self.skew_ms = 0.0
        self.is_quick = False
        self._daemon = daemon
        self._glances: list[Glance] = []
        self._log_start = 0
        self._book = Book()

    @property
    def venues(self) -> tuple[str, ...]:
        """Where there are accounts."""
        return tuple(self.owners)

    @property
    def daemon(self) -> DaemonProcess:
        """
        The daemon's process.

        Raises
        ------
        DrillFailed
            If it is not the drill's own.
        """
        if self._daemon is None:
            msg = "this drill harms the daemon: it needs a fresh one, not a running one"
            raise DrillFailed(msg)
        return self._daemon

    @property
    def bot(self) -> TelegramStandIn:
        """
        The Bot API that the daemon's alarms go to.

        Raises
        ------
        DrillFailed
            If there is none.
        """
        if self._telegram is None:
            msg = "this drill needs a stand-in of the Bot API"
            raise DrillFailed(msg)
        return self._telegram

    @property
    def second_holder(self) -> Holder:
        """
        Another one who asks for the permit.

        Raises
        ------
        DrillFailed
            If there is none.
        """
        if self._second is None:
            msg = "this drill needs a second holder of the permit"
            raise DrillFailed(msg)
        return self._second

    def mark(self, name: str) -> None:
        """Remember when something was done."""
        if name:
            self.marks[name] = self.clock.time_ns()

    # -- before the fault -------------------------------------------------------

    async def arm(self) -> None:
        """
        Arm the daemon by name.

        Raises
        ------
        DrillFailed
            If it is not armed within thirty seconds: why not.
        """
        deadline_ns = self._deadline(_ARM_SECONDS)
        while problem := await self._rearm():
            if self.clock.monotonic_ns() > deadline_ns:
                msg = f"the daemon cannot be armed: {problem}"
                raise DrillFailed(msg)
            await asyncio.sleep(_POLL_SECONDS * 5)

    async def _rearm(self) -> str:
        """Return why the daemon is not armed, or an empty text."""
        try:
            status = await self.operator.status()
            if status.state is not RiskState.ARMED:
                await self.operator.rearm(who=_WHO, reason="a drill begins")
        except DaemonError as error:
            return str(error)
        return ""

    async def build(self, book: Book) -> None:
        """Build the book at every venue."""
        self._book = book
        await self.rebuild()

    async def rebuild(self) -> None:
        """Build the same book again."""
        await asyncio.gather(*(self._build_at(o) for o in self.owners.values()))

    async def _build_at(self, owner: AccountOwner) -> None:
        book = self._book
        listings = (await owner.listings())[: book.symbols]
        prices = await owner.prices()
        equity = (await self.admin.account(owner.venue)).equity
        orders = build_book(
            listings,
            prices,
            equity,
            gross_exposure=book.exposure,
            is_hedged=book.is_hedged,
        )
        steps = {listing.symbol: listing for listing in listings}
        for order in orders:
            if order.price is None and book.order_max is not None:
                await self._place_in_parts(
                    owner,
                    order,
                    steps[order.symbol],
                    part_max=book.order_max,
                    price=prices[order.symbol],
                )
            else:
                await place(owner, order)

    async def _place_in_parts(
        self,
        owner: AccountOwner,
        order: BookOrder,
        listing: Listing,
        *,
        part_max: Decimal,
        price: Decimal,
    ) -> None:
        whole = part_max if listing.is_inverse else part_max / price
        size = whole // listing.lot_size * listing.lot_size
        left = order.quantity
        while left > 0:
            part = min(left, size)
            await place(owner, BookOrder(order.symbol, order.side, part))
            left -= part
            await asyncio.sleep(0.1)  # the makers come back

    async def begin(self) -> None:
        """Start to watch: from here on everything counts."""
        records = await self.admin.log()
        self._log_start = int(records[-1]["sequence"]) if records else 0
        await self.admin.begin_watch(THRESHOLD, venue=EVERYWHERE)
        self.mark("begin")

    # -- on the way -------------------------------------------------------------

    async def status(self) -> RiskStatus | None:
        """Return what the daemon says of itself, None where nothing answers."""
        try:
            return await self.operator.status()
        except DaemonError:
            return None

    async def until(self, states: Sequence[RiskState], seconds: float) -> None:
        """
        Wait until the daemon is in one of ``states``.

        Raises
        ------
        DrillFailed
            If it is in none of them in time: where it is, and why.
        """
        deadline_ns = self._deadline(seconds)
        while True:
            status = await self.status()
            if status is not None and status.state in states:
                return
            if self.clock.monotonic_ns() > deadline_ns:
                wanted = " or ".join(states)
                found = "silent"
                if status is not None:
                    found = f"{status.state}: {status.reason} {status.not_flat}".strip()
                msg = f"the daemon is not {wanted} after {seconds:g} s but {found}"
                raise DrillFailed(msg)
            await asyncio.sleep(_POLL_SECONDS)

    def _deadline(self, seconds: float) -> int:
        return self.clock.monotonic_ns() + int(seconds * NS_PER_SECOND)

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Look at the daemon ten times a second, until the end of the block."""
        task = asyncio.create_task(self._watch(), name="glances")
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _watch(self) -> None:
        while True:
            await self._glance()
            await asyncio.sleep(_GLANCE_SECONDS)

    async def _glance(self) -> None:
        asked_ns = self.clock.time_ns()
        status = await self.status()
        self._glances.append(Glance(asked_ns, status, self.holder.mode))

    # -- afterwards -------------------------------------------------------------

    async def evidence(self) -> Evidence:
        """Return everything that was seen."""
        await self._glance()
        watch = await self.admin.watch(EVERYWHERE)
        records = await self.admin.log(self._log_start)
        accounts = {name: await self.admin.account(name) for name in self.owners}
        try:
            alarms = [(a.time_ns, a.text) for a in await self.operator.alarms()]
        except DaemonError:
            alarms = []
        return Evidence(
            venues=self.venues,
            records=unskewed(records, self.skew_ms),
            marks=dict(self.marks),
            crossed_ns=watch.crossed_time_ns,
            deepest=float(watch.deepest),
            accounts=accounts,
            glances=tuple(self._glances),
            alarms=alarms,
            facts=dict(self.facts),
        )
