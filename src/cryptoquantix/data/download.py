"""
Binance's public archive to local files, verified; it ingests nothing.

Every file is published with its SHA-256 in a ``.CHECKSUM`` beside it. A file is
written under a temporary name and kept only when the two agree.
"""

from __future__ import annotations

import http.client
import re
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cryptoquantix.core.errors import DataError, SettingsError
from cryptoquantix.data.archive import ArchiveKind, Market
from cryptoquantix.data.schema import interval_seconds
from cryptoquantix.data.text import verify_checksum

ARCHIVE_URL = "https://data.binance.vision"
_BLOCK_BYTES = 1 << 20
_TIMEOUT_SECONDS = 20.0
_CHECKSUM_BYTES_MAX = 4096
_MONTH = re.compile(r"\d{4}-(0[1-9]|1[0-2])")
_SYMBOL = re.compile(r"[A-Z0-9]{2,30}(_[A-Z0-9]+)?")


class NetworkError(DataError):
    """There is no way to the archive now: no network, or it does not answer."""


class NotInArchiveError(DataError):
    """The archive answers that it has no such file."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One month of one symbol; ``interval`` only for klines."""

    symbol: str
    month: str
    market: Market
    kind: ArchiveKind
    interval: str = ""

    def __post_init__(self) -> None:
        if not _SYMBOL.fullmatch(self.symbol):
            msg = f"symbol must be like BTCUSDT, was {self.symbol!r}"
            raise SettingsError(msg)
        if not _MONTH.fullmatch(self.month):
            msg = f"month must be like 2024-01, was {self.month!r}"
            raise SettingsError(msg)
        if self.kind is ArchiveKind.KLINES:
            interval_seconds(self.interval)
        if self.kind is ArchiveKind.FUNDING and self.market is Market.SPOT:
            msg = "spot has no funding rates, expected --market um"
            raise SettingsError(msg)

    @property
    def path(self) -> str:
        """
        Where the archive keeps it.

        Examples
        --------
        >>> Wanted("BTCUSDT", "2024-01", Market.UM, ArchiveKind.KLINES, "1m").path
        'data/futures/um/monthly/klines/BTCUSDT/1m/BTCUSDT-1m-2024-01.zip'
        """
        market = "futures/um" if self.market is Market.UM else "spot"
        is_klines = self.kind is ArchiveKind.KLINES
        word = self.interval if is_klines else self.kind.value
        folder = f"data/{market}/monthly/{self.kind.value}/{self.symbol}"
        if is_klines:
            folder += f"/{self.interval}"
        return f"{folder}/{self.symbol}-{word}-{self.month}.zip"


def download(
    wanted: Wanted,
    folder: Path,
    on_bytes: Callable[[int, int], None] | None = None,
    *,
    url: str = ARCHIVE_URL,
) -> Path:
    """
    Return the local path of the file, downloaded below ``folder`` and verified.

    A file that is there already and verifies is not downloaded again. The path
    keeps the archive's folders, so that its name and place say what it holds.
    ``on_bytes`` is told bytes so far and in all (0 where unknown).

    Raises
    ------
    NetworkError
        If the archive cannot be reached or breaks off: nothing is kept.
    NotInArchiveError
        If it has no such file.
    DataError
        If the checksum differs, or the folder cannot be written: nothing is kept.
    """
    target = folder / wanted.path
    beside = target.with_name(target.name + ".CHECKSUM")
    if target.exists() and beside.exists():
        verify_checksum(target)
        return target
    source = f"{url}/{wanted.path}"
    temporary = target.with_name(f".{target.name}")
    checksum = temporary.with_name(temporary.name + ".CHECKSUM")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        checksum.write_bytes(_fetch_small(f"{source}.CHECKSUM"))
        _fetch(source, temporary, on_bytes)
        verify_checksum(temporary)
        checksum.replace(beside)
        temporary.replace(target)
    except (urllib.error.HTTPError, urllib.error.URLError) as error:
        raise _translate(error, source) from None
    except (http.client.HTTPException, TimeoutError, ConnectionError) as error:
        msg = f"{source} broke off: {error!r}"
        raise NetworkError(msg) from None
    except OSError as error:
        msg = f"cannot write below {folder}: {error.strerror}"
        raise DataError(msg) from None
    finally:
        temporary.unlink(missing_ok=True)
        checksum.unlink(missing_ok=True)
    return target


def _translate(error: urllib.error.URLError, source: str) -> DataError:
    if isinstance(error, urllib.error.HTTPError):
        if error.code == 404:
            return NotInArchiveError(f"the archive has no {source}")
        return NetworkError(f"{source} answered {error.code} {error.reason}")
    return NetworkError(f"cannot reach {source}: {error.reason}")


def _fetch_small(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS) as answer:  # noqa: S310 - the archive's address, or a test's
        return bytes(answer.read(_CHECKSUM_BYTES_MAX))


def _fetch(url: str, target: Path, on_bytes: Callable[[int, int], None] | None) -> None:
    with (
        urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS) as answer,  # noqa: S310 - the archive's address, or a test's
        target.open("wb") as file,
    ):
        total = int(answer.headers.get("Content-Length") or 0)
        done = 0
        while block := answer.read(_BLOCK_BYTES):
            file.write(block)
            done += len(block)
            if on_bytes is not None:
                on_bytes(done, total)
    if total and done != total:
        msg = f"{done} of {total} bytes came"
        raise ConnectionError(msg)
