"""A signal in any phase of a run or an export: it ends within seconds, what was trained is saved, and no process stays."""

import json
import os
import pkgutil
import signal
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType, SimpleNamespace

import psutil
import pytest

import hrm_align.run
from hrm_align.cli import dispatch
from hrm_align.export import stock
from hrm_align.models.loading import resolve
from hrm_align.trainers.checkpoints import checkpoints_in, find_damage
from recipes.export import main as export
from recipes.grpo import main as grpo
from recipes.sft import main as sft
from tests.trainers.grpo_runs import SMALL, prompts
from tests.trainers.recipe_runs import arguments, metrics, write_rows
from tests.trainers.resume.runs import BY_FOUR, LATEST, assert_same, started, tensors

SECONDS = 5.0  # the most that a run takes from a signal to its end; a step of these takes a tenth of a second
EVALUATED = ("--eval_strategy", "steps", "--eval_steps", "3", "--generation_eval_samples", "2", "--max_new_tokens", "8")
ON_START = (*EVALUATED, "--eval_on_start", "true")
GUARDED = ("--max_steps", "1", "--guard_samples", "2", "--max_new_tokens", "8")
DRAWN = ("--max_steps", "4", "--save_strategy", "steps", "--save_steps", "100")
GREEDY = (*DRAWN, "--eval_strategy", "steps", "--eval_steps", "2", "--generation_eval_samples", "4")

# Phase: the recipe, a function that the phase calls, the number of that call, and the settings.
BEFORE_TRAINING = {
    "reading": (sft, "hrm_align.run.load_examples", 1, ()),
    "tokenizing": (sft, "hrm_align.data.tokenize.TokenTables.documents", 1, ()),
    "guard sets before training": (sft, "hrm_align.rollouts.local.sample", 1, GUARDED),
    "checking the rewards": (grpo, "hrm_align.rewards.workers._Run.dispatch", 1, ("--preflight_samples", "4")),
}
# The same, and the step of the checkpoint.
IN_TRAINING = {
    "the first evaluation": (sft, "hrm_align.trainers.sft.SFTTrainer.prediction_step", 1, ON_START, 0),
    "the first generation evaluation": (sft, "hrm_align.rollouts.local.sample", 1, ON_START, 0),
    "the loss of held-out rows": (sft, "hrm_align.trainers.sft.SFTTrainer.prediction_step", 1, EVALUATED, 3),
    "generated answers": (sft, "hrm_align.rollouts.local.sample", 1, EVALUATED, 3),
    "grading the answers": (sft, "hrm_align.rewards.workers._Run.dispatch", 1, EVALUATED, 3),
    "a rollout": (grpo, "hrm_align.rollouts.groups.sample", 3, DRAWN, 2),
    "greedy answers": (grpo, "hrm_align.rollouts.local.sample", 1, GREEDY, 2),
}


def pauses(main: Callable, where: str, call: int, seconds: float, words: list[str], here: Path) -> None:
    """Run a command whose n-th call of a function takes so much longer; a file shows when that begins."""
    owner, name = pkgutil.resolve_name(where.rpartition(".")[0]), where.rpartition(".")[2]
    stock, calls = getattr(owner, name), iter(range(1, 10_000))

    def slow(*args, **kwargs):
        if next(calls) == call:
            here.touch()
            time.sleep(seconds)
        return stock(*args, **kwargs)

    setattr(owner, name, slow)
    runs(main, words)


def waits_for_a_thread(main: Callable, words: list[str], here: Path) -> None:
    """Run a command that waits for a thread of a library while it reads, as for a download, and cannot leave it."""

    def slow(*args, **kwargs):
        with ThreadPoolExecutor(1) as pool:
            pool.submit(lambda: time.sleep(0.3) or here.touch() or time.sleep(60)).result()

    hrm_align.run.load_examples = slow
    runs(main, words)


def runs(main: Callable, words: list[str], environment: Mapping[str, str] = MappingProxyType({})) -> None:
    """Run a command; Ctrl-C reaches it even where the tests run in the background."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # also under nohup
    os.environ.update(environment)
    main(words)


def asks(main: Callable, words: list[str], script: Path, environment: Mapping[str, str] = MappingProxyType({})) -> None:
    """Run a command that exports, with another script in the place of `stock.py`."""
    stock.__file__ = str(script)
    runs(main, words, environment)


def end_of(
    tmp_path: Path, run: Callable, *args, at: Path, numbers=(signal.SIGTERM,), ranks: int = 1
) -> SimpleNamespace:
    """Call a function in processes of their own, and send them the signals when a file appears. Exit code and output."""
    log = tmp_path / "log"
    processes = started(log, run, *args, ranks=ranks)
    end = time.monotonic() + 60
    while not at.exists():
        assert processes[0].is_alive() and time.monotonic() < end, log.read_text()[-3000:]
        time.sleep(0.01)
    others = [other for process in processes for other in psutil.Process(process.pid).children(recursive=True)]
    start = time.monotonic()
    for number in numbers:
        for process in processes:
            os.kill(process.pid, number)
        time.sleep(0.1 if len(numbers) > 1 else 0)
    for process in processes:
        process.join(30)
    seconds = time.monotonic() - start
    for process in processes:
        process.kill()
    said = log.read_text()
    assert seconds < SECONDS, f"{seconds:.1f} s\n{said[-3000:]}"
    assert psutil.wait_procs(others, timeout=2)[1] == [], "no process stays"
    assert "Traceback" not in said, said[-3000:]
    (code,) = {process.exitcode for process in processes}
    return SimpleNamespace(code=code, said=said)


def words_of(main: Callable, tmp_path: Path, rows: Path, *flags: str) -> list[str]:
    """The command line of a run in `tmp_path/run`, with held-out rows and guard sets where it uses them."""
    if main is grpo:
        data = prompts(tmp_path)
        flags = (*SMALL, "--eval_datasets", str(data), *flags) if "--eval_strategy" in flags else (*SMALL, *flags)
        return arguments(tmp_path / "run", data, *flags)
    if "--eval_strategy" in flags:
        flags = (*flags, "--eval_datasets", str(rows))
    if "--guard_samples" in flags:
        flags = (*flags, "--guard_datasets", str(rows))
    return arguments(tmp_path / "run", rows, *BY_FOUR, *flags)


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """Twenty rows with answers of other lengths."""
    made = [{"prompt": f"say {n}", "response": " ".join(["red", "oak"] * (1 + n % 3))} for n in range(20)]
    return write_rows(tmp_path_factory.mktemp("rows") / "rows.jsonl", made)


# Runs -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("main", "where", "call", "flags"), BEFORE_TRAINING.values(), ids=BEFORE_TRAINING)
def test_before_training_the_run_ends_at_once(rows, tmp_path, main, where, call, flags):
    words, here = words_of(main, tmp_path, rows, *flags), tmp_path / "here"
    end = end_of(tmp_path, pauses, main, where, call, 60, words, here, at=here)
    assert end.code == -signal.SIGTERM and end.said.count("stopped by SIGTERM") == 1
    assert not (tmp_path / "run/run/claim.json").exists() and checkpoints_in(tmp_path / "run") == []


def test_a_library_that_waits_for_its_threads_is_cut_off(rows, tmp_path):
    words, here = words_of(sft, tmp_path, rows), tmp_path / "here"
    end = end_of(tmp_path, waits_for_a_thread, sft, words, here, at=here)
    assert end.code == -signal.SIGTERM and end.said.count("stopped by a signal") == 1
    assert not (tmp_path / "run/run/claim.json").exists()


@pytest.mark.parametrize(("main", "where", "call", "flags", "step"), IN_TRAINING.values(), ids=IN_TRAINING)
def test_in_training_the_work_is_left_and_the_last_step_is_saved(rows, tmp_path, main, where, call, flags, step):
    out, words, here = tmp_path / "run", words_of(main, tmp_path, rows, *flags), tmp_path / "here"
    end = end_of(tmp_path, pauses, main, where, call, 60, words, here, at=here)
    assert end.code == 75 and end.said.count("stopped: SIGTERM") == 1, end.said[-3000:]
    assert not (out / "run/claim.json").exists()
    if not step:
        assert checkpoints_in(out) == [] and "nothing was saved" in end.said
        return
    assert checkpoints_in(out)[0] == out / f"checkpoint-{step}" and find_damage(out / f"checkpoint-{step}") is None
    record = json.loads((out / "run/preempted.json").read_text())
    assert (record["step"], record["is_in_output_dir"], record["exit_code"]) == (step, True, 75)


def test_two_processes_leave_the_grading_of_their_evaluation_together(rows, tmp_path):
    main, where, call, flags, step = IN_TRAINING["grading the answers"]
    words, here = words_of(main, tmp_path, rows, *flags, "--per_device_train_batch_size", "2"), tmp_path / "here"
    end = end_of(tmp_path, pauses, main, where, call, 60, words, here, at=here, ranks=2)
    assert end.code == 75 and find_damage(tmp_path / f"run/checkpoint-{step}") is None


def test_a_run_that_left_the_grading_of_its_evaluation_goes_on_exactly(rows, tmp_path):
    main, where, call, flags, _ = IN_TRAINING["grading the answers"]
    words, here = words_of(main, tmp_path, rows, *flags), tmp_path / "here"
    end_of(tmp_path, pauses, main, where, call, 60, words, here, at=here)
    logged = [record for record in metrics(tmp_path / "run") if any(name.startswith("eval_exact") for name in record)]
    assert logged == [], "an evaluation that was left logs no score"
    sft([*words, *LATEST])
    sft(arguments(tmp_path / "whole", rows, *BY_FOUR))
    assert_same(tmp_path / "run", tmp_path / "whole")
    assert not (tmp_path / "run/run/preempted.json").exists()


def test_a_reward_of_ten_seconds_is_left_and_the_run_goes_on_exactly(tmp_path):
    """With the signal that the settings name, which stands for SIGTERM, and dropout, which draws in every forward; the reward
    is slow in the third rollout only."""
    here, data, calls = tmp_path / "here", prompts(tmp_path), tmp_path / "calls"
    (tmp_path / "reward.py").write_text(
        "import time\nfrom pathlib import Path\n"
        f"here, calls = Path({str(here)!r}), Path({str(calls)!r})\n"
        "def long(completions, **columns):\n"
        "    with calls.open('a') as file:\n        file.write('x')\n"
        "    if calls.stat().st_size == 3:\n        here.touch()\n        time.sleep(10)\n"
        "    return [len(text) % 3 for text in completions]\n"
    )
    reward = ("--rewards", f"{{function: long, file: {tmp_path / 'reward.py'}}}", "--reward_deadline", "60")
    dropout = ("--use_peft", "true", "--lora_r", "4", "--lora_alpha", "4", "--lora_dropout", "0.2")
    flags = (*SMALL, *DRAWN, *reward, *dropout, "--preemption_signal", "USR1")
    words = arguments(tmp_path / "run", data, *flags)
    end = end_of(tmp_path, runs, grpo, words, at=here, numbers=[signal.SIGUSR1])
    assert end.code == 75 and "SIGUSR1: saved" in end.said
    grpo([*words, *LATEST])
    grpo(arguments(tmp_path / "whole", data, *flags))
    resumed, whole = tensors(tmp_path / "run"), tensors(tmp_path / "whole")
    assert [name for name in whole if not resumed[name].equal(whole[name])] == []


TWICE = {"one signal": [signal.SIGTERM], "more of them": [signal.SIGTERM, signal.SIGHUP, signal.SIGTERM]}


@pytest.mark.parametrize("numbers", TWICE.values(), ids=TWICE)
def test_a_save_is_finished_and_is_the_last(rows, tmp_path, numbers):
    """Step 2 is being saved; no third step is trained, and signals that come later change nothing."""
    out, here = tmp_path / "run", tmp_path / "here"
    words = words_of(sft, tmp_path, rows)
    where = "hrm_align.trainers.checkpoint_mixin.publish"
    end = end_of(tmp_path, pauses, sft, where, 1, 0.5, words, here, at=here, numbers=numbers)
    assert end.code == 75 and f"SIGTERM: saved {out / 'checkpoint-2'}" in end.said
    assert [path.name for path in checkpoints_in(out)] == ["checkpoint-2"] and find_damage(out / "checkpoint-2") is None
    assert json.loads((out / "run/preempted.json").read_text())["step"] == 2
    assert [record["step"] for record in metrics(out) if "loss" in record] == [1, 2]


def test_guard_sets_after_training_are_left_where_the_weights_are_saved(rows, tmp_path):
    words, here = words_of(sft, tmp_path, rows, *GUARDED), tmp_path / "here"
    end = end_of(tmp_path, pauses, sft, "hrm_align.rollouts.local.sample", 2, 60, words, here, at=here)
    assert end.code == 75 and "the guard sets were not scored" in end.said
    assert (tmp_path / "run/model.safetensors").exists()


ENDED = {
    "Ctrl-C while it reads": (BEFORE_TRAINING["reading"], signal.SIGINT, 130),
    "Ctrl-C while it answers": (IN_TRAINING["generated answers"], signal.SIGINT, 130),
    "Ctrl-C in a rollout": (IN_TRAINING["a rollout"], signal.SIGINT, 130),
    "a terminal that closes": (IN_TRAINING["grading the answers"], signal.SIGHUP, -signal.SIGHUP),
    "the scheduler's signal": (BEFORE_TRAINING["reading"], signal.SIGUSR1, -signal.SIGUSR1),
}


@pytest.mark.parametrize(("phase", "number", "code"), ENDED.values(), ids=ENDED)
def test_other_signals_end_a_run_in_one_sentence_too(rows, tmp_path, phase, number, code):
    main, where, call, flags, *_ = phase
    words, here = words_of(main, tmp_path, rows, *flags, "--preemption_signal", "USR1"), tmp_path / "here"
    end = end_of(tmp_path, pauses, main, where, call, 60, words, here, at=here, numbers=[number])
    sentence = "interrupted" if number == signal.SIGINT else f"stopped by {signal.Signals(number).name}"
    assert end.code == code and end.said.count(sentence) == 1, end.said
    assert not (tmp_path / "run/run/claim.json").exists()


# Exports --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def endless(tmp_path):
    """A script in the place of `stock.py`, which writes a file and does not end."""
    script = tmp_path / "stock.py"
    script.write_text(f"import time\nopen({str(tmp_path / 'here')!r}, 'w').close()\ntime.sleep(60)\n")
    return script


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, -signal.SIGTERM), (signal.SIGINT, 130)])
def test_an_export_takes_its_folder_and_its_process_with_it(tmp_path, endless, number, code):
    (tmp_path / "to").mkdir()
    words = [resolve("tiny"), "--to", str(tmp_path / "to/made"), "--max_new_tokens", "8"]
    end = end_of(tmp_path, asks, export, words, endless, at=tmp_path / "here", numbers=[number])
    assert end.code == code and end.said.count("stopped by SIGTERM" if code < 0 else "interrupted") == 1
    assert [*(tmp_path / "to").iterdir()] == []


def test_a_run_that_is_being_published_is_whole_and_says_how_to_publish_it(rows, tmp_path, endless):
    wish = ("--push_to_hub", "true", "--hub_model_id", "alice/mine", "--hub_private_repo", "true")
    words = words_of(sft, tmp_path, rows, "--max_steps", "1", "--max_new_tokens", "8", *wish)
    end = end_of(tmp_path, asks, sft, words, endless, {"HF_TOKEN": "hf_none"}, at=tmp_path / "here")
    assert end.code == 75 and "was not published to alice/mine" in end.said
    assert (tmp_path / "run/model.safetensors").exists()
    assert not [path for path in (tmp_path / "run").iterdir() if "export" in path.name]


# Other commands -------------------------------------------------------------------------------------------------------

COMMANDS = {
    "evaluate": ("hrm_align.rewards.workers._Run.dispatch", ("--model", "tiny", "--max_new_tokens", "8")),
    "headroom": ("hrm_align.rewards.workers._Run.dispatch", ("--model", "tiny", "--max_new_tokens", "8", "--rewards",
                 "exact", "--samples", "2", "--save", "saved.jsonl")),
    "rewards": ("hrm_align.rewards.workers._Run.dispatch", ("exact", "--preflight")),
    "generate": ("hrm_align.rollouts.local.sample", ("--model", "tiny", "--prompt", "Add 1 and 2.")),
}  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_leaves_no_file_and_no_process(rows, tmp_path, monkeypatch, command):
    where, flags = COMMANDS[command]
    (tmp_path / "at").mkdir()
    monkeypatch.chdir(tmp_path / "at")
    words = [command, *flags, *(() if command == "generate" else ("--data", str(rows)))]
    number, code = (signal.SIGINT, 130) if command == "rewards" else (signal.SIGTERM, -signal.SIGTERM)
    here = tmp_path / "here"
    end = end_of(tmp_path, pauses, dispatch, where, 1, 60, words, here, at=here, numbers=[number])
    assert end.code == code and end.said.count("interrupted" if code > 0 else "stopped by SIGTERM") == 1
    assert [*(tmp_path / "at").iterdir()] == []
