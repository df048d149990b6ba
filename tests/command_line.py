"""Run `hrm-align` in this process, as a user does on the command line."""

import json
import warnings
from pathlib import Path

from hrm_align.cli import dispatch, run_with_exit_code


def run(capsys, *argv) -> tuple[int, str, str]:
    """Run the command and return its exit code, standard output and standard error."""
    try:
        code = run_with_exit_code(dispatch, [str(word) for word in argv])
    except SystemExit as stop:
        code = stop.code
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def examined(capsys, folder: Path, *flags) -> tuple[int, dict]:
    """Run the doctor and return its exit code and its report."""
    code, out, _ = run(capsys, "doctor", folder, "--json", *flags)
    return code, json.loads(out)


def convert(capsys, *argv) -> dict:
    """Convert without an error or a warning, and return the report."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a warning would appear in the output of the command
        code, out, err = run(capsys, "convert", *argv, "--json")
    assert code == 0, err + out
    return json.loads(out)
