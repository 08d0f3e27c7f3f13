"""The embedded server listens on loopback alone, or says what is missing."""

import sys

import pytest

from cryptoquantix.bus.server import nats_binary, nats_command
from cryptoquantix.core.errors import SettingsError


def test_the_server_listens_on_loopback_and_writes_below_its_directory(tmp_path):
    command = nats_command(tmp_path / "nats", 4222)
    text = (tmp_path / "nats" / "nats.conf").read_text()
    assert command[1:] == ["--config", str(tmp_path / "nats" / "nats.conf")]
    assert 'listen: "127.0.0.1:4222"' in text
    assert f'store_dir: "{tmp_path / "nats"}"' in text


def test_a_missing_binary_is_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SettingsError, match="nats-server is neither"):
        nats_binary()


def test_a_binary_on_path_is_found(monkeypatch, tmp_path):
    binary = tmp_path / "nats-server"
    binary.write_text("#!/bin/sh\n")
    binary.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "elsewhere" / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert nats_binary() == binary


def test_a_directory_that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="cannot write NATS's files"):
        nats_command(tmp_path / "file" / "nats", 4222)
