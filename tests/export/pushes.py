"""An export of the tiny base, pushed to the local Hub by the command."""

from contextlib import redirect_stdout
from io import StringIO

from hrm_align.models.loading import resolve
from recipes.export import main as export
from tests.command_line import run

REPO = "alice/mine"


def exported(folder, *flags):
    """An export of the tiny base."""
    with redirect_stdout(StringIO()):
        export([resolve("tiny"), "--to", str(folder), "--max_new_tokens", "8", *flags])
    return folder


def pushed(capsys, folder, *flags, code=0) -> str:
    found, out, err = run(capsys, "export", folder, "--push", REPO, *flags)
    assert found == code and "Traceback" not in err and err.count("error: ") == bool(code), err
    return err if code else out


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def published(hub):
    return {name: data for name, data in hub.repos[REPO].files().items() if name != ".gitattributes"}
