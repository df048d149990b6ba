"""`inspect` names rows that repeat an earlier row, exactly or nearly, and held-out rows that are in the data."""

import json
import random

from tests.command_line import run

WORDS = [f"word{number}" for number in range(500)]


def story(seed: int, words: int = 80) -> list[str]:
    return random.Random(seed).choices(WORDS, k=words)


def test_repeated_and_held_out_rows_are_counted_and_named(tmp_path, capsys):
    stories = [story(seed) for seed in range(6)]
    rows = [{"prompt": "Short?", "response": "yes"}, *({"prompt": " ".join(s), "response": "ok"} for s in stories)]
    rows.append({"prompt": "short ", "response": "Yes!"})  # the words of line 1
    rows.append({"prompt": " ".join([*stories[0][:-1], "other"]), "response": "ok"})  # nearly line 2
    half = [*stories[3][:60], *story(99, 30)]  # most of line 5
    held_out = [{"prompt": " ".join(half), "response": "new"}, rows[3], {"prompt": "Short?", "response": "no"}]
    held_out += [{"prompt": " ".join(story(100 + n)), "response": "ok"} for n in range(3)]
    data, test = tmp_path / "rows.jsonl", tmp_path / "test.jsonl"
    for path, content in ((data, rows), (test, held_out)):
        path.write_text("".join(json.dumps(row) + "\n" for row in content))
    words = ["inspect", data, "--model", "tiny", "--no_proof", "--held_out", test]
    code, out, err = run(capsys, *words)
    assert code == 0, err
    said = " ".join(out.split())
    assert f"1 of 9 rows repeat the words of an earlier row: {data}:8: repeats {data}:1" in said
    assert f"1 of 9 rows are nearly an earlier row: {data}:9: repeats {data}:2" in said
    assert f"1 of 6 held-out rows are among the rows: {test}:2" in said
    assert f"1 of 6 held-out prompts share half of their 13-word sequences with the rows: {test}:1" in said
