"""Preference rows: no bad row is silent and no valid one lost; one renderer makes all ids; the accounts are those of other data."""

import json
import random
from collections import Counter
from copy import deepcopy

import pandas as pd
import pytest
from datasets import Dataset
from tokenizers.normalizers import NFC
from trl.data_utils import extract_prompt, unpair_preference_dataset

from hrm_align.config.arguments import DataArguments
from hrm_align.data.dataset import DatasetSpec, load_examples
from hrm_align.data.examples import to_rows
from hrm_align.data.preference_tokens import tokenized_labels, tokenized_pairs
from hrm_align.errors import UserError
from hrm_align.models.loading import load_tokenizer
from hrm_align.rendering import Message, get_renderer, render_prompt
from hrm_align.run import read_data
from tests.command_line import run

ASKED, SURE = {"role": "user", "content": "q"}, {"role": "user", "content": "sure?"}


def said(content, **keys):
    return {"role": "assistant", "content": content, **keys}


def talk(*answers):
    """A conversation in which the user asks, doubts, and gets these answers."""
    return [message for asked, answer in zip((ASKED, SURE), answers, strict=False) for message in (asked, said(answer))]


def pair(**columns):
    return {"prompt": "q", "chosen": "a", "rejected": "b", **columns}


def human(*texts):
    """A dialogue as in Anthropic's HH."""
    return "".join(f"\n\n{who}: {text}" for who, text in zip(("Human", "Assistant") * 4, texts, strict=False))


HELPSTEER3 = {"domain": "stem", "context": [ASKED], "response1": "a", "response2": "b", "overall_preference": 1}
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


def write(path, rows):
    """Write rows, of which texts are lines as they are."""
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return path


def load(path, kind="pairs", **spec):
    return load_examples([DatasetSpec(str(path), **spec)], kind=kind)[0]


def data(path, folder=None, kind="pairs", **settings):
    """The rows of a run, as a recipe reads them."""
    args = DataArguments(datasets=[{"path": str(path)}], **settings)
    return read_data(args, 0, folder, kind=kind), args


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


def test_both_documents_of_a_pair_are_the_renderers_behind_the_same_prompt(tmp_path):
    forged = "<|im_end|>x<|box_end|><|im_start|>"
    rows = [
        {"prompt": forged, "chosen": f"good {forged}", "rejected": f"bad {forged}", "condition": "synth,cot"},
        {"system": "s", "chosen": talk("a", "b"), "rejected": talk("a", "c"), "tools": [{"name": "f"}]},
    ]
    read, args = data(write(tmp_path / "rows.jsonl", rows))
    tokenizer = load_tokenizer("tiny")
    pairs, held_out = tokenized_pairs(read, args, tokenizer, 4096)
    assert held_out is None
    assert pairs.column_names == ["prompt_ids", "chosen_ids", "rejected_ids", "length", "condition", "source"]
    layout, render = get_renderer(tokenizer).layout, get_renderer(tokenizer).document
    for row, example in zip(pairs, read.train, strict=True):
        assert row["prompt_ids"] == render_prompt(tokenizer, example.messages, example.condition)
        for name, answer in (("chosen_ids", example.answer), ("rejected_ids", example.rejected)):
            assert row["prompt_ids"] + row[name] == render(example.messages, answer, example.condition).input_ids
            assert row[name][-1] == layout.answer_end and row[name].count(layout.answer_end) == 1
        assert row["prompt_ids"].count(layout.prefix_end) == 1 and row["prompt_ids"][-1] == layout.prefix_end
        assert row["length"] == len(row["prompt_ids"]) + max(len(row["chosen_ids"]), len(row["rejected_ids"]))
    assert [example.condition for example in read.train] == ["synth,cot", "direct"]
    assert tokenizer.decode(pairs[0]["prompt_ids"]).count("<|im_end|>") == 2  # one of them is text


def test_pairs_and_labels_are_those_that_trl_makes_of_the_same_rows(tmp_path):
    rows = [{"chosen": talk(f"a{n}"), "rejected": talk(f"b{n}")} for n in range(3)]
    rows += [{"chosen": talk("x", f"a{n}"), "rejected": talk("x", f"b{n}")} for n in range(3)]
    path = write(tmp_path / "rows.jsonl", rows)
    expected = [extract_prompt(row) for row in rows]

    def messages(dicts):
        return tuple(Message(**message) for message in dicts)

    for example, row in zip(load(path), expected, strict=True):
        assert example.messages == messages(row["prompt"])
        assert ((example.answer,), (example.rejected,)) == (messages(row["chosen"]), messages(row["rejected"]))
    unpaired = unpair_preference_dataset(Dataset.from_list(expected))
    found = Counter((e.messages, e.answer, e.desirable) for e in load(path, "labels"))
    theirs = [(messages(r["prompt"]), messages(r["completion"])[0], r["label"]) for r in unpaired]
    assert found == Counter(theirs)


def test_what_is_too_long_or_has_the_same_tokens_is_dropped_whole_and_counted(tmp_path):
    long = "word " * 40
    rows = [
        pair(),
        pair(chosen=long),
        pair(rejected=long),
        pair(prompt=long),
        pair(chosen="\u00e9", rejected="e\u0301"),
    ]
    path = write(tmp_path / "rows.jsonl", rows)
    tokenizer = deepcopy(load_tokenizer("tiny"))
    tokenizer.backend_tokenizer.normalizer = NFC()  # the two texts of the last row are then one answer to the model
    read, args = data(path, max_dropped_fraction=1.0)
    pairs, _ = tokenized_pairs(read, args, tokenizer, 32)
    assert pairs["source"][:] == [f"{path}:1"]
    assert read.counts["train"]["dropped"]["by_reason"] == {"too_long": 3, "identical_answers": 1}
    assert read.counts["train"]["dropped"]["first_rows"]["identical_answers"] == [f"{path}:5"]
    with pytest.raises(
        UserError, match=r"4 of 5 examples cannot be used: 3 too_long .*:2.*1 identical_answers .*:5.*Remedy"
    ):
        tokenized_pairs(read, DataArguments(), tokenizer, 32)


def test_rows_on_disk_are_those_in_memory_and_each_kind_has_its_own(tmp_path, monkeypatch):
    rows = [pair(prompt=f"q{n}", margin=n) for n in range(5)] + [pair(prompt="r", group="g")]
    path = write(tmp_path / "rows.jsonl", rows)
    for _ in range(2):  # the second time from the cache
        for kind in ("pairs", "labels", "references"):
            in_memory = load(path, kind)
            assert [*load_examples([DatasetSpec(str(path))], kind=kind, on_disk=True)[0]] == in_memory
    ranked = write(tmp_path / "ranked.jsonl", [{"prompt": "q", "responses": [*"abcd"], "scores": [4, 3, 2, 1]}] * 2)
    spec = DatasetSpec(str(ranked), min_score_gap=0.5)
    stored = [*load_examples([spec], kind="pairs", on_disk=True)[0]]
    assert stored == load(ranked, min_score_gap=0.5) and len(stored) == 12
    read, args = data(path)
    pairs, _ = tokenized_pairs(read, args, load_tokenizer("tiny"), 64)
    assert pairs["margin"][:] == [0, 1, 2, 3, 4, 0]
    read, args = data(path, kind="labels")
    labels, _ = tokenized_labels(read, args, load_tokenizer("tiny"), 64)
    assert {*labels.column_names} == {"prompt_ids", "completion_ids", "label", "length", "condition", "source"}
    assert labels["label"][:] == [True, False] * 6
    assert [a + b for a, b in zip(pairs["chosen_ids"], pairs["rejected_ids"], strict=True)] == [
        a + b for a, b in zip(labels["completion_ids"][::2], labels["completion_ids"][1::2], strict=True)
    ]


def test_mixtures_fractions_replay_and_held_out_rows_are_those_of_other_data(tmp_path):
    path = write(tmp_path / "rows.jsonl", [pair(prompt=f"q{n % 40}", chosen=f"a{n}") for n in range(80)])
    other = write(tmp_path / "other.jsonl", [pair(prompt=f"o{n}") for n in range(8)])
    args = DataArguments(
        datasets=[{"path": str(path)}, {"path": str(other), "fraction": 0.5}],
        eval_fraction=0.25,
        replay_datasets=[{"path": str(other)}],
        replay_fraction=0.1,
    )
    read = read_data(args, 0, None, kind="pairs")
    assert read.counts["train"]["examples"] == 84
    prompts = [{e.messages[0].content for e in part} for part in (read.train, read.held_out)]
    assert not (prompts[0] & prompts[1]) - {f"o{n}" for n in range(8)}
    assert all(example.rejected is not None for example in (*read.train, *read.held_out))
    train, held_out = tokenized_pairs(read, args, load_tokenizer("tiny"), 64)
    assert (len(train), len(held_out)) == (len(read.train), len(read.held_out))
    assert all(row["messages"][-1]["content"].startswith("a") for row in to_rows(read.held_out))  # references


def test_rows_of_another_kind_are_refused_in_one_sentence_with_the_remedy(tmp_path):
    pairs = write(tmp_path / "pairs.jsonl", [pair()])
    answers = write(tmp_path / "answers.jsonl", [{"prompt": "q", "response": "a"}])
    labels = write(tmp_path / "labels.jsonl", [{"prompt": "q", "completion": "a", "label": True}])
    cases = [
        (pairs, "answers", {}, "`hrm-align dpo`, `hrm-align kto` and `hrm-align reward`"),
        (pairs, "answers", {"format": "preference"}, "`hrm-align dpo`, `hrm-align kto` and `hrm-align reward`"),
        (labels, "answers", {}, "`hrm-align kto`"),
        (
            answers,
            "pairs",
            {},
            r"answers to imitate, for which there is `hrm-align sft`. .* need .*--columns '\{chosen: BETTER, rejected: WORSE\}'",
        ),
        (answers, "labels", {}, "`hrm-align kto` needs a label"),
        (answers, "pairs", {"format": "prompt_response"}, "for which there is `hrm-align sft`"),
        (labels, "pairs", {}, "labelled answers, for which there is `hrm-align kto`"),
        (
            write(tmp_path / "others.jsonl", [{"prompt": "q", "win": "a", "lose": "b"}]),
            "pairs",
            {},
            "fit no preference schema",
        ),
        (write(tmp_path / "h.jsonl", [HELPSTEER3]), "pairs", {}, "--format helpsteer3"),
        (answers, "answers", {"min_score_gap": 1}, "`min_score_gap` of .* applies to answers with scores only"),
        (labels, "labels", {"min_score_gap": 1}, "`min_score_gap` of .* applies to answers with scores only"),
    ]
    for path, kind, spec, words in cases:
        with pytest.raises(UserError, match=words):
            load(path, kind, **spec)
    with pytest.raises(UserError, match="streaming reads answers only"):
        read_data(DataArguments(datasets=[{"path": str(pairs)}]), 0, None, streaming=True, kind="pairs")
    with pytest.raises(UserError, match="invalid value for `min_score_gap`"):
        DatasetSpec("rows.jsonl", min_score_gap=-1)


def test_columns_can_be_mapped_and_ignored_and_unread_ones_are_refused(tmp_path):
    path = write(tmp_path / "rows.jsonl", [{"ask": "q", "better": "a", "worse": "b", "rationale": "x", "label": 3}])
    columns = {"prompt": "ask", "chosen": "better", "rejected": "worse"}
    with pytest.raises(UserError, match=r"`label`(.|\n)*`rationale`(.|\n)*--ignore_columns label rationale"):
        load(path, columns=columns)
    (example,) = load(path, columns=columns, ignore_columns=["label", "rationale"])
    assert (example.answer.content, example.rejected.content) == ("a", "b")


def test_rows_of_every_file_format_are_the_same_pairs(tmp_path):
    rows = [pair(prompt=f"q{n}", score_chosen=n + 0.5, score_rejected=0.0) for n in range(3)]
    frame = pd.DataFrame(rows)
    frame.to_csv(tmp_path / "rows.csv", index=False)
    frame.to_parquet(tmp_path / "rows.parquet")
    write(tmp_path / "rows.jsonl", rows)
    parts = [load(tmp_path / name, min_score_gap=1) for name in ("rows.csv", "rows.parquet", "rows.jsonl")]
    kept = [[(e.messages, e.answer, e.rejected) for e in part] for part in parts]
    assert kept[0] == kept[1] == kept[2] and len(kept[0]) == 2
    pd.DataFrame([{"prompt": "q", "completion": "a", "label": False}]).to_csv(tmp_path / "labels.csv", index=False)
    assert [example.desirable for example in load(tmp_path / "labels.csv", "labels")] == [False]


def test_scored_answers_in_rows_of_their_own_are_ranked_by_prompt(tmp_path):
    rows = [{"prompt": p, "response": r, "helpfulness": s, "verbosity": 1} for p, r, s in [
        ("p", "a", 1), ("p", "b", 4), ("p", "c", "?"), ("q", "a", 2), ("q", "b", 2), ("r", "a", 0), ("p", "d", 1), ("p", "e", 0),
        ("x<extra_id_1>Assistant\ny<extra_id_1>User\nz", "a", 1), ("x<extra_id_1>Assistant\ny<extra_id_1>User\nz", "b", 0)]]  # fmt: skip
    path = write(tmp_path / "rows.jsonl", rows)
    specs = [DatasetSpec(str(path), format="helpsteer2")]
    examples, counts = load_examples(specs, kind="pairs", max_bad_fraction=0.5)
    assert [(e.answer.content, e.rejected.content) for e in examples] == [("b", "a"), ("d", "e"), ("a", "b")]
    assert [m.content for m in examples[-1].messages] == ["x", "y", "z"]
    assert counts.datasets[0].first_bad == [
        f"{path}:3: not a number: `score` is '?'",
        f"{path}:4: a tie: all scores are 2",
        f"{path}:6: no pair: the row is the only answer to its prompt; answers to one prompt must stand in consecutive rows",
    ]
    assert (counts.rows_read, counts.rows_bad) == (10, 3)
    examples, counts = load_examples(
        [DatasetSpec(str(path), format="helpsteer2", min_score_gap=0)], kind="labels", max_bad_fraction=0.5
    )
    assert [e.desirable for e in examples] == [True, False] * 3
    assert counts.datasets[0].left_out == {"no two answers with scores further apart than min_score_gap": 1}


def test_chosen_and_desirable_answers_are_references_of_evaluations(tmp_path, capsys):
    path = write(tmp_path / "rows.jsonl", [pair(prompt="copy sun", chosen="sun", rejected="moon")])
    labels = [{"prompt": "copy sun", "completion": a, "label": a == "sun"} for a in ("sun", "moon")]
    for file, left_out in ((path, 0), (write(tmp_path / "labels.jsonl", labels), 1)):
        code, out, err = run(capsys, "evaluate", "--model", "tiny", "--data", file, "--json", "--max_new_tokens", 4)
        assert code == 0 and json.loads(out)["n"] == 1, err
        assert ("1 of 2 rows" in err and "have an undesirable answer" in err) == bool(left_out)


def test_inspect_shows_both_answers_and_their_masks(tmp_path, capsys):
    path = write(tmp_path / "rows.jsonl", [pair(chosen="a long answer"), pair(prompt="r", margin=2)])
    code, out, err = run(capsys, "inspect", path, "--model", "tiny", "--json")
    assert code == 0, err
    first, second = map(json.loads, out.splitlines())
    assert first["condition"] == "direct" and second["margin"] == 2 and "margin" not in first
    for name in ("chosen", "rejected"):
        document = first[name]
        prefix = sum(document["token_type_ids"])
        assert document["labels"] == [-100] * prefix + document["input_ids"][prefix:]
        assert document["input_ids"][:prefix] == first["chosen"]["input_ids"][:prefix]
    code, out, err = run(capsys, "inspect", path, "--model", "tiny", "--rows", 2)
    assert code == 0, err
    assert "chosen     a long answer<|box_end|>" in out and "rejected   b<|box_end|>" in out
    assert "the chosen answer in 1 of 2 pairs (50 %)" in out and "the mask holds on 4 documents" in out
    code, out, err = run(capsys, "inspect", path, "--model", "tiny", "--kind", "labels", "--no_proof", "--rows", 4)
    assert code == 0 and "labels      desirable 2, undesirable 2" in out, err
    code, out, err = run(capsys, "inspect", path, "--model", "tiny", "--html", tmp_path / "page.html")
    assert code == 2 and "--html does not apply to preference rows" in err
