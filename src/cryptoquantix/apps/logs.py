"""
Structured logs, one JSON object a line; it decides nothing and keeps no secret.

Packages log with the standard library (``logging.getLogger(__name__)`` and
``extra={...}`` for the fields); this module alone turns that into JSON. Whatever is
named like a secret is replaced before it is written, in fields, in text and in URLs.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any, Final, TextIO

import structlog

from cryptoquantix.control.build import build_stamp
from cryptoquantix.core.errors import SettingsError

_HIDDEN: Final = "[hidden]"
_SECRET_NAME: Final = re.compile(
    r"secret|token|password|signature|authorization|api_?key|^key$", re.IGNORECASE
)
_SECRET_IN_TEXT: Final = re.compile(
    r"(?i)((?:signature|secret|token|password|apikey|api_key|listenkey|bearer)"
    r"[\"']?\s*[=:\s]\s*[\"']?)[^\s&\"',}]+"
    r"|(\w+://)[^/\s:@]+:[^/\s@]+@"
    r"|(/bot)\d+:[\w-]+"
)

type _Event = MutableMapping[str, Any]


def setup_logs(service: str, file: Path | None = None) -> None:
    """
    Send every log record of this process to stderr, or to ``file``, as JSON lines.

    Each line has ``time``, ``level``, ``service``, ``build``, ``logger``, ``event``
    and the record's own fields. Call once, first thing in a service.

    Parameters
    ----------
    service : str
        Which process this is: ``feed-binance``, ``strategy``, …
    file : Path, optional
        Appended to; its directory is made if missing.

    Raises
    ------
    SettingsError
        If ``file`` cannot be written.
    """
    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        structlog.processors.format_exc_info,
        _stamp(service),
        hide_secrets,
    ]
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.JSONRenderer(default=str, ensure_ascii=False),
        ],
    )
    handler = logging.StreamHandler(_stream(file))
    handler.setFormatter(formatter)
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    logging.captureWarnings(capture=True)
    for quiet in ("asyncio", "aiohttp.access", "picows"):
        logging.getLogger(quiet).setLevel(logging.WARNING)


def hide_secrets(_logger: object, _method: str, event: _Event) -> _Event:
    """Return ``event`` with every secret replaced (a structlog processor)."""
    return {name: _hidden(name, value) for name, value in event.items()}


def _hidden(name: str, value: object) -> object:
    if _SECRET_NAME.search(name):
        return _HIDDEN
    if isinstance(value, dict):
        return {key: _hidden(str(key), inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_hidden("", inner) for inner in value]
    if isinstance(value, str):
        return _SECRET_IN_TEXT.sub(_hide_match, value)
    return value


def _hide_match(match: re.Match[str]) -> str:
    named, scheme, path = match.groups()
    if scheme:
        return f"{scheme}{_HIDDEN}@"
    return f"{named or path}{_HIDDEN}"


def _stamp(service: str) -> Any:  # noqa: ANN401 - structlog's processor type
    def add(_logger: object, _method: str, event: _Event) -> _Event:
        event["service"] = service
        event["build"] = build_stamp()
        return event

    return add


def _stream(file: Path | None) -> TextIO:
    if file is None:
        return sys.stderr
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        return file.open("a", buffering=1, encoding="utf-8")
    except OSError as error:
        msg = f"cannot write the log {file}: {error.strerror}"
        raise SettingsError(msg) from None
