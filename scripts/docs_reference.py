"""Writes the reference pages from the code.

    python scripts/docs_reference.py           # writes docs/reference/*.md and the pictures of docs/concepts/prefix-mask.md
    python scripts/docs_reference.py --check   # exits with 1 if a page is not what the code says

tests/test_docs.py compares, too. The pages depend on the releases in constraints.txt: texts of TRL and Transformers are theirs.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # for the table of row forms, which a test checks

from docs_pages.commands import commands_page
from docs_pages.data import graders_page, schemas_page
from docs_pages.mask import PICTURES, drawn
from docs_pages.names import metrics_page
from docs_pages.python_api import api_page
from docs_pages.run_files import errors_page, run_files_page
from docs_pages.settings import settings_page, upstream_page

from tests.data.test_forms import page as row_forms_page

DOCS = Path(__file__).parents[1] / "docs"
PAGES = {
    "commands.md": commands_page,
    "settings.md": settings_page,
    "settings-upstream.md": upstream_page,
    "schemas.md": schemas_page,
    "row-forms.md": row_forms_page,
    "graders.md": graders_page,
    "run-files.md": run_files_page,
    "metrics.md": metrics_page,
    "errors.md": errors_page,
    "python.md": api_page,
}
_PICTURE = re.compile(r"(<!-- mask: (?P<name>[\w ]+) -->\n\n```text\n)(?P<drawn>.*?)(\n```)", re.DOTALL)


def generated() -> dict[Path, str]:
    """Every generated file with its text: the reference pages, and the page of the mask with its pictures drawn anew."""
    pages = {DOCS / "reference" / name: page() for name, page in PAGES.items()}
    mask = DOCS / "concepts/prefix-mask.md"
    pages[mask] = with_pictures(mask.read_text(encoding="utf-8"))
    return pages


def with_pictures(text: str) -> str:
    """A page whose pictures are drawn anew."""
    return _PICTURE.sub(lambda match: match[1] + drawn(*PICTURES[match["name"]]) + match[4], text)


def main(argv: Sequence[str]) -> int:
    """Write the pages, or with `--check` name those that differ."""
    pages = generated()
    changed = [path for path, text in pages.items() if not path.is_file() or path.read_text(encoding="utf-8") != text]
    if "--check" in argv:
        for path in changed:
            print(f"{path.relative_to(DOCS.parent)} is not what the code says: python scripts/docs_reference.py")
        return int(bool(changed))
    for path in changed:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(pages[path], encoding="utf-8")
        print(f"{path.relative_to(DOCS.parent)} written")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
