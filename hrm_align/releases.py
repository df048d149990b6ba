"""The releases of Transformers and TRL that the package works with; any other is one sentence instead of a traceback.

The prefix mask is a patch of Transformers' classes, and the trainers override TRL's methods: a release that has not been tested
may have moved what they stand on. CONTRIBUTING.md has what was seen of each.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from hrm_align.errors import UserError

SUPPORTED = {"transformers": ("5.23", "5.25"), "trl": ("1.16", "1.17")}  # from, and below; as in pyproject.toml


@cache
def check_releases() -> None:
    """Compare what is installed with `SUPPORTED`; imports neither.

    Raises:
        UserError: for the first package that is missing, older or newer.
    """
    for package, (lowest, beyond) in SUPPORTED.items():
        remedy = f'run pip install "{package}>={lowest},<{beyond}".'
        try:
            installed = version(package)
        except PackageNotFoundError:
            raise UserError(f"{package} is not installed: {remedy}") from None
        if not _numbers(lowest) <= _numbers(installed) < _numbers(beyond):
            raise UserError(f"{package} {installed} is installed, and hrm_align needs {supported(package)}: {remedy}")


def supported(package: str) -> str:
    """The releases in words: `5.23 to 5.24`."""
    lowest, beyond = SUPPORTED[package]
    major, minor = _numbers(beyond)
    highest = f"{major}.{minor - 1}"
    return lowest if highest == lowest else f"{lowest} to {highest}"


def _numbers(release: str) -> tuple[int, ...]:
    """5.24.0rc1 as (5, 24): a candidate counts as its release."""
    return tuple(map(int, re.findall(r"\d+", release)[:2]))
