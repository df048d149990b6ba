"""Landlock: a process gives up every file, and what else this kernel lets it give up. Linux 5.13 and later.

No rule is added to the ruleset, so nothing that it handles is left; descriptors that are already open stay usable.
See the kernel's Documentation/userspace-api/landlock.rst.
"""

from __future__ import annotations

import ctypes
import os
import struct

from .system import system_call

_CREATE_RULESET, _RESTRICT_SELF = 444, 446  # the same numbers on every architecture
_VERSION = 1  # the flag that asks for the kernel's ABI
_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}  # ABI: how many rights over files it knows; 5 and later: 16
_NETWORK = 0b11  # TCP: bind and connect; ABI 4
_SCOPES = 0b11  # abstract Unix sockets and signals, to processes outside; ABI 6


def landlock_abi() -> int:
    """What this kernel offers.

    Raises:
        OSError: if it offers nothing.
    """
    return system_call(_CREATE_RULESET, None, 0, _VERSION)


def ruleset(abi: int) -> bytes:
    """The `struct landlock_ruleset_attr` that handles everything of an ABI. Its size is the ABI's: others are refused."""
    fields = [(1 << _FILE_RIGHTS.get(abi, 16)) - 1]
    fields += [_NETWORK] * (abi >= 4) + [_SCOPES] * (abi >= 6)
    return struct.pack(f"={len(fields)}Q", *fields)


def give_up_files() -> None:
    """No file can be opened, made, changed or listed from now on. Needs no-new-privileges.

    Raises:
        OSError: if the kernel refuses.
    """
    attributes = ruleset(landlock_abi())
    descriptor = system_call(_CREATE_RULESET, ctypes.c_char_p(attributes), len(attributes), 0)
    system_call(_RESTRICT_SELF, descriptor, 0)
    os.close(descriptor)
