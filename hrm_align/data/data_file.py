"""Bytes of a data file: unpacked from its compression or zip archive, and as UTF-8 whatever its encoding.

rows.jsonl.zst   rows.jsonl   the bytes of its lines
rows.zip         rows.jsonl   the same, from a member of the archive
"""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import logging
import lzma
import os
import shutil
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from tempfile import TemporaryFile
from typing import IO, Any

from hrm_align.errors import UserError
from hrm_align.progress import is_main

logger = logging.getLogger(__name__)

HEAD_BYTES = 4096  # from which encoding and content are detected
_JSON_LINES = "df.to_json('rows.jsonl', orient='records', lines=True, force_ascii=False)"


def _open_zstd(packed: IO[bytes]) -> IO[bytes]:
    import pyarrow

    return pyarrow.CompressedInputStream(packed, "zstd")


COMPRESSIONS: dict[str, Callable[[Any], Any]] = {
    ".gz": gzip.open,
    ".bz2": bz2.open,
    ".xz": lzma.open,
    ".zst": _open_zstd,
}
_UNPACK = "Unpack it and name the files in it."
REFUSED = {  # suffixes of files that hold rows in a form that is not read, and what to do
    **dict.fromkeys((".xlsx", ".xls", ".xlsm", ".ods"), "It is a spreadsheet. Save the sheet as CSV UTF-8."),
    **dict.fromkeys(
        (".pkl", ".pickle", ".pt", ".pth", ".joblib"),
        f"A pickle can run programs when it is opened. Where you trust it: df = pandas.read_pickle(PATH); {_JSON_LINES}.",
    ),
    **dict.fromkeys(
        (".db", ".sqlite", ".sqlite3", ".db3"),
        "It is a database. Write a table as JSON: sqlite3 -json PATH 'select * from TABLE' > rows.json.",
    ),
    **dict.fromkeys((".tar", ".tgz", ".tbz", ".txz", ".7z", ".rar"), f"It is an archive. {_UNPACK}"),
    ".orc": f"Convert it: df = pandas.read_orc(PATH); {_JSON_LINES}.",
    **dict.fromkeys((".h5", ".hdf5"), f"Convert it: df = pandas.read_hdf(PATH); {_JSON_LINES}."),
    ".xml": f"Convert it: df = pandas.read_xml(PATH); {_JSON_LINES}.",
    **dict.fromkeys((".yaml", ".yml"), "Write its rows as JSON, one object a line, into a file named .jsonl."),
    **dict.fromkeys((".npy", ".npz", ".avro", ".tfrecord", ".msgpack"), "Write its rows as .jsonl or .parquet."),
}
_MAGIC = {  # first bytes of files that are no text, and what the file is
    b"\x1f\x8b": "compressed with gzip. Add .gz to its name.",
    b"BZh": "compressed with bzip2. Add .bz2 to its name.",
    b"\xfd7zXZ\0": "compressed with xz. Add .xz to its name.",
    b"\x28\xb5\x2f\xfd": "compressed with zstd. Add .zst to its name.",
    b"PK\x03\x04": "a zip archive or a spreadsheet. Name it .zip, or save the spreadsheet as CSV UTF-8.",
    b"PAR1": "a Parquet file. Name it .parquet.",
    b"ARROW1": "an Arrow file. Name it .arrow.",
    b"SQLite format 3\0": f"an SQLite database. {REFUSED['.db'].split('. ', 1)[1]}",
    b"\xd0\xcf\x11\xe0": "a spreadsheet of old Excel. Save the sheet as CSV UTF-8.",
    b"version https://git-lfs": "a pointer of Git LFS, not the data. Download the data: git lfs pull.",
}
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_said: set[str] = set()


def say_once(text: str) -> None:
    """Log a warning about a file, once in this process and only in the main process of a run."""
    if text not in _said and is_main():
        logger.warning(text)
    _said.add(text)


def split_suffix(path: str) -> tuple[str, str]:
    """Return the suffix of a file's format and that of its compression: (".jsonl", ".gz") for data.JSONL.gz."""
    stem, suffix = os.path.splitext(path.lower())
    return (os.path.splitext(stem)[1], suffix) if suffix in COMPRESSIONS else (suffix, "")


@dataclass(frozen=True, slots=True)
class DataFile:
    """A file of rows.

    Args:
        path: path on disk.
        member: name in the zip archive at `path`; None if the file itself has the rows.
    """

    path: str
    member: str | None = None

    @property
    def name(self) -> str:
        """The name in the places of rows: the path, and after a slash the member."""
        return self.path if self.member is None else f"{self.path}/{self.member}"

    @property
    def suffix(self) -> str:
        """The suffix that names the format, in lower case."""
        return split_suffix(self.name)[0]

    @contextmanager
    def open(self) -> Iterator[io.BufferedReader]:
        """Open the unpacked bytes. Raises UserError, here and while reading, if they cannot be read."""
        try:
            with _open_unpacked(self.path, self.member) as stream:
                yield stream
        except (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile) as error:
            detail = str(getattr(error, "strerror", None) or error).rstrip(".")
            raise UserError(
                f"{self.name} cannot be read: {detail}. Check its permissions, or copy the file again."
            ) from None

    @contextmanager
    def open_seekable(self) -> Iterator[IO[bytes]]:
        """Open the unpacked bytes for reading at any position, from a temporary copy if they are packed."""
        if self.member is None and not split_suffix(self.path)[1]:
            with self.open() as stream:
                yield stream
            return
        with TemporaryFile() as copy:
            with self.open() as stream:
                shutil.copyfileobj(stream, copy)
            copy.seek(0)
            yield copy

    @contextmanager
    def open_text(self) -> Iterator[io.BufferedReader]:
        """Open the text as bytes in UTF-8, without a byte order mark; UTF-16 and UTF-32 are decoded, which is said once.

        Raises:
            UserError: as `open`, and for a file that is no text.
        """
        with self.open() as stream:
            head = stream.read(HEAD_BYTES)
        for magic, kind in _MAGIC.items():
            if head.startswith(magic):
                raise UserError(f"{self.name} is not a {self.suffix} file: it is {kind.replace('PATH', self.path)}")
        encoding, mark = detect_encoding(head)
        with self.open() as stream:
            stream.read(mark)
            if encoding == "utf-8":
                yield stream
                return
            say_once(f"{self.name} is read as {encoding.upper()[:6]}. Save it as UTF-8 to be sure of its text.")
            decoded: Any = _Recoded(stream, encoding)
            with io.BufferedReader(decoded) as recoded:
                yield recoded


@contextmanager
def _open_unpacked(path: str, member: str | None) -> Iterator[io.BufferedReader]:
    """Open a file or a member of a zip archive, unpacked as its suffix says."""
    with ExitStack() as opened:
        packed: Any = opened.enter_context(open(path, "rb"))
        if member is not None:
            archive = opened.enter_context(zipfile.ZipFile(packed))
            try:
                packed = opened.enter_context(archive.open(member))
            except (RuntimeError, NotImplementedError) as error:  # a password, an unknown compression
                raise OSError(f"{error}; unpack the archive") from None
        unpack = COMPRESSIONS.get(split_suffix(member or path)[1])
        stream = opened.enter_context(unpack(packed)) if unpack else packed
        yield stream if isinstance(stream, io.BufferedReader) else io.BufferedReader(stream, 2**16)


def pass_bytes(stream: IO[bytes], count: int) -> None:
    """Pass over the next bytes of a stream: by a seek, or by reading them where a file is packed or recoded."""
    if stream.seekable():
        stream.seek(count, os.SEEK_CUR)
        return
    while count and (passed := len(stream.read(min(count, 2**20)))):
        count -= passed


def detect_encoding(head: bytes) -> tuple[str, int]:
    """Return the encoding of a text of ASCII and other letters by its first bytes, and the length of its byte order mark.

    Without a mark, text is UTF-16 if a NUL stands beside each of its line breaks, or of its first two characters.
    """
    for mark, encoding in _BYTE_ORDER_MARKS:
        if head.startswith(mark):
            return encoding, len(mark)
    if b"\0" in head:
        for encoding, first in (("utf-16-le", 1), ("utf-16-be", 0)):
            text = head[: len(head) // 2 * 2].decode(encoding, "replace")
            opening = head[first:4:2] == b"\0\0" and head[1 - first] and head[3 - first]
            breaks = 0 < head.count(b"\n") <= text.count("\n") and "\ufffd" not in text[:-1]
            if (opening or breaks) and "\0" not in text:
                return encoding, 0
    return "utf-8", 0


class _Recoded(io.RawIOBase):
    """Bytes of another encoding as UTF-8. Half characters become bytes that are no UTF-8, so that their row is named."""

    def __init__(self, stream: io.BufferedReader, encoding: str):
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder(encoding)("surrogatepass")
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest and (chunk := self._stream.read(2**16)):
            self._rest = self._decoder.decode(chunk).encode("utf-8", "surrogatepass")
        try:
            self._rest = self._rest or self._decoder.decode(b"", final=True).encode("utf-8", "surrogatepass")
        except UnicodeDecodeError:
            raise OSError("the file ends inside a character") from None
        part = self._rest[: len(buffer)]
        buffer[: len(part)], self._rest = part, self._rest[len(part) :]
        return len(part)


def members(path: str) -> list[str]:
    """List the files in a zip archive, sorted, without hidden ones. Raises UserError if the archive cannot be read."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [info.filename for info in archive.infolist() if not info.is_dir()]
    except (OSError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} cannot be read: {error}. Check its permissions, or copy the file again.") from None
    return sorted(name for name in names if not any(part.startswith((".", "__MACOSX")) for part in name.split("/")))
