"""What is damaged or missing in a checkpoint is found, and the newest whole one is gone on from."""

import json
import logging
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from hrm_align.errors import UserError
from hrm_align.models.loading import resolve
from hrm_align.trainers.checkpoints import MANIFEST, checkpoints_in, find_damage, rotate, write_manifest
from hrm_align.trainers.resume import checkpoint_to_resume
from tests.trainers.recipe_runs import sft
from tests.trainers.resume.runs import BY_FOUR, LATEST, assert_same, resumed_step, tensors, trainer_of

# Damage ---------------------------------------------------------------------------------------------------------------


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [Path.unlink, _truncate, _flip_a_bit], ids=["missing", "truncated", "flipped"])
def test_damage_to_any_file_of_a_checkpoint_is_found_and_passed_over(whole, tmp_path, caplog, damage):
    for name in ("checkpoint-6", "checkpoint-8"):
        shutil.copytree(whole / name, tmp_path / name)
    newest = tmp_path / "checkpoint-8"
    names = [path.name for path in newest.iterdir()]
    assert {"model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth", "ema.safetensors"} < {*names}
    for name in names:
        kept = (newest / name).read_bytes()
        damage(newest / name)
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            assert checkpoint_to_resume("latest", tmp_path) == tmp_path / "checkpoint-6"
        assert "checkpoint-8 is skipped" in caplog.text and name in caplog.text
        with pytest.raises(UserError, match=rf"checkpoint-8 cannot be resumed: .*{name}.* `latest`"):
            checkpoint_to_resume(str(newest), tmp_path)
        (newest / name).write_bytes(kept)
    assert checkpoint_to_resume("latest", tmp_path) == newest


@pytest.mark.parametrize("at", [b'"0.', b'"hrm_align', b'"bytes', b'"optimizer.pt', b"}\n"])
def test_a_flipped_bit_anywhere_in_the_manifest_is_found(whole, tmp_path, at):
    shutil.copytree(whole / "checkpoint-8", tmp_path / "checkpoint-8")
    manifest = tmp_path / "checkpoint-8" / MANIFEST
    content = bytearray(manifest.read_bytes())
    assert at in content
    content[content.index(at) + 1] ^= 1
    manifest.write_bytes(content)
    assert find_damage(tmp_path / "checkpoint-8") is not None


def test_a_run_falls_back_behind_damage_and_ends_the_same(rows, whole, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(whole, out)
    (out / "checkpoint-8/scheduler.pt").unlink()
    _truncate(out / "checkpoint-6/model.safetensors")
    sft(out, rows, *BY_FOUR, *LATEST)
    assert resumed_step(out) == 4
    assert_same(out, whole)
    assert [find_damage(path) for path in checkpoints_in(out)] == [None] * 4, "the damaged ones were written again"


@pytest.mark.parametrize("name", ["optimizer.pt", "scheduler.pt", "trainer_state.json"])
def test_a_checkpoint_without_optimizer_or_scheduler_is_refused(whole, tmp_path, name):
    """Even if it was published without that file: the run would continue, but as another run."""
    shutil.copytree(whole / "checkpoint-8", tmp_path / "checkpoint-8")
    (tmp_path / "checkpoint-8" / name).unlink()
    write_manifest(tmp_path / "checkpoint-8")
    for asked in ("latest", str(tmp_path / "checkpoint-8")):
        with pytest.raises(UserError, match=f"it holds no {name}"):
            checkpoint_to_resume(asked, tmp_path)


def test_a_tokenizer_that_has_changed_since_is_refused(rows, whole, tmp_path):
    """A new version of the base swapped two ids: the checkpoint's own tokenizer is the remedy."""
    shutil.copytree(resolve("tiny"), tmp_path / "base")
    tokenizer = json.loads((tmp_path / "base/tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    vocabulary["in"], vocabulary["an"] = vocabulary["an"], vocabulary["in"]
    (tmp_path / "base/tokenizer.json").write_text(json.dumps(tokenizer))
    checkpoint = str(whole / "checkpoint-6")
    flags = (*BY_FOUR, "--resume_from_checkpoint", checkpoint, "--model_name_or_path", str(tmp_path / "base"))
    with pytest.raises(UserError, match=f"another tokenizer .* --tokenizer_name_or_path {checkpoint}"):
        sft(tmp_path / "refused", rows, *flags)
    sft(tmp_path / "run", rows, *flags, "--tokenizer_name_or_path", checkpoint)
    assert_same(tmp_path / "run", whole, after=6)


def test_latest_without_a_checkpoint_says_so(tmp_path):
    with pytest.raises(UserError, match="holds no checkpoint-N folder"):
        checkpoint_to_resume("latest", tmp_path)


# Rotation -------------------------------------------------------------------------------------------------------------


def test_rotation_never_prefers_a_checkpoint_that_the_run_has_fallen_back_behind(tmp_path):
    """8 was damaged; the run resumed from 4 and has saved 6."""
    for name in ("checkpoint-4", "checkpoint-6", "checkpoint-8"):
        (tmp_path / name).mkdir()
    rotate(tmp_path, 2, saved=tmp_path / "checkpoint-6")
    assert [path.name for path in checkpoints_in(tmp_path)] == ["checkpoint-6", "checkpoint-4"]


def test_the_best_checkpoint_is_kept_and_loaded_with_its_average(rows, tmp_path):
    """Step 4 is the best that was saved: 6 scores more, but only every fourth step is saved, and 8 scores less."""
    scores = iter([0.1, 0.5, 0.9, 0.2])
    flags = (*BY_FOUR, "--save_steps", "4", "--eval_steps", "2", "--eval_strategy", "steps", "--save_total_limit", "1")
    flags += (
        "--load_best_model_at_end",
        "true",
        "--metric_for_best_model",
        "exact_match",
        "--generation_eval_samples",
        "4",
        "--eval_datasets",
        str(rows),
    )
    trainer = trainer_of(tmp_path, rows, *flags, generation_eval=lambda model: {"exact_match": next(scores)})
    trainer.train()
    best = tmp_path / "checkpoint-4"
    assert trainer.state.best_model_checkpoint == str(best) and find_damage(best) is None
    shutil.copytree(best, tmp_path / "kept")
    trainer.save_model(str(tmp_path))
    average = load_file(tmp_path / "kept/ema.safetensors")
    ours, averaged, saved = tensors(tmp_path), trainer.average.average, load_file(tmp_path / "kept/model.safetensors")
    assert all(torch.equal(ours[name], saved[name]) for name in saved)
    assert all(torch.equal(averaged[name], average[name]) for name in average)
