"""Answers drawn under a context, such as examples, are graded and learnt without it."""

import json

from hrm_align.evaluation import drawing
from hrm_align.models.loading import load_model_and_tokenizer
from hrm_align.rendering import get_renderer
from hrm_align.rollouts.engine import Completion
from tests.command_line import run
from tests.evaluation.sampling.runs import OPTIONS, ROWS, N, answered, read, sample
from tests.trainers.recipe_runs import write_rows


def test_a_context_is_drawn_under_and_not_written(capsys, data, tmp_path):
    """The answers are those to rows that have the context; the rows are those without it."""
    texts = [
        "\n\n".join([*(f"{row['prompt']}\n{row['response']}" for row in ROWS[:2]), row["prompt"]]) for row in ROWS[5:8]
    ]
    plain = [{**row, "condition": "direct"} for row in ROWS[5:8]]
    whole = [
        {**row, "prompt": text, "system": "Be brief.", "condition": "noisy"}
        for row, text in zip(plain, texts, strict=True)
    ]
    (tmp_path / "system.txt").write_text("Be brief.\n", encoding="utf-8")
    shown = write_rows(tmp_path / "examples.jsonl", ROWS[:3])
    flags = ("--system_file", tmp_path / "system.txt", "--examples", shown, "--shots", 2, "--draw_condition", "noisy")
    made = {}
    for name, rows, context in (("with", plain, flags), ("inside", whole, ()), ("without", plain, ())):
        source = write_rows(tmp_path / f"{name}_rows.jsonl", rows)
        sample(capsys, source, tmp_path / f"{name}.jsonl", "--keep", "all", "--max_new_tokens", 12, *context)
        made[name] = read(tmp_path / f"{name}.jsonl")
    answers = {name: [row["messages"][-1]["content"] for row in rows] for name, rows in made.items()}
    assert answers["with"] == answers["inside"] != answers["without"]
    for row in made["with"]:
        assert [message["role"] for message in row["messages"]] == ["user", "assistant"] and row[
            "condition"
        ] == "direct"
        assert row["messages"][0]["content"] in {row["prompt"] for row in plain}


def test_answers_are_graded_as_answers_to_the_row_without_the_context(capsys, monkeypatch, data, tmp_path):
    answered(monkeypatch, "16")
    (tmp_path / "system.txt").write_text("Be brief.", encoding="utf-8")
    rewards = tmp_path / "mine.py"
    rewards.write_text(
        "def reward(completions, messages, **rest): return [float(len(turns) == 1) for turns in messages]"
    )
    words = ["sample", "--data", data, *OPTIONS[:2], *OPTIONS[4:], "--limit", 1, "--rewards", f"{{file: {rewards}}}"]
    words += ["--system_file", tmp_path / "system.txt", "--output", tmp_path / "rows.jsonl", "--json"]
    code, out, err = run(capsys, *words)
    assert code == 0 and json.loads(out)["correct"] == N, err


def test_a_row_is_never_its_own_example(capsys, monkeypatch, data, tmp_path):
    prompts = []
    stock = drawing.sample

    def seen(engine, given, *rest, **options):
        prompts.extend(given)
        return stock(engine, given, *rest, **options)

    monkeypatch.setattr(drawing, "sample", seen)
    shown = write_rows(tmp_path / "examples.jsonl", ROWS[:3])
    sample(capsys, data, tmp_path / "rows.jsonl", "--keep", "all", "--limit", 1, "--examples", shown, "--shots", 2)
    text = load_model_and_tokenizer("tiny")[1].decode(prompts[0])
    assert (
        text.count(ROWS[0]["prompt"]) == 1
        and f"{ROWS[2]['prompt']}\n{ROWS[2]['response']}\n\n{ROWS[0]['prompt']}" in text
    )


def test_prompts_without_answers_are_learnt_without_the_examples(capsys, monkeypatch, tmp_path):
    """Rows to distil need neither an answer nor a grader, and no token of the examples is trained on."""
    _, tokenizer = load_model_and_tokenizer("tiny")
    drawn, asked = Completion(get_renderer(tokenizer).response("16"), finish="stop"), []
    monkeypatch.setattr(
        drawing, "sample", lambda engine, prompts, *_, **__: asked.extend(prompts) or [drawn] * len(prompts)
    )
    bare = write_rows(tmp_path / "bare.jsonl", [{"prompt": row["prompt"]} for row in ROWS[5:8]])
    context = ("--examples", write_rows(tmp_path / "examples.jsonl", ROWS[:2]), "--shots", 2)
    words = ("--model", "tiny", "--keep", "all", "--n", 1, "--temperature", 0, "--max_new_tokens", 6)
    code, _, err = run(capsys, "sample", "--data", bare, *words, *context, "--output", tmp_path / "rows.jsonl")
    assert code == 0, err
    code, out, err = run(capsys, "inspect", tmp_path / "rows.jsonl", "--model", "tiny", "--json")
    assert code == 0, err
    learnt = [tokenizer.decode(json.loads(line)["input_ids"]) for line in out.splitlines()]
    shown = "".join(f"{row['prompt']}\n{row['response']}\n\n" for row in ROWS[:2])
    questions = [row["prompt"] for row in ROWS[5:8]]
    start, end = learnt[0].split(questions[0])
    assert shown not in start and end == "<|im_end|>16<|box_end|>"
    assert learnt == [start + question + end for question in questions]
    assert sorted(map(tokenizer.decode, asked)) == sorted(f"{start}{shown}{one}<|im_end|>" for one in questions)
