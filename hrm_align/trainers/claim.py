"""The claim on a run's folder: `run/claim.json`, made exclusively, so that one run at a time writes there.

    {"host": "node7", "process": 4711, "started": "2026-11-27T05:30:35+00:00", "job_id": "SLURM_JOB_ID=42", ...}

The owner touches the file every 10 s and removes it at its end. A claim is stale when its process is dead on this host, or
when it was not renewed for 60 s, by the clock of the file system: the clocks of two hosts are never compared. A later start of
the same job takes the claim over at once. Every change is one atomic operation (link, rename), on NFS too, and each owner looks
whether the claim is still its own: whatever two starts do at the same moment, one of them goes on.
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
from hrm_align.run_folder import CLAIM

logger = logging.getLogger(__name__)

RENEWED_EVERY = 10.0  # seconds, as are the others
STALE_AFTER = 60.0
WAITED_AT_MOST = 70.0
_LOOKED_EVERY = 0.5
_SETTLED_AFTER = 0.2
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)  # of file systems without hard links


@dataclass(frozen=True)
class Owner:
    """The process that made a claim.

    Attributes:
        started: when, for people.
        job_id: of the scheduler or launcher that started it, None where neither gave one.
        attempts: how often these have restarted the job.
        machine: the boot and the process namespace, in which `process` means something: two containers may share a host name.
        process_start: tells the process from a later one with the same number.
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
        """This process, with a token of its own for each claim."""
        return cls(
            host=socket.gethostname(),
            process=os.getpid(),
            started=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            job_id=_job_id(),
            attempts=tuple(_number(name) for name in ("SLURM_RESTART_COUNT", "TORCHELASTIC_RESTART_COUNT")),
            machine=_machine(),
            process_start=_start_of(os.getpid()) or "",
            token=uuid4().hex,
        )

    @classmethod
    def read(cls, text: str) -> Owner:
        """The owner that a claim names; of one that is cut or damaged, an unknown one."""
        try:
            found = json.loads(text)
            named = {field.name: found[field.name] for field in fields(cls) if field.name in found}
            return cls(**{**named, "attempts": tuple(map(int, named.get("attempts", ())))})
        except (ValueError, TypeError):
            return cls()

    def __str__(self) -> str:
        job = f", {self.job_id}" if self.job_id else ""
        return f"process {self.process} on host {self.host} (started {self.started}{job})"


@dataclass(frozen=True)
class _Seen:
    """A claim as it was read: two are the same if text and inode are, renewed in between if `renewed` differs."""

    text: str
    inode: int
    renewed: float
    owner: Owner


class Claim:
    """The claim of this process on a run's folder, renewed by a thread from `take` to `release`.

    Args:
        run: `output_dir/run`, which exists.
    """

    def __init__(self, run: Path):
        self.path = run / CLAIM
        self.owner = Owner.this_process()
        self._aside = run / f".{CLAIM}.{self.owner.token}"
        self._kept = 0.0  # when this process has last seen that the claim is its own
        self._changing = threading.Lock()
        self._released = threading.Event()
        self._renewer = threading.Thread(target=self._renew, name="claim", daemon=True)

    def take(self, patient: bool) -> None:
        """Make the claim, in place of a stale one.

        Args:
            patient: wait for a claim to become stale, 70 s at most, where it cannot be told whether its process lives.

        Raises:
            UserError: if another run has the folder.
        """
        self._write_aside()
        try:
            self._contend(patient)
        finally:
            self._aside.unlink(missing_ok=True)
        self._kept = time.time()
        self._renewer.start()

    def release(self) -> None:
        """Remove the claim, if it is this process's."""
        self._released.set()
        if os.getpid() != self.owner.process:  # a forked worker
            return
        if self._renewer.is_alive():
            self._renewer.join(1)
        with suppress(OSError):
            if self._is_own():
                self.path.unlink()

    def check(self) -> None:
        """Raise RunError if another process has taken the claim over, as it may from one that was suspended for a minute."""
        try:
            other = self._keep()
        except OSError:  # as in `_renew`; what the run itself writes there tells people about it
            return
        if other is not None:
            raise RunError(
                f"{other} has taken over {self.path.parent.parent}, because this run had not renewed its claim for "
                f"{STALE_AFTER:.0f} s or is of the same job. This run stops and writes nothing more; what it has saved is untouched."
            )

    def _renew(self) -> None:
        while not self._released.wait(RENEWED_EVERY):
            with suppress(OSError):  # a disk that does not answer for a while: the next time counts
                if self._keep() is None:
                    os.utime(self.path)

    def _keep(self) -> str | None:
        """The other owner, if the claim has one. A claim that somebody has deleted is made again."""
        with self._changing:
            seen = _look(self.path)
            if seen is None and self._may_have_been_taken():
                return "another run, which has ended since,"
            if seen is None and not self._released.is_set():
                self._write_aside()
                try:
                    self._put()
                finally:
                    self._aside.unlink(missing_ok=True)
                seen = _look(self.path)
            if seen is None or seen.owner.token == self.owner.token:
                self._kept = time.time()
                return None
            return str(seen.owner)

    def _may_have_been_taken(self) -> bool:
        # The wall clock, because a monotonic one may stand still while a machine sleeps.
        return abs(time.time() - self._kept) >= STALE_AFTER

    # Making it ----------------------------------------------------------------------------------------------------

    def _write_aside(self) -> None:
        self._aside.write_text(json.dumps(asdict(self.owner), indent=1) + "\n", encoding="utf-8")

    def _put(self) -> bool:
        """Whether the claim could be made: there was none."""
        try:
            os.link(self._aside, self.path)
        except FileExistsError:
            return self._is_own()  # NFS may lose the answer to a link that it has made
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            try:
                with self.path.open("x", encoding="utf-8") as file:
                    file.write(self._aside.read_text(encoding="utf-8"))
            except FileExistsError:
                return False
        return True

    def _is_own(self) -> bool:
        seen = _look(self.path)
        return seen is not None and seen.owner.token == self.owner.token

    def _contend(self, patient: bool) -> None:
        begun = changed = time.monotonic()
        before: _Seen | None = None
        while True:
            if self._put():
                # Another start that has looked at a stale claim may be about to move this one instead.
                time.sleep(_SETTLED_AFTER)
                if self._is_own():
                    return
            seen, now = _look(self.path), time.monotonic()
            if seen is None:  # it was released just now
                time.sleep(0.01)
                continue
            if before is None or seen != before:
                changed = now
            age = max(self._age(seen), now - changed)  # our own watch, in case the file system's clock is of no use
            if self._may_take(seen.owner, age):
                self._remove(seen)
                continue
            sure = lives(seen.owner) and not self._is_same_job(seen.owner)
            if sure or not patient or now - begun >= WAITED_AT_MOST:
                raise UserError(self._refusal(seen.owner, age, now - begun))
            if before is None:
                logger.warning("%s may be in use by %s: its claim was renewed %.0f s ago. Waiting until it has not been "
                               "renewed for %.0f s, %.0f s at most.", self.path.parent.parent, seen.owner, age, STALE_AFTER,
                               WAITED_AT_MOST)  # fmt: skip
            before = seen
            time.sleep(_LOOKED_EVERY)

    def _age(self, seen: _Seen) -> float:
        os.utime(self._aside)
        return max(0.0, os.stat(self._aside).st_mtime - seen.renewed)

    def _may_take(self, owner: Owner, age: float) -> bool:
        alive = lives(owner)
        if alive is False or age >= STALE_AFTER:
            return True
        # Of two processes of one job on one machine the later attempt counts; else they are two starts within it.
        return self._is_same_job(owner) and (alive is None or self.owner.attempts > owner.attempts)

    def _is_same_job(self, owner: Owner) -> bool:
        return owner.job_id is not None and owner.job_id == self.owner.job_id

    def _remove(self, seen: _Seen) -> None:
        """Remove the claim that was looked at; one that another start has put in its place meanwhile is put back."""
        moved = self._aside.with_name(f"{self._aside.name}.moved")
        try:
            os.rename(self.path, moved)
        except FileNotFoundError:
            return
        found = _look(moved)
        if found is not None and (found.text, found.inode) != (seen.text, seen.inode):
            with suppress(OSError):  # its owner makes it again, unless there is a newer one
                os.link(moved, self.path)
        moved.unlink(missing_ok=True)

    def _refusal(self, owner: Owner, age: float, waited: float) -> str:
        told = f"{self.path.parent.parent} is in use by {owner}, which renewed its claim ({self.path}) {age:.0f} s ago"
        if lives(owner):
            return f"{told}: wait until that process has ended, or choose another --output_dir."
        if waited >= WAITED_AT_MOST:
            return f"{told}, while this start waited for {waited:.0f} s: end that run, or choose another --output_dir."
        return (
            f"{told}: choose another --output_dir, or wait until that run has ended. If it was killed, start again in "
            f"{STALE_AFTER - age:.0f} s, or now with --resume_from_checkpoint auto, which waits for that."
        )


@contextmanager
def claimed(output_dir: Path, patient: bool) -> Iterator[Claim]:
    """Make the run's folder and hold the claim on it; a folder in which nothing was written then goes again.

    Raises:
        UserError: if another run has the folder, or it cannot be written.
    """
    run = output_dir / "run"
    made = [folder for folder in (run, output_dir) if not folder.exists()]
    claim = Claim(run)
    try:
        _take(claim, run, patient)
        yield claim
    finally:
        claim.release()
        for folder in made:
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
            if isinstance(error, FileNotFoundError) and tries:  # a start that was refused has removed its empty folder
                continue
            raise UserError(f"cannot write to {run.parent} ({error.strerror}): choose another --output_dir.") from error


def sees_claim(run: Path, token: str) -> bool:
    """Whether the claim with this token is in a folder: whether it is the folder in which it was made."""
    try:
        seen = _look(run / CLAIM)
    except OSError:
        return False
    return seen is not None and seen.owner.token == token


# Processes, jobs, files -----------------------------------------------------------------------------------------------


def lives(owner: Owner) -> bool | None:
    """Whether the process of a claim still runs; None where that cannot be told from here."""
    if (owner.host, owner.machine) != (socket.gethostname(), _machine()):
        return None
    found = _start_of(owner.process)
    if found is None and _is_hidden(owner.process):
        return None
    return found is not None and found == owner.process_start


def _is_hidden(process: int) -> bool:
    """Whether there is such a process, of another user, which /proc does not show where it is mounted with `hidepid`."""
    try:
        os.kill(process, 0)
    except PermissionError:
        return True
    except OSError:
        return False
    return False


def _start_of(process: int) -> str | None:
    """When a process started, in a form that no change of the clock touches; None if it is dead, or a zombie."""
    try:
        state, *rest = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        return None if state in "ZX" else rest[18]  # proc(5): the 22nd field, in ticks since the boot
    except (FileNotFoundError, ProcessLookupError):
        if Path("/proc/self/stat").exists():
            return None
    try:
        found = psutil.Process(process)
        return None if found.status() == psutil.STATUS_ZOMBIE else str(found.create_time())
    except psutil.Error:
        return None


def _machine() -> str:
    """The boot of this machine and the namespace of its process numbers, where there are such things."""
    names = []
    with suppress(OSError):
        names.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        names.append(os.readlink("/proc/self/ns/pid"))
    return " ".join(names)


def _job_id() -> str | None:
    """What outlives a restart: the scheduler's job, or else the launcher's, whose default, "none", all of its runs share."""
    for name in ("SLURM_JOB_ID", "TORCHELASTIC_RUN_ID"):
        value = os.environ.get(name, "")
        if value not in ("", "none"):
            return f"{name}={value}"
    return None


def _number(name: str) -> int:
    value = os.environ.get(name, "")
    return int(value) if value.isdecimal() else 0


def _look(path: Path) -> _Seen | None:
    """The claim in a file, which is opened for it: NFS may answer a mere stat from what it knew a minute ago."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            text, status = file.read(), os.fstat(file.fileno())
    except FileNotFoundError:
        return None
    return _Seen(text, status.st_ino, status.st_mtime, Owner.read(text))
