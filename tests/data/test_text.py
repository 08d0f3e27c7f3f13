"""The text of an archive in chunks of whole lines."""

from __future__ import annotations

import hashlib
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryptoquantix.core.errors import DataError
from cryptoquantix.data.text import chunks, text_bytes, verify_checksum


@given(st.lists(st.text("ab,1", max_size=30)), st.integers(1, 64), st.booleans())
def test_chunks_are_whole_lines_and_together_the_text(
    tmp_path_factory, lines, size, end
):
    path = tmp_path_factory.mktemp("text") / "x.csv"
    text = "\n".join(lines).encode() + (b"\n" if end else b"")
    path.write_bytes(text)
    found = list(chunks(path, chunk_bytes=size))
    assert b"".join(found) == text
    assert all(chunk.endswith(b"\n") for chunk in found[:-1])
    assert all(found)


def zip_of(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return path


def test_a_zip_is_read_as_its_one_csv(tmp_path):
    path = zip_of(tmp_path / "x.zip", {"x.csv": b"1,2\n" * 1000})
    assert b"".join(chunks(path, chunk_bytes=100)) == b"1,2\n" * 1000
    assert text_bytes(path) == 4000


@pytest.mark.parametrize(
    "members", [{}, {"a.csv": b"1\n", "b.csv": b"2\n"}, {"a.txt": b""}]
)
def test_a_zip_of_not_exactly_one_csv_is_refused(tmp_path, members):
    path = zip_of(tmp_path / "x.zip", members)
    with pytest.raises(DataError, match="expected exactly one CSV"):
        list(chunks(path))


@pytest.mark.parametrize("keep", [0, 10, 0.5, 0.95])
def test_a_truncated_zip_is_refused(tmp_path, keep):
    whole = zip_of(tmp_path / "x.zip", {"x.csv": b"1,2\n" * 10_000}).read_bytes()
    path = tmp_path / "cut.zip"
    path.write_bytes(whole[: int(keep * len(whole)) if keep < 1 else keep])
    with pytest.raises(DataError, match=r"cut\.zip is a broken or truncated zip"):
        list(chunks(path))


def test_a_zip_with_a_flipped_byte_is_refused(tmp_path):
    path = zip_of(tmp_path / "x.zip", {"x.csv": bytes(range(48, 58)) * 5000})
    whole = bytearray(path.read_bytes())
    whole[60] ^= 0xFF
    path.write_bytes(whole)
    with pytest.raises(DataError, match="broken or truncated"):
        list(chunks(path))


def test_an_encrypted_zip_is_refused(tmp_path):
    path = zip_of(tmp_path / "x.zip", {"x.csv": b"1,2\n"})
    whole = bytearray(path.read_bytes())
    whole[6] |= 1
    whole[whole.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(whole)
    with pytest.raises(DataError, match="is encrypted"):
        list(chunks(path))


def test_binary_without_lines_is_refused_before_it_fills_memory(tmp_path):
    path = tmp_path / "x.csv"
    path.write_bytes(b"\0" * (1 << 20))
    with pytest.raises(DataError, match="no line ends"):
        list(chunks(path, chunk_bytes=1 << 16))


@pytest.mark.parametrize("name", ["missing.csv", "missing.zip"])
def test_what_cannot_be_read_is_named(tmp_path, name):
    with pytest.raises(DataError, match=f"cannot read .*{name}"):
        list(chunks(tmp_path / name))


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(DataError, match="is a folder"):
        list(chunks(tmp_path))


def test_a_checksum_beside_the_file_is_verified(tmp_path):
    path = tmp_path / "x.zip"
    path.write_bytes(b"content")
    assert verify_checksum(path) is False
    beside = tmp_path / "x.zip.CHECKSUM"
    digest = hashlib.sha256(b"content").hexdigest()
    beside.write_text(f"{digest}  x.zip\n")
    assert verify_checksum(path) is True
    path.write_bytes(b"other")
    with pytest.raises(DataError, match=f"CHECKSUM says {digest}"):
        verify_checksum(path)
    beside.write_text("")
    with pytest.raises(DataError, match="says nothing"):
        verify_checksum(path)
