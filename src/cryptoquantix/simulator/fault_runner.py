"""
Faults carried out: what begins, what ends, and what happens once, at the right time.

It acts on servers and venues; what a single request, message or frame suffers is
the server's and the gate's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from cryptoquantix.simulator.account_faults import ACCOUNT_FAULTS, external_fill
from cryptoquantix.simulator.fault_kinds import Kind
from cryptoquantix.simulator.fault_words import error_frame, unknown_channel
from cryptoquantix.simulator.faults import Active, Fault, FaultBoard
from cryptoquantix.simulator.refusals import CommandRefusedError
from cryptoquantix.simulator.server import VenueServer
from cryptoquantix.simulator.world import World

GOING_AWAY = 1001


class FaultRunner:
    """The board of one simulator, and the hands that do what it says."""

    def __init__(
        self, board: FaultBoard, world: World, servers: Mapping[str, VenueServer]
    ) -> None:
        self.board = board
        self._world = world
        self._servers = servers
        self._begin: dict[Kind, Callable[[VenueServer, Active], None]] = {
            Kind.DISCONNECT: self._disconnect,
            Kind.RESET: self._reset,
            Kind.ERROR_FRAME: self._error_frame,
            Kind.UNKNOWN_CHANNEL: self._unknown_channel,
            Kind.MAINTENANCE: self._maintenance,
            Kind.OUTAGE: self._outage,
            Kind.CLOCK_SKEW: self._skew,
            Kind.PRICE_BAND: self._band,
        }
        self._end: dict[Kind, Callable[[VenueServer, Active], None]] = {
            Kind.OUTAGE: self._outage_over,
            Kind.CLOCK_SKEW: self._skew_over,
            Kind.PRICE_BAND: self._band_over,
        }

    def add(self, fault: Fault) -> Active:
        """
        Put a fault on the board; one without a delay begins at once.

        Raises
        ------
        ValueError
            If its venue is none of ours, or the board is full.
        """
        if fault.venue not in {"*", *self._servers}:
            known = ", ".join(self._servers)
            msg = f"venue must be * or one of {known}, was {fault.venue!r}"
            raise ValueError(msg)
        active = self.board.add(fault, self._world.clock.monotonic_ns())
        self.turn()
        return active

    def remove(self, fault_id: int | None = None) -> int:
        """End one fault, or with None every one; return how many had begun."""
        ended = self.board.remove(fault_id)
        for active in ended:
            self._over(active)
        return len(ended)

    def turn(self) -> None:
        """Begin and end what is due; called about every 50 ms."""
        player = self._world.player
        now_ns = self._world.clock.monotonic_ns()
        if player is not None:
            for fault in player.faults(self._world.tape.played_ns):
                self.board.add(fault, now_ns)
        begun, ended = self.board.turn(now_ns)
        for active in begun:
            self._note(active, "begins")
            self._act(self._begin.get(active.kind), active)
            account_fault = ACCOUNT_FAULTS.get(active.kind)
            if account_fault is not None:
                for server in self._concerned(active):
                    venue = server.venue
                    time_ns = self._world.clock.time_ns() + venue.skew_ns
                    try:
                        said = account_fault(venue, active, time_ns)
                    except CommandRefusedError as refused:
                        said = f"refused: {refused}"
                    self._note(active, said, venue.name)
                    server.flush()
        self._fill_late(now_ns)
        for active in ended:
            self._over(active)

    def _fill_late(self, now_ns: int) -> None:
        """Fill an order from elsewhere at each account that has just become flat."""
        if self.board.is_quiet:
            return
        for name, server in self._servers.items():
            venue = server.venue
            for active in self.board.under_way((Kind.LATE_FILL,), name, now_ns):
                if active.hits or not venue.is_flat(active.fault.account):
                    continue
                active.hits += 1
                time_ns = self._world.clock.time_ns() + venue.skew_ns
                try:
                    said = external_fill(venue, active, time_ns)
                except CommandRefusedError as refused:
                    said = f"refused: {refused}"
                self._note(active, said, name)
                server.flush()

    def _over(self, active: Active) -> None:
        self._note(active, "ends")
        self._act(self._end.get(active.kind), active)

    def _act(
        self, action: Callable[[VenueServer, Active], None] | None, active: Active
    ) -> None:
        if action is not None:
            for server in self._concerned(active):
                action(server, active)

    def _concerned(self, active: Active) -> list[VenueServer]:
        return [s for name, s in self._servers.items() if active.is_at(name)]

    def _note(self, active: Active, text: str, venue: str = "") -> None:
        self._world.record.add(
            "fault",
            self._world.clock.time_ns(),
            venue=venue or active.fault.venue,
            fault=active.kind.value,
            id=active.id,
            event=text,
        )

    # What begins.

    @staticmethod
    def _disconnect(server: VenueServer, active: Active) -> None:
        for listener in tuple(server.listeners):
            if active.strikes(listener.path):
                listener.close(active.fault.code)

    @staticmethod
    def _reset(server: VenueServer, active: Active) -> None:
        for listener in tuple(server.listeners):
            if active.strikes(listener.path):
                listener.reset()

    @staticmethod
    def _error_frame(server: VenueServer, active: Active) -> None:
        for listener in tuple(server.listeners):
            if active.strikes(listener.path):
                listener.say(error_frame(server.venue.name))
        server.flush()

    @staticmethod
    def _unknown_channel(server: VenueServer, active: Active) -> None:
        for listener in tuple(server.listeners):
            if active.strikes(listener.path):
                listener.say(unknown_channel(server.venue.name))
        server.flush()

    @staticmethod
    def _maintenance(server: VenueServer, active: Active) -> None:
        del active
        for listener in tuple(server.listeners):
            listener.close(GOING_AWAY)

    @staticmethod
    def _outage(server: VenueServer, active: Active) -> None:
        server.begin_outage(active.fault.mode, active.fault.seconds)

    @staticmethod
    def _outage_over(server: VenueServer, active: Active) -> None:
        if server.outage == active.fault.mode:
            server.end_outage()

    @staticmethod
    def _skew(server: VenueServer, active: Active) -> None:
        server.venue.skew_ns = int(active.fault.milliseconds * 1_000_000)

    @staticmethod
    def _skew_over(server: VenueServer, active: Active) -> None:
        del active
        server.venue.skew_ns = 0

    @staticmethod
    def _band(server: VenueServer, active: Active) -> None:
        for symbol, market in server.venue.exchange.markets.items():
            if active.fault.symbol in {"", symbol}:
                market.is_band_shut = True

    @staticmethod
    def _band_over(server: VenueServer, active: Active) -> None:
        for symbol, market in server.venue.exchange.markets.items():
            if active.fault.symbol in {"", symbol}:
                market.is_band_shut = False
