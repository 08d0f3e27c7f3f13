"""What a command says must not decide whether it runs."""

from __future__ import annotations

import errno
import io
import os
import sys

import pytest

from cryptoquantix import cli


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
    with pytest.raises(OSError, match="No space"):
        cli._print({"cells": 1}, as_json=True, text="")
