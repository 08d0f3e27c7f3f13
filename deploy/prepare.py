#!/usr/bin/env python3
"""
Write the settings of a stack, one file a service, each with the keys it needs alone.

    python3 deploy/prepare.py [FOLDER] [--venues binance,bybit,deribit]

FOLDER is deploy/secrets unless given. For the simulator as it stands in stack.yml; for
a real venue edit the addresses and keys in the files written. They become Docker
secrets and are not meant for a repository. Existing files are left alone.
"""

import argparse
import json
import secrets
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent / "secrets"
DIRECTORY = "/var/lib/cryptoquantix"
PORTS = {"binance": 8600, "bybit": 8602, "deribit": 8603}
INSTRUMENTS = {
    "binance": "binance:BTCUSDT-PERP",
    "bybit": "bybit:BTCUSDT-PERP",
    "deribit": "deribit:BTCUSD-PERP",
}

STRATEGY = """
[[strategies]]
name = "trend_breakout"
instrument = "{instrument}"
bar_seconds = 60
warmup_days = 3
params = {{ gate_days = 2 }}
"""


def settings(venues, *, trade=None, risk=None, token=""):
    """Return one service's cryptoquantix.toml; keys by venue."""
    lines = [f'directory = "{DIRECTORY}"', f'catalog = "{DIRECTORY}/catalog"']
    lines += ["[nats]", 'url = "nats://nats:4222"', "embedded = false"]
    lines += ["[risk]", 'listen = "0.0.0.0:8700"', 'url = "http://risk:8700"']
    lines += [f'token = "{token}"'] if token else []
    for name in venues:
        at = f"simulator:{PORTS[name]}"
        lines += [f"[venues.{name}]", f'rest = "http://{at}"', f'ws = "ws://{at}"']
        lines += pair(trade[name]) if trade else []
        lines += [f"[venues.{name}.risk]", *pair(risk[name])] if risk else []
    tables = [STRATEGY.format(instrument=INSTRUMENTS[name]) for name in venues]
    return "\n".join(lines) + "\n" + "".join(tables)


def pair(keys):
    """Return a key and its secret as settings."""
    return [f'key = "{keys["key"]}"', f'secret = "{keys["secret"]}"']


def made_up(venues):
    """Return a pair of keys for each venue."""
    return {
        name: {"key": secrets.token_hex(32), "secret": secrets.token_hex(32)}
        for name in venues
    }


def main(folder, venues):
    """Write the files into ``folder``, unless it holds one of them already."""
    trade, risk, token = made_up(venues), made_up(venues), secrets.token_hex(16)
    known = {name: {**trade[name], "risk": risk[name]} for name in venues}
    files = {
        "market.toml": settings(venues),
        "execution.toml": settings(venues, trade=trade, token=token),
        "risk.toml": settings(venues, risk=risk, token=token),
        "alarms.toml": settings(venues, token=token),
        "simulator-keys.json": json.dumps(known),
    }
    folder.mkdir(mode=0o700, exist_ok=True)
    present = [name for name in files if (folder / name).exists()]
    if present:
        sys.stdout.write(f"left alone: {folder} holds {', '.join(present)}\n")
        return
    for name, text in files.items():
        path = folder / name
        path.touch(mode=0o600)
        path.write_text(text)
    sys.stdout.write(f"wrote {', '.join(files)} to {folder}\n")


def arguments():
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(description="Write the settings of a stack.")
    parser.add_argument("folder", nargs="?", type=Path, default=FOLDER)
    parser.add_argument("--venues", default=",".join(PORTS))
    given = parser.parse_args()
    venues = given.venues.split(",")
    unknown = [name for name in venues if name not in PORTS]
    if unknown:
        parser.error(f"unknown venue {unknown[0]!r}, expected {', '.join(PORTS)}")
    return given.folder, venues


if __name__ == "__main__":
    main(*arguments())
