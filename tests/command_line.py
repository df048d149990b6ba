"""Run `hrm-align` in this process, as a user does on the command line."""

import json
import warnings
from pathlib import Path

from hrm_align.cli import dispatch, exit_code_of


def run(capsys, *argv) -> tuple[int, str, str]:
    """The exit code, and what was printed and complained about."""
    try:
        code = exit_code_of(dispatch, [str(word) for word in argv])
    except SystemExit as stop:
        code = stop.code
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def examined(capsys, folder: Path, *flags) -> tuple[int, dict]:
    """The exit code of the doctor and its report."""
    code, out, _ = run(capsys, "doctor", folder, "--json", *flags)
    return code, json.loads(out)


def convert(capsys, *argv) -> dict:
    """The report of a conversion that succeeds without a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # what a person would see among the output
        code, out, err = run(capsys, "convert", *argv, "--json")
    assert code == 0, err + out
    return json.loads(out)
