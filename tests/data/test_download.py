"""Binance's public archive to local files, against an archive on loopback."""

from __future__ import annotations

import hashlib
import http.server
import threading
from pathlib import Path

import pytest

from archives import HEADERS, klines, snapshot, write
from cryptoquantix.core.errors import DataError, SettingsError
from cryptoquantix.data.archive import ArchiveKind, Market
from cryptoquantix.data.catalog import Catalog
from cryptoquantix.data.download import (
    NetworkError,
    NotInArchiveError,
    Wanted,
    download,
)
from cryptoquantix.data.ingest import ingest

WANTED = Wanted("BTCUSDT", "2024-02", Market.UM, ArchiveKind.KLINES, "1m")


class Archive(http.server.SimpleHTTPRequestHandler):
    """Serves a folder; a file named ``*.half`` beside one cuts it short."""

    def log_message(self, *_):
        pass

    def copyfile(self, source, outputfile):
        name = getattr(source, "name", "")
        data = source.read()
        if name and Path(f"{name}.half").exists():
            data = data[: len(data) // 2]
            self.close_connection = True
        outputfile.write(data)


@pytest.fixture
def archive(tmp_path):
    """(folder, url) of an archive that holds one month."""
    folder = tmp_path / "served"
    path = write(folder / WANTED.path, klines(100), HEADERS["klines"])
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    path.with_name(path.name + ".CHECKSUM").write_text(f"{digest}  {path.name}\n")

    def handler(*arguments):
        return Archive(*arguments, directory=str(folder))

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield path, f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join(5)


def test_a_month_is_downloaded_verified_and_ingested_without_an_option(
    tmp_path, archive
):
    path, url = archive
    told = []
    found = download(WANTED, tmp_path / "got", lambda *now: told.append(now), url=url)
    assert found.read_bytes() == path.read_bytes()
    assert told[-1] == (path.stat().st_size, path.stat().st_size)
    result = ingest(tmp_path / "c", found)
    assert result.is_verified
    assert str(Catalog(tmp_path / "c").datasets()[0].key) == "binance:BTCUSDT-PERP 1m"


def test_what_is_there_and_verifies_needs_no_network(tmp_path, archive):
    _, url = archive
    first = download(WANTED, tmp_path / "got", url=url)
    assert download(WANTED, tmp_path / "got", url="http://127.0.0.1:1") == first


def test_a_wrong_checksum_keeps_nothing(tmp_path, archive):
    path, url = archive
    path.with_name(path.name + ".CHECKSUM").write_text(f"{'0' * 64}  x\n")
    with pytest.raises(DataError, match="SHA-256"):
        download(WANTED, tmp_path / "got", url=url)
    assert not any(
        name.endswith((".zip", ".CHECKSUM")) for name in snapshot(tmp_path / "got")
    )


def test_an_answer_that_breaks_off_keeps_nothing(tmp_path, archive):
    path, url = archive
    Path(f"{path}.half").touch()
    with pytest.raises(NetworkError, match="broke off"):
        download(WANTED, tmp_path / "got", url=url)
    assert not any(
        name.endswith((".zip", ".CHECKSUM")) for name in snapshot(tmp_path / "got")
    )


def test_a_month_the_archive_lacks_is_named(tmp_path, archive):
    _, url = archive
    missing = Wanted("BTCUSDT", "1999-01", Market.SPOT, ArchiveKind.TRADES)
    with pytest.raises(
        NotInArchiveError, match=r"has no .*BTCUSDT-trades-1999-01\.zip"
    ):
        download(missing, tmp_path / "got", url=url)


def test_no_network_is_an_error_of_its_own(tmp_path):
    with pytest.raises(NetworkError, match=r"cannot reach http://127\.0\.0\.1:1/data"):
        download(WANTED, tmp_path / "got", url="http://127.0.0.1:1")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("btc/..", "2024-01", Market.UM, ArchiveKind.TRADES), "symbol must be like"),
        (("BTCUSDT", "2024-13", Market.UM, ArchiveKind.TRADES), "month must be like"),
        (("BTCUSDT", "2024-01", Market.UM, ArchiveKind.KLINES, "9m"), "interval must"),
        (
            ("BTCUSDT", "2024-01", Market.SPOT, ArchiveKind.FUNDING),
            "spot has no funding",
        ),
    ],
)
def test_a_wrong_wish_is_refused_before_any_request(arguments, sentence):
    with pytest.raises(SettingsError, match=sentence):
        Wanted(*arguments)


@pytest.mark.parametrize(
    ("wanted", "path"),
    [
        (
            Wanted("BTCUSDT", "2024-01", Market.UM, ArchiveKind.AGG_TRADES),
            "data/futures/um/monthly/aggTrades/BTCUSDT/BTCUSDT-aggTrades-2024-01.zip",
        ),
        (
            Wanted("PEPEUSDT", "2025-01", Market.SPOT, ArchiveKind.KLINES, "1s"),
            "data/spot/monthly/klines/PEPEUSDT/1s/PEPEUSDT-1s-2025-01.zip",
        ),
        (
            Wanted("BTCUSDT", "2024-01", Market.UM, ArchiveKind.FUNDING),
            "data/futures/um/monthly/fundingRate/BTCUSDT/BTCUSDT-fundingRate-2024-01.zip",
        ),
    ],
)
def test_paths_are_the_archive_s(wanted, path):
    assert wanted.path == path
