"""No valid row is lost, no bad row is silent; a mixture holds exactly the requested shares; rows are held out by content."""

import json
import random
from collections import Counter

import pytest

from hrm_align.data.dataset import DatasetSpec, load_examples
from hrm_align.data.examples import Example
from hrm_align.data.specs import check_columns
from hrm_align.data.splits import split_by_content
from hrm_align.errors import UserError
from hrm_align.rendering import Message

DEEP = "[" * 300 + "]" * 300

# Forty kinds of bad row, each with the kind of its reason.
BAD_KINDS = [
    (b'{"prompt": "a", "response": "b",}', "invalid JSON"),
    (b"{'prompt': 'a', 'response': 'b'}", "invalid JSON"),
    (b'{prompt: "a", response: "b"}', "invalid JSON"),
    (b'{"prompt" "a", "response": "b"}', "invalid JSON"),
    (b'{"prompt": "a", "response": "b"', "invalid JSON"),
    (b'{"prompt": "a", "response": "b', "invalid JSON"),
    (b'{"prompt": "a", "response": "b"}}', "invalid JSON"),
    (b'{"prompt": "a", "response": "b"}{"prompt": "a", "response": "b"}', "invalid JSON"),
    (b'// {"prompt": "a", "response": "b"}', "invalid JSON"),
    (b'{"prompt": "a\tb", "response": "b"}', "invalid JSON"),
    (b'{"prompt": "\\x41", "response": "b"}', "invalid JSON"),
    (b'{"prompt": "\\u12", "response": "b"}', "invalid JSON"),
    (b'{"prompt": "a", "response": "b", "n": 007}', "invalid JSON"),
    (b'\xef\xbb\xbf{"prompt": "a", "response": "b"}', "invalid JSON"),
    (b"prompt,response", "invalid JSON"),
    (b'{"prompt": "a", "response": "b", "n": NaN}', "not a finite number"),
    (b'{"prompt": "a", "response": "b", "n": [Infinity]}', "not a finite number"),
    (b'{"prompt": "a", "response": "b", "n": -1e400}', "not a finite number"),
    (b'{"prompt": "a", "response": "b", "n": %s}' % (b"7" * 5000), "number too long"),
    (b'["a", "b"]', "not an object"),
    (b'"a"', "not an object"),
    (b"12", "not an object"),
    (b"null", "not an object"),
    (b'{"prompt": "a", "prompt": "c", "response": "b"}', "duplicate key"),
    (b'{"prompt": "a", "response": "b", "meta": {"x": 1, "x": 1}}', "duplicate key"),
    (b'{"prompt": "caf\xe9", "response": "b"}', "invalid UTF-8"),
    (b'{"prompt": "\xc0\xaf", "response": "b"}', "invalid UTF-8"),
    (b'{"prompt": "\\ud83d", "response": "b"}', "lone surrogate"),
    (b'{"prompt": "\\udc0e\\ud83d", "response": "b"}', "lone surrogate"),
    (b'{"prompt": "a\0", "response": "b"}', "NUL byte"),
    (b'{"prompt": "a", "response": "b", "meta": %s}' % DEEP.encode(), "nested too deep"),
    (b'{"promt": "a", "response": "b"}', "column `prompt` is missing"),
    (b'{"prompt": "a", "completion": "b"}', "column `response` is missing"),
    (b'{"prompt": null, "response": "b"}', "`prompt` must be text"),
    (b'{"prompt": "a", "response": 4}', "`response` must be text"),
    (b'{"prompt": "a", "response": [3]}', "`response[0]` must be text"),
    (b'{"prompt": " ", "response": "b"}', "`prompt` is empty"),
    (b'{"prompt": "a", "response": "b", "condition": "think"}', "unknown condition 'think' in 'think'"),
    (b'{"prompt": "a", "response": "b", "condition": "cot,cot"}', "condition 'cot,cot' has a repeated tag"),
    (b'{"prompt": "a", "response": "b", "system": {"text": "s"}}', "`system` must be text"),
]


def write_rows(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def numbered(path, count, prefix=""):
    return write_rows(path, ({"prompt": f"{prefix}{n}", "response": "b"} for n in range(count)))


def prompts(examples):
    return [example.messages[0].content for example in examples]


def test_200_bad_rows_of_40_kinds_are_all_reported_and_no_valid_row_is_lost(tmp_path):
    order = random.Random(0)
    lines = [(b'{"prompt": "%d", "response": "b"}' % n, None) for n in range(20_000)]
    assert len(BAD_KINDS) == 40
    for kind in BAD_KINDS * 5:
        lines.insert(order.randrange(len(lines)), kind)
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"\n".join(line for line, _ in lines) + b"\n")
    expected = [(f"{path}:{number}", kind) for number, (_, kind) in enumerate(lines, start=1) if kind]

    spec, quarantine = DatasetSpec(str(path)), tmp_path / "run" / "quarantine.jsonl"
    with pytest.raises(UserError) as caught:
        load_examples([spec], max_bad_fraction=0.0, quarantine=quarantine)
    written = [json.loads(line) for line in quarantine.read_text(encoding="utf-8").splitlines()]
    assert [(row["source"], row["reason"].split(":")[0]) for row in written] == expected
    assert all(row["text"] for row in written)
    message = str(caught.value)
    assert message.startswith(f"200 of 20,200 rows cannot be used:\n  {expected[0][0]}: ")
    assert all(f"{source}: {kind}" in message for source, kind in expected[:5])
    assert str(quarantine) in message and "--max_bad_fraction 0.01`" in message

    examples, counts = load_examples([spec], max_bad_fraction=0.01, quarantine=quarantine)
    assert prompts(examples) == [str(n) for n in range(20_000)]
    assert (counts.rows_read, counts.rows_bad, counts.examples) == (20_200, 200, 20_000)
    assert counts.bad_by_reason == dict(Counter(kind for _, kind in expected))
    report = json.loads(json.dumps(counts.to_dict()))
    assert report["bad_by_reason"]["invalid JSON"] == 75
    assert report["datasets"][0]["format"] == "prompt_response"


def test_the_schema_is_that_of_most_rows_even_if_the_first_is_wrong(tmp_path):
    rows = [{"promt": "typo", "response": "b"}, {"messages": []}] + [{"prompt": "a", "response": "b", "id": 1}] * 3
    path = write_rows(tmp_path / "rows.jsonl", rows)
    with pytest.raises(UserError, match="column `prompt` is missing: did you mean `promt`") as caught:
        load_examples([DatasetSpec(path)])
    assert f"{path}:1: " in str(caught.value) and f"{path}:2: " in str(caught.value)
    _, counts = load_examples([DatasetSpec(path)], max_bad_fraction=0.4)
    assert counts.datasets[0].unused_columns == ["id"]


def test_a_column_that_is_misnamed_throughout_is_told_once_with_the_nearest_name(tmp_path):
    path = write_rows(tmp_path / "rows.jsonl", [{"promt": "a", "response": "b"}] * 300)
    with pytest.raises(
        UserError, match=r"rows\.jsonl: the columns promt, response .* Did you mean `prompt` for `promt`"
    ):
        load_examples([DatasetSpec(path)])
    with pytest.raises(UserError, match=r"rows\.jsonl: column `question` is missing"):
        load_examples([DatasetSpec(path, columns={"prompt": "question"})])
    examples, counts = load_examples([DatasetSpec(path, columns={"prompt": "promt"})])
    assert (len(examples), counts.datasets[0].unused_columns) == (300, [])


def test_a_file_of_bad_rows_alone_names_them_and_offers_no_share(tmp_path):
    (tmp_path / "rows.jsonl").write_text("{\n" * 150)
    with pytest.raises(UserError, match="150 of 150 rows cannot be used") as caught:
        load_examples([DatasetSpec(str(tmp_path / "rows.jsonl"))], max_bad_fraction=0.0)
    assert "max_bad_fraction" not in str(caught.value)
    with pytest.raises(UserError, match="no example from"):
        load_examples([DatasetSpec(str(tmp_path / "rows.jsonl"))], max_bad_fraction=1.0)


def test_the_quarantine_never_shows_the_bad_rows_of_an_earlier_run(tmp_path):
    quarantine = tmp_path / "quarantine.jsonl"
    spec = DatasetSpec(numbered(tmp_path / "rows.jsonl", 3))
    load_examples([spec], quarantine=quarantine)
    assert not quarantine.exists()
    quarantine.write_text("old\n")
    load_examples([spec], quarantine=quarantine)
    assert quarantine.read_text() == ""


@pytest.mark.parametrize(
    ("fraction", "copies", "rest"), [(0.25, 0, 25), (1.0, 1, 0), (2.0, 2, 0), (1.5, 1, 50), (1.1, 1, 10), (2.5, 2, 50)]
)
def test_a_fraction_is_exact(tmp_path, fraction, copies, rest):
    spec = DatasetSpec(numbered(tmp_path / "rows.jsonl", 100), fraction=fraction)
    examples, counts = load_examples([spec])
    times = Counter(Counter(prompts(examples)).values())
    assert times == Counter({copies + 1: rest, copies: (100 - rest) * bool(copies)}) - Counter()
    assert counts.examples == len(examples) == 100 * copies + rest


def test_the_rows_of_a_fraction_depend_on_the_seed_and_on_nothing_else(tmp_path):
    (tmp_path / "moved").mkdir()
    a, b = numbered(tmp_path / "a.jsonl", 100, "a"), numbered(tmp_path / "b.jsonl", 100, "b")
    moved = numbered(tmp_path / "moved" / "a.jsonl", 100, "a")
    alone = prompts(load_examples([DatasetSpec(a, fraction=0.25)])[0])
    mixed = prompts(load_examples([DatasetSpec(b, fraction=0.5), DatasetSpec(a, fraction=0.25)])[0])
    assert mixed[50:] == alone == sorted(alone, key=lambda text: int(text[1:]))
    assert prompts(load_examples([DatasetSpec(moved, fraction=0.25)])[0]) == alone
    assert set(alone) < set(prompts(load_examples([DatasetSpec(a, fraction=0.5)])[0]))
    others = [prompts(load_examples([DatasetSpec(a, fraction=0.25)], seed=seed)[0]) for seed in (1, 2)]
    assert all(other != alone for other in others) and others[0] != others[1]


def test_a_fraction_takes_whole_conversations(tmp_path):
    talk = [{"role": role, "content": "x"} for role in ("user", "assistant", "user", "assistant")]
    path = write_rows(tmp_path / "rows.jsonl", [{"messages": talk}] * 10)
    examples, _ = load_examples([DatasetSpec(path, fraction=0.5)])
    assert Counter(Counter(example.source for example in examples).values()) == {2: 5}


def test_the_condition_of_a_row_wins_over_the_data_set_and_that_over_the_run(tmp_path):
    rows = [{"prompt": "a", "response": "b", "condition": "cot"}, {"prompt": "a", "response": "b"}]
    path = write_rows(tmp_path / "rows.jsonl", rows)
    specs = [DatasetSpec(path), DatasetSpec(path, condition="synth,cot"), DatasetSpec(path, condition="")]
    examples, _ = load_examples(specs, default_condition="noisy")
    assert [example.condition for example in examples] == ["cot", "noisy", "cot", "synth,cot", "cot", ""]
    with pytest.raises(UserError, match="unknown condition 'nosy'"):
        load_examples(specs, default_condition="nosy")


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"path": "a.jsonl", "fractoin": 0.5}, "key `fractoin` of a data set: did you mean `fraction`?"),
        ({"name": "main"}, "has no `path` (its keys: name)"),
        ({"path": ""}, "`path` of a data set: ''"),
        ({"path": "a.jsonl", "fraction": 0}, "`fraction` of a.jsonl: 0. Use a number above 0"),
        ({"path": "a.jsonl", "fraction": True}, "`fraction` of a.jsonl: True"),
        ({"path": "a.jsonl", "fraction": "0.5"}, "`fraction` of a.jsonl: '0.5'"),
        ({"path": "a.jsonl", "fraction": float("nan")}, "`fraction` of a.jsonl: nan"),
        ({"path": "a.jsonl", "format": "sharegtp"}, "'sharegtp'. Use one of messages"),
        ({"path": "a.jsonl", "condition": "cott"}, "unknown condition 'cott'"),
        ({"path": "a.jsonl", "columns": {"promt": "q"}}, "did you mean `prompt`"),
    ],
)
def test_a_data_set_that_cannot_be_is_refused_with_the_nearest_name(entry, message):
    with pytest.raises(UserError) as caught:
        DatasetSpec.from_dict(entry)
    assert message in str(caught.value)


def test_a_mixture_of_nothing_is_refused(tmp_path):
    with pytest.raises(UserError, match="Name at least one in `datasets`"):
        load_examples([])
    with pytest.raises(UserError, match=r"rows\.jsonl at `fraction` 0\.01\. Fix its rows"):
        load_examples([DatasetSpec(numbered(tmp_path / "rows.jsonl", 3), fraction=0.01)])


@pytest.mark.parametrize("columns", [["prompt"], {"prompt": 3}, {"promt": "question"}])
def test_a_mapping_of_columns_must_lead_to_a_schema(columns):
    with pytest.raises(UserError, match=r"Use a mapping from schema columns|did you mean `prompt`"):
        check_columns(columns)


# What is held out ------------------------------------------------------------------------------------------------------


def example(prompt, answer="a", system=None):
    messages = [Message("user", prompt)] if system is None else [Message("system", system), Message("user", prompt)]
    return Example(tuple(messages), Message("assistant", answer), "direct", f"f:{prompt}")


def test_the_share_is_met_and_the_choice_is_the_same_in_any_order():
    rows = [example(f"question {i}") for i in range(4000)]
    train, held_out = split_by_content(rows, 0.1)
    assert 340 < len(held_out) < 460 and len(train) + len(held_out) == 4000
    assert {e.source for e in split_by_content(rows[::-1], 0.1)[1]} == {e.source for e in held_out}


def test_copies_and_later_turns_stay_on_one_side():
    rows = [example(f"question {i}", answer=f"{j}", system=f"be {j}") for i in range(200) for j in range(3)]
    train, held_out = split_by_content(rows, 0.3)
    assert not {e.source for e in train} & {e.source for e in held_out}


def test_nothing_is_held_out_unless_asked():
    assert split_by_content([example("a")], 0.0)[1] == []
