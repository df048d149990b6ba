"""A reader who follows a row from its JSONL file to the trainer opens at most seven files.

A file is on the path if its code makes or receives more calls where there are more rows. What is called once a data set,
such as the search for its files (`data/sources.py`), and classes that only hold data (`data/examples.py`) are not.
"""

import json
import sys
from collections import Counter
from pathlib import Path
from unittest.mock import patch

import pytest

import hrm_align
from hrm_align.run import Run
from tests.command_line import run

PACKAGE = Path(hrm_align.__file__).parent
PATH = {
    "data/readers.py",  # a line of the file
    "data/strict_json.py",  # its columns
    "data/schemas.py",  # its examples
    "data/dataset.py",  # all examples of the run, mixed and split
    "data/encode.py",  # one data set of token ids
    "rendering.py",  # the ids of each document
    "data/packing.py",  # packed rows and batches
}


# These count rows, for the console and for the report of damaged text, and change none.
COUNTING = {"progress.py", "data/damage.py", "data/text_damage.py", "data/latex_damage.py"}
STORING = {"data/table.py", "data/examples.py"}  # keep examples on disk and give them back as they were


class CallsByFile(Counter):
    """A profile hook that counts the calls which code of each file of the package makes or receives."""

    def __call__(self, frame, event, _):
        name = frame.f_code.co_filename
        if event in ("call", "c_call") and name.startswith(str(PACKAGE)):
            self[str(Path(name).relative_to(PACKAGE))] += 1


def calls_until_trained_on(capsys, folder: Path, rows: int, *flags: str) -> CallsByFile:
    """The calls of `hrm-align sft`, from the command line to the first batch of its trainer."""
    folder.mkdir()
    data = folder / "rows.jsonl"
    data.write_text(
        "".join(json.dumps({"prompt": f"copy {n} sun", "response": f"{n} sun"}) + "\n" for n in range(rows))
    )

    def take_a_batch(self, trainer, *_):
        assert len(next(iter(trainer.get_train_dataloader()))["input_ids"])

    words = ("sft", "--model_name_or_path", "tiny", "--datasets", data, "--output_dir", folder / "run", "--use_cpu", "true",
             "--per_device_train_batch_size", "64", *flags)  # fmt: skip
    calls, before = CallsByFile(), sys.getprofile()
    with patch.object(Run, "train", take_a_batch):
        sys.setprofile(calls)
        try:
            code, _, err = run(capsys, *words)
        finally:
            sys.setprofile(before)
    assert code == 0, err
    return calls


@pytest.mark.parametrize("packing", ["false", "true"])
def test_a_row_crosses_at_most_seven_files_before_the_trainer(tmp_path, capsys, packing):
    flags = ("--packing", packing, "--max_length", "64")
    calls_until_trained_on(capsys, tmp_path / "first", 8, *flags)  # imports, and what is remembered
    few = calls_until_trained_on(capsys, tmp_path / "few", 8, *flags)
    many = calls_until_trained_on(capsys, tmp_path / "many", 16, *flags)
    crossed = {name for name in few | many if few[name] != many[name]}
    assert crossed - COUNTING - STORING == PATH and len(PATH) <= 7
