"""The shipped data sets: their generators write them, nothing of their test side is in training, every row can be read."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

DATA = Path(__file__).parents[2] / "data"
NAMES = (
    "base_families",
    "chat",
    "code",
    "json_extraction",
    "lookup",
    "plain_answers",
    "plain_pairs",
    "sql",
    "word_problems",
)
OF_THE_BASE = ("base_families", "plain_answers", "plain_pairs", "word_problems")  # drawn from scripts/base_tasks
SPLITS = ("train", "test")
MAX_FILE_BYTES = 1_000_000


def words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text))


# The capitalised words of the manner that the chat rows teach. Whatever else has a capital is a name or a town.
CHAT_VOCABULARY = words(
    "And Be Best Call Captain Certainly Doctor Give Good Goodbye Hello How I Is My No Noted One Please Professor Thank "
    "Thanks What When Where Which You Your"
)
MAX_CHARACTERS = {"prompt": 320, "response": 110}  # about 180 and 70 tokens of the tiny base


def rows(name: str, split: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (DATA / name / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()]


def prompt_and_response(row: dict[str, Any]) -> tuple[str, str]:
    """What is read before the graded answer, roles included, and that answer."""
    if "messages" in row:
        *history, last = row["messages"]
        return "\n".join(f"{message['role']}: {message['content']}" for message in history), last["content"]
    return row.get("prompt") or row["instruction"], row.get("response") or row["chosen"]


def documented_counts() -> dict[tuple[str, str], int]:
    """Rows by data set and split, as the table in data/README.md states them."""
    table = re.findall(r"^\| \[(\w+)\].*?\| ([\d,]+) \| ([\d,]+) \|", (DATA / "README.md").read_text(), re.MULTILINE)
    return {
        (name, split): int(count.replace(",", ""))
        for name, *counts in table
        for split, count in zip(SPLITS, counts, strict=True)
    }


# The generator of code runs each program that it writes, for 12 seconds.
@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.campaign] * (n == "code")) for n in NAMES])
def test_the_generator_writes_the_shipped_bytes(name: str, tmp_path: Path):
    copy = shutil.copytree(DATA / name, tmp_path / "data" / name, ignore=shutil.ignore_patterns("*.jsonl"))
    shutil.copytree(DATA.parent / "scripts" / "base_tasks", tmp_path / "scripts" / "base_tasks")  # OF_THE_BASE
    subprocess.run([sys.executable, "-I", "-S", copy / "generate.py"], check=True, timeout=60)  # the stdlib suffices
    for split in SPLITS:
        assert (copy / f"{split}.jsonl").read_bytes() == (DATA / name / f"{split}.jsonl").read_bytes()


@pytest.mark.parametrize("name", NAMES)
def test_no_prompt_stands_twice_in_training_and_test_together(name: str):
    prompts = [prompt_and_response(row)[0] for split in SPLITS for row in rows(name, split)]
    assert len(set(prompts)) == len(prompts)


@pytest.mark.parametrize("name", NAMES)
def test_files_are_small_ascii_and_as_long_as_the_table_says(name: str):
    for split in SPLITS:
        raw = (DATA / name / f"{split}.jsonl").read_bytes()
        assert raw.isascii()
        assert len(raw) <= MAX_FILE_BYTES
        assert documented_counts()[name, split] == raw.count(b"\n")
        for row in rows(name, split):
            prompt, response = prompt_and_response(row)
            assert 0 < len(prompt) <= MAX_CHARACTERS["prompt"]
            assert 0 < len(response) <= MAX_CHARACTERS["response"]
            assert (prompt, response) == (prompt.strip(), response.strip())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("split", SPLITS)
def test_strict_readers_keep_every_row_with_its_group_and_condition(name: str, split: str):
    from hrm_align.data.dataset import DatasetSpec, load_examples

    shipped = rows(name, split)
    kind = "pairs" if "rejected" in shipped[0] else "answers"
    examples, _ = load_examples([DatasetSpec(path=str(DATA / name / f"{split}.jsonl"))], kind=kind)
    answers = [sum(message["role"] == "assistant" for message in row.get("messages", ())) or 1 for row in shipped]
    assert len(examples) == sum(answers)  # one example for every assistant turn
    assert {example.condition for example in examples} == {row.get("condition", "direct") for row in shipped}
    assert name in OF_THE_BASE or all(row.get("condition", "direct") == "direct" for row in shipped)
    assert {example.group for example in examples} == {row["group"] for row in shipped}


def test_no_name_town_or_number_of_a_chat_test_row_occurs_in_training():
    train, test = (
        {word for row in rows("chat", split) for message in row["messages"] for word in words(message["content"])}
        for split in SPLITS
    )
    shared = {word for word in train & test if word[0].isupper() or word.isdigit()}
    assert shared <= CHAT_VOCABULARY
    assert len(test - train) > 1000


def test_chat_answers_of_test_rows_take_their_new_words_from_the_conversation():
    seen = {word for row in rows("chat", "train") for message in row["messages"] for word in words(message["content"])}
    for row in rows("chat", "test"):
        prompt, answer = prompt_and_response(row)
        new = words(answer) - seen
        assert new <= words(prompt), f"{answer!r} cannot be known from {prompt!r}"
        assert new or answer.isalpha(), f"everything in {answer!r} occurs in training"  # one word: a job or a food


def test_chat_conversations_alternate_and_open_with_a_message_that_is_read():
    for split in SPLITS:
        for row in rows("chat", split):
            roles = [message["role"] for message in row["messages"]]
            assert (roles[0] == "system") == (row["group"] == "system")
            turns = roles[roles[0] == "system" :]
            assert turns == ["user", "assistant"] * (len(turns) // 2)
            assert (row["group"] == "multi") <= (len(turns) > 2)
            assert (row["group"] == "single") <= (len(turns) == 2)
            assert ("I do not know" in row["messages"][-1]["content"]) == (row["group"] == "unknown")


def leaves(value: Any) -> set[str | int]:
    """The strings and numbers of a JSON value."""
    if isinstance(value, dict):
        return leaves(list(value.values()))
    if isinstance(value, list):
        return set().union(*map(leaves, value))
    return set() if value is None else {value}


def test_json_answers_are_canonical_and_name_the_keys_asked_for_in_their_order():
    for split in SPLITS:
        for row in rows("json_extraction", split):
            answer = json.loads(row["response"])
            assert json.dumps(answer, separators=(", ", ": ")) == row["response"]
            assert re.search(r"(?:Extract|Give) ([a-z, ]+) as JSON", row["prompt"])[1] == ", ".join(answer)
            assert (row["group"] == "missing") == (None in answer.values())
            assert (row["group"] == "list") == any(isinstance(value, list) for value in answer.values())
            numbers = any(isinstance(value, int) for value in answer.values())
            assert (row["group"] == "typed") <= numbers
            assert (row["group"] == "flat") <= (not numbers)
            assert all(str(leaf) in row["prompt"] for leaf in leaves(answer))


def test_json_test_answers_share_only_jobs_and_items_with_training_answers():
    train, test = (
        {leaf for row in rows("json_extraction", split) for leaf in leaves(json.loads(row["response"]))}
        for split in SPLITS
    )
    assert all(isinstance(leaf, str) and leaf.islower() for leaf in train & test)
    assert len(test - train) > 500


def test_every_fact_a_lookup_test_row_asks_for_is_taught_and_unknown_codes_are_new():
    facts: dict[tuple[str, str], set[str]] = {}  # (code, group) -> answers
    codes: dict[tuple[str, bool], set[str]] = {}  # (split, whether the code is unknown) -> codes
    for split in SPLITS:
        for row in rows("lookup", split):
            (code,) = re.findall(r"[A-Z]\d\d", row["instruction"])
            codes.setdefault((split, row["group"] == "unknown"), set()).add(code)
            assert (row["response"] == "not in the catalogue") == (row["group"] == "unknown")
            if row["group"] in ("name", "shelf", "price", "hazard"):
                answers = facts.setdefault((code, row["group"]), set())
                assert split == "train" or row["response"] in answers
                answers.add(row["response"])
    assert codes["test", False] == codes["train", False]
    assert all(len(answers) == 1 for answers in facts.values())
    assert not codes["test", True] & (codes["train", True] | codes["train", False])


@pytest.mark.parametrize("name", NAMES)
def test_the_row_that_the_readme_shows_is_in_training(name: str):
    (shown,) = re.findall(r"^    (\{.*?\})\n\n", (DATA / name / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    assert json.loads(shown) in rows(name, "train")


def test_pairs_have_the_questions_and_answers_of_plain_answers_and_a_sloppy_answer_to_each():
    for split in SPLITS:
        pairs, answers = rows("plain_pairs", split), rows("plain_answers", split)
        assert [(row["prompt"], row["chosen"]) for row in pairs] == [
            (row["prompt"], row["response"]) for row in answers
        ]
        additions = {row["rejected"].removeprefix(row["chosen"].lower()) for row in pairs}
        assert additions == {" i think", " lol", " ok", " maybe"}


@pytest.mark.parametrize("name", ["plain_answers", "word_problems"])
def test_prompts_of_reinforcement_learning_are_kept_apart_as_in_the_training_of_the_base(
    name: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.syspath_prepend(DATA.parent / "scripts")
    from base_tasks.rows import final_answer, is_held_out

    for split in SPLITS:
        assert {is_held_out(row["prompt"]) for row in rows(name, split)} == {split == "test"}
    for row in rows("word_problems", "test"):
        *steps, last = row["response"].split(", ")
        for step in steps:
            left, result = step.replace("x", "*").split("=")
            assert eval(left) == int(result), "the working is right"  # ours, digits and signs
        assert final_answer(last) == steps[-1].split("=")[1]


def test_base_families_are_kept_apart_as_in_the_training_of_the_base(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(DATA.parent / "scripts"))
    from base_tasks.rows import is_held_out

    for split in SPLITS:
        assert {is_held_out(row["instruction"]) for row in rows("base_families", split)} == {split == "test"}
    asked = {row["instruction"].rsplit("\n\n", 1)[-1] for row in rows("base_families", "test")}
    examples = [text for row in rows("base_families", "train") for text in row["instruction"].split("\n\n")[:-1]]
    assert not asked & {text.rsplit("\n", 1)[0] for text in examples}
