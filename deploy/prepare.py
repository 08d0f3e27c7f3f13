#!/usr/bin/env python3
"""
Write the settings of a stack, one file a service, each with the keys it needs alone.

    python3 deploy/prepare.py [FOLDER]      (default: deploy/secrets)

For the simulator as it stands in stack.yml; for a real venue edit the addresses and
keys in the files written. They become Docker secrets and are not meant for a
repository. Existing files are left alone.
"""

import json
import secrets
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent / "secrets"
DIRECTORY = "/var/lib/cryptoquantix"

STRATEGY = """
[[strategies]]
name = "trend_breakout"
instrument = "binance:BTCUSDT-PERP"
bar_seconds = 60
warmup_days = 1
"""


def settings(*, trade=None, risk=None, token=""):
    """Return one service's cryptoquantix.toml."""
    lines = [f'directory = "{DIRECTORY}"', f'catalog = "{DIRECTORY}/catalog"']
    lines += ["[nats]", 'url = "nats://nats:4222"', "embedded = false"]
    lines += ["[risk]", 'listen = "0.0.0.0:8700"', 'url = "http://risk:8700"']
    lines += [f'token = "{token}"'] if token else []
    lines += ["[venues.binance]"]
    lines += ['rest = "http://simulator:8600"', 'ws = "ws://simulator:8600"']
    lines += (
        [f'key = "{trade["key"]}"', f'secret = "{trade["secret"]}"'] if trade else []
    )
    if risk:
        lines += ["[venues.binance.risk]"]
        lines += [f'key = "{risk["key"]}"', f'secret = "{risk["secret"]}"']
    return "\n".join(lines) + "\n" + STRATEGY


def main(folder):
    """Write the files into ``folder``, unless it holds one of them already."""
    trade, risk = (
        {"key": secrets.token_hex(32), "secret": secrets.token_hex(32)} for _ in "ab"
    )
    token = secrets.token_hex(16)
    files = {
        "market.toml": settings(),
        "execution.toml": settings(trade=trade, token=token),
        "risk.toml": settings(risk=risk, token=token),
        "alarms.toml": settings(token=token),
        "simulator-keys.json": json.dumps({"binance": {**trade, "risk": risk}}),
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


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
