"""Show what a push to the Hub would upload, without a network or a token: the files, their sizes, the visibility and the card."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from huggingface_hub import get_token

from hrm_align.export.card import named_card
from hrm_align.export.folder import CARD, is_allowed
from hrm_align.export.hub import check_push


def describe_push(folder: Path, repo_id: str, private: bool | None, forced: bool = False) -> dict[str, Any]:
    """Check a folder as a push does, and return what the push would upload. Nothing is changed.

    Args:
        folder: exported folder.
        repo_id: `OWNER/NAME`.
        private: as in `push`.
        forced: as in `push`.

    Returns:
        `repository`, `files` (bytes by name), `bytes`, `visibility`, `token` (whether one was found) and `card` (its text).

    Raises:
        UserError: as `push`, for what can be known without the Hub.
    """
    check_push(folder, repo_id, forced)
    changed = {name: text.encode() for name, text in named_card(folder, repo_id).items()}
    names = sorted(path.name for path in folder.iterdir() if is_allowed(path.name))
    sizes = {name: len(changed[name]) if name in changed else (folder / name).stat().st_size for name in names}
    return {
        "repository": repo_id,
        "files": sizes,
        "bytes": sum(sizes.values()),
        "visibility": "public" if private is False else "private",
        "token": get_token() is not None,
        "card": changed[CARD].decode() if CARD in changed else (folder / CARD).read_text(encoding="utf-8"),
    }


def format_push(plan: dict[str, Any]) -> list[str]:
    """Return the lines that show a plan of `describe_push`."""
    width = max(len(name) for name in plan["files"])
    lines = [f"  {name:{width}}  {size:>13,} bytes" for name, size in plan["files"].items()]
    return [
        f"dry run: nothing is uploaded; a push would commit these files to {plan['repository']}:",
        *lines,
        f"  {len(plan['files'])} files, {plan['bytes']:,} bytes",
        f"visibility: {plan['visibility']} if the push makes the repository; an existing repository keeps its visibility (a dry run does not "
        "ask the Hub)",
        *(
            []
            if plan["token"]
            else ["token: none was found, and the push needs one: run `hf auth login`, or set HF_TOKEN"]
        ),
        f"card ({CARD}):",
        plan["card"],
    ]
