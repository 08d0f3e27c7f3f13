"""``cqx mirror``: the journal in PostgreSQL too; execution never waits for it."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Final

from cryptoquantix.apps.logs import setup_logs
from cryptoquantix.apps.mirror_progress import MirrorProgress, write_progress
from cryptoquantix.apps.service import run_until_stopped
from cryptoquantix.apps.settings import Settings, load_settings
from cryptoquantix.core.clock import SystemClock
from cryptoquantix.core.errors import SettingsError
from cryptoquantix.journal.mirror import Mirror
from cryptoquantix.journal.reader import JournalReader

_LOG = logging.getLogger(__name__)

_RETRY_SECONDS: Final = 1.0
_TELL_SECONDS: Final = 1.0


def run(config: Path | None = None) -> None:
    """
    Repeat the journal until stopped; a server that is away is waited for.

    Raises
    ------
    SettingsError
        If no mirror is set, or the database cannot be this journal's.
    """
    settings = load_settings(config)
    if not settings.journal.mirror.get_secret_value():
        msg = "the settings name no mirror (journal.mirror)"
        raise SettingsError(msg)
    setup_logs("mirror")
    run_until_stopped(lambda: _serve(settings))


async def _serve(settings: Settings) -> None:
    reader = await _reader(settings)
    mirror = Mirror(reader, settings.journal.mirror.get_secret_value())
    async with asyncio.TaskGroup() as group:
        group.create_task(mirror.run())
        group.create_task(_tell(mirror, settings.journal_path))


async def _tell(mirror: Mirror, journal: Path) -> None:
    """Keep `cqx status` informed; a full disk keeps nobody from mirroring."""
    clock = SystemClock()
    while True:
        said = MirrorProgress(clock.time_ns(), mirror.reached, mirror.problem)
        try:
            write_progress(journal, said)
        except OSError as error:
            _LOG.debug("progress not written: %s", error)
        await asyncio.sleep(_TELL_SECONDS)


async def _reader(settings: Settings) -> JournalReader:
    """Wait for the journal: execution makes it, and makes it of this version."""
    is_told = False
    while True:
        try:
            return JournalReader(settings.journal_path)
        except SettingsError as error:
            if not is_told:
                _LOG.info("waiting for the journal: %s", error)
                is_told = True
        await asyncio.sleep(_RETRY_SECONDS)
