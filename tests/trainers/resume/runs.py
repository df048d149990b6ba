"""Runs that are stopped, killed or signalled in processes of their own, and what they left."""

import os
import pkgutil
import signal
import socket
import sys
import time
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from transformers import Trainer, set_seed
from transformers.models.hrm_text.modeling_hrm_text import HrmTextModel

from hrm_align.cli import run_with_exit_code
from hrm_align.data.tokenize import tokenized
from hrm_align.models.loading import load_model_and_tokenizer
from hrm_align.run import read_data
from hrm_align.trainers.callbacks import MetricsFile
from hrm_align.trainers.sft import SFTTrainer
from hrm_align.trainers.sft_config import parse_sft
from recipes.sft import main
from tests.forks import PRELOADED, Fork
from tests.trainers.recipe_runs import arguments, metrics

LATEST = ("--resume_from_checkpoint", "latest")
AUTO = ("--resume_from_checkpoint", "auto")
STEPS = (
    "--max_steps",
    "8",
    "--save_steps",
    "2",
    "--learning_rate",
    "1e-3",
    "--logging_steps",
    "1",
    "--save_total_limit",
    "0",
)
WARM_UP = ("--bp_min_steps", "2", "--bp_max_steps", "5", "--bp_warmup_ratio", "1")  # longer at steps 3, 6 and 8
STABILISED = (*STEPS, *WARM_UP, "--ema_decay", "0.9")
# 20 rows make 5 of these steps an epoch, so that checkpoints 2 and 4 lie inside the first, 6 inside the second.
BY_FOUR = (*STABILISED, "--per_device_train_batch_size", "4")
ACCUMULATED = (*STABILISED, "--per_device_train_batch_size", "1", "--gradient_accumulation_steps", "4")


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


def child(run, *args) -> None:
    """What a process of its own does: a function, and the exit code of the command line."""
    sys.exit(run_with_exit_code(lambda _: run(*args), ()))


def start(log: Path, environment: dict[str, str], run, *args) -> Fork:
    """Start a function in a process of its own, with more variables in its environment and its words in a file."""
    own = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    return PRELOADED.call(child, run, *args, env=own, out=log, err=log)


def started(log: Path, run, *args, ranks: int = 1) -> list[Fork]:
    """Start a function in processes of their own, as a launcher would, without its seconds of imports."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": ranks, "LOCAL_WORLD_SIZE": ranks, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    shared["ACCELERATE_USE_CPU"] = "true"
    processes = []
    for rank in range(ranks):
        own = {name: str(value) for name, value in {**shared, "RANK": rank, "LOCAL_RANK": rank}.items()}
        processes.append(start(log, own if ranks > 1 else {}, run, *args))
    return processes


def forked(log: Path, run, *args, ranks: int = 1) -> list[int]:
    """Call a function in processes of their own. Their exit codes."""
    processes = started(log, run, *args, ranks=ranks)
    for process in processes:
        process.join(120)
        process.kill()  # if it hangs; the others have ended
    return [process.exitcode for process in processes]


def dies(where: str, named: str, out: Path, data: Path, *flags: str) -> None:
    """Run the recipe until a function is called with this in one of its arguments: there it gets SIGKILL."""
    owner, name = pkgutil.resolve_name(where.rpartition(".")[0]), where.rpartition(".")[2]
    stock = getattr(owner, name)

    def lethal(*args, **kwargs):
        if any(named in str(argument) for argument in (*args, *kwargs.values())):
            os.kill(os.getpid(), signal.SIGKILL)
        return stock(*args, **kwargs)

    setattr(owner, name, lethal)
    main(arguments(out, data, *flags))


def dies_behind(step: int, out: Path, data: Path, *flags: str) -> None:
    """Run the recipe until a step has been logged: there it gets SIGKILL, before anything is saved."""
    stock = MetricsFile.on_log

    def lethal(self, args, state, *rest, **kwargs):
        stock(self, args, state, *rest, **kwargs)
        if state.global_step == step:
            os.kill(os.getpid(), signal.SIGKILL)

    MetricsFile.on_log = lethal
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


def saves_late(out: Path, data: Path, *flags: str) -> None:
    """Run the recipe on several processes, the first of which, which saves, comes to it a second after the others."""
    stock = Trainer._save

    def late(self, *args, **kwargs):
        if os.environ["RANK"] == "0":
            time.sleep(1)
        return stock(self, *args, **kwargs)

    Trainer._save = late
    main(arguments(out, data, *flags))


def is_signalled_at(where: str, call: int, number: int, out: Path, data: Path, *flags: str) -> None:
    """Run the recipe and send this process a signal when it uses a function for the nth time; count its forwards after."""
    owner, name = pkgutil.resolve_name(where.rpartition(".")[0]), where.rpartition(".")[2]
    stock, calls = getattr(owner, name), iter(range(1, 1000))

    def signalled(*args, **kwargs):
        if next(calls) == call:
            os.kill(os.getpid(), number)
            forward = HrmTextModel.forward
            HrmTextModel.forward = lambda *args, **kwargs: print("one more forward") or forward(*args, **kwargs)
        return stock(*args, **kwargs)

    setattr(owner, name, signalled)
    main(arguments(out, data, *flags))


def is_stopped_and_dies(where: str, named: str, out: Path, data: Path, *flags: str) -> None:
    """Run the recipe, send it SIGTERM behind step 3, and SIGKILL when a function is then called with this as an argument."""
    owner, name = pkgutil.resolve_name(where.rpartition(".")[0]), where.rpartition(".")[2]
    stock, log = getattr(owner, name), MetricsFile.on_log

    def lethal(*args, **kwargs):
        if any(named in str(argument) for argument in (*args, *kwargs.values())):
            os.kill(os.getpid(), signal.SIGKILL)
        return stock(*args, **kwargs)

    def stopping(self, args, state, *rest, **kwargs):
        log(self, args, state, *rest, **kwargs)
        if state.global_step == 3:
            os.kill(os.getpid(), signal.SIGTERM)
            setattr(owner, name, lethal)

    MetricsFile.on_log = stopping
    main(arguments(out, data, *flags))
