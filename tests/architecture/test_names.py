"""One word for one thing: words that the glossary bans are no identifiers."""

import ast
from pathlib import Path

import pytest

import cryptoquantix

PACKAGE = Path(cryptoquantix.__file__).parent
BANNED = {"pair", "candle", "ohlcv", "amount", "qty", "pos", "sl", "tp", "bot"}
# Venues and Telegram speak like this; the words stay at their wire's edge.
EDGES = ("venues/", "simulator/", "alarms/", "drills/")
BANNED_MODULES = {"utils", "helpers", "common", "misc", "base", "manager", "models"}


def name_of(path):
    return str(path.relative_to(PACKAGE))


def modules():
    return sorted(PACKAGE.rglob("*.py"))


def identifiers(tree):
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name) | ast.arg(arg=name) | ast.Attribute(attr=name):
                yield name, node.lineno
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                yield name, node.lineno
            case ast.AsyncFunctionDef(name=name):
                yield name, node.lineno
            case _:
                pass


def inner_modules():
    return [p for p in modules() if not name_of(p).startswith(EDGES)]


@pytest.mark.parametrize("path", inner_modules(), ids=name_of)
def test_no_identifier_is_a_banned_word(path):
    found = [
        f"{name} (line {line})"
        for name, line in identifiers(ast.parse(path.read_text()))
        if BANNED & set(name.lower().split("_"))
    ]
    assert not found


def test_no_module_is_a_dumping_ground():
    assert not [p for p in modules() if p.stem in BANNED_MODULES]


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_no_code_asks_whether_it_is_tested(path):
    assert "pytest" not in path.read_text()


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_every_module_says_what_it_is_for(path):
    text = path.read_text()
    if path.name == "__init__.py" and not text.strip():
        return
    assert ast.get_docstring(ast.parse(text))
