"""The build stamp: which code a process runs; it compares nothing."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.metadata import version
from pathlib import Path


@cache
def build_stamp() -> str:
    """
    Return ``version+digest``, the digest over every source file of the package.

    Services of one deployment must report the same stamp; a daemon that meets
    another one grants no permit to trade. (One server of eight with old code cost
    Knight Capital more than 460 million dollars in 45 minutes.)
    """
    package = Path(__file__).resolve().parent.parent
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        digest.update(str(path.relative_to(package)).encode())
        digest.update(path.read_bytes())
    return f"{version('cryptoquantix')}+{digest.hexdigest()[:12]}"
