"""A NaN or a full disk ends a run, and what was saved before stays."""

import ctypes
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file
from transformers import TrainerCallback

from hrm_align.errors import RunError
from hrm_align.run_folder import STAGING
from hrm_align.trainers.callbacks import append_json_line
from hrm_align.trainers.checkpoints import checkpoints_in
from recipes.sft import main
from tests.trainers.recipe_runs import arguments, metrics, sft
from tests.trainers.resume.runs import BY_FOUR, LATEST, adapter_sft, assert_same, forked, trainer_of

NO_PERMISSION = 77  # exit code of a test's child


# Numbers that are none ------------------------------------------------------------------------------------------------


class Poison(TrainerCallback):
    """Puts a NaN into the loss, a gradient or the weights of a step."""

    def __init__(self, kind: str, step: int):
        self.kind, self.step = kind, step

    def on_step_begin(self, args, state, control, model=None, **kwargs):
        if state.global_step + 1 != self.step:
            return
        if self.kind == "loss":
            model.model.register_forward_hook(self._spoil)
        if self.kind == "gradient":
            model.lm_head.weight.register_hook(lambda gradient: gradient / 0)

    def _spoil(self, module, inputs, output):
        output.last_hidden_state = output.last_hidden_state * float("nan")

    def on_step_end(self, args, state, control, model=None, **kwargs):
        if self.kind == "weights" and state.global_step == self.step:
            model.lm_head.weight.data[3, 3] = float("inf")


@pytest.mark.parametrize(
    "kind, step, flags, last",
    [("loss", 5, (), 4), ("gradient", 4, (), 2), ("gradient", 5, ("--max_grad_norm", "0"), 4), ("weights", 4, (), 2)],
)
def test_a_nan_stops_the_run_before_it_reaches_the_disk(rows, whole, tmp_path, kind, step, flags, last):
    given = (*BY_FOUR, "--save_total_limit", "1", *flags)
    trainer = trainer_of(tmp_path, rows, *given, callbacks=[Poison(kind, step)])
    with pytest.raises(RunError, match=rf"{kind} .*checkpoint-{last}\b.* --learning_rate") as error:
        trainer.train()
    assert f"step {step} " in str(error.value)
    assert trainer.state.global_step == (step if kind == "weights" else step - 1), "no step was taken with it"
    assert [path.name for path in checkpoints_in(tmp_path)] == [f"checkpoint-{last}"]
    saved = [load_file(path) for path in tmp_path.rglob("*.safetensors")]
    states = torch.load(tmp_path / f"checkpoint-{last}/optimizer.pt", weights_only=True)["state"].values()
    for tensor in [t for named in [*saved, *states] for t in named.values()]:
        assert torch.isfinite(tensor).all()
    if not flags:  # other gradients, other run
        sft(tmp_path, rows, *given, *LATEST)
        assert_same(tmp_path, whole)


# Full disks -----------------------------------------------------------------------------------------------------------


def private_tmpfs(folder: Path, megabytes: int) -> None:
    """Mount a small disk that only this process sees, and that goes with it."""
    clone_newns = 0x00020000
    folder.mkdir()
    commands = (["--make-rprivate", "/"], ["-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)])
    if ctypes.CDLL(None).unshare(clone_newns) or any(subprocess.call(["mount", *words]) for words in commands):
        sys.exit(NO_PERMISSION)


def meets_a_full_disk(whole: Path, out: Path, data: Path, *flags: str) -> None:
    """One checkpoint takes 9.7 MB. First the second has no room, then another program takes the room as it is written."""
    private_tmpfs(out, 16)
    with pytest.raises(RunError, match=r"a checkpoint takes 1\d,\d{3},\d{3} bytes .*checkpoint-2 is untouched"):
        main(arguments(out, data, *flags))
    subprocess.run(["mount", "-o", "remount,size=24m", str(out)], check=True)
    stock = torch.save

    def save(content, path, *args, **kwargs):
        if Path(path).name == "optimizer.pt":
            (out / "of another program").write_bytes(bytes(12_000_000 - 100_000 * len(metrics(out))))
        stock(content, path, *args, **kwargs)

    torch.save = save
    with pytest.raises(RunError, match=r" 1\d,\d{3},\d{3} bytes .*checkpoint-2 is untouched"):
        main(arguments(out, data, *flags, *LATEST))
    torch.save = stock
    assert not (out / STAGING).exists(), "what was half written is gone"
    (out / "of another program").unlink()
    main(arguments(out, data, *flags, *LATEST))
    assert_same(out, whole)


def test_a_full_disk_leaves_the_last_checkpoint_and_names_the_bytes(rows, whole, tmp_path):
    flags = (*BY_FOUR, "--save_total_limit", "1")
    code = forked(tmp_path / "log", meets_a_full_disk, whole, tmp_path / "run", rows, *flags)
    if code == [NO_PERMISSION]:
        pytest.skip("no permission to mount a small disk in a private namespace")
    assert code == [0], (tmp_path / "log").read_text()[-3000:]


def test_no_more_room_is_asked_for_than_is_written(rows, tmp_path, monkeypatch):
    """The weights are 2.4 MB, the adapter's checkpoint 0.5 MB; the small files add up to less than 1.1 MB."""
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=3_500_000))
    adapter_sft(tmp_path / "adapter", rows, *BY_FOUR, "--max_steps", "2")
    sft(tmp_path / "weights alone", rows, *BY_FOUR, "--max_steps", "2", "--save_strategy", "no")
    with pytest.raises(
        RunError,
        match=r"a checkpoint takes 1\d,\d{3},\d{3} bytes and 3,500,000 are free. No checkpoint was saved before",
    ):
        sft(tmp_path / "to resume from", rows, *BY_FOUR)


def test_a_log_line_that_does_not_fit_leaves_no_half_line(tmp_path):
    """A file may have 20 bytes, a line has 12: as much of the second as fits is written, and taken back."""
    path = tmp_path / "metrics.jsonl"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, hard))
    try:
        append_json_line(path, {"step": 1})
        with pytest.raises(
            RunError, match=r"cannot write a line of 12 bytes to .*metrics.jsonl .*: free some disk space"
        ):
            append_json_line(path, {"step": 2})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_text() == '{"step": 1}\n'


def test_a_run_keeps_its_three_newest_checkpoints_and_no_pickle_of_its_settings(rows, tmp_path):
    for limit, kept in ((), {3, 4, 5}), (("--save_total_limit", "0"), {1, 2, 3, 4, 5}):
        run = tmp_path / f"kept {len(kept)}"
        sft(run, rows, "--per_device_train_batch_size", "4", "--max_steps", "5", "--save_steps", "1", *limit)
        assert {int(path.name.removeprefix("checkpoint-")) for path in run.glob("checkpoint-*")} == kept
        assert [*run.rglob("training_args.bin")] == []
