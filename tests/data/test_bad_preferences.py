"""Preference rows: no bad row is silent, and no valid row beside it is lost."""

import json
import random
from collections import Counter

import pytest

from hrm_align.errors import UserError
from tests.command_line import run
from tests.data.test_preferences import ASKED, SURE, data, human, pair, said, talk, write

# Kinds of bad rows, each with the kind of its reason.
BAD_PAIRS = [
    (pair(rejected="a"), "identical answers"),
    (pair(chosen=" "), "empty answer"),
    (pair(rejected=None), "no answer"),
    (pair(chosen="", rejected=None), "both answers missing"),
    (pair(chosen=4), "`chosen` must be a text or messages"),
    (pair(chosen=["a"]), "`chosen` must be a list of objects"),
    ({"prompt": "q", "chosen": "a"}, "column `rejected` is missing"),
    ({"chosen": "q a", "rejected": "q b"}, "no prompt"),
    (pair(prompt=talk("x"), chosen=[said("a")], rejected=[said("b")]), "the prompt ends with an assistant message"),
    (pair(prompt=None, chosen=[*talk("a"), SURE], rejected=talk("b")), "not the assistant's answer"),
    (pair(prompt=None, chosen=talk("a", "c"), rejected=talk("b", "d")), "diverging histories"),
    (pair(prompt=None, chosen=talk("a", "c"), rejected=talk("b")), "diverging histories"),
    (pair(prompt=None, chosen=human("q", "a", "r", "c"), rejected=human("q", "b", "r", "d")), "diverging histories"),
    (pair(prompt=None, chosen=human("q", "a"), rejected=human("q", "")), "empty answer"),
    (pair(prompt="another", chosen=talk("a"), rejected=talk("b")), "two prompts"),
    (pair(question="p"), "two prompts"),
    (pair(score_chosen="high", score_rejected=1), "not a number"),
    (pair(score_chosen=1, score_rejected=2), "the scores contradict"),
    (pair(score_chosen=1), "one score of two"),
    (pair(margin=True), "not a number"),
    (pair(chosen=[{"role": "robot", "content": "a"}]), "unknown role 'robot'"),
    (pair(chosen=[said("a", mood="glad")]), "unread key"),
    (pair(chosen=[said("a", weight=0)]), "an answer of weight 0"),
    (pair(condition="think"), "unknown condition 'think' in 'think'"),
    (pair(chosen="<tool_call>{</tool_call>"), "broken tool call"),
    ('{"prompt": "q", "chosen": "a", "chosen": "c", "rejected": "b"}', "duplicate key"),
    ('{"prompt": "q", "chosen": "a", "rejected": "b"', "invalid JSON"),
    ('{"prompt": "q", "chosen": "\\ud83d", "rejected": "b"}', "lone surrogate"),
]  # fmt: skip
BAD_RANKED = [
    (["a", "b"], [1, 1], "a tie"),
    (["a", "b"], [1], "`responses` and `scores` differ in length"),
    (["a", "b"], [1, None], "not a number"),
    (["a", "b"], [1, "9.x"], "not a number"),
    (["a"], [1], "no pair"),
    (["a", None], [1, 2], "no answer"),
    (["a", "b", "a"], [1, 2, 3], "identical answers"),
    ("a", [1, 2], "`responses` is not valid JSON"),
]
BAD_LABELS = [
    ({"prompt": "q", "completion": "a", "label": None}, "`label` must be true or false"),
    ({"prompt": "q", "completion": "a", "label": 1}, "`label` must be true or false"),
    ({"prompt": "q", "completion": "a", "label": "good"}, "`label` must be true or false"),
    ({"prompt": "q", "completion": "", "label": True}, "empty answer"),
    ({"prompt": "", "completion": "a", "label": True}, "no prompt"),
    ({"prompt": "q", "completion": [ASKED], "label": True}, "not the assistant's answer"),
    ({"prompt": "q", "label": True}, "column `completion` is missing"),
]


@pytest.mark.parametrize(
    ("kind", "good", "bad", "most"),
    [
        ("pairs", lambda n: {**pair(), "prompt": str(n)}, BAD_PAIRS, 112),
        (
            "pairs",
            lambda n: {"prompt": str(n), "responses": ["a", "b"], "scores": [0, 1]},
            [({"prompt": "q", "responses": a, "scores": s}, why) for a, s, why in BAD_RANKED],
            24,
        ),
        ("labels", lambda n: {"prompt": str(n), "completion": "a", "label": n % 2 == 0}, BAD_LABELS, 21),
    ],
    ids=["pairs", "ranked", "labels"],
)
def test_every_bad_row_is_named_by_file_and_line_and_no_valid_row_is_lost(tmp_path, capsys, kind, good, bad, most):
    lines = [(good(n), None) for n in range(3 * most)] + bad * (most // len(bad))
    random.Random(0).shuffle(lines)
    path = write(tmp_path / "rows.jsonl", [row for row, _ in lines])
    expected = {f"{path}:{place}": why for place, (_, why) in enumerate(lines, start=1) if why}
    with pytest.raises(UserError, match=f"{len(expected)} of {len(lines)} rows cannot be used"):
        data(path, tmp_path, kind)
    quarantine = [json.loads(line) for line in (tmp_path / "quarantine_train.jsonl").read_text().splitlines()]
    assert {row["source"]: row["reason"].split(":")[0] for row in quarantine} == expected
    code, out, err = run(
        capsys, "inspect", path, "--model", "tiny", "--json", "--kind", kind, "--max_bad_fraction", "0.3"
    )
    assert code == 0 and f"{len(expected)} of {len(lines)} rows cannot be used" in err
    kept = [json.loads(line)["source"] for line in out.splitlines()]
    assert kept == [f"{path}:{place}" for place, (_, why) in enumerate(lines, start=1) if not why]
    read, _ = data(path, tmp_path, kind, max_bad_fraction=0.3)
    assert read.counts["train"]["bad_by_reason"] == Counter(expected.values())
    assert [example.source for example in read.train] == kept


def test_there_are_at_least_20_kinds_of_bad_pairs():
    assert len({why for _, why in BAD_PAIRS}) >= 20
