"""
The rules of the kill switch under every mix of faults that hypothesis can think of.

Two venues in memory (one with tight budgets), the real store on the real disk, and a
clock that moves when told to. ``CQX_RULES_EXAMPLES`` sets how many histories.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import threading
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from cryptoquantix.control.permit import PermitMode, PermitRequest
from cryptoquantix.control.status import RiskState
from cryptoquantix.core.clock import NS_PER_MS, NS_PER_SECOND, ManualClock
from cryptoquantix.core.errors import RateLimited, VenueUnavailable
from cryptoquantix.core.exposure import Act, OrderClass, Pace
from cryptoquantix.core.order import Side
from cryptoquantix.risk import calls, commands, flatten
from cryptoquantix.risk import daemon as daemon_module
from cryptoquantix.risk.commands import Refusal
from cryptoquantix.risk.daemon import Daemon
from cryptoquantix.risk.durable import DurableStore
from cryptoquantix.risk.rules import Limits
from risk.fake_venue import FakeVenue, down, order, refused

EXAMPLES = int(os.environ.get("CQX_RULES_EXAMPLES", "15"))
LIMITS = Limits(reading_ns=40 * NS_PER_MS, confirm_ns=30 * NS_PER_MS)
QUICK = {
    "VERIFY_GAP_SECONDS": 0.002,
    "PAUSES_SECONDS": (0.002,),
    "BARRIER_SECONDS": 0.01,
}
CALL_SECONDS = 0.03
CALLS = st.sampled_from(
    [
        *("reading", "positions_again", "open_orders", "contracts", "ledger"),
        *("cancel", "cancel_all", "cancel_everything", "market", "ioc"),
    ]
)
TURNED = "-2022: reduce-only, and the position has turned meanwhile"
VENUES = st.sampled_from(["binance", "deribit"])


class FaultyVenue(FakeVenue):
    """The fake venue with acknowledgements that are lost, and a watch on every act."""

    def __init__(self, clock, name, on_act):
        super().__init__(clock, name)
        self.is_losing = False
        self._on_act = on_act

    async def _act(self, name, what):
        self._on_act(self, name, what)
        await super()._act(name, what)

    async def cancel(self, found):
        await super().cancel(found)
        self._lose()

    async def close_position(self, close):
        position = self.positions.get(close.symbol)
        if position is not None and (position.size > 0) is (close.side is Side.BUY):
            raise refused(TURNED)
        await super().close_position(close)
        self._lose()

    def _lose(self):
        if self.is_losing:
            msg = "done, and the answer never came"
            raise VenueUnavailable(msg, venue=self.name, request="x")


class TightVenue(FaultyVenue):
    paces = dict.fromkeys(Act, Pace("matching", per_second=500, burst=4))

    async def cancel_everything(self):
        await self._act("cancel_everything", "")
        self.orders = {}


class Rules(RuleBasedStateMachine):
    """One daemon, its venues, its disk, and everything that can go wrong."""

    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="cqx-rules-"))
        self.kept = {name: getattr(flatten, name) for name in QUICK}
        for name, value in QUICK.items():
            setattr(flatten, name, value)
        self.kept_call_seconds = calls.CALL_SECONDS
        calls.CALL_SECONDS = CALL_SECONDS
        self.loop = asyncio.new_event_loop()
        self.clock = ManualClock(10**18, 10**12)
        self.venues = {
            "binance": FaultyVenue(self.clock, "binance", self.acted),
            "deribit": TightVenue(self.clock, "deribit", self.acted),
        }
        self.stalled: threading.Event | None = None
        self.is_full = False
        self.behind(is_behind=False)
        self.must_stay_halted = False
        self.sequence = 0
        self.numbers = 0
        self.problems: list[str] = []
        for name, venue in self.venues.items():
            venue.hold(f"{name}-A", 1000)
        self.start()

    # -- the daemon ---------------------------------------------------------------

    def start(self):
        self.durable = DurableStore.open(self.folder / "risk.sqlite", self.clock)
        self.daemon = Daemon(
            self.venues, self.durable, limits=LIMITS, clock=self.clock, build="b"
        )
        self.run(self.resumed())

    async def resumed(self):
        self.daemon.resume()
        self.daemon.carry_on()

    def behind(self, *, is_behind):
        """The disk failed, and the latch is not written since: acts wait 100 ms."""
        self.is_behind = is_behind
        # A good disk on a busy machine may take longer than that; here it may.
        daemon_module.LATCH_SECONDS = 0.1 if is_behind else 5.0

    def run(self, work):
        return self.loop.run_until_complete(work)

    async def settle(self, rounds=12):
        for _ in range(rounds):
            await asyncio.sleep(0.001)

    def acted(self, venue, name, what):
        """Every act passes here before the venue does it."""
        latch = self.daemon.latch
        is_closing = name in {"market", "ioc"}
        if is_closing and not (latch.is_acting or latch.state is RiskState.HALTED):
            self.problems.append(f"a close was sent in {latch.state}")
        is_disk_good = not self.is_behind
        written = self.durable.store.latch
        if (
            is_closing
            and is_disk_good
            and not (written.is_acting or written.state is RiskState.HALTED)
        ):
            self.problems.append(f"a close before the latch: {written.state}")

    # -- what happens -------------------------------------------------------------

    @rule(count=st.integers(1, 4), asks=st.booleans())
    def seconds(self, count, asks):
        async def pass_by():
            for _ in range(count):
                self.clock.advance(NS_PER_SECOND)
                await self.daemon.second()
                if asks:
                    self.permit()
                await self.settle()

        self.run(pass_by())

    @rule(venue=VENUES, mark=st.sampled_from(["100", "99", "97.5", "95", "80"]))
    def price(self, venue, mark):
        for symbol in self.venues[venue].positions:
            self.venues[venue].mark(symbol, mark)

    @rule(venue=VENUES, may_increase=st.booleans(), kind=st.sampled_from(OrderClass))
    def an_order_appears(self, venue, may_increase, kind):
        self.numbers += 1
        found = order(
            f"{venue}-A", self.numbers, may_increase=may_increase, order_class=kind
        )
        self.venues[venue].rest(found)

    @rule(venue=VENUES, size=st.sampled_from([700, -300, 0.05]))
    def a_late_fill(self, venue, size):
        self.venues[venue].hold(f"{venue}-B", str(size))

    @rule(
        venue=VENUES,
        call=CALLS,
        fault=st.sampled_from(["down", "hang", "refused", "limited", "bug"]),
        is_lasting=st.booleans(),
    )
    def a_fault(self, venue, call, fault, is_lasting):
        found = {
            "down": down(venue),
            "hang": "hang",
            "refused": refused("-4131"),
            "limited": RateLimited("x", venue=venue, request=call, delay_ns=10**7),
            "bug": AttributeError("a bug"),
        }[fault]
        if is_lasting:
            self.venues[venue].always[call] = found
        else:
            self.venues[venue].faults[call].append(found)

    @rule(venue=VENUES, part=st.sampled_from(["0", "0.3", "1"]))
    def partial_fills(self, venue, part):
        from decimal import Decimal

        self.venues[venue].fill_part = Decimal(part)

    @rule(venue=VENUES)
    def acknowledgements_are_lost(self, venue):
        self.venues[venue].is_losing = True

    @rule()
    def faults_cease(self):
        for venue in self.venues.values():
            venue.always.clear()
            venue.faults.clear()
            venue.is_losing = False
            venue.fill_part = type(venue.balance)(1)

    @rule()
    def the_disk_stalls(self):
        if self.stalled is None:
            self.stalled = threading.Event()
            self.behind(is_behind=True)
            self.run(self.posted(self.stalled))

    async def posted(self, event):
        self.durable.post(event.wait, 20)

    @rule()
    def the_disk_is_full(self):
        if self.stalled is None and not self.durable.store.is_volatile:
            self.is_full = True
            self.behind(is_behind=True)
            self.durable.store._connection.execute("PRAGMA query_only = ON")

    @rule()
    def the_disk_is_good_again(self):
        if self.stalled is not None:
            self.stalled.set()
            self.stalled = None
        if self.is_full:
            self.durable.store._connection.execute("PRAGMA query_only = OFF")
            self.is_full = False
        self.run(self.settle())
        self.behind(is_behind=self.durable.store.latch != self.daemon.latch)

    @rule(is_lost=st.sampled_from([False, False, False, True]))
    def killed_and_started(self, is_lost):
        """SIGKILL: what the disk does not hold is gone."""
        self.stop()
        if is_lost:
            for part in self.folder.glob("*"):
                part.unlink()
            self.sequence = 0
        self.start()
        self.must_stay_halted = self.daemon.latch.state.is_halt and (
            self.daemon.latch.goal is RiskState.HALTED
        )

    def stop(self):
        self.run(self.stopped())
        if self.stalled is not None:
            self.stalled.set()
            self.stalled = None
        self.is_full = False
        self.behind(is_behind=False)
        self.durable._thread.shutdown(wait=True, cancel_futures=True)
        self.durable.store.close()

    async def stopped(self):
        self.daemon.halt_acts.stop()
        self.daemon.jobs.stop()
        kept = [*self.durable._kept]
        for flattener in self.daemon.halt_acts.flatteners.values():
            kept += flattener._beside
        for task in kept:
            task.cancel()
        await asyncio.gather(*kept, return_exceptions=True)
        await asyncio.sleep(0)

    # -- what people do -----------------------------------------------------------

    def permit(self):
        request = PermitRequest("n", "x", "b", is_reconciled=True)
        return commands.permit(self.daemon, request, connection=1)

    @rule(word=st.sampled_from(["halt", "flatten", "rearm"]))
    def a_command(self, word):
        command = getattr(commands, word)

        async def given():
            try:
                await asyncio.wait_for(command(self.daemon, "ann", "because"), 3)
            except (Refusal, TimeoutError):
                return False
            await self.settle()
            return True

        was_locked = self.daemon.latch.state is RiskState.LOCKED
        is_done = self.run(given())
        if word == "rearm" and is_done:
            assert self.must_stay_halted is False or self.is_empty(), "armed unflat"
            self.must_stay_halted = False
        if word == "halt":
            assert self.daemon.latch.state.is_halt, (was_locked, is_done)

    def is_empty(self):
        return not any(v.orders or self.closable(v) for v in self.venues.values())

    def closable(self, venue):
        return [held for held in venue.positions.values() if abs(held.size) >= 1]

    # -- what must hold -----------------------------------------------------------

    @invariant()
    def nothing_forbidden_was_sent(self):
        assert not self.problems, self.problems

    @invariant()
    def trading_is_permitted_only_when_armed_and_seeing(self):
        granted = commands.granting(self.daemon)
        if granted.mode is PermitMode.TRADE:
            assert self.daemon.state is RiskState.ARMED
            assert not self.daemon.concerns.texts
            age_ns = self.clock.monotonic_ns() - self.daemon.watch.complete_ns
            assert age_ns <= LIMITS.blind_ns
        if self.daemon.latch.state.is_halt:
            assert granted.mode is PermitMode.HALTED

    @invariant()
    def a_halt_never_ends_by_itself(self):
        latch = self.daemon.latch
        if self.must_stay_halted:
            assert latch.state.is_halt, f"a halt became {latch.state}: {latch.reason}"
        if latch.state.is_halt and latch.goal is RiskState.HALTED:
            self.must_stay_halted = True

    @invariant()
    def the_sequence_never_falls(self):
        assert self.durable.sequence >= self.sequence or self.is_full
        self.sequence = max(self.sequence, self.durable.sequence)

    def teardown(self):
        """Faults cease: a halt ends flat and HALTED, and a crash is found."""
        try:
            self.faults_cease()
            self.the_disk_is_good_again()
            self.run(self.to_the_end())
            assert not self.problems, self.problems
        finally:
            self.stop()
            self.run(self.loop.shutdown_asyncgens())
            self.loop.close()
            for name, value in self.kept.items():
                setattr(flatten, name, value)
            calls.CALL_SECONDS = self.kept_call_seconds
            daemon_module.LATCH_SECONDS = 0.1
            shutil.rmtree(self.folder, ignore_errors=True)

    async def to_the_end(self):
        for _ in range(60):
            self.clock.advance(NS_PER_SECOND)
            await self.daemon.second()
            await self.settle()
            state = self.daemon.latch.state
            if state in {RiskState.LOCKED, RiskState.ARMED}:
                return
            if state is RiskState.HALTED and self.is_empty():
                return
        left = self.daemon.halt_acts.not_flat()
        orders = [venue.orders for venue in self.venues.values()]
        msg = f"{self.daemon.latch.state}: {left}; {orders}"
        raise AssertionError(msg)


TestRules = Rules.TestCase
TestRules.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
