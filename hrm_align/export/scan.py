"""What must not leave: keys, passwords, and paths of the machine. A net of last resort, behind the list of what may leave."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import get_token

from hrm_align.errors import UserError
from hrm_align.export.folder import TOKENIZER

# With beginnings that nothing else has, so that they are sought in vocabularies too.
_KEYS = {
    "a token of the Hub": r"\bhf_[A-Za-z0-9]{16,}",
    "a key of OpenAI, Anthropic or the like": r"\bsk-[A-Za-z0-9_-]{16,}",
    "a key of AWS": r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b",
    "a token of GitHub": r"\b(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,})",
    "a token of GitLab": r"\bglpat-[A-Za-z0-9_-]{16,}",
    "a key of Google": r"\bAIza[A-Za-z0-9_-]{30,}",
    "a token of Slack": r"\bxox[abprs]-[A-Za-z0-9-]{10,}",
    "a web token": r"\beyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{5,}",
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
}
_PLACES = {
    "a password in an address": r"(?i:\b[a-z][a-z0-9+.-]*://[^/\s@\"']+@)",
    # Two parts and more, after nothing that makes it a share of an address or of a relative path.
    "a path of a machine": r"file://|(?<![\w./<])/(?!/)(?:[\w.-]+/)+[\w.-]+|\b[A-Za-z]:(?:\\+|/)[\w.-]+[\\/]",
}
_SECRET_NAME = re.compile(r"TOKEN|KEY|SECRET|PASS|PWD|CREDENTIAL|WEBHOOK|DSN|_PAT$", re.IGNORECASE)
_SHORTEST, _SHORTEST_IN_WORDS = 8, 20  # characters of a value that is sought; in a vocabulary a short one may be a word
_HEADER = 1 << 24  # bytes at the start of a weight file, which hold its header


@dataclass(frozen=True)
class Finding:
    """Something that must not leave; the secret itself is never repeated."""

    file: str
    line: int
    kind: str


def require_clean(folder: Path) -> None:
    """Raises UserError, naming file, line and kind, if something is found that must not leave."""
    found = [*findings(folder)]
    if found:
        told = "".join(f"\n  {finding.file}:{finding.line}: {finding.kind}" for finding in found[:5])
        raise UserError(
            f"what must not be published was found:{told}\nTake it out (of the run's chat template, settings, or the names of "
            "its data sets), and export again."
        )


def findings(folder: Path, environment: Mapping[str, str] = os.environ) -> Iterator[Finding]:
    """Look through every file: texts whole, of weights the header.

    Args:
        folder: about to be published.
        environment: whose values under names such as `..._TOKEN` and `..._KEY` must not occur, nor the Hub's token.
    """
    known = {f"the value of ${name}": value for name, value in environment.items() if _SECRET_NAME.search(name)}
    known["your token of the Hub"] = get_token() or ""
    homes = {f"{home}/" for home in (Path.home(), Path.cwd()) if home != Path("/")}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name, text = str(path.relative_to(folder)), _text(path)
        words = path.name == TOKENIZER
        shortest = _SHORTEST_IN_WORDS if words else _SHORTEST
        sought = [(kind, value) for kind, value in known.items() if len(value) >= shortest]
        sought += [] if words else [("a path of this machine", home) for home in homes]
        for kind, value in sought:
            for form in {value, json.dumps(value)[1:-1]}:  # as it is, and as JSON writes it
                if form in f"{name}\n{text}":
                    yield Finding(name, text[: text.find(form)].count("\n") + 1 if form in text else 0, kind)
        patterns = _KEYS if words else _KEYS | _PLACES
        for kind, pattern in patterns.items():
            if match := re.search(pattern, text):
                yield Finding(name, text[: match.start()].count("\n") + 1, kind)


def _text(path: Path) -> str:
    with path.open("rb") as file:
        content = file.read(_HEADER) if path.suffix == ".safetensors" else file.read()
    if path.suffix == ".safetensors":
        content = content[8 : 8 + int.from_bytes(content[:8], "little")]
    return content.decode("utf-8", "replace")
