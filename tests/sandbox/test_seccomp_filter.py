"""The filter itself, run by a machine of this file: what it lets through on either architecture, and what it kills."""

import struct
import sys

import pytest

if sys.platform != "linux":
    pytest.skip("seccomp is Linux", allow_module_level=True)

from hrm_align.sandbox.inside.confinement import ALLOWED, ALLOWED_UNLESS_EXECUTABLE, MACHINES, syscall_filter

ALLOW, REFUSE, KILL = 0x7FFF0000, 0x00050001, 0x80000000


def verdict(machine, number, third=0, architecture=None):
    """Classic BPF, as Linux runs it on `struct seccomp_data`."""
    architecture = MACHINES[machine][1] if architecture is None else architecture
    data = struct.pack("=iIQ6Q", number, architecture, 0, 0, 0, third, 0, 0, 0)
    code = list(struct.iter_unpack("=HBBI", syscall_filter(machine)))
    position = accumulator = 0
    while True:
        operation, yes, no, value = code[position]
        position += 1
        if operation == 0x20:  # load a word
            (accumulator,) = struct.unpack_from("=I", data, value)
        elif operation == 0x15:  # jump if equal
            position += yes if accumulator == value else no
        elif operation == 0x45:  # jump if any bit is set
            position += yes if accumulator & value else no
        else:
            assert operation == 0x06
            return value


@pytest.mark.parametrize("machine", MACHINES)
def test_only_the_calls_of_the_list_pass(machine):
    column = MACHINES[machine][0]
    listed = {numbers[column] for numbers in (*ALLOWED.values(), *ALLOWED_UNLESS_EXECUTABLE.values())} - {None}
    passing = {number for number in range(-1, 700) if verdict(machine, number) == ALLOW}
    assert passing == listed
    assert all(verdict(machine, 0x40000000 + number) == REFUSE for number in range(700)), "the numbers of x32"


@pytest.mark.parametrize("machine", MACHINES)
def test_the_numbers_of_another_architecture_kill(machine):
    others = {0xC000003E, 0xC00000B7, 0x40000003, 0x40000028, 0} - {MACHINES[machine][1]}
    assert {verdict(machine, number, architecture=other) for other in others for number in range(400)} == {KILL}


@pytest.mark.parametrize("machine", MACHINES)
def test_memory_is_never_executable(machine):
    for numbers in ALLOWED_UNLESS_EXECUTABLE.values():
        number = numbers[MACHINES[machine][0]]
        assert [verdict(machine, number, protection) for protection in range(8)] == [ALLOW] * 4 + [REFUSE] * 4


# From asm/unistd_64.h and asm-generic/unistd.h: open, openat, socket, connect, clone, fork, execve, kill, ptrace, mount,
# prctl, seccomp, bpf, io_uring_setup, clone3, pidfd_open, openat2
FORBIDDEN = {
    "x86_64": [2, 257, 41, 42, 56, 57, 59, 62, 101, 165, 157, 317, 321, 425, 435, 434, 437],
    "aarch64": [56, 198, 203, 220, 221, 129, 117, 40, 167, 277, 280, 425, 435, 434, 437],
}


@pytest.mark.parametrize("machine", MACHINES)
def test_what_opens_starts_or_reaches_anything_is_refused(machine):
    assert {verdict(machine, number) for number in FORBIDDEN[machine]} == {REFUSE}


def test_an_unknown_machine_is_no_reason_to_go_without():
    with pytest.raises(OSError, match="no list of system calls for riscv64"):
        syscall_filter("riscv64")
