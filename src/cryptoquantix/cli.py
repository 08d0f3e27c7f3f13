"""
``cqx``: arguments, nothing else.

Each command imports its composition root when it is called, so that one process
never loads what another needs (``cqx risk`` loads no polars).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cryptoquantix.core.errors import CryptoquantixError

if TYPE_CHECKING:
    from cryptoquantix.drills.flash_crash import KillResult

app = typer.Typer(
    name="cqx",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="The open engine room for systematic crypto trading.",
)

Config = Annotated[
    Path | None,
    typer.Option("--config", help="Settings file (default: cryptoquantix.toml)."),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def main() -> None:
    """Run ``cqx``; an expected failure is one sentence on stderr and exit code 1."""
    try:
        app()
    except CryptoquantixError as error:
        sys.stderr.write(f"cqx: {error}\n")
        raise SystemExit(1) from None


def _print(value: object, *, as_json: bool, text: str) -> None:
    """Print ``value`` as one JSON line, or ``text`` for a person."""
    sys.stdout.write((json.dumps(value) if as_json else text) + "\n")
    sys.stdout.flush()


@app.command()
def version() -> None:
    """Print the version and the build stamp of this installation."""
    from cryptoquantix.control.build import build_stamp

    sys.stdout.write(build_stamp() + "\n")


@app.command()
def feed(venue: str, config: Config = None) -> None:
    """Publish one venue's trades and best quotes on the bus, until stopped."""
    from cryptoquantix.apps.feed import run

    run(venue, config)


@app.command()
def strategy(config: Config = None) -> None:
    """Turn ticks into bars and bars into targets, until stopped."""
    from cryptoquantix.apps.strategy import run

    run(config)


@app.command()
def alarms(config: Config = None, as_json: Json = False) -> None:
    """Deliver the risk daemon's alarms, and raise one when it falls silent."""
    from cryptoquantix.apps.alarms import run

    def ready(what: dict[str, str]) -> None:
        text = f"alarms of {what['daemon']} go to: {what['channel']}"
        _print(what, as_json=as_json, text=text)

    run(config, on_ready=ready)


@app.command()
def drill(
    name: Annotated[str, typer.Argument(help="flash-crash, or all.")],
    runs: Annotated[int, typer.Option(help="How many times.")] = 1,
    as_json: Json = False,
) -> None:
    """Put the kill switch to the test on a fresh simulator, and time it."""
    from cryptoquantix.apps.drill import run, table

    def report(number: int, result: KillResult) -> None:
        sys.stderr.write(f"run {number} of {runs}: {result.sentence()}\n")

    result = run(name, runs, report)
    _print(result, as_json=as_json, text=table(result))
    if not all(one["passed"] for one in result["drills"]):
        raise typer.Exit(1)


@app.callback()
def _root() -> None:
    """Keep ``cqx COMMAND`` the shape of the command line, however many there are."""
