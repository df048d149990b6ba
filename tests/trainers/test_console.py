"""What a run prints: aligned lines whose numbers are those of metrics.jsonl, plain in a pipe, never torn on a terminal."""

import json
import logging
import os
import re
import subprocess
import sys
import time
from types import SimpleNamespace

import psutil
import pytest

from hrm_align import progress
from hrm_align.data.dataset import DatasetSpec, load_examples
from hrm_align.errors import RunError
from hrm_align.trainers.console import TrainingConsole
from hrm_align.trainers.log_table import compact, significant, whole
from hrm_align.trainers.sft import SFTTrainer
from tests.command_line import run
from tests.terminal import WIDTH, terminal_as_stderr
from tests.trainers.grpo_runs import grpo, prompts
from tests.trainers.recipe_runs import metrics, sft, write_rows

ROWS = [{"prompt": f"say {n}", "response": f"{n} {n}"} for n in range(24)]
STEPS = ("--max_steps", "5", "--logging_steps", "2", "--per_device_train_batch_size", "4", "--max_length", "64",
         "--save_steps", "2")  # fmt: skip
EVALUATED = ("--eval_fraction", "0.3", "--eval_strategy", "steps", "--eval_steps", "2", "--generation_eval_samples", "3",
             "--max_new_tokens", "4")  # fmt: skip


@pytest.fixture
def rows(tmp_path, monkeypatch):
    """Rows in the current folder, so that no path on the console is long."""
    monkeypatch.chdir(tmp_path)
    write_rows(tmp_path / "rows.jsonl", ROWS)
    return "rows.jsonl"


def table(err: str) -> list[dict[str, str]]:
    """The lines below each header, as texts by column: each text ends where its title ends."""
    lines, titles = [], []
    for line in err.splitlines():
        if line.split()[:1] == ["step"]:
            titles = [(found.group(), found.end()) for found in re.finditer(r"zero var|\S+", line)]
        elif titles and re.match(r" *\d+/\d+", line):
            ends = {found.end(): found.group() for found in re.finditer(r"\S+", line)}
            lines.append({title: ends.pop(end, "") for title, end in titles})
            assert not ends, f"{ends} stand under no title: {line}"
    return lines


def assert_plain(err: str) -> None:
    assert "\r" not in err and "\x1b" not in err
    assert max(map(len, err.splitlines())) <= WIDTH, max(err.splitlines(), key=len)


def test_every_log_of_fine_tuning_is_a_plain_line_with_its_values(rows, tmp_path, capsys):
    sft(tmp_path / "run", rows, "--output_dir", "run", *STEPS, *EVALUATED, "--disable_tqdm", "false")
    err = capsys.readouterr().err
    assert_plain(err)
    lines, records = table(err), metrics(tmp_path / "run")
    trained = [record for record in records if "loss" in record]
    shown = [line for line in lines if line["loss"]]
    assert [line["step"] for line in shown] == ["1/5", "2/5", "4/5"] and len(trained) == 3
    for line, record in zip(shown, trained, strict=True):
        assert (line["loss"], line["rate"]) == (significant(record["loss"]), f"{record['learning_rate']:.1e}")
        assert re.fullmatch(r"[\d,]+", line["tokens/s"]) and re.fullmatch(r"\d+:\d\d", line["left"])
    loss = {record["step"]: record["eval_loss"] for record in records if "eval_loss" in record}
    score = {record["step"]: record for record in records if "eval_exact_match" in record}
    held_out = [line for line in lines if line["held-out"]]
    assert [line["step"] for line in held_out] == ["2/5", "4/5", "5/5"] and [*loss] == [2, 4, 5]
    for line in held_out:
        step = int(line["step"].split("/")[0])
        assert line["held-out"] == significant(loss[step]) and line["n"] == "3"
        assert line["exact_match"] == significant(score[step]["eval_exact_match"])
    printed = err.splitlines()
    for stage in (
        "reading rows.jsonl",
        "loading the model tiny",
        "saving checkpoint-4",
        "saving the model",
        "saved run",
    ):
        assert printed.count(stage) == 1
    assert re.fullmatch(
        r"trained 5 steps in 0:\d\d, [\d,]+ tokens/s", next(line for line in printed if "trained 5" in line)
    )
    last = max(place for place, line in enumerate(printed) if line.split()[:1] == ["5/5"])
    assert last < printed.index("saving checkpoint-5"), "an evaluation is printed as soon as it has ended"
    assert "{" not in err, "no dictionary is printed"


def test_a_resumed_run_counts_its_own_steps(rows, tmp_path, capsys):
    sft(tmp_path / "run", rows, "--output_dir", "run", *STEPS)
    assert "trained 5 steps" in capsys.readouterr().err
    resumed = ("--max_steps", "7", "--resume_from_checkpoint", "latest")
    sft(tmp_path / "run", rows, "--output_dir", "run", *STEPS[2:], *resumed)
    err = capsys.readouterr().err
    assert "resuming from run/checkpoint-5" in err.splitlines() and "trained 2 steps" in err
    assert [line["step"] for line in table(err)] == ["6/7"]


@pytest.mark.numeric
def test_reinforcement_learning_shows_the_reward_and_its_components_instead_of_a_loss(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    prompts(tmp_path)
    both = ("--rewards", "{name: exact, label: right}", "{name: numeric, weight: 0.5}")
    grpo(tmp_path / "run", "prompts.jsonl", "--output_dir", "run", *both, "--max_steps", "2", "--logging_steps", "1",
         "--eval_datasets", "prompts.jsonl", "--eval_strategy", "steps", "--eval_steps", "2",
         "--generation_eval_samples", "3")  # fmt: skip
    err = capsys.readouterr().err
    assert_plain(err)
    lines, records = table(err), metrics(tmp_path / "run")
    shown = [line for line in lines if line["reward"]]
    for line, record in zip(shown, [record for record in records if "reward" in record], strict=True):
        assert "loss" not in line and abs(record["loss"]) < 1e-6
        assert line["reward"] == compact(record["reward"], 4, 7) and line["std"] == compact(record["reward_std"])
        for title, name in (("right", "right"), ("numeric", "numeric")):
            assert line[title] == compact(record[f"rewards/{name}/mean"])
        assert line["zero var"] == compact(record["groups/without_signal"])
        assert line["length"] == compact(record["completions/mean_length"], 1)
    [held_out] = [line for line in lines if line["held-out"]]
    [scored] = [record for record in records if "eval_reward" in record]
    assert held_out["held-out"] == significant(scored["eval_reward"])
    assert held_out["right"] == compact(scored["eval_rewards/right"])


def test_messages_and_bars_do_not_tear_each_other(rows, tmp_path, monkeypatch):
    """Warnings of three kinds come while bars are drawn, from a logger that has had its stream since before."""
    real = SFTTrainer.training_step

    def step(self, *args, **kwargs):
        print(f"printed at {self.state.global_step}", file=sys.stderr)
        early.warning("logged at %d", self.state.global_step)
        time.sleep(0.15)  # for the bar to be drawn
        return real(self, *args, **kwargs)

    monkeypatch.setattr(SFTTrainer, "training_step", step)
    monkeypatch.setattr(progress, "LONG", 0)
    early = logging.getLogger("hrm_align.tests.early")
    with terminal_as_stderr(monkeypatch) as terminal:
        handler = logging.StreamHandler()
        early.addHandler(handler)
        try:
            sft(tmp_path / "run", rows, "--output_dir", "run", *STEPS, *EVALUATED, "--disable_tqdm", "false")
            assert type(sys.stderr).__name__ == "TextIOWrapper", "the stream is restored"
        finally:
            early.removeHandler(handler)
    assert "━" in terminal.raw and "training" in terminal.raw and "evaluating" in terminal.raw
    screen = terminal.screen
    assert not any("━" in line or "training " in line for line in screen), "no bar is left"
    for number in range(5):
        assert screen.count(f"printed at {number}") == 1 and screen.count(f"logged at {number}") == 1
    assert len([line for line in table("\n".join(screen)) if line["loss"]]) == 3
    assert screen.count("saving checkpoint-2") == 1 and "score it: hrm-align evaluate run" in screen


def test_a_failed_run_takes_its_bar_away(rows, tmp_path, monkeypatch):
    def fail(*args, **kwargs):
        raise RunError("the step has failed")

    monkeypatch.setattr(SFTTrainer, "training_step", fail)
    with terminal_as_stderr(monkeypatch) as terminal:
        stream = sys.stderr
        with pytest.raises(RunError):
            sft(tmp_path / "run", rows, "--output_dir", "run", *STEPS, "--disable_tqdm", "false")
        assert sys.stderr is stream
        print("error: the step has failed", file=sys.stderr)
    assert "training" in terminal.raw and not any("training " in line for line in terminal.screen)
    assert "error: the step has failed" in terminal.screen


def test_disable_tqdm_means_no_bar(rows, tmp_path, monkeypatch):
    with terminal_as_stderr(monkeypatch) as terminal:
        sft(tmp_path / "run", rows, "--output_dir", "run", *STEPS, "--disable_tqdm", "true")
    assert "━" not in terminal.raw and "\x1b" not in terminal.raw and len(table("\n".join(terminal.screen))) == 3


def test_a_forked_process_prints_while_a_bar_is_drawn(monkeypatch):
    with terminal_as_stderr(monkeypatch) as terminal:
        bar = progress.Bar("working", 2)
        child = os.fork()
        if not child:
            print("from the child", file=sys.stderr, flush=True)
            os._exit(0 if progress.Bar is not None and type(sys.stderr).__name__ == "TextIOWrapper" else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        bar.close()
    assert "from the child" in terminal.raw


@pytest.mark.parametrize("steps", [60, 300_000, 9_999_999])
@pytest.mark.parametrize("rewards", [
    [],
    ["exact"],
    ["json_schema_is_valid", "json_schema_matches"],
    [f"a_reward_with_a_long_name_{number}" for number in range(9)],
])  # fmt: skip
def test_lines_fit_80_columns_and_shortened_titles_are_explained(steps, rewards, capsys, monkeypatch):
    trainer = SimpleNamespace(_total_train_tokens=10**9, state=SimpleNamespace(num_input_tokens_seen=0))
    console = TrainingConsole(trainer, shows_bar=False)
    args = SimpleNamespace(eval_strategy="steps", eval_on_start=False, torch_compile=False, generation_eval_samples=9,
                           generation_eval_match="numeric")  # fmt: skip
    state = SimpleNamespace(max_steps=steps, global_step=steps - 1, is_world_process_zero=True)
    seconds = iter(range(100))
    monkeypatch.setattr("hrm_align.trainers.console.time", SimpleNamespace(perf_counter=lambda: next(seconds)))
    for event in (console.on_train_begin, console.on_step_begin, console.on_step_end):
        event(args, state, None)
    logs = {"loss": -0.00123 if rewards else 0.00123, "learning_rate": 3e-5, "kl": 0.0123}
    if rewards:
        logs |= {"reward": -10.5, "reward_std": 0.5, "groups/without_signal": 0.125, "completions/mean_length": 1024.5}
    trainer._total_train_tokens += 1_234_567
    console.on_log(args, state, None, logs | {f"rewards/{name}/mean": -0.5 for name in rewards})
    scored = (
        {"eval_reward": 0.5, **{f"eval_rewards/{name}": 0.5 for name in rewards}} if rewards else {"eval_loss": 2.0}
    )
    console.on_log(args, state, None, scored)
    if not rewards:
        console.on_log(args, state, None, {"eval_numeric_match": 0.25})
    err = capsys.readouterr().err
    assert_plain(err)
    [line, held_out] = table(err)
    assert line["step"] == f"{steps - 1}/{steps}" and held_out["held-out"]
    if rewards:
        assert line["reward"] == "-10.500"
    else:
        assert (line["loss"], line["tokens/s"]) == ("1.23e-03", "1,234,567")
    short = dict(re.findall(r"(\S+) is (\S+?)(?=;|\s|$)", " ".join(err.split())))
    hidden = " ".join(err.split()).partition("in metrics.jsonl only: ")[2]
    for name in rewards:
        title = next((title for title, whole_title in short.items() if whole_title == name), name)
        assert line.get(title) == "-0.500" or name in hidden


def test_the_first_line_comes_within_a_second_of_cpu_time(rows):
    """The libraries take seconds to import; nothing slow comes before the line."""
    words = [sys.executable, "-m", "hrm_align.cli", "sft", "--config", "tiny/sft", "--output_dir", "run"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env=environment) as started:
        first, second = started.stderr.readline(), started.stderr.readline()
        times = psutil.Process(started.pid).cpu_times()
        started.kill()
    assert first.startswith("hrm_align ") and first.endswith(": sft tiny/sft\n") and second == "loading libraries\n"
    assert times.user + times.system < 1


def test_a_command_counts_what_takes_long_and_keeps_its_result_clean(rows, capsys, monkeypatch):
    words = ("evaluate", "--model", "tiny", "--data", rows, "--limit", 3, "--max_new_tokens", 2, "--json")
    code, out, err = run(capsys, *words)
    assert (code, json.loads(out)["n"], err) == (0, 3, "")
    monkeypatch.setattr(progress, "EVERY", 0)
    code, out, err = run(capsys, *words)
    assert code == 0 and json.loads(out)["n"] == 3
    assert "reading rows.jsonl: 24 rows after 0 s" in err and "generating answers: 3 of 3 answers" in err
    assert_plain(err)


def test_a_program_that_uses_the_library_prints_nothing(rows, capsys, monkeypatch):
    monkeypatch.setattr(progress, "EVERY", 0)
    load_examples([DatasetSpec(path=rows)])
    assert capsys.readouterr() == ("", "")


def test_numbers_are_formatted_for_people():
    assert [significant(value) for value in (7.24599, 0.0123456, 0.0012, 12345.6, 0.0, float("nan"))] == [
        "7.246", "0.01235", "1.20e-03", "12346", "0", "nan"]  # fmt: skip
    assert [compact(value) for value in (0.51239, -0.0034, 1024.55, 1234567.0)] == [
        "0.512",
        "-0.003",
        "1024.5",
        "1e+06",
    ]
    assert whole(12345.6) == "12,346"
