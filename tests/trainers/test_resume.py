"""A run that was stopped goes on as if it had not been; what is damaged is found; what was saved stays.

Weights and losses are compared for equality, not nearness. The long version is scripts/fault_campaign.py.
"""

import ctypes
import json
import logging
import multiprocessing
import os
import pkgutil
import random
import resource
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from torch.utils.data import RandomSampler
from transformers import TrainerCallback, set_seed

from hrm_align.cli import exit_code_of
from hrm_align.data.preparation import read_data, tokenized
from hrm_align.errors import RunError, UserError
from hrm_align.models.loading import load_model_and_tokenizer, resolve
from hrm_align.recipe_parser import parse_sft
from hrm_align.trainers.callbacks import MetricsFile, append_json_line
from hrm_align.trainers.checkpoints import MANIFEST, STAGING, check_whole, checkpoints_in, rotate, write_manifest
from hrm_align.trainers.resume import checkpoint_to_resume
from hrm_align.trainers.sampling import EpochSeededSampler
from hrm_align.trainers.sft import SFTTrainer
from recipes.sft import main
from tests.trainers.recipe_runs import arguments, launched_sft, metrics, sft, write_rows

LATEST = ("--resume_from_checkpoint", "latest")
STEPS = ("--max_steps", "8", "--save_steps", "2", "--learning_rate", "1e-3", "--logging_steps", "1")
WARM_UP = ("--bp_min_steps", "2", "--bp_max_steps", "5", "--bp_warmup_ratio", "1")  # longer at steps 3, 6 and 8
STABILISED = (*STEPS, *WARM_UP, "--ema_decay", "0.9")
# 20 rows make 5 of these steps an epoch, so that checkpoints 2 and 4 lie inside the first, 6 inside the second.
BY_FOUR = (*STABILISED, "--per_device_train_batch_size", "4")
ACCUMULATED = (*STABILISED, "--per_device_train_batch_size", "1", "--gradient_accumulation_steps", "4")
NO_PERMISSION = 77  # exit code of a test's child


@pytest.fixture(autouse=True)
def _one_thread():
    """As in the child processes: sums of another number of threads end in other bits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    rng = random.Random(0)
    made = [
        {"prompt": f"say {n}", "response": " ".join(rng.choices(["red", "blue", "oak"], k=1 + n % 7))}
        for n in range(20)
    ]
    return write_rows(tmp_path_factory.mktemp("rows") / "rows.jsonl", made)


@pytest.fixture(scope="module")
def whole(rows, tmp_path_factory):
    """The uninterrupted run that most tests compare with, and copy checkpoints from."""
    out = tmp_path_factory.mktemp("whole") / "run"
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    sft(out, rows, *BY_FOUR)
    torch.set_num_threads(threads)
    return out


# What a run left ------------------------------------------------------------------------------------------------------


def curve(out: Path) -> dict[int, dict]:
    """The log records by step; of a step that was trained again, the last."""
    return {record["step"]: record for record in metrics(out) if "loss" in record}


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(next(folder.glob("*model.safetensors")))


def assert_same(resumed: Path, whole: Path, after: int = 0) -> None:
    """Every logged number behind a step, and every weight at the end, the averaged ones too."""
    assert curve(resumed) == {step: record for step, record in curve(whole).items() if step > after} != {}
    for part in ("", "ema"):
        ours, theirs = tensors(resumed / part), tensors(whole / part)
        assert ours.keys() == theirs.keys()
        assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []


def resumed_step(out: Path) -> int:
    return next(record["step"] for record in reversed(metrics(out)) if "resumed_from" in record)


# Runs -----------------------------------------------------------------------------------------------------------------


def trainer_of(out: Path, data: Path, *flags: str, adapter: bool = False, **kwargs) -> SFTTrainer:
    """The trainer that the recipe builds, around an adapter or with callbacks of the test."""
    recipe = parse_sft(arguments(out, data, *flags))
    set_seed(recipe.training.seed)
    model, tokenizer = load_model_and_tokenizer("tiny")
    read = read_data(recipe.data, recipe.training.seed, out / "run")
    train, held_out = tokenized(read, recipe.data, tokenizer, recipe.training.max_length)
    if adapter:  # its dropout draws random numbers in every step
        model = get_peft_model(model, LoraConfig(r=4, lora_alpha=4, lora_dropout=0.2, target_modules="all-linear"))
    kwargs["callbacks"] = [MetricsFile(out / "metrics.jsonl"), *kwargs.get("callbacks", ())]
    return SFTTrainer(model, recipe.training, train, tokenizer, held_out, **kwargs)


def adapter_sft(out: Path, data: Path, *flags: str) -> None:
    trainer = trainer_of(out, data, *flags, adapter=True)
    trainer.train(resume_from_checkpoint=trainer.args.resume_from_checkpoint)
    trainer.save_model(str(out))


def _child(environment: dict[str, str], log: Path, run, *args) -> None:
    os.environ.update(environment)
    torch.set_num_threads(1)
    for stream in (1, 2):
        os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND), stream)
    sys.exit(exit_code_of(lambda _: run(*args), ()))


def forked(log: Path, run, *args, ranks: int = 1) -> list[int]:
    """Call a function in processes of their own, as a launcher would, without its seconds of imports. Their exit codes."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["hrm_align.recipes.sft"])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": ranks, "LOCAL_WORLD_SIZE": ranks, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    shared["ACCELERATE_USE_CPU"] = "true"
    processes = []
    for rank in range(ranks):
        own = {name: str(value) for name, value in {**shared, "RANK": rank, "LOCAL_RANK": rank}.items()}
        own = own if ranks > 1 else {}
        processes.append(context.Process(target=_child, args=(own, log, run, *args)))
        processes[-1].start()
    for process in processes:
        process.join(120)
        process.kill()  # one that hangs; the others have ended
    return [process.exitcode for process in processes]


def dies(where: str, call: int, out: Path, data: Path, *flags: str) -> None:
    """Run the recipe until it uses a function for the nth time: there it gets SIGKILL."""
    owner, name = pkgutil.resolve_name(where.rpartition(".")[0]), where.rpartition(".")[2]
    stock, calls = getattr(owner, name), iter(range(1, call + 1))

    def lethal(*args, **kwargs):
        if next(calls) == call:
            os.kill(os.getpid(), signal.SIGKILL)
        return stock(*args, **kwargs)

    setattr(owner, name, lethal)
    main(arguments(out, data, *flags))


def is_told_to_stop(rank: str, step: int, out: Path, data: Path, *flags: str) -> None:
    """Run the recipe and send one of its processes SIGTERM when a step has been logged."""
    stock = MetricsFile.on_log

    def log(self, args, state, *rest, **kwargs):
        stock(self, args, state, *rest, **kwargs)
        if state.global_step == step and os.environ.get("RANK", "0") == rank:
            os.kill(os.getpid(), signal.SIGTERM)

    MetricsFile.on_log = log
    main(arguments(out, data, *flags))


# Exact resume ---------------------------------------------------------------------------------------------------------

RANDOM = ("--train_sampling_strategy", "random")
CASES = {
    "accumulated, random order, noise, atan2": (
        sft,
        (*ACCUMULATED, *RANDOM, "--neftune_noise_alpha", "5", "--optim", "adam_atan2"),
    ),
    "packed": (sft, (*STABILISED, *RANDOM, "--packing", "true", "--max_length", "64")),
    "adapter, grouped, accumulated": (adapter_sft, ACCUMULATED),
}


@pytest.mark.parametrize("stop", [2, 4, 6])
def test_a_stopped_run_goes_on_exactly(rows, whole, tmp_path, stop):
    sft(tmp_path / "run", rows, *BY_FOUR, "--resume_from_checkpoint", str(whole / f"checkpoint-{stop}"))
    assert_same(tmp_path / "run", whole, after=stop)
    remembered = [run / "checkpoint-8/health.safetensors" for run in (tmp_path / "run", whole)]
    assert remembered[0].read_bytes() == remembered[1].read_bytes(), "alarms compare with the start of the whole run"
    assert [record["bp_steps"] for record in curve(whole).values()] == [2, 2, 3, 3, 3, 4, 4, 5], "a warm-up was resumed"


@pytest.mark.parametrize("run, flags", CASES.values(), ids=CASES)
def test_whatever_draws_and_orders_goes_on_exactly(rows, tmp_path, run, flags):
    run(tmp_path / "whole", rows, *flags)
    for stop in (2, 6):
        checkpoint = str(tmp_path / f"whole/checkpoint-{stop}")
        run(tmp_path / f"from {stop}", rows, *flags, "--resume_from_checkpoint", checkpoint)
        assert_same(tmp_path / f"from {stop}", tmp_path / "whole", after=stop)


def test_every_epoch_has_an_order_of_its_own():
    epochs = iter([0, 0, 1])
    sampler = EpochSeededSampler(RandomSampler(range(20)), seed=0, epoch=lambda: next(epochs))
    first, again, second = list(sampler), list(sampler), list(sampler)
    assert first == again != second and sorted(second) == list(range(20))


def test_evaluation_leaves_the_random_state_alone(rows, tmp_path):
    """Checkpoint 4 is written at an epoch's end, before the evaluation of that epoch, which the resumed run leaves out."""
    flags = (
        *STABILISED,
        "--per_device_train_batch_size",
        "5",
        "--eval_strategy",
        "epoch",
        "--eval_datasets",
        str(rows),
    )
    adapter_sft(tmp_path / "whole", rows, *flags)
    adapter_sft(tmp_path / "run", rows, *flags, "--resume_from_checkpoint", str(tmp_path / "whole/checkpoint-4"))
    assert_same(tmp_path / "run", tmp_path / "whole", after=4)


def test_a_run_that_was_stopped_behind_its_last_step_trains_no_more(rows, whole, tmp_path):
    sft(tmp_path / "run", rows, *BY_FOUR, "--resume_from_checkpoint", str(whole / "checkpoint-8"))
    assert curve(tmp_path / "run") == {}
    ours, theirs = tensors(tmp_path / "run"), tensors(whole)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_two_processes_are_stopped_by_one_signal_and_go_on_exactly(rows, tmp_path):
    """Three steps an epoch, the last of half as many batches. One process is told at step 4; both save step 5."""
    log = tmp_path / "log"
    assert forked(log, sft, tmp_path / "whole", rows, *ACCUMULATED, ranks=2) == [0, 0], log.read_text()[-3000:]
    codes = forked(log, is_told_to_stop, "1", 4, tmp_path / "run", rows, *ACCUMULATED, ranks=2)
    assert codes == [75, 75] and checkpoints_in(tmp_path / "run")[0].name == "checkpoint-5", log.read_text()[-3000:]
    launched_sft(tmp_path / "run", rows, *ACCUMULATED, *LATEST, config="two_processes_cpu")
    assert resumed_step(tmp_path / "run") == 5
    assert_same(tmp_path / "run", tmp_path / "whole")


def test_an_adapter_in_two_processes_goes_on_exactly(rows, tmp_path):
    log, flags = tmp_path / "log", (*STABILISED, *RANDOM, "--per_device_train_batch_size", "2")
    assert forked(log, adapter_sft, tmp_path / "whole", rows, *flags, ranks=2) == [0, 0], log.read_text()[-3000:]
    flags += ("--resume_from_checkpoint", str(tmp_path / "whole/checkpoint-6"))  # inside the second epoch
    assert forked(log, adapter_sft, tmp_path / "run", rows, *flags, ranks=2) == [0, 0], log.read_text()[-3000:]
    assert_same(tmp_path / "run", tmp_path / "whole", after=6)


# Kills ----------------------------------------------------------------------------------------------------------------

KILLS = {  # with --save_total_limit 1; counted so that the second checkpoint is hit, or the save at the run's end
    "while it writes the optimizer": ("torch.save", 6),
    "while it flushes": ("os.fsync", 26),
    "before the rename": ("pathlib.Path.rename", 2),
    "before the old checkpoint goes": ("pathlib.Path.rename", 3),
    "while the old checkpoint goes": ("shutil.rmtree", 7),
    "while it publishes the end": ("pathlib.Path.replace", 3),
}


@pytest.mark.parametrize("where, call", KILLS.values(), ids=KILLS)
def test_a_killed_run_loses_at_most_one_save_interval(rows, whole, tmp_path, where, call):
    flags = (*BY_FOUR, "--save_total_limit", "1")
    out = tmp_path / "run"
    assert forked(tmp_path / "log", dies, where, call, out, rows, *flags) == [-signal.SIGKILL]
    reached = max(curve(out))
    assert (out / STAGING).exists(), "it was killed while it saved"
    assert not (out / "config.json").exists(), "what is half published is no checkpoint to anyone"
    sft(out, rows, *flags, *LATEST)
    assert reached - resumed_step(out) <= 2
    assert_same(out, whole)
    assert [path.name for path in checkpoints_in(out)] == ["checkpoint-8"] and not (out / STAGING).exists()


def test_a_kill_between_the_two_renames_of_a_replacement_is_undone(whole, tmp_path):
    """A checkpoint that is written again: the old one has gone aside, the new one is not yet there."""
    aside = tmp_path / STAGING / "checkpoint-2.replaced"
    shutil.copytree(whole / "checkpoint-2", aside)
    assert checkpoint_to_resume("latest", tmp_path) == tmp_path / "checkpoint-2"


def test_sigterm_saves_without_evaluating_and_exits_with_75(rows, whole, tmp_path):
    out = tmp_path / "run"
    flags = (*BY_FOUR, "--save_strategy", "epoch", "--eval_strategy", "epoch", "--eval_datasets", str(rows))
    assert forked(tmp_path / "log", is_told_to_stop, "0", 3, out, rows, *flags) == [75]
    assert [path.name for path in checkpoints_in(out)] == ["checkpoint-4"]
    assert "--resume_from_checkpoint latest" in (tmp_path / "log").read_text()
    assert not [record for record in metrics(out) if "eval_loss" in record], "the grace is for saving"
    sft(out, rows, *flags, *LATEST)
    assert resumed_step(out) == 4
    assert_same(out, whole)


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
        assert "checkpoint-8 is passed over" in caplog.text and name in caplog.text
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
    assert check_whole(tmp_path / "checkpoint-8") is not None


def test_a_run_falls_back_behind_damage_and_ends_the_same(rows, whole, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(whole, out)
    (out / "checkpoint-8/scheduler.pt").unlink()
    _truncate(out / "checkpoint-6/model.safetensors")
    sft(out, rows, *BY_FOUR, *LATEST)
    assert resumed_step(out) == 4
    assert_same(out, whole)
    assert [check_whole(path) for path in checkpoints_in(out)] == [None] * 4, "the damaged ones were written again"


@pytest.mark.parametrize("name", ["optimizer.pt", "scheduler.pt", "trainer_state.json"])
def test_a_checkpoint_without_optimizer_or_scheduler_is_refused(whole, tmp_path, name):
    """Even one that was published like that: a run would go on, but as another run."""
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
    """8 was damaged; the run went on from 4 and has saved 6."""
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
        "--eval_datasets",
        str(rows),
    )
    trainer = trainer_of(tmp_path, rows, *flags, generation_eval=lambda model: {"exact_match": next(scores)})
    trainer.train()
    best = tmp_path / "checkpoint-4"
    assert trainer.state.best_model_checkpoint == str(best) and check_whole(best) is None
    shutil.copytree(best, tmp_path / "kept")
    trainer.save_model(str(tmp_path))
    average = load_file(tmp_path / "kept/ema.safetensors")
    ours, averaged, saved = tensors(tmp_path), trainer.average.average, load_file(tmp_path / "kept/model.safetensors")
    assert all(torch.equal(ours[name], saved[name]) for name in saved)
    assert all(torch.equal(averaged[name], average[name]) for name in average)


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
        RunError, match=r"a checkpoint takes 1\d,\d{3},\d{3} bytes and 3,500,000 are free. There was no"
    ):
        sft(tmp_path / "to resume from", rows, *BY_FOUR)


def test_a_log_line_that_does_not_fit_leaves_no_half_line(tmp_path):
    """A file may have 20 bytes, a line has 12: as much of the second as fits is written, and taken back."""
    path = tmp_path / "metrics.jsonl"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, hard))
    try:
        append_json_line(path, {"step": 1})
        with pytest.raises(RunError, match=r"cannot write a line of 12 bytes to .*metrics.jsonl .*: make room"):
            append_json_line(path, {"step": 2})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_text() == '{"step": 1}\n'
