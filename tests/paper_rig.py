"""A simulator in the place of the real venues, and a paper account that mirrors it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptoquantix.core.clock import SystemClock
from cryptoquantix.core.instrument import Instrument, InstrumentId, Venue
from cryptoquantix.core.market import BestQuote
from cryptoquantix.venues.trading import trading_port
from processes import SimulatorProcess, start_simulator, wait_for

VENUES = ("binance", "bybit", "deribit")
INSTRUMENTS = {
    "binance": InstrumentId.parse("binance:BTCUSDT-PERP"),
    "bybit": InstrumentId.parse("bybit:BTCUSDT-PERP"),
    "deribit": InstrumentId.parse("deribit:BTCUSD-PERP"),
}
_VENUE = """
[venues.{name}]
rest = "http://127.0.0.1:{port}"
ws = "ws://127.0.0.1:{port}"
key = "{name}-key"
secret = "{name}-secret"
[venues.{name}.risk]
key = "{name}-risk-key"
secret = "{name}-risk-secret"
[simulator.venues.{name}]
rest = "{rest}"
ws = "{ws}"
"""


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def write_settings(path: Path, sources: dict, ports: dict[str, int], more: str = ""):
    """Settings of a paper account that mirrors ``sources``."""
    names = [str(INSTRUMENTS[name]) for name in sources]
    text = f'directory = "{path.parent / "var"}"\n{more}\n'
    text += f"[feeds]\ninstruments = {names}\n".replace("'", '"')
    text += '[simulator]\nsource = "venue"\nstale_seconds = 10\n'
    for name, source in sources.items():
        text += _VENUE.format(
            name=name, port=ports[name], rest=source["rest"], ws=source["ws"]
        )
    path.write_text(text)
    path.chmod(0o600)


@dataclass
class Paper:
    """Both processes: ``real`` stands in for the venues, ``paper`` mirrors it."""

    real: SimulatorProcess
    paper: SimulatorProcess

    def mirror(self) -> dict:
        return self.paper.admin("/state")["mirror"]["venues"]

    def is_open(self) -> bool:
        return all(v["connected"] and not v["halted"] for v in self.mirror().values())

    def wait_open(self) -> None:
        wait_for(self.is_open, 30.0, 0.1)


def port(side: SimulatorProcess, venue: str):
    """Our own trading client at one of both."""
    found = side.line["venues"][venue]
    return trading_port(
        Venue(venue),
        rest=found["rest"],
        key=found["key"],
        secret=found["secret"],
        clock=SystemClock(),
    )


@contextmanager
def paper_account(tmp_path: Path, venues=VENUES, *args: str) -> Iterator[Paper]:
    """Both processes, each market heard; ``args`` are the stand-in's."""
    with ExitStack() as stack:
        real = stack.enter_context(
            start_simulator(
                tmp_path,
                *("--venues", ",".join(venues), "--instruments", "BTCUSDT", *args),
                # Quotes that no maker of the paper account would come to by itself.
                *("--fixed-spread", "3"),
            )
        )
        config = tmp_path / "paper.toml"
        ports = {name: free_port() for name in venues}
        write_settings(config, real.line["venues"], ports)
        paper = stack.enter_context(
            start_simulator(tmp_path, "--source", "venue", "--config", str(config))
        )
        both = Paper(real, paper)
        both.wait_open()
        yield both


class Heard:
    """A feed's sink that keeps everything it is told."""

    def __init__(self) -> None:
        self.trades: list[tuple] = []
        self.quotes: list[tuple] = []
        self.marks: list[tuple] = []

    def put_ticks(self, instrument: Instrument, ticks, receipt_time_ns, follows):
        self.trades += [
            (time, price, size, side) for time, price, size, side, _ in ticks
        ]

    def put_quote(self, instrument: Instrument, quote: BestQuote, receipt_time_ns):
        if not self.quotes or self.quotes[-1] != quote[1:]:
            self.quotes.append(quote[1:])

    def put_mark(self, instrument: Instrument, mark, receipt_time_ns):
        self.marks.append((mark.mark, mark.index, mark.funding_rate))
