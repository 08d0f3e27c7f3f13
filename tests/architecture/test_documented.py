"""What a user can type or set is written down."""

from pathlib import Path

import pytest
import typer.main

from cryptoquantix.apps.settings import Settings
from cryptoquantix.cli import app

ROOT = Path(__file__).parent.parent.parent
DOCS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def commands(group, words=("cqx",)):
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*words, name))
        else:
            yield " ".join((*words, name)), command


COMMANDS = dict(commands(typer.main.get_command(app)))


def fields(model, words=()):
    for name, field in model.model_fields.items():
        inner = field.annotation
        if hasattr(inner, "model_fields"):
            yield from fields(inner, (*words, name))
        else:
            yield ".".join((*words, name))


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_is_documented_and_has_help(command):
    assert COMMANDS[command].help
    assert any(command in path.read_text() for path in DOCS)


@pytest.mark.parametrize("setting", sorted(fields(Settings)))
def test_every_setting_is_documented(setting):
    text = (ROOT / "docs" / "settings.md").read_text()
    assert f"`{setting}`" in text or f"`{setting.split('.')[-1]}`" in text
