"""
``cqx init``: write a commented settings file; it never overwrites one unasked.

The mode is nothing but addresses and keys. Keys of a live venue are tried before
anything is written: they must read and trade, and must not be able to withdraw.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from secrets import token_hex
from typing import Any, Final

from cryptoquantix.apps.addresses import ADDRESSES
from cryptoquantix.apps.init_text import KEYLESS, settings_text
from cryptoquantix.apps.keys import missing_keys
from cryptoquantix.apps.settings import Settings, load_settings
from cryptoquantix.core.clock import SystemClock
from cryptoquantix.core.errors import SettingsError, VenueError

SIMULATOR_SECONDS: Final = 20.0
"""How long an empty file is read again: `cqx simulate --json` was started beside."""

_LOOK_SECONDS: Final = 0.1
_PORTS: Final = {"binance": 8600, "bybit": 8602, "deribit": 8603}
_WHO: Final = {"": "execution", "risk": "the risk daemon"}


class Mode(StrEnum):
    """Where orders will go."""

    SIMULATOR = "simulator"
    PAPER = "paper"
    TESTNET = "testnet"
    LIVE = "live"


type Ask = Callable[[str], str]


def mode_of(**chosen: bool) -> Mode:
    """
    Return the mode chosen by name; the simulator where none is.

    Raises
    ------
    SettingsError
        If two are.
    """
    names = [name for name, is_chosen in chosen.items() if is_chosen]
    if len(names) > 1:
        msg = f"choose one of {', '.join(f'--{name}' for name in names)}"
        raise SettingsError(msg)
    return Mode(names[0]) if names else Mode.SIMULATOR


def run(
    path: Path,
    *,
    simulator_json: str | None,
    is_forced: bool,
    mode: Mode = Mode.SIMULATOR,
    venues: Sequence[str] = (),
    is_recording: bool = False,
    ask: Ask | None = None,
) -> dict[str, Any]:
    """
    Write the settings to ``path`` whole or not at all; return where, and of what.

    Parameters
    ----------
    simulator_json : str or None
        A file with the line of ``cqx simulate --json``, ``-`` for standard input:
        its addresses and keys are written. None leaves addresses on this machine.
    mode : Mode
        A paper account's keys are made up here. Those of a testnet or of live venues
        are asked for, or left to the environment and to key files.
    venues : sequence of str
        Which; none: Binance, or all of the simulator's line. The others' tables are
        written too, commented out.
    ask : callable, optional
        Asks a person for a secret; None where there is none to ask.

    Raises
    ------
    SettingsError
        If ``path`` exists and ``is_forced`` is False, an option is wrong, a live key
        is missing or may do what it must not, or nothing can be written there.
    """
    if path.exists() and not is_forced:
        msg = f"{path} exists already: --force overwrites it"
        raise SettingsError(msg)
    if mode is not Mode.SIMULATOR and simulator_json:
        msg = f"--{mode} has addresses of its own: leave --simulator-json out"
        raise SettingsError(msg)
    if simulator_json:
        chosen = _of_the_simulator(simulator_json, _known(venues))
    else:
        names = _known(venues) or [next(iter(ADDRESSES))]
        chosen = {name: _venue(name, mode, ask) for name in names}
    others = {
        name: _addresses(name, mode) | KEYLESS
        for name in ADDRESSES
        if name not in chosen and not simulator_json
    }
    text = settings_text(
        chosen, others, is_paper=mode is Mode.PAPER, is_recording=is_recording
    )
    _write(path, text, is_live=mode is Mode.LIVE)
    return {
        "written": str(path),
        "mode": mode.value,
        "venues": list(chosen),
        "keys_missing": missing_keys(load_settings(path)),
    }


def _write(path: Path, text: str, *, is_live: bool) -> None:
    fresh = path.with_name(path.name + ".new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh.unlink(missing_ok=True)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        settings = load_settings(fresh)  # what we write, we can read
        if is_live:
            asyncio.run(_check_keys(settings))
        fresh.replace(path)
    except OSError as error:
        msg = f"cannot write {path}: {error.strerror}"
        raise SettingsError(msg) from None
    finally:
        fresh.unlink(missing_ok=True)


def _known(venues: Sequence[str]) -> list[str]:
    unknown = [name for name in venues if name not in ADDRESSES]
    if unknown:
        msg = f"unknown venue {unknown[0]!r}, expected {', '.join(ADDRESSES)}"
        raise SettingsError(msg)
    return [name for name in ADDRESSES if name in venues]


def _venue(name: str, mode: Mode, ask: Ask | None) -> dict[str, Any]:
    keys: dict[str, Any] = KEYLESS
    if mode is Mode.PAPER:
        keys = _key_and_secret(_made_up) | {"risk": _key_and_secret(_made_up)}
    elif mode in {Mode.TESTNET, Mode.LIVE} and ask is not None:
        keys = _asked(name, "", ask) | {"risk": _asked(name, "risk", ask)}
    return _addresses(name, mode) | keys


def _addresses(name: str, mode: Mode) -> dict[str, Any]:
    testnet, live = ADDRESSES[name]
    if mode is Mode.TESTNET or mode is Mode.LIVE:
        rest, ws = testnet if mode is Mode.TESTNET else live
        return {"rest": rest, "ws": ws}
    host = f"127.0.0.1:{_PORTS[name]}"
    return {"rest": f"http://{host}", "ws": f"ws://{host}"}


def _key_and_secret(give: Callable[[str], str]) -> dict[str, str]:
    return {what: give(what) for what in ("key", "secret")}


def _made_up(what: str) -> str:
    """Return what only a paper account's simulator knows."""
    del what
    return token_hex(32)


def _asked(name: str, place: str, ask: Ask) -> dict[str, str]:
    """Return a pair as a person gives it, unless the environment has it already."""

    def give(what: str) -> str:
        variable = _variable(name, place, what)
        if os.environ.get(variable):
            return ""
        return ask(f"{name}, {what} of {_WHO[place]} (empty: {variable}): ").strip()

    return _key_and_secret(give)


def _variable(name: str, place: str, what: str) -> str:
    parts = ("CQX_VENUES", name, *([place] if place else []), what)
    return "__".join(parts).upper()


async def _check_keys(settings: Settings) -> None:
    """
    Try every key of a live venue: it reads and trades, and cannot withdraw.

    Raises
    ------
    SettingsError
        With the first that does not, is missing, or is used twice.
    """
    from cryptoquantix.venues.emergency import (  # noqa: PLC0415 - ccxt, 0.6 s
        open_emergency,
    )

    for name, venue in settings.venues.items():
        accounts = {"": venue, "risk": venue.risk}
        given = {
            place: (one.key.get_secret_value(), one.secret.get_secret_value())
            for place, one in accounts.items()
        }
        for place, (key, secret) in given.items():
            if not (key and secret):
                what = "secret" if key else "key"
                msg = (
                    f"{name} has no {what} of {_WHO[place]}, and what is live is tried "
                    f"before it is written: set {_variable(name, place, what)}, or "
                    f"run it in a terminal to be asked"
                )
                raise SettingsError(msg)
        if given[""][0] == given["risk"][0]:
            msg = f"{name}: the risk daemon needs a key of its own, not execution's"
            raise SettingsError(msg)
        for place, (key, secret) in given.items():
            client = open_emergency(
                name, rest=venue.rest, key=key, secret=secret, clock=SystemClock()
            )
            try:
                await client.check_keys()
            except VenueError as error:
                msg = f"{name}, key of {_WHO[place]}: {error}"
                raise SettingsError(msg) from None
            finally:
                await client.close()


def _first_line(file: Path) -> str:
    """Return the file's text, waiting a while for a simulator that starts just now."""
    for _ in range(round(SIMULATOR_SECONDS / _LOOK_SECONDS)):
        if text := file.read_text():
            return text
        time.sleep(_LOOK_SECONDS)
    return ""


def _of_the_simulator(source: str, wanted: Sequence[str]) -> dict[str, Any]:
    try:
        text = sys.stdin.readline() if source == "-" else _first_line(Path(source))
        venues = json.loads(text)["venues"]
        # Only what this version can trade: a simulator may offer more venues.
        found = {name: venues[name] for name in ADDRESSES if name in venues}
        settings_text(found, {}, is_paper=False, is_recording=False)  # whole?
    except OSError as error:
        msg = f"cannot read {source}: {error.strerror}"
        raise SettingsError(msg) from None
    except (ValueError, KeyError, TypeError):
        found = {}
    where = "standard input" if source == "-" else source
    if not found:
        msg = f"{where} must hold the line that `cqx simulate --json` prints"
        raise SettingsError(msg)
    absent = [name for name in wanted if name not in found]
    if absent:
        msg = f"the simulator of {where} has no {absent[0]}"
        raise SettingsError(msg)
    return {name: venue for name, venue in found.items() if name in (wanted or found)}
