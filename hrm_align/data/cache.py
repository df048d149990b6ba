"""Cache of prepared data: folders by key, each written once and then only read.

    folder, meta = prepared(key, "rows.jsonl", needed, write)      write(partial) is called if no run has written the entry yet
    ~/.cache/hrm_align/data/3f2a.../{meta.json, rows.arrow}        $HRM_ALIGN_CACHE names another place

A key is a hash of everything that the content depends on, so an entry is never changed. It is written to a temporary folder, flushed
to disk, and renamed; a killed run or a full disk leaves no entry. One process writes an entry: the others, of this run or another,
wait for its lock, which the operating system releases if the process dies, and then read the entry or write it themselves.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from importlib import metadata
from pathlib import Path
from typing import Any

from hrm_align._version import __version__
from hrm_align.errors import UserError
from hrm_align.files import check_space, flush, flush_tree
from hrm_align.progress import is_main, say

VARIABLE = "HRM_ALIGN_CACHE"
META = "meta.json"
POLL = 0.1  # seconds between two looks at a lock
GRACE = 10.0  # seconds for which the other processes leave an entry to the main process, which shows its progress
STALLED = 900.0  # seconds without progress of the process that writes an entry, after which the others give up
LARGE = (
    1 << 24
)  # bytes; for a smaller entry the free space is not looked at before, because a failed write says the same
RACY = 2.0  # a file changed so few seconds before it was hashed may change again without another time stamp


def cache_folder() -> Path:
    """Return the folder of all entries: `$HRM_ALIGN_CACHE/data`, by default ~/.cache/hrm_align/data."""
    base = os.environ.get(VARIABLE) or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "hrm_align"
    )
    return Path(base).expanduser().absolute() / "data"


def can_be_used() -> bool:
    """Return whether this process may write entries; says it where it may not, as in a container with a read-only home folder."""
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        allowed, reason = os.access(folder, os.W_OK), "no permission"
    except OSError as error:
        allowed, reason = error.errno in (errno.ENOSPC, errno.EDQUOT), error.strerror or str(error)
    if not allowed:
        say(f"rows are kept in memory, because {folder} cannot be written ({reason}); set {VARIABLE} to another folder")
    return allowed


def hash_key(*parts: Any) -> str:
    """Return a key, 32 hexadecimal digits, of JSON values, this package's version and code, and its libraries of data."""
    return sha256(json.dumps([*parts, _code()], sort_keys=True).encode("utf-8", "surrogatepass")).hexdigest()[:32]


@lru_cache
def _code() -> list[str]:
    package = Path(__file__).parent.parent
    files = sorted([*package.glob("*.py"), *(package / "data").glob("*.py")])
    digest = sha256(b"".join([file.read_bytes() for file in files])).hexdigest()
    return [__version__, digest, *(f"{name} {metadata.version(name)}" for name in ("tokenizers", "pyarrow"))]


def file_hash(path: str) -> str:
    """Return the SHA-256 of a file; a file that has not changed since it was hashed is not read again."""
    status = os.stat(path)
    identity = [os.path.abspath(path), status.st_size, status.st_mtime_ns, status.st_ino, status.st_dev]

    def write(folder: Path) -> dict[str, Any]:
        digest = sha256()
        with open(path, "rb") as file:
            while block := file.read(1 << 22):
                digest.update(block)
                touch()
        return {"sha256": digest.hexdigest()}

    if time.time() - status.st_mtime < RACY or status.st_size < 1 << 24:
        return str(write(Path())["sha256"])
    key = sha256(json.dumps(identity).encode("utf-8", "surrogatepass")).hexdigest()[:32]
    return str(prepared(key, path, 0, write)[1]["sha256"])


def prepared(key: str, what: str, needed: int, write: Callable[[Path], dict[str, Any]]) -> tuple[Path, dict[str, Any]]:
    """Return the folder of an entry and its meta.json, written by this process or another.

    Args:
        key: name of the entry.
        what: description of the content for people, such as the path of the data.
        needed: bytes that the entry will have at most, compared with the free space.
        write: function that writes the files of the entry into a folder, and returns the content of meta.json.

    Raises:
        UserError: if the entry cannot be written, or if the process that writes it stands still. Errors of `write` pass through;
            no entry is left then.
    """
    target = cache_folder() / key
    meta = _read(target)
    if meta is None:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with _locked(target, what):
                meta = _read(target)  # another process may have written it meanwhile
                if meta is None:
                    meta = _publish(target, what, needed, write)
        except OSError as error:
            raise UserError(
                f"the prepared rows of {what} cannot be written to {target.parent} ({error.strerror or error}). Free some space, "
                f"or set {VARIABLE} to a folder on another disk."
            ) from error
    with suppress(OSError):
        os.utime(target)  # the time of the last use
    return target, meta


def find(key: str) -> Path | None:
    """Return the folder of an entry that is whole; None if there is none."""
    target = cache_folder() / key
    if _read(target) is None:
        return None
    with suppress(OSError):
        os.utime(target)  # the time of the last use
    return target


def _read(target: Path) -> dict[str, Any] | None:
    """Return the meta.json of an entry; None if there is no entry, or if its files are not as they were written."""
    try:
        meta: dict[str, Any] = json.loads((target / META).read_bytes())
        whole = all((target / name).stat().st_size == size for name, size in meta["files"].items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return meta if whole else None


def _publish(target: Path, what: str, needed: int, write: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
    for leftover in target.parent.glob(f".{target.name}.*.partial"):
        if _is_abandoned(leftover):
            shutil.rmtree(leftover, ignore_errors=True)
    partial = target.with_name(f".{target.name}.{socket.gethostname()}.{os.getpid()}.partial")
    partial.mkdir()
    try:
        if needed > LARGE:
            check_space(partial, needed)
        meta = write(partial)
        sizes = {file.name: file.stat().st_size for file in partial.iterdir()}
        meta = {**meta, "what": what, "files": sizes}
        (partial / META).write_text(json.dumps(meta, ensure_ascii=True), encoding="ascii")
        flush_tree(partial)
        if target.exists():  # damaged, or written meanwhile where a file system has no locks
            shutil.rmtree(target)
        os.replace(partial, target)
        flush(target.parent)
        return meta
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _is_abandoned(partial: Path) -> bool:
    """Return whether the process that writes a temporary folder has ended: by its id on this machine, else by its files' age."""
    host, pid = partial.name.split(".", 2)[2].removesuffix(".partial").rsplit(".", 1)
    if host == socket.gethostname():
        try:
            os.kill(int(pid), 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            pass
        return False
    return time.time() - max([path.stat().st_mtime for path in (partial, *partial.glob("*"))]) > STALLED


_held: int | None = None  # descriptor of the lock that this process holds


def touch() -> None:
    """Show the waiting processes that this process makes progress."""
    if _held is not None:
        os.utime(_held)


@contextmanager
def _locked(target: Path, what: str) -> Iterator[None]:
    """Hold the lock of an entry; wait for a process that holds it."""
    global _held
    path = target.with_suffix(".lock")
    start, reported = time.monotonic(), False
    while not is_main() and not path.exists() and not target.exists() and time.monotonic() - start < GRACE:
        time.sleep(POLL)
    handle, before = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666), _held
    try:
        while not _try_lock(handle):
            idle = time.time() - os.fstat(handle).st_mtime
            if idle > STALLED:
                raise UserError(
                    f"another process ({_owner(handle)}) prepares {what} and has made no progress for {idle / 60:.0f} minutes. "
                    f"End it, or set {VARIABLE} to another folder."
                )
            if not reported:
                say(f"waiting for another process ({_owner(handle)}), which prepares {what}")
                reported = True
            time.sleep(POLL)
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
        _held = handle
        yield
    finally:
        _held = before
        os.close(handle)  # releases the lock


def _try_lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.EINVAL, errno.ENOSYS):
            raise  # on a file system without locks two processes may write the same entry; the first rename stays
    return True


def _owner(handle: int) -> str:
    return os.pread(handle, 200, 0).decode(errors="replace") or "starting"


@dataclass(frozen=True)
class Entry:
    """An entry of the cache.

    Attributes:
        folder: its folder.
        what: what it holds, in words.
        size: bytes on disk.
        used: time of the last use, in seconds since the epoch.
        whole: whether it can be used; otherwise a killed run has left it, or it is damaged.
    """

    folder: Path
    what: str
    size: int
    used: float
    whole: bool


def entries() -> list[Entry]:
    """Return all entries, the last used first."""
    result = []
    for folder in cache_folder().glob("*"):
        if folder.is_dir():
            meta, size = _read(folder), sum(file.stat().st_size for file in folder.glob("*"))
            whole = meta is not None and not folder.name.startswith(".")
            result.append(Entry(folder, (meta or {}).get("what", "unfinished"), size, folder.stat().st_mtime, whole))
    return sorted(result, key=lambda entry: -entry.used)


def clear(chosen: Sequence[Entry]) -> None:
    """Remove entries. Runs that have opened them continue: their mapped files stay until they end."""
    for entry in chosen:
        name = entry.folder.name.lstrip(".").split(".")[0]
        handle = os.open(entry.folder.with_name(name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            if _try_lock(handle):  # otherwise a run is writing it
                shutil.rmtree(entry.folder, ignore_errors=True)
        finally:
            os.close(handle)
