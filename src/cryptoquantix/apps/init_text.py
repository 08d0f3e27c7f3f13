"""The text of a settings file, part by part; it writes nothing."""

from __future__ import annotations

import json
from typing import Any, Final

from cryptoquantix.apps.addresses import ADDRESSES, is_loopback

# What the daemon's key must and must not be allowed, in the venue's own words.
_RIGHTS: Final = {
    "binance": "Enable Reading, Enable Futures; no withdrawals, no transfers",
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

_STRATEGY: Final = """\
[[strategies]]
name = "trend_breakout"
instrument = "{instrument}"
bar_seconds = 60
# Targets count once there are so many days of history: {history}.
warmup_days = {warmup_days}

[strategies.params]
# The strategy's own; what is not named keeps its default.
gate_days = {gate_days}
leverage_max = 2.0

"""

_FEEDS: Final = """\
[feeds]
# Fed besides the strategies' instruments, such as ["{other}"].
instruments = []

[recorder]
# Whether `cqx up` writes what is fed to the catalog, for research.
enabled = {is_recording}
# None named: all that are fed. Those named are fed too.
instruments = []
segment_seconds = 60

[journal]
# A copy of the journal in PostgreSQL; `cqx up` then runs `cqx mirror`.
# mirror = "postgresql://user:password@host:5432/database"

"""

_TAIL: Final = """\
[execution]
# Fraction of the account's equity allotted to each strategy.
equity_fraction = "1"
# Gross exposure over equity.
leverage_max = "3"
# What becomes of resting orders when execution is stopped: cancel_increases, cancel
# or leave.
on_stop = "cancel_increases"

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

_INSTRUMENTS: Final = {
    "binance": "binance:BTCUSDT-PERP",
    "bybit": "bybit:BTCUSDT-PERP",
    "deribit": "deribit:BTCUSD-PERP",
}
KEYLESS: Final = {"key": "", "secret": "", "risk": {"key": "", "secret": ""}}


def settings_text(
    venues: dict[str, dict[str, Any]],
    others: dict[str, dict[str, Any]],
    *,
    is_paper: bool,
    is_recording: bool,
) -> str:
    """
    Return a whole settings file.

    Parameters
    ----------
    venues : dict
        By name: ``rest``, ``ws``, ``key``, ``secret`` and ``risk`` with its pair.
    others : dict
        The same, of venues whose tables are commented out.

    Raises
    ------
    KeyError, TypeError
        If a venue lacks one of them.
    """
    feeds = _FEEDS.format(
        other="bybit:ETHUSDT-PERP", is_recording=json.dumps(is_recording)
    )
    parts = [
        _HEAD,
        _PAPER if is_paper else "",
        *(_venue(name, venue) for name, venue in venues.items()),
        *(_commented(_venue(name, venue)) for name, venue in others.items()),
        *(_strategy(name, venue, is_paper=is_paper) for name, venue in venues.items()),
        feeds,
        _TAIL,
    ]
    return "".join(parts)


def _commented(table: str) -> str:
    lines = [
        line if line[:1] in {"", "#"} else f"# {line}" for line in table.split("\n")
    ]
    return "\n".join(lines)


def _strategy(name: str, venue: dict[str, Any], *, is_paper: bool) -> str:
    is_generated = is_loopback(venue["rest"]) and not is_paper
    return _STRATEGY.format(
        instrument=_INSTRUMENTS[name],
        history="a simulator makes up three" if is_generated else "the venue's",
        warmup_days=3 if is_generated else 7,
        gate_days=2 if is_generated else 5,
    )


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
