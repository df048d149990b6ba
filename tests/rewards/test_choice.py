"""Choices of multiple-choice questions: a table of written forms, answers that must not be rewarded, and references."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from hrm_align.rewards.base import create_grader
from hrm_align.rewards.choice_reading import read_choice
from hrm_align.rewards.suite import RewardSpec, RewardSuite
from tests.command_line import run
from tests.rewards.choice_forms import FORMS, ROWS
from tests.rewards.rows import row

CITIES = ROWS[0]

# No option may be rewarded for these.
UNDECIDED = """
A or B|A, B|A/B|A and B|(A) or (C)|A, B, C, D|ABCD|A B C D|Either A or C.|both A and C|none of A, B, C|A; B; C; D|A|B|C|D~A+C|C & D|A (or C)
option A or option C|Options A and C|C or D, probably C|C or not C|The answer is A or B.|The answer is A/C|The answer is A, B or C
The answer is A and C.|The answer is A. The answer is C.|Answer: A\\nAnswer: B\\nAnswer: C|The answer is A. Or maybe C.|The answer is A\\nor C
Answer: A, or alternatively C|\\boxed{A} or \\boxed{C}|\\boxed{A, C}|\\boxed{A}\\boxed{B}\\boxed{C}\\boxed{D}|Maybe A, maybe C.
It could be A, or it could be C.|A is correct. C is correct.|I choose A; I also choose C.|The answer is Paris or Nice.|Paris, Nice|Lyon Paris Nice Lille
not C|It is not C|It's not C.|C is wrong.|C is incorrect|The answer is not C.|The answer isn't C.|C is not the answer.|Option C is wrong
(C) is false|C can be ruled out.|I would eliminate C.|The wrong answer is C.|The incorrect option is C.|Anything but C|C? No.|rather than C
The answer is C is wrong.|Answer: not C|Answer: C is incorrect|C isn't right|Neither B nor C|not Nice|The answer is not Nice.|Nice is wrong|~~C~~
C. Paris|The answer is C. Paris|The answer is (C) Paris.|\\boxed{C. Paris}|C: Paris|Paris (C)|The answer is C. Wait, C is wrong.
I don't think the answer is C.|I doubt the answer is C|It is not true that the answer is C.|\\boxed{C} is wrong.|\\boxed{C} isn't right|Not the answer: C
{"answer": "A or C"}|{"answer": ["A", "C"]}|{"answer": null, "other": "C"}|{"answer": "A", "choice": "C"}
A. Lyon\\nB. Paris\\nC. Nice\\nD. Lille|(A) Lyon (B) Paris (C) Nice (D) Lille|A) Lyon\\nB) Paris\\nC) Nice\\nD) Lille\\n|Lyon\\nParis\\nNice\\nLille
It is a place.|A place in France.|I think it is in France.|I|The answer is 3|The answer is E|E|C++|Vitamin C|Washington D.C.|37°C
<think>The answer is C.|<think>C</think>| |I can answer a question about this.
"""

# These choose C.
REASONED = [
    '{"answer": "C", "explanation": "A is inland"}',
    'Here it is:\n```json\n{"reason": "A and B are inland", "Answer": "(C) Nice"}\n```\nDone.',
    "It is not A, it is C.",
    "It is not A but C.",
    "C, not A.",
    "C rather than A.",
    "A is wrong, B is wrong, D is wrong. So C.",
    "A is wrong. B is wrong. D is wrong. C is correct.",
    "The answer is C. A is wrong because it is north.",
    "The answer is C. Paris is the capital.",
    "The answer is A. Wait, that's wrong. The answer is C.",
    "The answer is A. Wait, A is wrong, it is C.",
    "The answer is A. No, it is C.",
    "A. Lyon is not on the coast.\nB. Paris is not on the coast.\nD. Lille is not on the coast.\n\nC. Nice is on the coast.",
    "C\n\nA is wrong, and B could be confused with it.",
    "C. Nice\n\nLyon and Paris are inland, and Lille is in the north.",
    "Nice is on the coast, while Lyon, Paris and Lille are inland. The answer is Nice.",
    "A. Lyon - no\nB. Paris - no\nC. Nice - yes\nD. Lille - no\n\nAnswer: C",
    "We can rule out A and B. D is inland. Therefore, C.",
    "It is Nice, not Lyon.",
    "I was thinking of A or B, but the correct answer is C.",
    "Is it A? No. Is it B? No. It is C.",
    "I'm not sure, but I think the answer is C.",
    "There is no doubt that it is C.",
    "C is the answer because A and B are inland.",
    "C, because neither A nor B is on the coast.",
    "Because A is inland, the answer is C.",
    "Since A, B and D are inland, C is correct.",
    "A good answer is one on the coast. I would go with C.",
]


def value(completion: str, reference: str, **grading: Any) -> float | None:
    return create_grader("choice", {}).grade(completion, row(reference, **grading))


def labels_and_texts(choices: Any) -> list[tuple[str, str]]:
    if isinstance(choices, list):
        return [*zip("ABCD", choices, strict=True)]
    return [*zip(choices["label"], choices["text"], strict=True)] if "label" in choices else [*choices.items()]


@pytest.mark.parametrize("choices", ROWS, ids=["cities", "words", "numbers", "sentences", "digits", "letters"])
def test_every_written_form_of_a_choice_is_that_choice_and_no_other(choices: Any):
    assert len(FORMS) >= 150
    options = tuple(labels_and_texts(choices))
    refused, rewarded = [], []
    for form in FORMS:
        for index, (label, text) in enumerate(options):
            written = form.replace("<L>", label).replace("<l>", label.lower()).replace("<T>", text)
            chosen = read_choice(written, options)
            refused += [written] if chosen is None else []
            rewarded += [written] if chosen not in (None, index) else []
    assert not rewarded
    assert len(refused) <= 0.02 * len(FORMS) * len(options), refused


def test_a_list_a_rejection_and_a_contradiction_are_no_choice():
    undecided = [text.replace("\\n", "\n") for line in UNDECIDED.strip("\n").split("\n") for text in line.split("|")]
    undecided.append("A|B|C|D")
    rewarded = [
        (text, label) for text in undecided for label in "ABCD" if len(text) > 1 and value(text, label, choices=CITIES)
    ]
    assert len(undecided) > 90 and not rewarded


def test_a_reasoned_answer_chooses_the_option_that_it_ends_with():
    assert [text for text in REASONED if value(text, "C", choices=CITIES) != 1] == []
    assert [text for text in REASONED for label in "ABD" if value(text, label, choices=CITIES)] == []


@pytest.mark.parametrize(
    "reference, grading, label",
    [
        ("C", {}, "C"),
        ("(c)", {}, "C"),
        ("The answer is C.", {}, "C"),
        (r"\boxed{C}", {}, "C"),
        ("R", {}, "R"),
        ("C", {"choices": CITIES}, "C"),
        ("2", {"choices": CITIES}, "C"),
        ("Nice", {"choices": CITIES}, "C"),
        ("nice.", {"choices": ["A. Lyon", "B. Paris", "C. Nice"]}, "C"),
        ("C. Nice", {"choices": CITIES}, "C"),
        ("2", {"choices": {"label": ["1", "2"], "text": ["iron", "gold"]}}, "2"),
        ("2", {"choices": {"label": [1, 2], "text": ["iron", "gold"]}}, "2"),
        ("gold", {"choices": {"label": ["1", "2"], "text": ["iron", "gold"]}}, "2"),
        ("2", {"choices": ["0", "4", "1", "6"]}, "C"),
        ("4", {"choices": [0, 4, 1, 6]}, "B"),
        ("Q", {"choices": {"P": "red", "Q": "green"}}, "Q"),
    ],
)
def test_a_reference_is_a_label_an_index_or_a_text(reference: str, grading: Any, label: str):
    assert value(f"The answer is {label}.", reference, **grading) == 1.0
    numbers = (
        "1234" if "label" in grading.get("choices", ()) else ""
    )  # elsewhere, a number may be the text of an option
    others = [other for other in "ABCDPQR" + numbers if other != label]
    assert [other for other in others if value(f"The answer is {other}.", reference, **grading)] == []


def test_a_reference_that_is_no_choice_or_may_be_two_is_named(capsys, tmp_path: Path):
    assert [value("A", reference, choices=CITIES) for reference in ("E", "Marseille", "4", "A or B", "")] == [None] * 5
    assert value("C", "2") is None, "a number without choices"
    rows = [
        {"prompt": "?", "response": "1", "grading": {"choices": ["0", "2", "1", "3"]}},
        {"prompt": "?", "response": "A", "grading": {"choices": ["one"]}},
        {"prompt": "?", "response": "A", "grading": {"choices": {"label": ["A"], "text": ["x", "y"]}}},
        {"prompt": "?", "response": "A", "grading": {"choices": [None, "y"]}},
    ]
    for data_row in rows:
        data = tmp_path / "rows.jsonl"
        data.write_text(json.dumps(data_row) + "\n")
        code, _, err = run(capsys, "rewards", "choice", "--data", data, "--preflight")
        assert code == 2 and f"{data}:1: " in err
        assert "Write the label" in err if data_row is rows[0] else "invalid value in grading.choices" in err


def test_rows_of_mmlu_and_arc_pass_the_preflight_and_are_graded_by_the_command(capsys, tmp_path: Path):
    """Integers are indices from 0, also where the texts are numbers; labels of ARC may be digits."""
    rows = [
        {"prompt": "?", "response": 1, "grading": {"choices": ["0", "4", "2", "6"]}},
        {
            "prompt": "?",
            "response": "2",
            "grading": {"choices": {"text": ["iron", "gold", "tin"], "label": ["1", "2", "3"]}},
        },
        {"prompt": "?", "response": "D", "grading": {"choices": CITIES}},
    ]
    data, answers = tmp_path / "rows.jsonl", tmp_path / "answers.jsonl"
    data.write_text("".join(json.dumps(data_row) + "\n" for data_row in rows))
    code, out, err = run(capsys, "rewards", "choice", "--data", data, "--preflight", "--json")
    assert (code, json.loads(out)["rewards"]["choice"]["counts"], json.loads(out)["rewards"]["choice"]["mean"]) == (
        0,
        {},
        1.0,
    ), err
    for texts, values in ((("B", "gold", "(D)"), {"1": 3}), (("1", "1", "A"), {"0": 3})):
        answers.write_text("".join(json.dumps({"completion": text}) + "\n" for text in texts))
        code, out, err = run(capsys, "rewards", "choice", "--data", data, "--completions", answers, "--json")
        assert (code, json.loads(out)["values"]) == (0, values), err


def test_a_pattern_replaces_the_rules_and_what_was_read_is_shown():
    graded = row("Choice=C", choices=CITIES)
    with RewardSuite([RewardSpec("choice", options={"pattern": "Choice=(.)"})], workers=1) as suite:
        scores = suite.score(["B. Choice=C", "C. Choice=B", "C"], [graded] * 3, extract=True)
    assert scores.values["choice"] == [1.0, 0.0, 0.0] and scores.extracted["choice"] == ["C", "B", None]
    extract = create_grader("choice", {}).extract_answer
    assert [extract(text) for text in ("so (c)", "The answer is Nice.", "A or B")] == ["C", "Nice", "A or B"]


PIECES = [
    "A ",
    "I choose A ",
    "A or ",
    "(A) ",
    "C. ",
    "not A or B, ",
    "is ",
    " ",
    r"\text{",
    "$",
    "~~",
    "The answer is A. ",
    "A",
    "A\n",
]
PIECES += [
    "wait ",
    "Lyon ",
    "because A ",
    "A? no ",
    "option ",
    "answer -> ",
    "wrong answer ",
    "A is the ",
    r"\boxed{A} ",
    "* ",
    "5 ",
]


def test_a_hostile_text_takes_linear_time():
    options = tuple(labels_and_texts(CITIES))
    for piece in PIECES:
        begin = time.process_time()
        read_choice("option" + piece * (20_000 // len(piece)) + "x", options)
        assert time.process_time() - begin < 1.0, piece
