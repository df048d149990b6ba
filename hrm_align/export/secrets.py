"""What must not leave: keys, passwords, and paths of the machine. A net of last resort, behind the list of what may leave."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import get_token

from hrm_align.errors import UserError

_PATTERNS = {
    "a token of the Hub": r"\bhf_[A-Za-z0-9]{16,}",
    "a key of OpenAI, Anthropic or the like": r"\bsk-[A-Za-z0-9_-]{16,}",
    "a key of AWS": r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b",
    "a token of GitHub": r"\b(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,})",
    "a token of GitLab": r"\bglpat-[A-Za-z0-9_-]{16,}",
    "a key of Google": r"\bAIza[A-Za-z0-9_-]{30,}",
    "a token of Slack": r"\bxox[abprs]-[A-Za-z0-9-]{10,}",
    "a web token": r"\beyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{5,}",
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    "a password in an address": r"\b[a-z][a-z0-9+.-]*://[^/\s:@\"']+:[^/\s:@\"']+@",
    "a path of a machine": r"(?<![\w.:/])(?:/(?:home|Users|root|tmp|var|mnt|data|work|workspace|scratch|opt)/[\w.-]+|[A-Za-z]:\\\\?[\w.-]+\\)",
}
_PATTERN = re.compile("|".join(f"({pattern})" for pattern in _PATTERNS.values()))
_SECRET_NAME = re.compile(r"TOKEN|KEY|SECRET|PASSW|CREDENTIAL|AUTH", re.IGNORECASE)
_SHORTEST = 8  # characters of a value of the environment that is looked for
_HEADER = 1 << 24  # bytes at the start of a weight file, which hold its header


@dataclass(frozen=True)
class Finding:
    """Something that must not leave; the secret itself is never repeated."""

    file: str
    line: int
    kind: str


def findings(folder: Path, environment: Mapping[str, str] = os.environ) -> Iterator[Finding]:
    """Look through every file: texts whole, of weights the header.

    Args:
        folder: about to be published.
        environment: whose values under names such as `..._TOKEN` and `..._KEY` must not occur, nor the Hub's token.
    """
    known = {value: f"the value of ${name}" for name, value in environment.items() if _is_secret(name, value)}
    if token := get_token():
        known[token] = "your token of the Hub"
    places = {f"{home}/": "a path of this machine" for home in (Path.home(), Path.cwd()) if home != Path("/")}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = str(path.relative_to(folder))
        # The pieces of words of a vocabulary look like anything; what is sought there is known.
        sought = known if path.name == "tokenizer.json" else known | places
        for number, line in enumerate([name, *_text(path).splitlines()]):
            yield from _of_text(line, name, number, sought, patterns=path.name != "tokenizer.json")


def require_clean(folder: Path) -> None:
    """Raises UserError, naming file, line and kind, if something is found that must not leave."""
    found = [*findings(folder)]
    if found:
        told = "".join(f"\n  {finding.file}:{finding.line}: {finding.kind}" for finding in found[:5])
        raise UserError(
            f"the folder holds what must not be published, so nothing was written:{told}\nTake it out of the run's own files "
            "(chat template, names of data sets, settings), and export again."
        )


def _of_text(text: str, file: str, line: int, known: Mapping[str, str], patterns: bool) -> Iterator[Finding]:
    for value, kind in known.items():
        if value in text:
            yield Finding(file, line, kind)
    if patterns and (match := _PATTERN.search(text)):
        assert match.lastindex is not None, "one of the patterns matched"
        yield Finding(file, line, list(_PATTERNS)[match.lastindex - 1])


def _text(path: Path) -> str:
    with path.open("rb") as file:
        content = file.read(_HEADER) if path.suffix == ".safetensors" else file.read()
    if path.suffix == ".safetensors":
        content = content[8 : 8 + int.from_bytes(content[:8], "little")]
    return content.decode("utf-8", "replace")


def _is_secret(name: str, value: str) -> bool:
    return len(value) >= _SHORTEST and _SECRET_NAME.search(name) is not None and not value.startswith("/")
