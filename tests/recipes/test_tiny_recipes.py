"""Every recipe of the tiny base runs, on a few steps of its own data."""

import pytest

from hrm_align.cli import dispatch
from hrm_align.models.loading import load_model_and_tokenizer


@pytest.mark.parametrize("stage", ["sft"])
def test_the_recipe_runs_to_a_loadable_checkpoint(tmp_path, stage):
    dispatch(
        [stage, "--config", f"recipes/tiny/{stage}.yaml", "--output_dir", str(tmp_path / "run"), "--max_steps", "2",
         "--eval_strategy", "no", "--save_strategy", "no", "--generation_eval_samples", "0"]
    )  # fmt: skip
    load_model_and_tokenizer(str(tmp_path / "run"))
