"""`hrm-align sample`: which answers become rows, and that every answer is counted."""

import json
from hashlib import sha256

import pytest

from hrm_align.data.dataset import load_examples
from hrm_align.data.specs import DatasetSpec
from hrm_align.evaluation.evaluate import last_turns
from hrm_align.models.loading import load_model_and_tokenizer
from hrm_align.rendering import get_renderer
from hrm_align.rewards.pairs import wilson_interval
from hrm_align.rollouts.engine import Completion
from tests.command_line import run
from tests.evaluation.sampling.runs import OPTIONS, ROWS, N, answered, counted_draws, drawn_instead, read, sample
from tests.trainers.recipe_runs import write_rows

# What becomes a row ---------------------------------------------------------------------------------------------------


def test_correct_answers_become_rows_that_every_command_reads(capsys, data, everything, tmp_path):
    _, answers = everything
    card = sample(capsys, data, tmp_path / "right.jsonl")
    rows = read(tmp_path / "right.jsonl")
    assert [(row["source"], row["messages"][-1]["content"]) for row in rows] == [
        (source, text) for source, group in answers.items() for text, score in group if score == 1
    ]
    originals = {f"{data}:{number}": row for number, row in enumerate(ROWS, start=1)}
    examples, counts = load_examples([DatasetSpec(str(tmp_path / "right.jsonl"))])
    assert counts.datasets[0].unused_columns == ["score", "source"]
    for row, example in zip(rows, examples, strict=True):
        original = originals[row["source"]]
        assert example.reference == original["response"], "what the grader accepts, exactly"
        assert (example.group, example.grading) == (original["group"], {"digits": 2})
        assert example.condition == original.get("condition", "direct")
        system = ["Only the number."] if "system" in original else []
        assert [message.content for message in example.messages] == [*system, original["prompt"]]
    assert card["rows"] == card["answers_used"] == card["correct"] == len(rows) > 10
    assert {path.name for path in tmp_path.iterdir()} == {"right.jsonl", "right.card.json"}
    assert json.loads((tmp_path / "right.card.json").read_text()) == {k: v for k, v in card.items() if k != "complete"}


@pytest.mark.numeric
def test_the_card_counts_every_answer_and_every_prompt(capsys, data, everything, tmp_path):
    _, answers = everything
    card = sample(capsys, data, tmp_path / "rows.jsonl", "--distinct", "--max_per_prompt", 2)
    assert card["prompts"] == 9 and card["answers"] == 9 * N
    assert card["answers_used"] + sum(card["dropped"].values()) == card["answers"]
    assert card["prompts_with_rows"] + sum(card["prompts_without_rows"].values()) == card["prompts"]
    correct = {source: sum(score == 1 for _, score in group) for source, group in answers.items()}
    solved = sum(count > 0 for count in correct.values())
    assert card["prompts_without_rows"] == {"no_correct_answer": 9 - solved}
    assert card["solved"] == {"score": solved / 9, "interval": pytest.approx(wilson_interval(solved, 9)), "n": 9}
    shares = [correct.get(f"{data}:{number}", 0) / N for number in range(1, 10)]
    mean = sum(shares) / 9
    spread = 1.959964 * (sum((share - mean) ** 2 for share in shares) / 8 / 9) ** 0.5
    assert card["pass@1"]["score"] == pytest.approx(mean) == pytest.approx(card["mean_reward"])
    assert card["pass@1"]["interval"] == pytest.approx([mean - spread, mean + spread])
    assert card["output"] == {
        "file": "rows.jsonl",
        "rows": card["rows"],
        "sha256": sha256((tmp_path / "rows.jsonl").read_bytes()).hexdigest(),
    }
    assert card["settings"]["temperature"] == 1.2 and "weights" in card["settings"]["model"]


def test_how_rows_without_a_condition_are_read_is_said(capsys, monkeypatch, data, tmp_path):
    """Their reader would give them its default."""
    answered(monkeypatch, "16")
    for name, condition in (("none", ""), ("noisy", "noisy")):
        out = tmp_path / f"{name}.jsonl"
        flags = ("--limit", 1, "--output", out, "--condition", condition)
        code, _, err = run(capsys, "sample", "--data", data, *OPTIONS, *flags)
        assert code == 0 and [row.get("condition", "") for row in read(out)] == [condition] * N, err
        assert ('read this file with --condition ""' in " ".join(err.split())) == (not condition), err


def made(capsys, data, folder, *flags) -> tuple[dict, list[dict]]:
    """The card and the rows of a run of its own on the first prompts: 11 plus 5, 8 and 23."""
    output = folder / f"{len([*folder.iterdir()])}.jsonl"
    return sample(capsys, data, output, "--limit", 3, *flags), read(output)


def test_best_distinct_and_limits_select_what_they_say(capsys, monkeypatch, data, tmp_path):
    answered(monkeypatch, "16", "100", "16", "a", "19", "100")

    def texts(*flags) -> list[list[str]]:
        card, rows = made(capsys, data, tmp_path, *flags)
        assert card["answers_used"] + sum(card["dropped"].values()) == card["answers"] == 18
        by_prompt = {row["source"].rpartition(":")[2]: [] for row in rows}
        for row in rows:
            by_prompt[row["source"].rpartition(":")[2]].append(row["messages"][-1]["content"])
        return [by_prompt.get(number, []) for number in "123"]

    assert texts() == [["16", "16"], ["19"], []]
    assert texts("--distinct") == [["16"], ["19"], []]
    assert texts("--keep", "best") == [["16"], ["19"], ["16"]], "the first drawn among equals"
    assert texts("--keep", "best", "--min_reward", 1) == [["16"], ["19"], []]
    assert texts("--keep", "best", "--max_per_prompt", 2, "--distinct") == [["16", "100"], ["19", "16"], ["16", "100"]]
    assert texts("--keep", "all", "--max_per_prompt", 3) == [["16", "100", "16"]] * 3
    assert texts("--keep", "all", "--distinct") == [["16", "100", "a", "19"]] * 3


def test_rounds_draw_from_other_prompts(capsys, monkeypatch, data, tmp_path):
    answered(monkeypatch, "16")
    sources = {row["source"] for row in made(capsys, data, tmp_path, "--keep", "all", "--skip", 4)[1]}
    assert sources == {f"{data}:{number}" for number in (5, 6, 7)}


def test_rewards_of_a_recipe_and_answers_without_a_grader(capsys, data, tmp_path):
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(
        "rewards:\n- exact\n- {name: length, weight: -0.5, most: 1, unit: characters}\n", encoding="utf-8"
    )
    words = ("sample", "--data", data, "--model", "tiny", "--n", N, "--max_new_tokens", 8, "--limit", 4, "--json")
    code, out, err = run(capsys, *words, "--rewards", recipe, "--keep", "best", "--output", tmp_path / "a.jsonl")
    assert code == 0, err
    assert [spec["name"] for spec in json.loads(out)["settings"]["rewards"]] == ["exact", "length"]
    code, out, err = run(capsys, *words, "--keep", "all", "--output", tmp_path / "b.jsonl")
    assert code == 0 and "pass@1" not in json.loads(out), err
    assert all("score" not in row for row in read(tmp_path / "b.jsonl"))


def test_a_conversation_is_answered_at_its_end_and_only_the_new_answer_is_learnt(capsys, monkeypatch, tmp_path):
    answered(monkeypatch, "16", "17")
    turns = [("user", "Hi."), ("assistant", "Hello."), ("user", "11 plus 5?"), ("assistant", "16")]
    tools = [{"type": "function", "function": {"name": "add", "parameters": {}}}]
    row = {
        "messages": [{"role": role, "content": text} for role, text in turns],
        "tools": tools,
        "condition": "synth,cot",
    }
    data = write_rows(tmp_path / "rows.jsonl", [row])
    (original,) = last_turns(load_examples([DatasetSpec(str(data))])[0])
    sample(capsys, data, tmp_path / "one.jsonl", "--keep", "best")
    (example,), _ = load_examples([DatasetSpec(str(tmp_path / "one.jsonl"))])
    assert (example.messages, example.answer, example.condition) == (original.messages, original.answer, "synth,cot")
    assert json.dumps(tools) in example.messages[0].content and example.messages[2].content == "Hello."
    sample(capsys, data, tmp_path / "pair.jsonl", "--pairs")
    (pair,) = read(tmp_path / "pair.jsonl")
    assert [message["content"] for message in pair["prompt"]] == [message.content for message in original.messages]
    assert all({*message} == {"role", "content"} for message in pair["prompt"])
    assert (pair["chosen"][0]["content"], pair["rejected"][0]["content"]) == ("16", "17")


def test_an_answer_depends_on_its_row_and_not_on_the_batch(capsys, data, tmp_path):
    """Equal prompts get other answers, also in the same place of another chunk; chunks and batches change none."""
    rows = write_rows(tmp_path / "equal.jsonl", [ROWS[0]] * 4)
    flags = ("--keep", "all", "--temperature", 2, "--max_new_tokens", 12)
    made = []
    for number, batch in enumerate((256, 3)):
        sample(capsys, rows, tmp_path / f"{number}.jsonl", *flags, "--batch_size", batch)
        made.append(read(tmp_path / f"{number}.jsonl"))
    by_row = [
        tuple(row["messages"][-1]["content"] for row in made[0] if row["source"] == f"{rows}:{n}") for n in range(1, 5)
    ]
    assert len({*by_row}) == 4 and made[0] == made[1]


# Pairs ----------------------------------------------------------------------------------------------------------------


def test_pairs_are_preference_rows(capsys, monkeypatch, data, tmp_path):
    answered(monkeypatch, "a long wrong answer", "16", "17", "19", "16 16", "16")
    card, rows = made(capsys, data, tmp_path, "--pairs")
    sides = [[row[side] for side in ("chosen", "rejected")] for row in rows]
    wrong = [{"role": "assistant", "content": "a long wrong answer"}]
    assert sides == [[[{"role": "assistant", "content": text}], wrong] for text in ("16", "19")]
    assert rows[0] == {
        "prompt": [{"role": "user", "content": "11 plus 5?"}],
        "chosen": [{"role": "assistant", "content": "16"}],
        "rejected": wrong,
        "condition": "direct",
        "group": "sums 5",
        "grading": {"digits": 2},
        "score_chosen": 1.0,
        "score_rejected": 0.0,
        "source": f"{data}:1",
    }
    pairs, counts = load_examples([DatasetSpec(str(tmp_path / "0.jsonl"))], kind="pairs")
    assert [(pair.answer.content, pair.rejected.content, pair.group) for pair in pairs] == [
        ("16", "a long wrong answer", "sums 5"),
        ("19", "a long wrong answer", "sums 8"),
    ]
    assert counts.datasets[0].unused_columns == ["source"]
    assert card["prompts_without_rows"] == {"no_correct_answer": 1} and card["dropped"] == {"not_paired": 14}
    assert (card["answers_used"], card["pairs"]["rejected_longer"], card["pairs"]["chosen_longer"]) == (4, 2, 0)
    matched, rows = made(capsys, data, tmp_path, "--pairs", "--match_lengths")
    assert [row["rejected"][0]["content"] for row in rows] == ["17", "16"], "as long as 16 and 19"
    assert (matched["pairs"]["rejected_longer"], matched["pairs"]["chosen_longer"]) == (0, 0)
    _, rows = made(capsys, data, tmp_path, "--pairs", "--max_per_prompt", 2)
    assert [(row["chosen"][0]["content"], row["rejected"][0]["content"]) for row in rows[:2]] == [
        ("16", "a long wrong answer"),
        ("16", "17"),
    ]
    assert len(rows) == 3, "each answer is in one pair, and 19 is drawn once"


def test_prompts_without_a_pair_are_counted_by_reason(capsys, monkeypatch, data, tmp_path):
    """Of the answers 16 all are correct for one prompt and wrong for two; by their lengths the best are the shortest."""
    answered(monkeypatch, "16")
    words = ("sample", "--data", data, *OPTIONS, "--limit", 3, "--pairs", "--json")
    reasons = {"right": {"all_correct": 1, "no_correct_answer": 2}, "best": {"all_correct": 1, "equal_rewards": 2}}
    for keep, expected in reasons.items():
        code, out, err = run(capsys, *words, "--keep", keep, "--output", tmp_path / f"{keep}.jsonl")
        assert code == 1 and "no answer became a row" in err
        assert json.loads(out)["prompts_without_rows"] == expected
    answered(monkeypatch, "1", "11", "111", "1111", "11111", "111111")
    shorter = [
        *words[:3],
        *OPTIONS[:2],
        *OPTIONS[4:],
        *words[-4:],
        "--rewards",
        "{name: length, soft: 1, hard: 6}",
    ]
    code, out, err = run(capsys, *shorter, "--keep", "best", "--output", tmp_path / "a.jsonl")
    assert code == 0, err
    assert {(row["chosen"][0]["content"], row["rejected"][0]["content"]) for row in read(tmp_path / "a.jsonl")} == {
        ("1", "111111")
    }
    code, out, err = run(capsys, *shorter, "--keep", "best", "--min_score_gap", 9, "--output", tmp_path / "b.jsonl")
    assert code == 1 and json.loads(out)["prompts_without_rows"] == {"below_limits": 3}
    answered(monkeypatch, "16")
    rewards = tmp_path / "mine.py"
    rewards.write_text("def reward(completions, **columns):\n    return [float(n) for n in range(len(completions))]\n")
    alike = [*shorter[:-1], f"{{file: {rewards}}}", "--keep", "best", "--output", tmp_path / "c.jsonl"]
    assert run(capsys, *alike)[0] == 1 and not read(tmp_path / "c.jsonl"), "an answer is not better than itself"


# Answers that must not be learnt ---------------------------------------------------------------------------------------


def test_faulty_answers_are_dropped_and_counted_by_reason(capsys, monkeypatch, data, tmp_path):
    _, tokenizer = load_model_and_tokenizer("tiny")
    renderer, vocabulary = get_renderer(tokenizer), tokenizer.get_vocab()
    end, plain = renderer.response_end_id, renderer.plain
    call, call_end = vocabulary["<tool_call>"], vocabulary["</tool_call>"]
    drawn_instead(
        monkeypatch,
        [
            Completion([*plain("16")], finish="length"),  # correct, and cut
            Completion([*plain("16"), renderer.layout.message_start, end], finish="stop"),
            Completion([*plain("  "), end], finish="stop"),
            Completion([call, *plain('{"name": "add"'), call_end, end], finish="stop"),  # a broken call
            Completion([call, *plain('{"name": "add", "arguments": {"a": 1}}'), call_end, end], finish="stop"),
            Completion([*plain("16"), end], finish="stop"),
        ],
    )
    card = sample(capsys, data, tmp_path / "rows.jsonl", "--keep", "all", "--limit", 1)
    assert card["dropped"] == {"cut": 1, "control_token": 1, "blank": 1, "unreadable": 1} and card["answers_used"] == 2
    (called, _), _ = load_examples([DatasetSpec(str(tmp_path / "rows.jsonl"))])
    assert called.answer.tool_calls == ({"name": "add", "arguments": {"a": 1}},) and called.answer.content == ""


def test_a_row_that_would_be_read_otherwise_is_not_written(capsys, monkeypatch, tmp_path):
    """The text of this prompt is a tool's answer where it stands in a message."""
    answered(monkeypatch, "16")
    data = write_rows(
        tmp_path / "tags.jsonl", [{"prompt": "<tool_response>5</tool_response>", "response": "16"}, ROWS[0]]
    )
    card = sample(capsys, data, tmp_path / "rows.jsonl")
    assert card["dropped"] == {"unreadable": N} and card["rows"] == N


def test_a_cut_answer_never_counts_as_correct(capsys, monkeypatch, data, tmp_path):
    """Its text may equal the reference, because the end token is missing and not the text."""
    plain = get_renderer(load_model_and_tokenizer("tiny")[1]).plain
    drawn_instead(monkeypatch, [Completion([*plain("16")], finish="length")])
    output = tmp_path / "rows.jsonl"
    code, out, err = run(capsys, "sample", "--data", data, *OPTIONS, "--output", output, "--limit", 1, "--json")
    card = json.loads(out)
    assert code == 1 and "no answer became a row" in err and output.read_bytes() == b""
    assert (card["correct"], card["mean_reward"], card["dropped"]) == (0, 1.0, {"cut": N})
    assert card["prompts_without_rows"] == {"no_usable_answer": 1}


def test_a_prompt_without_room_is_counted_and_named(capsys, data, tmp_path):
    rows = write_rows(tmp_path / "long.jsonl", [{"prompt": "long " * 1000, "response": "1"}, ROWS[0]])
    card = sample(capsys, rows, tmp_path / "rows.jsonl", "--keep", "all")
    assert card["prompts_without_rows"] == {"too_long": 1} and card["first_without_rows"] == {"too_long": [f"{rows}:1"]}
    assert card["answers"] == N


# Context distillation --------------------------------------------------------------------------------------------------


# Mistakes --------------------------------------------------------------------------------------------------------------

MISTAKES = [
    (("--output", "rows.csv"), "invalid value for --output: rows.csv. Use a name that ends in .jsonl"),
    (("--output", "nowhere/rows.jsonl"), "there is no folder nowhere"),
    (("--rewards", "exact"), "--match and --rewards both"),
    (("--pairs", "--keep", "all"), "Use --keep best (best against worst) or --keep right"),
    (("--match_lengths",), "--match_lengths has no effect without --pairs"),
    (("--min_score_gap", "0.1"), "--min_score_gap has no effect without --pairs"),
    (("--temperature", "0"), "draws the same answer 6 times"),
    (("--n", "0"), "invalid value for --n: 0. Use 1 or more"),
    (("--skip", "9"), "invalid value for --skip: 9. There are 9 prompts, so use 0 to 8"),
    (("--top_p", "1.5"), "invalid value for --top_p: 1.5"),
    (("--max_new_tokens", "4096"), "invalid value for --max_new_tokens: 4096. The model has 1024 positions"),
    (("--shard", "4/3"), "invalid value for --shard: 4/3"),
    (("--shots", "2"), "need --examples"),
    (("--system_file", "none.txt"), "cannot read --system_file none.txt"),
    (("--draw_condition", "chat"), "unknown condition 'chat'"),
    (("--match", "exakt"), "did you mean 'exact'"),
    (("--match", "format"), "which checks the form of an answer"),
]


@pytest.mark.parametrize(("flags", "named"), MISTAKES, ids=[" ".join(flags) for flags, _ in MISTAKES])
def test_a_mistake_is_one_sentence_and_leaves_nothing(capsys, monkeypatch, data, tmp_path, flags, named):
    monkeypatch.chdir(tmp_path)
    code, _, err = run(capsys, "sample", "--data", data, *OPTIONS, "--output", "rows.jsonl", *flags)
    assert code == 2 and named in err and err.count("error: ") == 1, err
    assert not [*tmp_path.iterdir()]


def test_rows_that_cannot_be_graded_are_named_before_anything_is_drawn(capsys, monkeypatch, tmp_path):
    drawn = counted_draws(monkeypatch)
    rows = write_rows(tmp_path / "rows.jsonl", [ROWS[0], {**ROWS[1], "response": "none"}])
    words = ("sample", "--data", rows, *OPTIONS, "--output", tmp_path / "a.jsonl")
    code, _, err = run(capsys, *words, "--match", "numeric")
    assert code == 2 and f"{rows}:2" in err and not drawn
    words = ("sample", "--data", rows, "--model", "tiny", "--output", tmp_path / "a.jsonl")
    code, _, err = run(capsys, *words)
    assert code == 2 and "--keep right needs a grader" in err


def test_a_folder_with_rows_and_their_card_is_a_data_set(capsys, data, tmp_path):
    sample(capsys, data, tmp_path / "rows.jsonl")
    examples, _ = load_examples([DatasetSpec(str(tmp_path))])
    assert len(examples) == len(read(tmp_path / "rows.jsonl"))
