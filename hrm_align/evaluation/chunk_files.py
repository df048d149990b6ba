"""A JSONL file that is made in chunks, by one process or several: a killed run continues where it was.

    rows.jsonl.parts/settings.json   settings of the run; a run with others is refused
    rows.jsonl.parts/00007           chunk 7: the hash of the rest, a line with its counts, and its rows
    rows.jsonl, rows.card.json       written when all chunks are there; the folder is removed then

Every file is written under a temporary name and renamed, so that a kill or a full disk leaves whole files only. The content of a
chunk depends on the settings and its number alone; so does the file, whoever writes it. If two processes write a file at the same
time, both have the same content.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO

from hrm_align.data.sources import CARD_SUFFIX
from hrm_align.errors import RunError, UserError
from hrm_align.files import flush, json_text

SETTINGS = "settings.json"
POLL = 0.2  # seconds between two looks at the chunks of other processes


class ChunkedFile:
    """The chunks of one output file.

    Args:
        output: the file to make, whose name ends in `.jsonl`.
        settings: everything that the rows depend on, as JSON values by name.
        chunks: number of chunks.
        option: option of the command line that names the file, or its folder.
    """

    def __init__(self, output: Path, settings: Mapping[str, Any], chunks: int, option: str = "--output"):
        self._option = option
        self.output, self.settings, self.chunks = output, json.loads(json.dumps(settings)), chunks
        self.folder = output.with_name(f"{output.name}.parts")
        self.card = card_path(output)

    def check(self) -> dict[str, Any] | None:
        """Compare what is on disk with the settings; nothing is written.

        Returns:
            The card if the file is complete; None if chunks are to be made.

        Raises:
            UserError: if the file exists and was made otherwise, or if chunks were made with other settings.
        """
        if self.output.exists() and (card := self._read_card()) is not None:
            self._compare(card["settings"], f"{self.output} exists and was made with other settings")
            shutil.rmtree(self.folder, ignore_errors=True)  # left by a kill after the card was written
            return card
        if self.output.exists() and self.missing(range(self.chunks)):
            raise UserError(
                f"the file of {self._option}, {self.output}, already exists and is not overwritten. Name a new file, or move it away."
            )
        if (self.folder / SETTINGS).exists():
            saved = _read_settings(self.folder / SETTINGS)
            self._compare(saved, f"{self.folder} was begun with other settings", ", or remove that folder")
        return None

    def begin(self) -> None:
        """Make the folder of the chunks and record the settings, unless another process has done that since `check`.

        Raises:
            UserError: if the other process has other settings.
            RunError: if the folder cannot be written.
        """
        with self._writing(self.folder):
            self.folder.mkdir(exist_ok=True)
            path = self.folder / SETTINGS
            if not path.exists():
                self._publish(path, lambda file: file.write(json_text(self.settings).encode()))
        self.check()

    def missing(self, numbers: Iterable[int]) -> list[int]:
        """Return those of the chunks that are not on disk, or are damaged."""
        return [number for number in numbers if self._read(number) is None]

    def write(self, number: int, rows: Sequence[Mapping[str, Any]], counts: Mapping[str, Any]) -> None:
        """Write a chunk. Raises RunError if that is not possible, for example because the disk is full."""
        body = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
        content = json.dumps({"rows": len(rows), "counts": counts}).encode() + b"\n" + body
        whole = sha256(content).hexdigest().encode() + b"\n" + content
        path = self._path(number)
        try:
            with self._writing(path):
                self._publish(path, lambda file: file.write(whole))
        except (
            FileNotFoundError
        ):  # of a folder that a process with the same chunks has removed, because the file is complete
            if self._read_card() is None:
                raise RunError(f"the folder {self.folder} was removed. Run the same command again.") from None

    def wait(self) -> None:
        """Wait until the other processes of a launcher have written their chunks; the launcher ends all if one fails."""
        numbers = range(self.chunks)
        while self.folder.exists() and not (
            all(self._path(number).exists() for number in numbers) and not self.missing(numbers)
        ):
            time.sleep(POLL)

    def finish(self, describe: Callable[[Sequence[Mapping[str, Any]]], dict[str, Any]]) -> dict[str, Any] | None:
        """Write the file and its card, if all chunks are there.

        Args:
            describe: function that makes the card of the counts of all chunks; `settings` and `output` are added.

        Returns:
            The card; None if chunks are missing.
        """
        if self.missing(range(self.chunks)):
            return self._read_card()  # another process may have finished the file, and removed the chunks
        try:
            return self._merge(describe)
        except FileNotFoundError:  # removed by another process since
            card = self._read_card()
            if card is None:
                raise RunError(f"the folder {self.folder} was removed. Run the same command again.") from None
            return card

    def _merge(self, describe: Callable[[Sequence[Mapping[str, Any]]], dict[str, Any]]) -> dict[str, Any]:
        counts: list[Mapping[str, Any]] = []
        digest, rows = sha256(), 0

        def write(file: BinaryIO) -> None:
            nonlocal rows
            for number in range(self.chunks):
                chunk = self._read(number)
                if chunk is None:
                    raise FileNotFoundError(self._path(number))
                head, body = chunk
                counts.append(head["counts"])
                rows += head["rows"]
                digest.update(body)
                file.write(body)

        with self._writing(self.output):
            self._publish(self.output, write)
            written = {"file": self.output.name, "rows": rows, "sha256": digest.hexdigest()}
            card = {**describe(counts), "settings": self.settings, "output": written}
            self._publish(self.card, lambda file: file.write(json_text(card).encode()))
        shutil.rmtree(self.folder, ignore_errors=True)
        return card

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:05d}"

    def _read(self, number: int) -> tuple[dict[str, Any], bytes] | None:
        """Return the head and the rows of a chunk; None if it is missing or not as it was written."""
        try:
            digest, _, content = self._path(number).read_bytes().partition(b"\n")
        except OSError:
            return None
        if digest != sha256(content).hexdigest().encode():
            return None
        head, _, body = content.partition(b"\n")
        return json.loads(head), body

    def _read_card(self) -> dict[str, Any] | None:
        """Return the card of a complete file; None without one, or if the file was changed after it was written."""
        try:
            card: dict[str, Any] = json.loads(self.card.read_text(encoding="utf-8"))
            with self.output.open("rb") as file:
                digest = sha256()
                while block := file.read(1 << 20):
                    digest.update(block)
            return card if card["output"]["sha256"] == digest.hexdigest() and "settings" in card else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _compare(self, saved: Mapping[str, Any], problem: str, remedy: str = "") -> None:
        """Raise UserError if settings differ from those that rows were made with."""
        different = [
            f"{name} {_show(saved.get(name))}, now {_show(self.settings.get(name))}"
            for name in dict.fromkeys([*self.settings, *saved])
            if saved.get(name) != self.settings.get(name)
        ]
        if different:
            raise UserError(
                f"{problem}: {'; '.join(different)}. Repeat the settings, or name another {self._option}{remedy}."
            )

    def _publish(self, path: Path, write: Callable[[BinaryIO], object]) -> None:
        """Write a file atomically, under a temporary name of this process in the folder of the chunks."""
        partial = self.folder / f".{path.name}.{socket.gethostname()}.{os.getpid()}.partial"
        try:
            with partial.open("wb") as file:
                write(file)
            flush(partial)
            os.replace(partial, path)
            flush(path.parent)
        finally:
            with suppress(OSError):
                partial.unlink(missing_ok=True)

    @contextmanager
    def _writing(self, path: Path) -> Iterator[None]:
        """Raise RunError for an OSError in the block; a file that another process has removed stays FileNotFoundError."""
        try:
            yield
        except FileNotFoundError:
            raise
        except OSError as error:
            raise RunError(
                f"{path} cannot be written ({error.strerror or error}). The chunks that are done are in {self.folder}: free some "
                "space, and run the same command again."
            ) from error


def _read_settings(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise UserError(
            f"{path} is damaged ({error}). Remove the folder {path.parent}, and run the same command again."
        ) from None


def card_path(output: Path) -> Path:
    """Return the path of the card of a file: `rows.card.json` beside `rows.jsonl`."""
    return output.with_name(output.stem + CARD_SUFFIX)


def _show(value: Any) -> str:
    return "unset" if value is None else json.dumps(value) if not isinstance(value, str) else value
