"""The claim on a run's folder: a lock file `run/claim.json`, so that only one run at a time writes there.

    {"host": "node7", "process": 4711, "started": "2026-11-27T05:30:35+00:00", "job_id": "SLURM_JOB_ID=42", ...}

The owner creates the file exclusively, touches it every 10 s, and removes it at its end. A claim is stale if its process on this
host is dead, or if it was not renewed for 60 s by the clock of the file system (clocks of two hosts are never compared). A later
start of the same job takes over the claim at once. Every change is one atomic operation (link, rename), on NFS too, and each owner
checks that the claim is still its own: of two starts at the same moment, exactly one continues.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timezone
from pathlib import Path
from uuid import uuid4

import psutil

from hrm_align.errors import RunError, UserError
from hrm_align.files import CLAIM

logger = logging.getLogger(__name__)

RENEWED_EVERY = 10.0  # seconds, like the four constants below
STALE_AFTER = 60.0
WAITED_AT_MOST = 70.0
_POLL_INTERVAL = 0.5
_SETTLED_AFTER = 0.2
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)  # on file systems without hard links


@dataclass(frozen=True)
class Owner:
    """The process that made a claim.

    Attributes:
        host: host name.
        process: process id.
        started: time of the claim, for messages only.
        job_id: job of the scheduler or launcher that started the process; None without one.
        attempts: how often the scheduler and the launcher have restarted the job.
        machine: boot id and process namespace in which `process` is valid; two containers may share a host name.
        process_start: start time of the process, to recognise a later process with the same id.
        token: unique to each claim.
    """

    host: str = "an unknown host"
    process: int = 0
    started: str = "at an unknown time"
    job_id: str | None = None
    attempts: tuple[int, ...] = ()
    machine: str = ""
    process_start: str = ""
    token: str = ""

    @classmethod
    def this_process(cls) -> Owner:
        """Describe this process, with a new token."""
        return cls(
            host=socket.gethostname(),
            process=os.getpid(),
            started=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            job_id=_job_id(),
            attempts=tuple(_number(name) for name in ("SLURM_RESTART_COUNT", "TORCHELASTIC_RESTART_COUNT")),
            machine=_machine(),
            process_start=_read_start(os.getpid()) or "",
            token=uuid4().hex,
        )

    @classmethod
    def read(cls, text: str) -> Owner:
        """Parse the owner from the text of a claim; a truncated or damaged claim gives an unknown owner."""
        try:
            content = json.loads(text)
            known = {field.name: content[field.name] for field in fields(cls) if field.name in content}
            return cls(**{**known, "attempts": tuple(map(int, known.get("attempts", ())))})
        except (ValueError, TypeError):
            return cls()

    def __str__(self) -> str:
        job = f", {self.job_id}" if self.job_id else ""
        return f"process {self.process} on host {self.host} (started {self.started}{job})"


@dataclass(frozen=True)
class _Seen:
    """A claim file as read at one moment: text and inode identify the claim, `renewed` (mtime) changes with each renewal."""

    text: str
    inode: int
    renewed: float
    owner: Owner


class Claim:
    """The claim of this process on a run's folder; from `take` to `release` a thread renews it.

    Args:
        run: the folder `output_dir/run`, which exists.
    """

    def __init__(self, run: Path):
        self.path = run / CLAIM
        self.owner = Owner.this_process()
        self._draft = run / f".{CLAIM}.{self.owner.token}"
        self._confirmed = 0.0  # time at which this process last saw that the claim is its own
        self._changing = threading.Lock()
        self._released = threading.Event()
        self._renewer = threading.Thread(target=self._renew, name="claim", daemon=True)

    def take(self, patient: bool) -> None:
        """Make the claim; replace a stale claim.

        Args:
            patient: whether to wait, 70 s at most, for a claim to become stale if its process may have died on another host.

        Raises:
            UserError: if another run uses the folder.
        """
        self._write_draft()
        try:
            self._contend(patient)
        finally:
            self._draft.unlink(missing_ok=True)
        self._confirmed = time.time()
        self._renewer.start()

    def release(self) -> None:
        """Remove the claim, if this process still owns it."""
        self._released.set()
        if os.getpid() != self.owner.process:  # a forked worker
            return
        if self._renewer.is_alive():
            self._renewer.join(1)
        with suppress(OSError):
            if self._is_own():
                self.path.unlink()

    def check(self) -> None:
        """Raise RunError if another process has taken over the claim, e.g. while this process was suspended for a minute."""
        try:
            other = self._find_other_owner()
        except OSError:  # ignored, as in `_renew`: the run's own writes will fail with a message
            return
        if other is not None:
            raise RunError(
                f"{other} has taken over {self.path.parent.parent}, because this run had not renewed its claim for "
                f"{STALE_AFTER:.0f} s or belongs to the same job. This run stops and writes nothing more; what it has saved is "
                "untouched. To continue here instead, end the other run and start this command again."
            )

    def _renew(self) -> None:
        while not self._released.wait(RENEWED_EVERY):
            with suppress(OSError):  # the disk may not respond for a while: try again next time
                if self._find_other_owner() is None:
                    os.utime(self.path)

    def _find_other_owner(self) -> str | None:
        """Return the other owner of the claim, or None if the claim is our own. A deleted claim is made again."""
        with self._changing:
            seen = _read_claim(self.path)
            if seen is None and self._may_have_been_taken():
                return "another run, which has ended since,"
            if seen is None and not self._released.is_set():
                self._write_draft()
                try:
                    self._create()
                finally:
                    self._draft.unlink(missing_ok=True)
                seen = _read_claim(self.path)
            if seen is None or seen.owner.token == self.owner.token:
                self._confirmed = time.time()
                return None
            return str(seen.owner)

    def _may_have_been_taken(self) -> bool:
        # The wall clock: a monotonic clock may stop while a machine is suspended.
        return abs(time.time() - self._confirmed) >= STALE_AFTER

    # Making the claim ---------------------------------------------------------------------------------------------

    def _write_draft(self) -> None:
        self._draft.write_text(json.dumps(asdict(self.owner), indent=1) + "\n", encoding="utf-8")

    def _create(self) -> bool:
        """Create the claim file from the draft. Returns False if there is a claim already."""
        try:
            os.link(self._draft, self.path)
        except FileExistsError:
            return self._is_own()  # NFS may report an error although it has created the link
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            try:
                with self.path.open("x", encoding="utf-8") as file:
                    file.write(self._draft.read_text(encoding="utf-8"))
            except FileExistsError:
                return False
        return True

    def _is_own(self) -> bool:
        seen = _read_claim(self.path)
        return seen is not None and seen.owner.token == self.owner.token

    def _contend(self, patient: bool) -> None:
        start = changed = time.monotonic()
        before: _Seen | None = None
        while True:
            if self._create():
                # Another start that has just read a stale claim may still move ours away: wait, and check.
                time.sleep(_SETTLED_AFTER)
                if self._is_own():
                    return
            seen, now = _read_claim(self.path), time.monotonic()
            if seen is None:  # released just now
                time.sleep(0.01)
                continue
            if before is None or seen != before:
                changed = now
            age = max(self._age(seen), now - changed)  # by our own clock too, in case the file system's clock is wrong
            if self._may_take(seen.owner, age):
                self._remove(seen)
                continue
            is_in_use = lives(seen.owner) and not self._is_same_job(seen.owner)
            if is_in_use or not patient or now - start >= WAITED_AT_MOST:
                raise UserError(self._refusal(seen.owner, age, now - start))
            if before is None:
                logger.warning("%s may be in use by %s: its claim was renewed %.0f s ago. Waiting until it has not been "
                               "renewed for %.0f s, %.0f s at most.", self.path.parent.parent, seen.owner, age, STALE_AFTER,
                               WAITED_AT_MOST)  # fmt: skip
            before = seen
            time.sleep(_POLL_INTERVAL)

    def _age(self, seen: _Seen) -> float:
        os.utime(self._draft)  # now, by the clock of the file system
        return max(0.0, os.stat(self._draft).st_mtime - seen.renewed)

    def _may_take(self, owner: Owner, age: float) -> bool:
        alive = lives(owner)
        if alive is False or age >= STALE_AFTER:
            return True
        # Two processes of one job on one machine: a later attempt takes over; within one attempt they are two starts.
        return self._is_same_job(owner) and (alive is None or self.owner.attempts > owner.attempts)

    def _is_same_job(self, owner: Owner) -> bool:
        return owner.job_id is not None and owner.job_id == self.owner.job_id

    def _remove(self, seen: _Seen) -> None:
        """Remove a claim after it was read; if another start has replaced it meanwhile, put the new claim back."""
        moved = self._draft.with_name(f"{self._draft.name}.moved")
        try:
            os.rename(self.path, moved)
        except FileNotFoundError:
            return
        removed = _read_claim(moved)
        if removed is not None and (removed.text, removed.inode) != (seen.text, seen.inode):
            with suppress(OSError):  # if this fails, its owner makes the claim again, unless there is a newer claim
                os.link(moved, self.path)
        moved.unlink(missing_ok=True)

    def _refusal(self, owner: Owner, age: float, waited: float) -> str:
        in_use = (
            f"{self.path.parent.parent} is in use by {owner}, which renewed its claim ({self.path}) {age:.0f} s ago"
        )
        if lives(owner):
            return f"{in_use}: wait until that process has ended, or choose another --output_dir."
        if waited >= WAITED_AT_MOST:
            return (
                f"{in_use}, while this start waited for {waited:.0f} s: end that run, or choose another --output_dir."
            )
        return (
            f"{in_use}: choose another --output_dir, or wait until that run has ended. If it was killed, start again in "
            f"{STALE_AFTER - age:.0f} s, or now with --resume_from_checkpoint auto, which waits for that."
        )


@contextmanager
def claimed(output_dir: Path, patient: bool) -> Iterator[Claim]:
    """Create the run's folder and hold the claim on it; at the end, remove the created folders if they are empty.

    Raises:
        UserError: if another run uses the folder, or it cannot be written.
    """
    run = output_dir / "run"
    created = [folder for folder in (run, output_dir) if not folder.exists()]
    claim = Claim(run)
    try:
        _take(claim, run, patient)
        yield claim
    finally:
        claim.release()
        for folder in created:
            with suppress(OSError):
                folder.rmdir()


def _take(claim: Claim, run: Path, patient: bool) -> None:
    tries = 10
    while True:
        tries -= 1
        try:
            run.mkdir(parents=True, exist_ok=True)
            return claim.take(patient)
        except OSError as error:
            if isinstance(error, FileNotFoundError) and tries:  # another start has just removed the empty folder
                continue
            raise UserError(f"cannot write to {run.parent} ({error.strerror}): choose another --output_dir.") from error


def sees_claim(run: Path, token: str) -> bool:
    """Return whether the folder holds the claim with this token, i.e. whether it is the folder the claim was made in."""
    try:
        seen = _read_claim(run / CLAIM)
    except OSError:
        return False
    return seen is not None and seen.owner.token == token


# Processes, jobs, files -----------------------------------------------------------------------------------------------


def lives(owner: Owner) -> bool | None:
    """Return whether the process of a claim still runs; None if this process cannot know, e.g. on another host."""
    if (owner.host, owner.machine) != (socket.gethostname(), _machine()):
        return None
    start = _read_start(owner.process)
    if start is None and _is_hidden(owner.process):
        return None
    return start is not None and start == owner.process_start


def _is_hidden(process: int) -> bool:
    """Return whether a process of another user has this id but is hidden in /proc (mount option `hidepid`)."""
    try:
        os.kill(process, 0)
    except PermissionError:
        return True
    except OSError:
        return False
    return False


def _read_start(process: int) -> str | None:
    """Return the start time of a process, independent of clock changes; None if the process is dead or a zombie."""
    try:
        state, *rest = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        return None if state in "ZX" else rest[18]  # proc(5): the 22nd field, in ticks since the boot
    except (FileNotFoundError, ProcessLookupError):
        if Path("/proc/self/stat").exists():
            return None
    try:
        running = psutil.Process(process)
        return None if running.status() == psutil.STATUS_ZOMBIE else str(running.create_time())
    except psutil.Error:
        return None


def _machine() -> str:
    """Return the boot id and the process namespace of this machine; empty where the system has neither."""
    names = []
    with suppress(OSError):
        names.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        names.append(os.readlink("/proc/self/ns/pid"))
    return " ".join(names)


def _job_id() -> str | None:
    """Return the id of the scheduler's or launcher's job, which survives restarts; torchrun's default "none" is no id."""
    for name in ("SLURM_JOB_ID", "TORCHELASTIC_RUN_ID"):
        value = os.environ.get(name, "")
        if value not in ("", "none"):
            return f"{name}={value}"
    return None


def _number(name: str) -> int:
    value = os.environ.get(name, "")
    return int(value) if value.isdecimal() else 0


def _read_claim(path: Path) -> _Seen | None:
    """Read a claim file; None if there is none. Opens the file, because NFS may answer a bare stat from its cache."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            text, status = file.read(), os.fstat(file.fileno())
    except FileNotFoundError:
        return None
    return _Seen(text, status.st_ino, status.st_mtime, Owner.read(text))
