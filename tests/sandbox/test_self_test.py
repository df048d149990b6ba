"""A wall with a hole is not used: each layer is spoiled in turn, and the self-test must refuse the backend and say why.

The zygote is started from a copy of its source with one line changed, which is what a mistake in it would be.
"""

import os
import shutil
import socket
import subprocess
import sys
from contextlib import contextmanager

import pytest

from hrm_align.errors import RunError, UserError
from hrm_align.sandbox import Job, Limits, Sandbox, worker
from hrm_align.sandbox.self_test import PROBES, Targets, choose, probe_source

from .conftest import LIMITS


@pytest.fixture
def spoil(tmp_path, monkeypatch):
    """Change one line of a file that zygotes run."""

    def spoil(file, line, instead):
        inside = tmp_path / "inside"
        if not inside.exists():
            shutil.copytree(worker.INSIDE, inside, ignore=shutil.ignore_patterns("__pycache__"))
        text = (inside / file).read_text()
        assert text.count(line) == 1, line
        (inside / file).write_text(text.replace(line, instead))
        monkeypatch.setattr(worker, "INSIDE", inside)

    return spoil


FILTER = "    prctl(PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(_FilterProgram(len(code) // 8, code)))"
CASES = {
    "seccomp is not applied": ("confinement.py", FILTER, "", "seccomp alone: the probe 'connect'"),
    "seccomp lets everything through": (
        "confinement.py",
        "    code += [(_RETURN, 0, 0, _REFUSE)]",
        "    code += [(_RETURN, 0, 0, _ALLOW)]",
        "seccomp alone: the probe 'connect'",
    ),
    "seccomp forgets sockets": (
        "confinement.py",
        '"read": (0, 63)',
        '"socket": (41, 198), "connect": (42, 203)',
        "connect",
    ),
    "seccomp forgets opening": ("confinement.py", '"read": (0, 63)', '"openat": (257, 56), "read": (0, 63)', "'read'"),
    "seccomp forgets processes": (
        "confinement.py",
        '"read": (0, 63)',
        '"clone": (56, 220)',
        "seccomp alone: the probe 'fork'",
    ),
    "seccomp forgets signals": (
        "confinement.py",
        '"read": (0, 63)',
        '"kill": (62, 129)',
        "seccomp alone: the probe 'signal'",
    ),
    "descriptors are not limited": (
        "confinement.py",
        "resource.RLIMIT_NOFILE: 0,",
        "",
        "limits alone: the probe 'connect'",
    ),
    "memory is not limited": ("confinement.py", "resource.RLIMIT_AS: limits.memory_bytes,", "", "'allocate'"),
    "processes are not limited": (
        "confinement.py",
        "resource.RLIMIT_NPROC: 0,",
        "",
        "limits alone: the probe 'fork'",
    ),
    "a descriptor is left open": (
        "zygote.py",
        "os.closerange(len(descriptors), _DESCRIPTORS)",
        "os.dup(1)",
        "'descriptors'",
    ),
    "the environment is left": ("zygote.py", "os.environ.clear()", "pass", "'environment'"),
    "no program succeeds": (
        "program.py",
        "        values.append(_to_json(function(*call_arguments)))",
        "        pass",
        "a harmless program fails",
    ),
    "a layer cannot be had": (
        "confinement.py",
        "os.uname().machine)",
        "'s390x')",
        "could not be confined: .* no list of system calls for s390x",
    ),
    "a layer crashes": (
        "confinement.py",
        "        _set_resource_limits(limits)",
        "        os.abort()",
        "could not be confined",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_spoiled_layer_is_found(one_backend, spoil, name):
    file, line, instead, message = CASES[name]
    spoil(file, line, instead)
    with pytest.raises(UserError, match=f"{one_backend}: .*{message}"):
        choose(LIMITS, one_backend)


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="only root can forget to stop being root")
def test_staying_root_is_found(one_backend, spoil):
    spoil("confinement.py", "        _drop_root()\n", "")
    with pytest.raises(UserError, match=f"{one_backend}: the probe 'root' is not stopped"):
        choose(LIMITS, one_backend)


@pytest.mark.parametrize(
    "line, instead",
    [
        ("    system_call(_RESTRICT_SELF, descriptor, 0)\n", ""),
        ("(1 << _FILE_RIGHTS.get(abi, 16)) - 1", "1"),  # executing, and no other right
        ("(1 << _FILE_RIGHTS.get(abi, 16)) - 1", "(1 << 13) - 1 - 4"),  # all but reading a file
    ],
)
def test_a_spoiled_landlock_is_found_behind_a_sound_seccomp(backend, spoil, line, instead):
    if backend != "landlock":
        pytest.skip("it has no Landlock")
    spoil("confinement.py", line, instead)
    with pytest.raises(UserError, match=r"landlock: outer confinement alone: the probe '(read|write)' is not stopped"):
        choose(LIMITS, "landlock")


@pytest.mark.parametrize(
    "words, instead, probe",
    [
        (["--unshare-net"], [], "connect"),
        (["--unshare-pid", "--as-pid-1"], [], "signal"),
        (["--remount-ro", "/"], ["--bind", "/tmp", "/tmp"], "write"),
        (["--remount-ro", "/"], ["--ro-bind", "/etc", "/etc"], "read"),
    ],
)
def test_a_spoiled_bubblewrap_is_found_behind_a_sound_seccomp(backend, monkeypatch, words, instead, probe):
    if backend != "bubblewrap":
        pytest.skip("it has no bubblewrap")
    sound = worker._bubblewrap

    def spoiled(python):
        return [word for word in sound(python) if word not in words] + instead

    monkeypatch.setattr(worker, "_bubblewrap", spoiled)
    with pytest.raises(UserError, match=f"bubblewrap: outer confinement alone: the probe '{probe}' is not stopped"):
        choose(LIMITS, "bubblewrap")


@contextmanager
def borrowed(descriptor):
    """Another test of this process may have a pipe there: it gets it back."""
    try:
        kept = os.dup(descriptor)
    except OSError:
        kept = None
    try:
        yield
    finally:
        if kept is None:
            os.close(descriptor)
        else:
            os.dup2(kept, descriptor)
            os.close(kept)


@pytest.mark.parametrize("probe", [probe for probe in PROBES if probe != "root"])
def test_each_probe_manages_where_nothing_stops_it(probe, tmp_path):
    """In an ordinary Python: a probe that cannot succeed would prove nothing."""
    with Targets(Limits(memory_bytes=2**20)) as targets, socket.socket() as left_open, borrowed(33):
        os.dup2(left_open.fileno(), 33)
        given = targets.arguments.get(probe, [])
        program = f"{probe_source(probe)}\nprint(probe(*{given!r}))"
        command = ["sh", "-c", '"$@"; true', "sh", sys.executable, "-c", program]  # a job is no child of the trainer
        done = subprocess.run(command, capture_output=True, text=True, pass_fds=[33])
    assert done.stdout == "done\n", done.stderr


def test_without_any_wall_no_program_is_run(spoil, monkeypatch):
    """What a user without bubblewrap and Landlock reads."""
    monkeypatch.setattr(shutil, "which", lambda name: None)
    spoil("confinement.py", "    return system_call(_CREATE_RULESET", "    return system_call(9999")
    with pytest.raises(UserError) as caught:
        Sandbox()
    text = str(caught.value)
    assert text.startswith("no sandbox works on this system (bubblewrap: bwrap is not installed; landlock: ")
    assert "provide for bubblewrap the program bwrap (apt install bubblewrap)" in text
    assert "landlock: the process of a job could not be confined: [Errno 38] Function not implemented" in text
    assert "pip install 'hrm_align[monty]'" in text


def test_the_one_that_is_used_and_those_passed_over_are_told(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    try:
        with Sandbox(LIMITS, workers=1) as sandbox:
            assert sandbox.backend == "landlock"
            assert [line[:33] for line in sandbox.passed_over] == ["bubblewrap: bwrap is not installe"]
    except UserError as error:
        pytest.skip(str(error))


def test_a_wall_that_falls_later_stops_the_run(one_backend, spoil):
    """Workers are replaced by sound ones only."""
    with Sandbox(LIMITS, one_backend, workers=1) as sandbox:
        spoil("zygote.py", "os.environ.clear()", "pass")
        os.killpg(sandbox.pids[0], 9)
        with pytest.raises(
            RunError, match=f"the sandbox \\({one_backend}\\) passed its self-test before, .*'environment'"
        ):
            sandbox.run([Job("def f(): return 1", "f", [[]])])
        assert sandbox.pids == []
