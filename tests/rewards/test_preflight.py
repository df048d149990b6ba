"""The preflight lists rows that no reward can grade or that a reward grades incorrectly."""

from __future__ import annotations

import json
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from hrm_align.data.dataset import DatasetSpec, load_examples
from hrm_align.errors import UserError
from hrm_align.rendering import Message
from hrm_align.rewards.answer_forms import FormCheck
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


def shown(report) -> list[str]:
    """Return the lines that a command prints for a report."""
    console = Console(width=80, file=StringIO())
    console.print(report.render())
    return console.file.getvalue().splitlines()


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
    report = checked(["json", "numeric", {"name": "length", "most": 9}], rows('{"a": 1}', "5", "five", '["x"]'))
    assert [report.rewards[name].gradable for name in ("json", "numeric", "length")] == [3, 2, 4]  # 5 is JSON, too
    assert (report.failing, report.named) == (1, ["json: rows.jsonl:3: the reference cannot be graded"])


def test_a_reward_that_cannot_tell_right_from_wrong_is_only_averaged(tmp_path: Path):
    (tmp_path / "own.py").write_text("def reward(completions): return [float(len(text)) for text in completions]")
    report = checked([{"file": str(tmp_path / "own.py")}], rows("a", "abc"))
    assert (report.failing, report.rewards["reward"].mean, report.rewards["reward"].verifiable) == (0, 2.0, False)


def test_a_sample_is_drawn_by_its_seed_and_a_report_is_json():
    examples = rows(*map(str, range(100)))
    first, again, other = (checked(["exact", "math"], examples[:90], limit=40, seed=seed) for seed in (0, 0, 1))
    assert first.to_dict() == again.to_dict() == json.loads(json.dumps(first.to_dict()))
    assert (first.rows, first.failing, other.rows) == (40, 0, 40)
    assert all(len(line) <= 80 for line in shown(first)) and any("reference fails" in line for line in shown(first))


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


SLOW = "a" * 60  # makes the pattern below backtrack exponentially
PATTERN = "^(?:(5)|[67](?:a+)+b)"


def test_late_answers_are_counted_apart_and_only_a_late_reference_fails(capsys, tmp_path: Path):
    """`5aaa` is read at once and its corruption `6aaa` is not: nothing is known about that row, and nothing is wrong."""
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps({"prompt": "?", "response": text}) + "\n" for text in ("5", f"5{SLOW}")))
    words = ("rewards", "answer", "--option", f"pattern={PATTERN}", "--deadline", "2", "--preflight", "--data", data)
    code, out, err = run(capsys, *words, "--json")
    report = json.loads(out)
    assert (code, report["failing"], report["rewards"]["answer"]["counts"]) == (0, 0, {"corrupted_late": 1}), err
    with data.open("a") as file:
        file.write(json.dumps({"prompt": "?", "response": f"7{SLOW}"}) + "\n")
    code, out, err = run(capsys, *words)
    assert code == 2 and "1 of 3 rows fail" in err and f"{data}:3: the reward failed (timeout)" in err
    assert "1 references were not graded in time. Give more time with `reward_deadline`" in err
    text = " ".join(out.split())
    assert "answer 3 3 0 0 2 0.667" in text and "a wrong answer does not get 0" not in text
    assert "answer, 1 row: a wrong answer is not graded in time, which says nothing about the row. First:" in text


def test_rows_that_a_deadline_cut_off_are_graded_again():
    """Four slow rows use up the deadline of their batch, and the four rows behind them are sound."""
    examples = rows(*[f"7{SLOW}"] * 4, *["5"] * 4)
    with RewardSuite([RewardSpec.of({"name": "answer", "pattern": PATTERN})], workers=1, deadline=1.0) as suite:
        report = preflight(suite, examples)
    assert (report.failing, report.rewards["answer"].counts) == (4, {"late": 4})


def test_three_rows_show_what_was_read():
    report = checked(["math"], rows("word " * 100, "1+1=2, so 2", *map(str, range(9))))
    readings = report.rewards["math"].readings
    assert [reading.source for reading in readings] == [f"rows.jsonl:{line}" for line in (1, 2, 3)]
    assert (readings[0].value, readings[0].corrupted) == (None, None)
    second = ("1+1=2, so 2", "2", 1.0, r"\boxed{3}", "3", 0.0)
    assert tuple(vars(readings[1]).values())[1:] == second
    lines = "\n".join(shown(report))
    assert "math, rows.jsonl:2\n  reference gets 1: '1+1=2, so 2' read as '2'\n" in lines
    assert r"  corrupted gets 0: '\boxed{3}' read as '3'" in lines and "reference gets no value: 'word word" in lines


def test_more_than_one_ungradable_reference_in_a_hundred_is_a_warning_whatever_is_allowed():
    good = [str(number) for number in range(100)]
    one, two = checked(["math"], rows(*good, "word " * 100)), checked(["math"], rows(*good, *["word " * 100] * 2))
    two.require(0.5)
    assert one.warnings == [] and one.failing == 1
    (warning,) = two.warnings
    assert warning.startswith("2 of 102 references (2.0%) cannot be graded") and "first math: rows.jsonl:101" in warning
    assert checked(["json", "answer"], rows("{", "[1]")).warnings == [], "another reward can grade these rows"


@pytest.mark.parametrize(
    "reward, reference, rule",
    [
        ("numeric", "3 apples and 4 pears", "as the last number of the text"),
        ("json", 'It is {"a": 1} here.', "from the part that looks like code, JSON or a query"),
        ("answer", "so it is red", "from the last line"),
    ],
)
def test_references_that_are_read_by_a_fallback_are_named(reward: str, reference: str, rule: str):
    (warning,) = checked([reward], rows(reference)).warnings
    assert warning.startswith(f"{reward}: 1 of 1 references mark no answer") and rule in warning
    assert "first rows.jsonl:1" in warning


BOX = r"Put it in \boxed{}."
FORMS = [  # prompt, reference, reward, the beginning of the warning, or of the note, or nothing
    (BOX, r"\boxed{7}", "math", "", ""),
    (BOX, "#### 7", "math", r"1 of 1 prompts that request \boxed{} have a reference without it (first rows.jsonl:1)", ""),
    (BOX, "7", "exact", r"1 of 1 prompts that request \boxed{} have a reference without it, and of 1 references graded", ""),
    (BOX, "7", "math", "", r"1 prompts request \boxed{}, and their references are bare answers; 1 of them were graded"),
    ("What is 3 + 4?", "#### 7", "math", "", ""),
    ("What is 3 + 4?", "#### 7", "exact", "references with #### whose prompts do not request it: 1. Without ####, 1 of 1", ""),
    ("Answer in <answer> tags.", "A: 7", "math", "1 of 1 prompts that request <answer>", ""),
    ("End with: #### number", "It is 7.\nA: 7", "numeric", "1 of 1 prompts that request ####", ""),
    ('Write "The answer is X."', "The answer is 7.", "math", "", ""),
    ("Reply with valid JSON.", "a: 7", "exact", "1 of 1 prompts that request JSON", ""),
    ("What is JSON?", "A format.", "exact", "", ""),
    ("Answer with the letter of the option.", "(B)", "math", "", ""),
    ("Answer with the letter of the option.", "Paris", "exact", "1 of 1 prompts that request a letter", ""),
    ("Reverse this letter: dear", "raed", "exact", "", ""),
]  # fmt: skip


def test_a_form_that_prompts_request_and_references_lack_is_a_warning():
    """The reward decides about bare answers: `math` reads a box in the completion, and `exact` does not."""
    names = ["math", "exact", "numeric"]
    with RewardSuite([RewardSpec(name) for name in names], workers=1) as suite:
        for prompt, reference, reward, warning, note in FORMS:
            example = replace(row(reference), messages=(Message("user", prompt),))
            check = FormCheck()
            for text in check.add_row(example):
                check.add_values(text, example, {reward: suite.score([text.text], [example]).values[reward][0]})
            reports = check.reports.values()
            warnings = [line for report in reports for line in report.describe_warnings()]
            notes = [line for report in reports for line in report.describe_notes()]
            assert len(warnings) == bool(warning) and len(notes) == bool(note), (prompt, reference, warnings, notes)
            assert [*warnings, *notes][0].startswith(warning or note) if warning or note else True, (warnings, notes)


def test_forms_are_in_the_report(capsys, tmp_path: Path):
    data = tmp_path / "rows.jsonl"
    data.write_text(json.dumps({"prompt": BOX, "response": "7"}) + "\n")
    code, out, err = run(capsys, "rewards", "exact", "--data", data, "--preflight")
    assert code == 0 and r"warning: 1 of 1 prompts that request \boxed{}" in " ".join(out.split()), err
    report = json.loads(run(capsys, "rewards", "exact", "--data", data, "--preflight", "--json")[1])
    form = report["forms"][r"\boxed{}"]
    assert (form["requested"], form["has"], form["missing"], form["graded"], form["refused"]) == (1, 0, 1, 1, 1)


def test_a_corruption_that_changes_nothing_is_replaced_by_another():
    """The logarithm of 1 is 0 in every base, and 1e300 + 1 is 1e300: neither row is at fault."""
    report = checked(["math"], rows(r"\boxed{\log_3 1}", "5"))
    assert (report.failing, report.rewards["math"].corrupted_again, report.rewards["math"].counts) == (0, 1, {})
    assert "wrong" in report.rewards["math"].readings[0].corrupted
    assert checked(["json"], rows("1e300", '{"a": 0.5}')).failing == 0
