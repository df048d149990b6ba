"""The preflight lists rows that no reward can grade or that a reward grades incorrectly."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rich.console import Console

from hrm_align.data.dataset import DatasetSpec, load_examples
from hrm_align.errors import UserError
from hrm_align.rewards.preflight import preflight
from hrm_align.rewards.suite import RewardSpec, RewardSuite
from tests.command_line import run
from tests.rewards.rows import row, skip_without_sandbox
from tests.trainers.grpo_runs import SMALL, prompts


def rows(*references: str) -> list:
    return [row(reference, f"rows.jsonl:{line}") for line, reference in enumerate(references, start=1)]


def checked(entries, examples, **settings):
    with RewardSuite([RewardSpec.of(entry) for entry in entries], workers=1) as suite:
        return preflight(suite, examples, **settings)


def test_a_data_set_whose_boxes_json_has_ruined_is_refused_with_the_cause(tmp_path: Path):
    """The fault of 17,592 rows: a backslash that was not doubled, in a file that is otherwise sound."""
    path = tmp_path / "rows.jsonl"
    sound = json.dumps({"prompt": "?", "response": r"so \boxed{5}"})
    ruined = sound.replace(r"\\boxed", r"\boxed")
    assert ruined != sound
    path.write_text("\n".join([ruined, sound, ruined.replace(r"\b", "b"), ruined]) + "\n")
    report = checked(["math", {"name": "format", "pattern": ".*"}], load_examples([DatasetSpec(str(path))])[0])
    assert (report.rows, report.failing, report.rewards["math"].counts) == (4, 3, {"ungradable": 3})
    with pytest.raises(UserError) as error:
        report.require(0.5)
    text = str(error.value)
    assert text.startswith("3 of 4 rows fail the preflight") and "at most 50.0% are allowed" in text
    assert (
        f"math: {path}:1: the reference contains a backspace" in text
        and f"{path}:3: the reference contains `boxed{{`" in text
    )
    assert r"the backslash of \boxed was not escaped" in text and r"Write \\boxed" in text
    report.require(0.75)


def test_rows_on_which_a_wrong_answer_is_paid_are_caught(tmp_path: Path):
    """A query that finds nothing is as good as any other that does; one result is learnt by heart."""
    (tmp_path / "t.sql").write_text("CREATE TABLE t (a); INSERT INTO t VALUES (1);")
    at = str(tmp_path / "rows.jsonl")
    queries = [row(f"SELECT a FROM t WHERE a = {a}", f"{at}:{a}", database="t.sql") for a in (1, 2)]
    program = "def f(a): return a * a"
    programs = [
        row(program, f"{at}:{len(tests)}", call="f", tests=tests) for tests in ([[[1], 1]], [[[1], 1], [[2], 4]])
    ]
    by_heart = "def f(argument0): return 1"
    skip_without_sandbox()
    for name, examples, place, wrong in (("sql", queries, 2, "SELECT NULL WHERE 0"), ("code", programs, 1, by_heart)):
        report = checked([name], examples)
        assert (report.failing, report.rewards[name].counts) == (1, {"corrupted_passes": 1})
        assert report.named == [f"{name}: {at}:{place}: the wrong answer {wrong!r} gets 1.0 instead of 0"]
        with pytest.raises(UserError, match="1 of 2 rows fail the preflight"):
            report.require(0.0)


def test_a_right_answer_that_its_own_reward_refuses_is_caught(tmp_path: Path):
    (tmp_path / "schema.json").write_text('{"required": ["b"]}')
    entry = {"name": "json_fields", "schema": str(tmp_path / "schema.json")}
    report = checked([entry], rows('{"a": 1}', '{"b": 1}'))
    assert report.rewards["json_fields"].counts == {"gold_fails": 1}
    assert "rows.jsonl:1: the reference" in report.named[0] and "gets 0 instead of 1" in report.named[0]


def test_a_row_fails_only_if_no_verifiable_reward_can_grade_it():
    report = checked(["json", "numeric", {"name": "length", "most": 9}], rows('{"a": 1}', "5", "five"))
    assert [report.rewards[name].gradable for name in ("json", "numeric", "length")] == [2, 2, 3]  # 5 is JSON, too
    assert (report.failing, report.named) == (1, ["json: rows.jsonl:3: the reference cannot be graded"])


def test_a_reward_that_cannot_tell_right_from_wrong_is_only_averaged(tmp_path: Path):
    (tmp_path / "own.py").write_text("def reward(completions): return [float(len(text)) for text in completions]")
    report = checked([{"file": str(tmp_path / "own.py")}], rows("a", "abc"))
    assert (report.failing, report.rewards["reward"].mean, report.rewards["reward"].verifiable) == (0, 2.0, False)


def test_a_sample_is_drawn_by_its_seed_and_a_report_is_json():
    examples = rows(*map(str, range(200)))
    first, again, other = (checked(["exact", "math"], examples[:190], limit=100, seed=seed) for seed in (0, 0, 1))
    assert first.to_dict() == again.to_dict() == json.loads(json.dumps(first.to_dict()))
    assert (first.rows, first.failing, other.rows) == (100, 0, 100)
    console = Console(width=100, record=True, quiet=True)
    console.print(first.render())


def grpo(capsys, folder: Path, body: str, *flags: str) -> tuple[int, str, str]:
    """Train for one step with the rewards `exact` and a user's function."""
    (folder / "own.py").write_text(
        f"def boom(completions, reference):\n    {body}\n    return [0.5 for _ in reference]\n"
    )
    recipe = folder / "recipe.yaml"
    recipe.write_text(f"rewards: [exact, {{file: {folder / 'own.py'}, function: boom}}]")
    data = prompts(folder)
    given = ("--config", recipe, "--model_name_or_path", "tiny", "--datasets", data, "--output_dir", folder / "run")
    return run(capsys, "grpo", *given, *SMALL[2:], "--max_steps", "1", "--preflight_samples", "18", *flags)


def test_a_reward_that_fails_on_every_row_is_refused_with_its_exception_whatever_the_others_say(capsys, tmp_path: Path):
    """`exact` grades every row, so that no row fails: the run would go on, and one of its rewards would be dead."""
    code, _, err = grpo(capsys, tmp_path, "raise KeyError('nope')", "--max_ungraded_fraction", "1")
    assert code == 2 and "error: the reward boom failed on all 18 rows of the preflight:" in err
    assert f"{tmp_path / 'prompts.jsonl'}:1: the reward failed (raised): own.py:2: KeyError: 'nope'" in err
    assert "cannot be graded" not in err and "Correct the rows" not in err
    assert not (tmp_path / "run/metrics.jsonl").exists()


def test_a_reward_that_fails_on_some_rows_is_recorded_with_its_exception(capsys, tmp_path: Path):
    code, _, err = grpo(capsys, tmp_path, "if '16' in reference: raise KeyError('nope')")
    assert code == 0, err
    report = json.loads((tmp_path / "run/run/preflight.json").read_text())
    where = f"{tmp_path / 'prompts.jsonl'}:1: the reward failed (raised): own.py:2: KeyError: 'nope'"
    assert report["first_fault"] == {"boom": {"raised": where}} and report["rewards"]["boom"]["first"] == {
        "reward_fails": where
    }
    assert report["rewards"]["boom"]["failed"] == report["faults"]["boom"]["raised"] == 1
    assert "own.py:2: KeyError: 'nope'" in err


def test_a_failing_reward_is_named_beside_the_rows_that_it_fails_on(capsys, tmp_path: Path):
    (tmp_path / "rows.jsonl").write_text("".join(f'{{"prompt": "?", "response": "{n}"}}\n' for n in (1, 2)))
    (tmp_path / "own.py").write_text("def boom(reference): return [1 / (int(n) - 1) for n in reference]")
    words = ("--file", tmp_path / "own.py", "--function", "boom", "--data", tmp_path / "rows.jsonl", "--preflight")
    code, _, err = run(capsys, "rewards", *words)
    assert code == 2 and err.startswith("error: 1 of 2 rows fail the preflight") and "at most 0.0% are allowed" in err
    assert "rows.jsonl:1: the reward failed (raised): own.py:1: ZeroDivisionError: division by zero" in err
    assert "Correct the rows or the reward that failed" in err and "--max_ungraded" not in err, (
        "this command has no such option"
    )


def test_a_reward_that_cannot_bear_an_empty_answer_is_told_that_the_row_has_none(capsys, tmp_path: Path):
    (tmp_path / "rows.jsonl").write_text('{"prompt": "?"}\n')
    (tmp_path / "own.py").write_text("def boom(completions): return [float(text.split()[0]) for text in completions]")
    words = ("--file", tmp_path / "own.py", "--function", "boom", "--data", tmp_path / "rows.jsonl", "--preflight")
    _, _, err = run(capsys, "rewards", *words)
    assert (
        "own.py:1: IndexError: list index out of range (on an empty completion, since the row has no reference)" in err
    )
