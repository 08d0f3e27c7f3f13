"""
The last print of each instrument, kept over a feed's end; it keeps no print itself.

A feed that is started again goes on after these and fetches what it missed. What is
kept is a moment old on purpose: prints handed on in a process's last moment may not
have left it, and those who have seen them drop them by their ids.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Final

from cryptoquantix.core.clock import NS_PER_SECOND

AGE_MAX_NS: Final = 3_600 * NS_PER_SECOND
_log = logging.getLogger(__name__)


class FeedMemory:
    """
    A small file of symbols and ids; ``path`` is made with its folder if missing.

    Nothing is raised: without its memory a feed begins anew.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._is_failing = False

    def load(self, time_ns: int) -> dict[str, int]:
        """Return the ids kept, none where they are more than an hour old."""
        try:
            value = json.loads(self._path.read_text())
            if not 0 <= time_ns - int(value["time_ns"]) <= AGE_MAX_NS:
                return {}
            return {str(name): int(id_) for name, id_ in value["trade_ids"].items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            _log.warning("feed's memory not read", extra={"error": str(error)})
            return {}

    def save(self, trade_ids: dict[str, int], time_ns: int) -> None:
        """Keep ``trade_ids``, whole or not at all."""
        temporary = self._path.with_name(f".{self._path.name}.new")
        text = json.dumps({"time_ns": time_ns, "trade_ids": trade_ids})
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(text)
            temporary.replace(self._path)
        except OSError as error:
            if not self._is_failing:
                _log.warning("feed's memory not written", extra={"error": str(error)})
            self._is_failing = True
        else:
            self._is_failing = False
