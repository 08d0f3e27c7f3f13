"""What a command says must not decide whether it runs."""

from __future__ import annotations

import errno
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cryptoquantix import cli
from cryptoquantix.core.errors import SettingsError


class Full(io.StringIO):
    """A log on a disk that takes no more."""

    def write(self, _text: str) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_service_runs_on_where_nobody_can_be_told(monkeypatch):
    monkeypatch.setattr(sys, "stdout", Full())
    monkeypatch.setattr(sys, "stderr", Full())
    cli._announce({"state": "ARMED"}, as_json=True, text="")
    cli._say("ready")


def test_a_result_that_cannot_be_written_is_an_error(monkeypatch):
    monkeypatch.setattr(sys, "stdout", Full())
    with pytest.raises(SettingsError, match="cannot write to standard output: No sp"):
        cli._print({"cells": 1}, as_json=True, text="")


def test_a_full_disk_is_one_sentence_and_no_traceback():
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "cryptoquantix", "version"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == (
        "cqx: cannot write to standard output: No space left on device\n"
    )
