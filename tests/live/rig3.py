"""Execution at three simulated venues, as a real process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from live.rig import HERE, STRATEGY, Rig
from processes import end, start_nats, start_simulator, wait_for

VENUES = ("binance", "bybit", "deribit")
INSTRUMENTS = {
    "binance": "binance:BTCUSDT-PERP",
    "bybit": "bybit:BTCUSDT-PERP",
    "deribit": "deribit:BTCUSD-PERP",
}
SYMBOLS = {"binance": "BTCUSDT", "bybit": "BTCUSDT", "deribit": "BTC-PERPETUAL"}
_VENUE = """
[venues.{name}]
rest = "{rest}"
ws = "{ws}"
key = "{key}"
secret = "{secret}"
"""
_STRATEGY = """
[[strategies]]
name = "{strategy}"
instrument = "{instrument}"
bar_seconds = 60
style = "{style}"
"""


class ThreeVenues(Rig):
    """The rig of one venue, asked by instrument instead of symbol."""

    def target(self, instrument: str, target: float, *, age_seconds: float = 0) -> None:
        self.targets({instrument: target}, age_seconds=age_seconds)

    def price(self, instrument: str) -> str:
        venue = instrument.partition(":")[0]
        return self.simulator.admin("/state")["prices"][venue][SYMBOLS[venue]]

    def key_and_name(self, instrument: str) -> tuple[str, str]:
        venue, _, name = instrument.partition(":")
        return f"{STRATEGY}.{venue}.{name}", instrument

    def held(self, venue: str) -> float:
        """The position in the venue's own unit: coins, at Deribit dollars."""
        found = self.simulator.admin(f"/account?venue={venue}")["positions"]
        return sum(float(p["size"]) for p in found if p["symbol"] == SYMBOLS[venue])

    def held_dollars(self, venue: str) -> float:
        held = self.held(venue)
        price = float(self.price(INSTRUMENTS[venue]))
        return held if venue == "deribit" else held * price

    def answered_ms(self, venues: tuple[str, ...], target: float) -> float:
        """Publish targets at once; return how long until every venue had answered.

        From the first decision to the last note of a filled order, by the journal.
        """
        known = set(self.journalled())
        self.targets(dict.fromkeys((INSTRUMENTS[v] for v in venues), target))

        def all_filled() -> list[dict]:
            found = [o for i, o in self.journalled().items() if i not in known]
            is_done = len(found) == len(venues) and all(
                o["state"] == "filled" for o in found
            )
            return found if is_done else []

        orders = wait_for(all_filled, 20, 0.05)
        began = min(o["created_ns"] for o in orders)
        return (max(o["updated_ns"] for o in orders) - began) / 1e6

    def orders(self, venue: str) -> list[dict]:
        name = INSTRUMENTS[venue]
        return [o for o in self.journalled().values() if o["instrument"] == name]


@contextmanager
def three_venues(
    tmp_path: Path, *, extra: str = "", style: str = "market", simulate: tuple = ()
) -> Iterator[ThreeVenues]:
    """A simulator of three venues, a bus and a permit stand-in."""
    (tmp_path / "mode").write_text("trade")
    with ExitStack() as stack:
        simulator = stack.enter_context(
            start_simulator(
                tmp_path,
                *("--venues", ",".join(VENUES)),
                *("--generate", "1", "--instruments", "BTCUSDT"),
                *simulate,
            )
        )
        nats = stack.enter_context(start_nats(tmp_path))
        permits = subprocess.Popen(
            [sys.executable, str(HERE / "permit_stand_in.py"), str(tmp_path)],
            stdout=subprocess.PIPE,
            text=True,
        )
        stack.callback(permits.stdout.close)
        stack.callback(end, permits)
        port = int(permits.stdout.readline())
        config = tmp_path / "cryptoquantix.toml"
        text = f'directory = "{tmp_path}"\ncatalog = "{tmp_path}/catalog"\n'
        text += f'[nats]\nurl = "{nats.url}"\nembedded = false\n'
        text += f'[risk]\nurl = "http://127.0.0.1:{port}"\ntoken = "t"\n'
        text += f"[execution]\norders_per_minute_max = 600\n{extra}\n"
        for name in VENUES:
            line = simulator.line["venues"][name]
            text += _VENUE.format(name=name, **{k: line[k] for k in _KEYS})
        for instrument in INSTRUMENTS.values():
            text += _STRATEGY.format(
                strategy=STRATEGY, instrument=instrument, style=style
            )
        config.write_text(text)
        config.chmod(0o600)
        rig = ThreeVenues(tmp_path, simulator, nats, config)
        try:
            yield rig
        finally:
            for process in rig.processes:
                end(process)


_KEYS = ("rest", "ws", "key", "secret")
