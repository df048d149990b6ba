"""Preference rows: one renderer makes all ids, and counts, cache, mixtures and columns are those of other data."""

import json
from collections import Counter
from copy import deepcopy

import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
from datasets import Dataset
from tokenizers.normalizers import NFC
from trl.data_utils import extract_prompt, unpair_preference_dataset

from hrm_align.config.arguments import DataArguments
from hrm_align.data.dataset import DatasetSpec, load_examples
from hrm_align.data.examples import to_rows
from hrm_align.data.preference_tokens import tokenized_labels, tokenized_pairs
from hrm_align.data.tokenize import tokenized
from hrm_align.errors import UserError
from hrm_align.export.eval_set import load_questions
from hrm_align.models.loading import load_tokenizer
from hrm_align.rendering import Message, get_renderer, render_prompt
from hrm_align.run import read_data
from hrm_align.run_folder import Source
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
    assert [example.condition for example in load(tmp_path / "rows.jsonl", condition="cot")] == ["synth,cot", "cot"]
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
    ranked = write(
        tmp_path / "ranked.jsonl",
        [{"prompt": "q", "responses": [*"abcd"], "scores": scores} for scores in ([4, 3, 2, 1], [1, 9, 1, 1])],
    )
    spec = DatasetSpec(str(ranked), min_score_gap=0.5)
    stored = [*load_examples([spec], kind="pairs", on_disk=True)[0]]
    assert (
        stored == load(ranked, min_score_gap=0.5) and len(stored) == 9
    )  # six pairs, and three with the same chosen answer
    read, args = data(path)
    documents, _ = tokenized(read, args, load_tokenizer("tiny"), 64)  # of the same table, with other columns
    assert "input_ids" in documents.column_names
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
    rows = [pair(prompt=f"q{n}", score_chosen=n + 0.0, score_rejected=0.0) for n in range(3)]
    frame = pd.DataFrame(rows)
    frame.to_csv(tmp_path / "rows.csv", index=False)
    frame.to_parquet(tmp_path / "rows.parquet")
    write(tmp_path / "rows.jsonl", rows)
    parts = [load(tmp_path / name, min_score_gap=1) for name in ("rows.csv", "rows.parquet", "rows.jsonl")]
    kept = [[(e.messages, e.answer, e.rejected) for e in part] for part in parts]
    assert kept[0] == kept[1] == kept[2] and len(kept[0]) == 1
    call = {"type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    rows = [
        {"chosen": talk("a"), "rejected": [ASKED, said("", tool_calls=[call])], "group": "g"},
        {"chosen": talk("c"), "rejected": talk("d")},
    ]
    pa.parquet.write_table(
        pa.Table.from_pylist(rows), tmp_path / "talks.parquet"
    )  # with nulls for the keys that a message lacks
    write(tmp_path / "talks.jsonl", rows)
    parts = [
        load_examples([DatasetSpec(str(tmp_path / name))], kind="pairs") for name in ("talks.parquet", "talks.jsonl")
    ]
    kept = [[(e.messages, e.answer, e.rejected, e.group) for e in examples] for examples, _ in parts]
    assert kept[0] == kept[1] and kept[0][0][2].tool_calls == ({"name": "f", "arguments": {"a": 1}},)
    assert len({counts.datasets[0].fingerprint for _, counts in parts}) == 1
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


def test_rejected_answers_are_checked_as_chosen_ones_are(tmp_path, capsys):
    rows = [pair(chosen=f"answer {n}") for n in range(3)] + [pair(chosen="answer 0", rejected="another")]
    rows += [
        pair(chosen="x", rejected="Tom &amp; Jerry"),
        pair(chosen="y", rejected="```python\nprint(1", worse="```python\nprint(1"),
    ]
    code, out, err = run(capsys, "inspect", write(tmp_path / "rows.jsonl", rows), "--model", "tiny", "--no_proof")
    assert code == 0, err
    assert "1 of 6 rows have HTML" in out and "1 of 6 rows have an answer that ends in the middle" in out
    assert "duplicates  0 rows repeat" in out and "worse." in out and "preference rows, for `hrm-align dpo`" in out


def test_guard_sets_hold_answers_in_any_case(tmp_path):
    answers = write(tmp_path / "guard.jsonl", [{"prompt": "q", "response": "a"}])
    args = DataArguments(
        datasets=[{"path": str(write(tmp_path / "rows.jsonl", [pair()]))}], guard_datasets=[{"path": str(answers)}]
    )
    (guard,) = read_data(args, 0, None, kind="pairs").guard.values()
    assert guard[0].answer.content == "a"


def test_held_out_rows_of_a_run_are_answered_with_their_references(tmp_path):
    path = write(tmp_path / "rows.jsonl", [pair(prompt=f"q{n}", chosen=f"a{n}") for n in range(3)])
    source = Source(tmp_path, tmp_path, held_out=[{"path": str(path)}])
    questions = load_questions(source, [], 10, load_tokenizer("tiny"), 64)
    assert [example.reference for example in questions.examples] == ["a0", "a1", "a2"]
    rows = to_rows(load(path, "labels"))
    assert [row["messages"][-1]["content"] for row in rows] == ["a0", "a1", "a2"]
    labels = [{"prompt": "q", "completion": a, "label": a == "a"} for a in "ab"]
    assert len(to_rows(load(write(tmp_path / "labels.jsonl", labels), "labels"))) == 1


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
    assert "longer      chosen in 1 pairs, rejected in 0" in out and "the mask holds on 4 documents" in out
    code, out, err = run(capsys, "inspect", path, "--model", "tiny", "--kind", "labels", "--no_proof", "--rows", 4)
    assert code == 0 and "labels      desirable 2, undesirable 2" in out, err
    code, out, err = run(capsys, "inspect", path, "--model", "tiny", "--html", tmp_path / "page.html")
    assert code == 2 and "--html does not apply to preference rows" in err
