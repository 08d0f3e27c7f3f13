"""
The text of an archive in chunks of whole lines; it understands no column.

Zip members are decompressed as they are read: memory holds a few chunks whatever
the size of the file. The next chunk is read while the caller works on this one.
"""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from cryptoquantix.core.errors import DataError

CHUNK_BYTES = 1 << 24
_LINE_BYTES_MAX = 1 << 16
_ENCRYPTED = 1  # bit of a zip member's flags


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """
    Open a CSV file, or the one CSV member of a zip, for reading bytes.

    Raises
    ------
    DataError
        If it cannot be read, is a broken zip, or holds not exactly one CSV.
    """
    try:
        if path.suffix == ".zip":
            with (
                zipfile.ZipFile(path) as archive,
                archive.open(_member(archive)) as file,
            ):
                yield file
        else:
            with path.open("rb") as file:
                yield file
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        msg = (
            f"{path} is a broken or truncated zip file ({error}), expected a whole one"
        )
        raise DataError(msg) from None
    except IsADirectoryError:
        msg = f"{path} is a folder, expected a file"
        raise DataError(msg) from None
    except OSError as error:
        msg = f"cannot read {path}: {error.strerror or error}"
        raise DataError(msg) from None


def _member(archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    names = [info for info in archive.infolist() if info.filename.endswith(".csv")]
    if len(names) != 1:
        found = [info.filename for info in archive.infolist()]
        msg = f"{archive.filename} holds {found}, expected exactly one CSV file"
        raise DataError(msg)
    if names[0].flag_bits & _ENCRYPTED:
        msg = f"{archive.filename} is encrypted, expected a zip that opens without"
        raise DataError(msg)
    return names[0]


def chunks(
    path: Path,
    on_bytes: Callable[[int], None] | None = None,
    chunk_bytes: int = CHUNK_BYTES,
) -> Iterator[bytes]:
    """
    Yield the text in pieces that end at the end of a line.

    ``on_bytes`` is told the length of each piece. The last line may lack its
    newline. An empty file yields nothing.

    Raises
    ------
    DataError
        As :func:`opened`, or if a line is longer than any archive's.
    """
    with opened(path) as file, ThreadPoolExecutor(1, "archive-reader") as reader:
        rest = b""
        block = file.read(chunk_bytes)
        while block:
            ahead = reader.submit(file.read, chunk_bytes)
            cut = block.rfind(b"\n") + 1
            if cut:
                piece = b"".join((rest, memoryview(block)[:cut]))
                rest = block[cut:]
                yield piece
                if on_bytes is not None:
                    on_bytes(len(piece))
            else:
                rest += block
            if len(rest) > _LINE_BYTES_MAX and not cut:
                msg = f"{path} is no CSV: no line ends within {len(rest)} bytes"
                raise DataError(msg)
            block = ahead.result()
        if rest:
            yield rest


def text_bytes(path: Path) -> int:
    """Return the length of the text, for progress; 0 where it cannot be known."""
    try:
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                return _member(archive).file_size
        return path.stat().st_size
    except (OSError, zipfile.BadZipFile, DataError):
        return 0


def verify_checksum(path: Path) -> bool:
    """
    Check a file against the ``.CHECKSUM`` beside it; False where there is none.

    Raises
    ------
    DataError
        If the SHA-256 differs, or the checksum file is not one.
    """
    beside = path.with_name(path.name + ".CHECKSUM")
    if not beside.exists():
        return False
    try:
        words = beside.read_text().split()
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, UnicodeDecodeError) as error:
        msg = f"cannot verify {path} against {beside.name}: {error}"
        raise DataError(msg) from None
    expected = words[0].lower() if words else ""
    if found != expected:
        says = expected or "nothing"
        msg = f"{path}: SHA-256 is {found}, but {beside.name} says {says}"
        raise DataError(msg)
    return True
