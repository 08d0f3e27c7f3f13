"""``cqx download``: one month from Binance's public archive, verified and kept."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from cryptoquantix.apps.settings import load_settings
from cryptoquantix.core.errors import SettingsError
from cryptoquantix.data.archive import ArchiveKind, Market
from cryptoquantix.data.download import ARCHIVE_URL, NetworkError, Wanted
from cryptoquantix.data.download import download as fetch

__all__ = ["NetworkError", "download", "run"]


def download(
    symbol: str,
    month: str,
    folder: Path,
    *,
    market: str = "um",
    kind: str = "klines",
    interval: str = "1m",
    url: str = ARCHIVE_URL,
) -> list[Path]:
    """
    Return the files of one month, downloaded below ``folder``.

    Raises
    ------
    SettingsError
        If an argument is wrong.
    NetworkError
        If the archive cannot be reached.
    DataError
        If it has no such file, or the checksum differs.
    """
    wanted = Wanted(symbol, month, _market(market), _kind(kind), interval)
    with Progress(
        console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()
    ) as progress:
        task = progress.add_task(Path(wanted.path).name, total=None)

        def advance(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total or None)

        return [fetch(wanted, folder, advance, url=url)]


def run(
    symbol: str,
    month: str,
    *,
    market: str,
    kind: str,
    interval: str,
    folder: Path | None = None,
    config: Path | None = None,
    url: str = ARCHIVE_URL,
) -> dict[str, Any]:
    """
    Download a month into ``folder``, or the deployment's own archive folder.

    Raises
    ------
    SettingsError, NetworkError, DataError
        As :func:`download`.
    """
    folder = folder or load_settings(config).directory / "archive"
    files = download(
        symbol, month, folder, market=market, kind=kind, interval=interval, url=url
    )
    return {"files": [str(file) for file in files], "verified": True}


def _market(text: str) -> Market:
    known = [market.value for market in Market]
    if text not in known:
        msg = f"--market must be one of {', '.join(known)}, was {text!r}"
        raise SettingsError(msg)
    return Market(text)


def _kind(text: str) -> ArchiveKind:
    known = [kind.value for kind in ArchiveKind]
    if text not in known:
        msg = f"--kind must be one of {', '.join(known)}, was {text!r}"
        raise SettingsError(msg)
    return ArchiveKind(text)
