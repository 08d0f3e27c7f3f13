"""
All simulated venues and the tape they share, without sockets.

Given a manual clock and the same commands at the same times, two worlds of one
seed log the same bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from cryptoquantix.core.clock import Clock
from cryptoquantix.simulator.exchange import Print
from cryptoquantix.simulator.inlet import Inlet, Item
from cryptoquantix.simulator.market import MirroredMark, MirroredQuote
from cryptoquantix.simulator.record import Record
from cryptoquantix.simulator.scenario import ScenarioPlayer
from cryptoquantix.simulator.tape import Tape
from cryptoquantix.simulator.venue import SimulatedVenue
from cryptoquantix.simulator.watch import JointWatch, Watch

BURST = 256
BURST_NS = 4_000_000


@dataclass(slots=True)
class _Ramp:
    """A price shock that takes time; ``done`` is the factor applied so far."""

    venue: SimulatedVenue
    symbol: str
    factor: Fraction
    started_ns: int
    duration_ns: int
    done: Fraction = Fraction(1)

    def step(self, monotonic_ns: int) -> Fraction:
        """Return the factor that is due since the last step."""
        passed = min(monotonic_ns - self.started_ns, self.duration_ns)
        wanted = 1 + (self.factor - 1) * Fraction(passed, self.duration_ns)
        step, self.done = wanted / self.done, wanted
        return step


@dataclass(slots=True)
class Crossing:
    """Money on its way to a venue; ``due_ns`` is of the monotonic clock."""

    to: str
    account_id: int
    coin: str
    units: int
    due_ns: int


class World:
    """The venues, their tape and price shocks under way."""

    def __init__(self, clock: Clock, tape: Tape, record: Record) -> None:
        self.clock = clock
        self.tape = tape
        self.record = record
        self.venues: dict[str, SimulatedVenue] = {}
        self.player: ScenarioPlayer | None = None
        self.crossings: list[Crossing] = []
        self.inlet: Inlet | None = None  # of markets that are mirrored
        self._ramps: list[_Ramp] = []
        self._reached_ns = 0  # where the tape stood last, in lock-step

    def play(self) -> bool:
        """Play what is due for a few milliseconds; return whether more is due."""
        return self._play_tape() if self.inlet is None else self._mirror(self.inlet)

    def _play_tape(self) -> bool:
        clock, tape = self.clock, self.tape
        monotonic_ns = clock.monotonic_ns()
        stop_ns = monotonic_ns + BURST_NS
        venues, player = list(self.venues.values()), self.player
        while True:
            due = tape.due(monotonic_ns, BURST)
            for entry in due:
                time_ns = clock.time_ns()
                if player is not None and entry.trade.tape_ns >= player.next_ns:
                    self._follow_script(player, entry.trade.tape_ns, time_ns)
                for venue in venues:
                    venue.tick(entry, time_ns + venue.skew_ns)
            monotonic_ns = clock.monotonic_ns()
            if len(due) < BURST or monotonic_ns >= stop_ns:
                break
        self._reach()
        if due:
            time_ns = clock.time_ns()
            for venue in venues:
                venue.turn(time_ns + venue.skew_ns)
        return len(due) == BURST

    def _reach(self) -> None:
        """Do, once, what is due where a tape in lock-step has come to stand."""
        tape_ns = self.tape.played_ns
        if not self.tape.is_standing or tape_ns == self._reached_ns:
            return
        self._reached_ns, time_ns = tape_ns, self.clock.time_ns()
        for venue in self.venues.values():
            venue.reach(tape_ns, time_ns + venue.skew_ns)

    def _mirror(self, inlet: Inlet) -> bool:
        """Take in what mirrored markets have told; return whether there is more."""
        items = inlet.take(BURST)
        touched = set()
        for item in items:
            venue = self.venues[item.venue]
            time_ns = self.clock.time_ns() + venue.skew_ns
            self._take(venue, item, time_ns)
            touched.add(venue)
            if isinstance(item.told, MirroredQuote):
                venue.turn(time_ns)  # each best quote is shown, not the last alone
        for venue in touched:
            venue.turn(self.clock.time_ns() + venue.skew_ns)
        return len(inlet) > 0

    def _take(self, venue: SimulatedVenue, item: Item, time_ns: int) -> None:
        symbol, told = item.symbol, item.told
        if isinstance(told, Print):
            venue.take_print(symbol, told, time_ns)
            self.tape.note_played(told.tape_ns)
        elif isinstance(told, MirroredQuote):
            venue.take_quote(symbol, told, time_ns)
        elif isinstance(told, MirroredMark):
            venue.take_mark(symbol, told, time_ns)
        else:
            venue.take_standing(symbol, told.why, time_ns)

    def _follow_script(
        self, player: ScenarioPlayer, tape_ns: int, time_ns: int
    ) -> None:
        """Move prices as the scenario says; the next trade shows it."""
        for step in player.steps(tape_ns):
            venue = self.venues[step.venue]
            market = venue.exchange.markets[step.symbol]
            if step.is_alone:
                premium = market.premium * step.factor
                venue.depeg(step.symbol, premium, time_ns + venue.skew_ns)
            else:
                market.factor *= step.factor

    def timer(self) -> None:
        """Do what the clock brings; called about every 50 ms."""
        monotonic_ns, time_ns = self.clock.monotonic_ns(), self.clock.time_ns()
        for ramp in list(self._ramps):
            step = ramp.step(monotonic_ns)
            if step != 1:
                ramp.venue.shock(ramp.symbol, step, time_ns)
            if ramp.done == ramp.factor:
                self._ramps.remove(ramp)
        for crossing in [c for c in self.crossings if c.due_ns <= monotonic_ns]:
            self.crossings.remove(crossing)
            self._arrive(crossing)
        for venue in self.venues.values():
            venue.timer(time_ns + venue.skew_ns)

    def watch(self, account_id: int, threshold: Decimal, time_ns: int) -> Watch:
        """Start tracking the sum of all venues' accounts from here."""
        equities = {}
        for name, venue in self.venues.items():
            clearing = venue.exchange.clearing
            equities[name] = clearing.worth_units(clearing.accounts[account_id])
        joint = JointWatch(Fraction(threshold), equities, time_ns)
        for venue in self.venues.values():
            venue.joint = joint
        return joint.watch

    def shock(
        self, venue: SimulatedVenue, symbol: str, factor: Fraction, duration_ns: int
    ) -> None:
        """Move a price, at once or in a straight line over ``duration_ns``."""
        time_ns = self.clock.time_ns()
        self.record.add(
            "shock",
            time_ns,
            venue=venue.name,
            symbol=symbol,
            factor=str(float(factor)),
            seconds=duration_ns / 1e9,
        )
        if duration_ns <= 0:
            venue.shock(symbol, factor, time_ns)
            return
        started_ns = self.clock.monotonic_ns()
        self._ramps.append(_Ramp(venue, symbol, factor, started_ns, duration_ns))

    def send(
        self,
        sender: SimulatedVenue,
        receiver: SimulatedVenue,
        *,
        account_id: int,
        coin: str,
        units: int,
        lag_ns: int,
    ) -> None:
        """
        Move money between venues: it leaves now and arrives after ``lag_ns``.

        Raises
        ------
        ValueError
            If a venue has no such coin or account, or there is not so much of it.
        """
        assert units > 0, f"a transfer moves something, was {units}"
        if coin not in receiver.rules.known_coins:
            known = ", ".join(receiver.rules.known_coins)
            msg = f"{receiver.name} has accounts in {known}, not in {coin}"
            raise ValueError(msg)
        account = sender.exchange.clearing.accounts.get(account_id)
        if account is not None and account.wallet_of(coin) < units:
            msg = f"{sender.name} has less {coin} in account {account_id}"
            raise ValueError(msg)
        time_ns = self.clock.time_ns() + sender.skew_ns
        sender.transfer(account_id, -units, time_ns, coin)
        sender.exchange.clearing.note_chain(account_id, coin, -units, time_ns)
        due_ns = self.clock.monotonic_ns() + lag_ns
        crossing = Crossing(receiver.name, account_id, coin, units, due_ns)
        if lag_ns <= 0:
            self._arrive(crossing)
        else:
            self.crossings.append(crossing)

    def _arrive(self, crossing: Crossing) -> None:
        venue = self.venues[crossing.to]
        time_ns = self.clock.time_ns() + venue.skew_ns
        name, coin, units = crossing.account_id, crossing.coin, crossing.units
        venue.exchange.clearing.note_chain(name, coin, units, time_ns)
        venue.transfer(name, units, time_ns, coin)
