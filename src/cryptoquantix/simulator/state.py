"""
What a simulator keeps over a restart: its venues' books, keys, prices and tape time.

Sockets, subscriptions and faults are not kept: clients connect anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from cryptoquantix.core.errors import SettingsError
from cryptoquantix.simulator import saved
from cryptoquantix.simulator.generator import Generated
from cryptoquantix.simulator.keys import VenueKeys
from cryptoquantix.simulator.venue import SimulatedVenue
from cryptoquantix.simulator.world import Crossing, World

_REBOUND = frozenset({"clearing"})
_OWN = frozenset({"on_equity"})  # of the venue that lives now


def save_world(path: Path, world: World, keys: Mapping[str, VenueKeys]) -> None:
    """
    Write everything that is kept to ``path``, whole or not at all.

    Raises
    ------
    SettingsError
        If it cannot be written.
    """
    venues = world.venues
    hooks = {name: v.exchange.clearing.on_equity for name, v in venues.items()}
    try:
        for venue in venues.values():
            venue.exchange.clearing.on_equity = None
        saved.save(
            path,
            {
                "keys": dict(keys),
                "tape_ns": world.tape.played_ns,
                "prices": _tape_prices(venues.values()),
                "crossings": _crossings(world),
                "scenario": world.player.mark if world.player else {},
                "venues": {name: _kept(venue) for name, venue in venues.items()},
            },
        )
    finally:
        for name, venue in venues.items():
            venue.exchange.clearing.on_equity = hooks[name]


def _crossings(world: World) -> list[Crossing]:
    """Return what is on its way, with the time that is left instead of a time."""
    now_ns = world.clock.monotonic_ns()
    return [replace(c, due_ns=max(0, c.due_ns - now_ns)) for c in world.crossings]


def _kept(venue: SimulatedVenue) -> dict[str, Any]:
    return {
        "exchange": venue.exchange,
        "watches": venue.watches,
        "wire": venue.kept(),
    }


def _tape_prices(venues: Iterable[SimulatedVenue]) -> dict[str, int]:
    """Return the tape's own last prices in its ticks, by its symbols."""
    prices: dict[str, int] = {}
    for venue in venues:
        for symbol, ticks in venue.tape_ticks().items():
            prices.setdefault(symbol, ticks)
    return prices


class SavedWorld:
    """A state that was read and waits to be taken in."""

    def __init__(self, path: Path) -> None:
        """Read ``path``; ``SettingsError`` if it is no state of this version."""
        self._path = path
        state = saved.load(path)
        try:
            self.keys: dict[str, VenueKeys] = state["keys"]
            self.tape_ns = int(state["tape_ns"])
            self._prices: dict[str, int] = state["prices"]
            self._venues: dict[str, dict[str, Any]] = state["venues"]
            self._crossings: list[Crossing] = state["crossings"]
            self._scenario: dict[str, Any] = state["scenario"]
        except (KeyError, TypeError, ValueError):
            msg = f"{path} was saved by another version of the simulator"
            raise SettingsError(msg) from None

    def repriced(self, instrument: Generated) -> Generated:
        """Return an instrument that goes on from its saved price."""
        ticks = self._prices.get(instrument.listing.symbol)
        return Generated(instrument.listing, ticks) if ticks else instrument

    def restore(self, world: World) -> None:
        """
        Put the saved books into a world that was built for the same instruments.

        Raises
        ------
        SettingsError
            If venues or instruments are not those that were saved.
        """
        for name, venue in world.venues.items():
            kept = self._venues.get(name)
            listed = set(venue.exchange.markets)
            found = set(kept["exchange"].markets) if kept else set()
            if kept is None or found != listed:
                msg = (
                    f"{self._path} was saved with other instruments: {name} had "
                    f"{', '.join(sorted(found)) or 'none'}, now it has "
                    f"{', '.join(sorted(listed))}"
                )
                raise SettingsError(msg)
            _restore(venue, kept)
        player = world.player
        if player is not None and player.mark["script"] == self._scenario.get("script"):
            player.resume(self._scenario["start_ns"], self.tape_ns)
        now_ns = world.clock.monotonic_ns()
        world.crossings = [
            replace(c, due_ns=c.due_ns + now_ns)
            for c in self._crossings
            if c.to in world.venues
        ]


def _restore(venue: SimulatedVenue, kept: dict[str, Any]) -> None:
    """Fill the living core with the saved one; who holds the core keeps it."""
    old, core = kept["exchange"], venue.exchange
    _fill(core.clearing, old.clearing, _OWN)
    _fill(core, old, _REBOUND)
    venue.watches.clear()
    venue.watches.update(kept["watches"])
    venue.take_back(kept["wire"])
    for market in core.markets.values():
        market.book.forget_trackers()


def _fill(living: object, old: object, but: frozenset[str]) -> None:
    for name, value in vars(old).items():
        if name not in but:
            setattr(living, name, value)
