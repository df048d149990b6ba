"""Check that the installed releases of Transformers and TRL are supported, and report others in one sentence.

The prefix mask patches Transformers' classes, and the trainers override TRL's methods; both may have changed in a release that was
not tested. CONTRIBUTING.md lists what was tested.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from hrm_align.errors import UserError

SUPPORTED = {
    "transformers": ("5.23", "5.25"),
    "trl": ("1.16", "1.17"),
}  # lowest release, and first release that is too new; as in pyproject.toml


@cache
def check_releases() -> None:
    """Compare the installed releases with `SUPPORTED`, without importing either package.

    Raises:
        UserError: for the first package that is missing, too old or too new.
    """
    for package, (lowest, beyond) in SUPPORTED.items():
        remedy = f'Run pip install "{package}>={lowest},<{beyond}".'
        try:
            installed = version(package)
        except PackageNotFoundError:
            raise UserError(f"{package} is not installed. {remedy}") from None
        if not _parse_release(lowest) <= _parse_release(installed) < _parse_release(beyond):
            raise UserError(f"{package} {installed} is installed, and hrm_align needs {supported(package)}. {remedy}")


def supported(package: str) -> str:
    """Return the supported releases of a package in words: `5.23 to 5.24`."""
    lowest, beyond = SUPPORTED[package]
    major, minor = _parse_release(beyond)
    highest = f"{major}.{minor - 1}"
    return lowest if highest == lowest else f"{lowest} to {highest}"


def _parse_release(release: str) -> tuple[int, ...]:
    """Return major and minor number: (5, 24) for `5.24.0rc1`; a release candidate counts as its release."""
    return tuple(map(int, re.findall(r"\d+", release)[:2]))
