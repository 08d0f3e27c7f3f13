"""``cqx init``: write a commented settings file; it never overwrites one unasked."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from secrets import token_hex
from typing import Any, Final

from cryptoquantix.apps.settings import load_settings
from cryptoquantix.core.errors import SettingsError

_PORTS: Final = {"binance": 8600, "bybit": 8602, "deribit": 8603}
_KEYLESS: Final = {"key": "", "secret": "", "risk": {"key": "", "secret": ""}}

# Addresses of each venue's documentation: (testnet, live), REST before streams.
ADDRESSES: Final = {
    "binance": (
        ("https://testnet.binancefuture.com", "wss://fstream.binancefuture.com"),
        ("https://fapi.binance.com", "wss://fstream.binance.com"),
    ),
    "bybit": (
        ("https://api-testnet.bybit.com", "wss://stream-testnet.bybit.com"),
        ("https://api.bybit.com", "wss://stream.bybit.com"),
    ),
    "deribit": (
        ("https://test.deribit.com", "wss://test.deribit.com"),
        ("https://www.deribit.com", "wss://www.deribit.com"),
    ),
}
# What the daemon's key must and must not be allowed, in the venue's own words.
_RIGHTS: Final = {
    "binance": "Enable Reading, Enable Futures; no withdrawals, no internal transfer",
    "bybit": "Unified Trading: Contract (orders and positions); nothing under Wallet",
    "deribit": "account:read trade:read_write wallet:none",
}

_HEAD: Final = """\
# The settings of one deployment. Every setting: docs/settings.md.
# The environment goes before this file: CQX_RISK__TOKEN sets risk.token.
# This file holds keys: keep it readable by its owner alone, and out of git.

# All that is written (journal, risk store, bus files, logs), relative to this file.
directory = "var"
# Market data, filled by `cqx ingest` and `cqx download`.
catalog = "var/catalog"

[nats]
# The bus. `cqx up` starts a server of its own.
url = "nats://127.0.0.1:4222"
embedded = true

[risk]
# The risk daemon serves permits and status here; `cqx up` makes its token.
listen = "127.0.0.1:8700"
url = "http://127.0.0.1:8700"
# Trip at this drawdown of the rolling 24 h high-water mark, inclusive.
drawdown_fraction_max = "0.03"
# Warn at these fractions of it.
warning_fractions = ["0.5", "0.8"]
# Whether the price moves of coins held as collateral count in the drawdown.
collateral_moves = true
# Without a complete reading for so long entries stop; later they are canceled.
blind_seconds = 5
blind_cancel_seconds = 60

"""

_PAPER: Final = """\
[simulator]
# A paper account: `cqx up` runs a simulator at the addresses of [venues] that mirrors
# the real market data of the same venues; no order can leave this machine.
source = "venue"
# What each venue's account is worth at first, in dollars.
balance = "100000"
# A market unheard of for so many seconds is halted.
stale_seconds = 10

"""

_VENUE: Final = """\
[venues.{name}]
# Addresses of this machine are a simulator (`cqx simulate`); a live venue's address
# additionally needs `--live` on `cqx up` and `cqx rearm`.
#   testnet: {testnet}
#   live:    {live}
rest = {rest}
ws = {ws}
# Execution's key: may trade, must not withdraw. Instead of a key or a secret here,
# key_file and secret_file name files that hold them.
key = {key}
secret = {secret}

[venues.{name}.risk]
# The risk daemon's own key on the same account; no other process is given it.
# Rights: {rights}.
key = {risk_key}
secret = {risk_secret}

"""

_TAIL: Final = """\
[[strategies]]
name = "trend_breakout"
instrument = "binance:BTCUSDT-PERP"
bar_seconds = 60
# History to ask for before targets count.
warmup_days = 7

[strategies.params]
# The strategy's own; what is not named keeps its default.
gate_days = 5
leverage_max = 2.0

[execution]
# Fraction of the account's equity allotted to each strategy.
equity_fraction = "1"
# Gross exposure over equity.
leverage_max = "3"

[alarms]
# A risk daemon silent for so many seconds is an alarm of its own, as is one whose
# last complete reading is older than the second.
daemon_silent_seconds = 10
reading_age_seconds_max = 30
# A critical alarm nobody acknowledges (/ack, `cqx alarms ack`) is repeated.
escalate_minutes = 10
# The daily report, UTC: a day without it is an alarm to you. Empty: none.
all_clear_at = "07:00"

[alarms.telegram]
# Without any channel alarms are only logged. Ask @BotFather for a token.
token = ""
chat_id = ""
# Who may write /status, /halt, /flatten. Empty: the person of a private chat.
command_user_ids = []

[alarms.apprise]
# Any URL of https://github.com/caronc/apprise/wiki, under a name of yours.
# mail = "mailto://user:password@example.com"
# Then `cqx alarms test`.
"""


def run(
    path: Path,
    *,
    simulator_json: str | None,
    is_forced: bool,
    is_paper: bool = False,
) -> dict[str, str]:
    """
    Write the settings to ``path`` whole or not at all, and return where.

    Parameters
    ----------
    simulator_json : str or None
        A file with the line of ``cqx simulate --json``, ``-`` for standard input;
        None leaves addresses on this machine, keys empty, and all venues but the first
        commented out.
    is_paper : bool
        Settings of a paper account, whose keys are made up here.

    Raises
    ------
    SettingsError
        If ``path`` exists and ``is_forced`` is False, the line is not a simulator's,
        or nothing can be written there.
    """
    if path.exists() and not is_forced:
        msg = f"{path} exists already: --force overwrites it"
        raise SettingsError(msg)
    if is_paper and simulator_json:
        msg = "--paper runs a simulator of its own: leave --simulator-json out"
        raise SettingsError(msg)
    if is_paper:
        text = _HEAD + _PAPER + _local_tables(_made_up) + _TAIL
    else:
        text = _HEAD + _venue_tables(simulator_json) + _TAIL
    fresh = path.with_name(path.name + ".new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh.unlink(missing_ok=True)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        load_settings(fresh)  # what we write, we can read
        fresh.replace(path)
    except OSError as error:
        msg = f"cannot write {path}: {error.strerror}"
        raise SettingsError(msg) from None
    finally:
        fresh.unlink(missing_ok=True)
    return {"written": str(path)}


def _venue_tables(simulator_json: str | None) -> str:
    if simulator_json:
        venues = _venues(simulator_json)
        return "".join(map(_venue, venues, venues.values()))
    return _local_tables(lambda: _KEYLESS)


def _local_tables(keys: Callable[[], dict[str, Any]]) -> str:
    """Return tables of this machine's simulator, all but the first commented out."""
    first, *others = [_venue(name, _local(name) | keys()) for name in ADDRESSES]
    return first + "".join(map(_commented, others))


def _local(name: str) -> dict[str, Any]:
    host = f"127.0.0.1:{_PORTS[name]}"
    return {"rest": f"http://{host}", "ws": f"ws://{host}"}


def _made_up() -> dict[str, Any]:
    """Return keys that only a paper account's simulator knows."""
    return _key_and_secret() | {"risk": _key_and_secret()}


def _key_and_secret() -> dict[str, str]:
    return {"key": token_hex(32), "secret": token_hex(32)}


def _commented(table: str) -> str:
    lines = [
        line if line[:1] in {"", "#"} else f"# {line}" for line in table.split("\n")
    ]
    return "\n".join(lines)


def _venues(source: str) -> dict[str, Any]:
    try:
        text = sys.stdin.readline() if source == "-" else Path(source).read_text()
        venues = json.loads(text)["venues"]
        # Only what this version can trade: a simulator may offer more venues.
        found = {name: venues[name] for name in ADDRESSES if name in venues}
        for name, venue in found.items():
            _venue(name, venue)
    except OSError as error:
        msg = f"cannot read {source}: {error.strerror}"
        raise SettingsError(msg) from None
    except (ValueError, KeyError, TypeError):
        found = {}
    if not found:
        msg = (
            f"{'standard input' if source == '-' else source} must hold the line that "
            f"`cqx simulate --json` prints"
        )
        raise SettingsError(msg)
    return found


def _venue(name: str, venue: dict[str, Any]) -> str:
    # JSON's strings are TOML's basic strings.
    testnet, live = ADDRESSES[name]
    return _VENUE.format(
        name=name,
        testnet=", ".join(testnet),
        live=", ".join(live),
        rights=_RIGHTS[name],
        rest=json.dumps(venue["rest"]),
        ws=json.dumps(venue["ws"]),
        key=json.dumps(venue["key"]),
        secret=json.dumps(venue["secret"]),
        risk_key=json.dumps(venue["risk"]["key"]),
        risk_secret=json.dumps(venue["risk"]["secret"]),
    )
