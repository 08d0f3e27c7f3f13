"""Which settings the risk daemon runs with, as a short digest; it tells no secret."""

from __future__ import annotations

import hashlib
import json
from typing import Final

from cryptoquantix.apps.settings import Settings

# How the daemon is reached is not what it guards by.
_WAY: Final = {"listen", "url", "token", "token_file"}


def risk_digest(settings: Settings) -> str:
    """
    Return what changes with the daemon's limits, its venues and its keys there.

    A daemon outlives `cqx up`, and knows its settings as they were when it began.
    """
    value = {
        "risk": settings.risk.model_dump(mode="json", exclude=_WAY),
        "venues": {
            name: [
                venue.rest,
                venue.risk.key.get_secret_value(),
                venue.risk.secret.get_secret_value(),
            ]
            for name, venue in settings.venues.items()
        },
    }
    text = json.dumps(value, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
