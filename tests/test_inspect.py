"""`hrm-align inspect` as a preview: its numbers are those of the rows that --json prints, and its page works in a browser."""

import json
import math
import re
import shutil
import subprocess
from collections import Counter

import pytest
import torch

from hrm_align.models.loading import load_model_and_tokenizer
from hrm_align.rendering import get_renderer
from tests.command_line import run
from tests.test_cli import GOOD, write

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FORGED = '</script><script>document.title = "forged"</script>'


def write_rows(path, count):
    """Rows of different lengths: every fifth has two answers, every third another condition; the last one is hostile."""
    rows = []
    for n in range(count - 1):
        messages = [
            {"role": "user", "content": "sun " * (n % 7 + 1) + str(n)},
            {"role": "assistant", "content": f"moon {n}"},
        ]
        row = {
            "messages": messages * (2 if n % 5 == 0 else 1),
            "condition": "cot" if n % 3 == 0 else "direct",
            "number": n,
        }
        rows.append(row)
    messages = [{"role": "user", "content": "needle é " + FORGED}, {"role": "assistant", "content": "thread"}]
    rows.append({"messages": messages, "condition": "direct", "number": 0})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def inspected(capsys, data, *flags):
    code, out, err = run(capsys, "inspect", data, "--model", "tiny", "--no_proof", *flags)
    assert code == 0, err
    return out


def page_data(page):
    text = page.read_text().split('<script type="application/json" id="data">')[1].split("</script>")[0]
    return json.loads(text)


@pytest.mark.numeric
def test_numbers_are_those_of_the_json_rows(capsys, tmp_path):
    data, page = write_rows(tmp_path / "rows.jsonl", 40), tmp_path / "page.html"
    rows = [json.loads(line) for line in inspected(capsys, data, "--json").splitlines()]
    longest = sorted(len(row["input_ids"]) for row in rows)[-5]
    kept = [row for row in rows if len(row["input_ids"]) <= longest]
    out = inspected(capsys, data, "--max_length", longest, "--per_device_train_batch_size", 4, "--html", page)
    found = page_data(page)["statistics"]
    totals, kept_totals = ([len(row["input_ids"]) for row in part] for part in (rows, kept))
    prompts = [sum(row["token_type_ids"]) for row in rows]
    answers = [sum(label != -100 for label in row["labels"]) for row in rows]
    for name, lengths in (("prompt", prompts), ("answer", answers), ("total", totals)):
        spread = found["lengths"][name]
        assert (spread["min"], spread["max"]) == (min(lengths), max(lengths))
        assert spread["median"] == sorted(lengths)[(len(lengths) + 1) // 2 - 1]
        assert spread["mean"] == round(sum(lengths) / len(lengths), 1)
        assert [sum(low <= n <= high for n in lengths) for low, high, _ in spread["bars"]] == [
            n for *_, n in spread["bars"]
        ]
        assert sum(n for *_, n in spread["bars"]) == len(lengths)
    assert found["documents"] == len(kept) and found["tokens"] == sum(kept_totals)
    assert found["loss_tokens"] == sum(label != -100 for row in kept for label in row["labels"])
    assert found["conditions"] == Counter(row["condition"] for row in kept)
    turns = Counter(Counter(row["source"] for row in kept).values())
    assert found["turns"] == {str(n): count for n, count in turns.items()}
    assert found["steps"] == math.ceil(len(kept) / 4)
    assert found["fill"] == pytest.approx(sum(kept_totals) / (found["packed_rows"] * longest))
    assert math.ceil(sum(kept_totals) / longest) <= found["packed_rows"] <= len(kept)
    assert kept_totals[found["longest"][0]] == max(kept_totals) and kept_totals[found["shortest"][0]] == min(
        kept_totals
    )
    assert "duplicates  0 rows" in out
    assert out.count("Unused columns of") == 1 and "number." in out and f"{len(rows) - len(kept)} too_long" in out
    assert "\x1b" not in out and all(len(line) <= 100 for line in out.splitlines() if str(tmp_path) not in line)


def test_the_sample_is_seeded(capsys, tmp_path):
    data = write_rows(tmp_path / "rows.jsonl", 40)
    first, again, other = (inspected(capsys, data, "--seed", seed) for seed in (0, 0, 1))
    assert first == again != other


ACTIONS = """
<script>
const results = {};
const enter = (id, value, event) => { at(id).value = value; at(id).dispatchEvent(new Event(event)); };
results.rows = at("row").options.length;
enter("search", "NEEDLE", "input");
results.found = at("row").options.length;
results.text = at("tokens").textContent;
results.kinds = [...at("tokens").children].map(token => token.classList[0]).join("");
enter("query", 0, "input");
results.prefix = [...at("tokens").children].filter(token => token.classList.contains("sees")).length;
enter("query", chosen.prefix, "input");
results.response = [...at("tokens").children].filter(token => token.classList.contains("sees")).length;
const copy = make("canvas", "");
copy.width = copy.height = 480;
const pen = copy.getContext("2d", {willReadFrequently: true});
pen.drawImage(at("mask"), 0, 0);
const drawn = (x, y) => pen.getImageData(480 * x, 480 * y, 1, 1).data[3] > 0;
results.drawn = [drawn(0.05, 0.99), drawn(0.99, 0.05), drawn((chosen.prefix - 0.5) / chosen.length, 0.02)];
results.expected = [chosen.prefix, chosen.kinds];
enter("search", "", "input");
const before = at("tokens").textContent;
at("after").click();
results.switched = before !== at("tokens").textContent;
enter("row", at("row").options[3].value, "change");
results.fourth = chosen === data.rows[3];
results.title = document.title;
results.named = [...document.querySelectorAll("input, select")].every(e => e.labels.length === 1);
document.body.dataset.results = JSON.stringify(results);
</script></body>"""


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_the_page_works_in_a_browser(capsys, tmp_path):
    data, page = write_rows(tmp_path / "rows.jsonl", 40), tmp_path / "page.html"
    inspected(capsys, data, "--html", page)
    assert not re.search(r"https?://|src=", page.read_text())
    tried = tmp_path / "tried.html"
    tried.write_text(page.read_text().replace("</body>", ACTIONS))
    words = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--dump-dom"]
    folder = f"--user-data-dir={tmp_path / 'profile'}"
    done = subprocess.run([*words, folder, tried.as_uri()], capture_output=True, text=True, timeout=60)
    assert "CONSOLE" not in done.stderr, done.stderr
    results = json.loads(re.search(r'data-results="([^"]*)"', done.stdout)[1].replace("&quot;", '"').replace("&lt;", "<").replace("&gt;", ">"))  # fmt: skip
    prefix, kinds = results.pop("expected")
    assert results["rows"] == len(page_data(page)["rows"]) and results["found"] == 1
    assert FORGED in results["text"] and "needle é" in results["text"] and results["title"] == "hrm-align inspect"
    assert results["kinds"] == kinds and re.fullmatch("xcp+xr+x", kinds), kinds
    assert (results["prefix"], results["response"]) == (prefix, prefix + 1)
    assert results["drawn"] == [True, False, True]
    assert results["switched"] and results["fourth"] and results["named"]


@pytest.mark.campaign
def test_a_page_of_100000_rows_is_below_5_mb(capsys, tmp_path):
    data, page = tmp_path / "rows.jsonl", tmp_path / "page.html"
    with data.open("w") as file:
        for n in range(100_000):
            file.write(json.dumps({"prompt": f"copy {n} " + "sun " * (n % 300), "response": f"{n} moon"}) + "\n")
    inspected(capsys, data, "--rows", 0, "--html", page)
    assert page.stat().st_size < 5_000_000
    assert page_data(page)["statistics"]["documents"] == 100_000


# Recipes ---------------------------------------------------------------------------------------------------------------

PAIR = {"ask": "copy sun", "good": "sun", "bad": "moon", "note": "x"}
OF_PAIRS = {"prompt": "ask", "chosen": "good", "rejected": "bad"}
ANSWER = {"ask": "copy sun", "good": "sun", "note": "x"}
OF_ANSWERS = {"prompt": "ask", "response": "good"}
RECIPES = {
    "sft": (ANSWER, OF_ANSWERS, {}),
    "grpo": (ANSWER, OF_ANSWERS, {"rewards": ["exact"]}),
    "dpo": (PAIR, OF_PAIRS, {}),
    "reward": (PAIR, OF_PAIRS, {}),
    "kto": ({"ask": "copy sun", "good": "sun", "ok": True, "note": "x"},
            {"prompt": "ask", "completion": "good", "label": "ok"}, {}),
}  # fmt: skip


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_shown_with_its_own_settings(capsys, tmp_path, name):
    """Two data sets with other columns, a column to ignore, a condition of one of them, a length, and held-out rows among the rows."""
    row, columns, settings = RECIPES[name]
    mine, other, held_out = (tmp_path / f"{part}.jsonl" for part in ("mine", "other", "held_out"))
    long = {**row, "ask": "sun " * 100}
    mine.write_text("".join(json.dumps(part) + "\n" for part in (row, {**row, "ask": "copy red"}, long)))
    other.write_text(json.dumps({**row, "ask": "copy oak"}) + "\n")
    held_out.write_text(json.dumps(row) + "\n")
    shared = {"columns": columns, "ignore_columns": ["note"]}
    data = [{"path": str(mine), **shared}, {"path": str(other), "condition": "cot", **shared}]
    length = {} if name == "grpo" else {"max_length": 64}
    recipe = tmp_path / f"mine_{name}.yaml"
    recipe.write_text(json.dumps({"model_name_or_path": "tiny", "output_dir": str(tmp_path / "run"), "condition": "noisy", "datasets": data,
                                  "eval_datasets": [{"path": str(held_out), **shared}], **length, **settings}))  # fmt: skip
    code, out, err = run(capsys, "inspect", "--config", recipe, "--no_proof", "--json")
    assert code == 0, err
    found = [json.loads(line) for line in out.splitlines()]
    kept = [f"{mine}:1", f"{mine}:2", *([f"{mine}:3"] if name == "grpo" else []), f"{other}:1"]
    assert [part["source"] for part in found] == kept
    assert [part["condition"] for part in found] == ["noisy"] * (len(kept) - 1) + ["cot"]
    assert ("chosen" in found[0]) == (name in ("dpo", "reward")) and ("label" in found[0]) == (name == "kto")
    assert "held-out" in err and f"{held_out}:1" in err, err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "words, said",
    [
        (("--config", "tiny/dpo", "rows.jsonl"), "either rows or a recipe"),
        (("--model", "tiny"), "either rows or a recipe"),
        (("rows.jsonl",), "--model is missing"),
        (("--config", "tiny/dpo", "--condition", "cot"), "--condition does not apply to a recipe"),
        (("--config", "tiny/dpo", "--html", "page.html"), "--html does not apply"),
        (("--config", "tiny/dop"), "did you mean --config tiny/dpo"),
    ],
)
def test_what_a_recipe_states_is_not_given_again(capsys, words, said):
    code, _, err = run(capsys, "inspect", *words)
    assert code == 2 and said in err


@pytest.fixture
def good(tmp_path):
    return write(tmp_path / "good.jsonl", GOOD)


def test_inspect_shows_the_tensors_that_training_sees(capsys, tmp_path):
    data = write(tmp_path / "rows.jsonl", [{"prompt": "ab", "response": "c", "condition": "synth,cot"}])
    code, out, _ = run(capsys, "inspect", data, "--model", "tiny", "--json")
    row = json.loads(out)
    plain = get_renderer(load_model_and_tokenizer("tiny")[1]).plain
    prefix, answer = [6, 13, 9, *plain("ab"), 7], [*plain("c"), 11]
    assert code == 0
    assert row == {
        "input_ids": prefix + answer,
        "token_type_ids": [1] * len(prefix) + [0] * len(answer),
        "labels": [-100] * len(prefix) + answer,
        "condition": "synth,cot",
        "source": f"{data}:1",
    }


def test_inspect_proves_the_mask_and_says_when_it_fails(capsys, tmp_path, good, monkeypatch):
    code, out, _ = run(capsys, "inspect", good, "--model", "tiny")
    assert code == 0 and "the mask holds on 6 documents" in out
    from hrm_align.models import intervals

    monkeypatch.setattr(intervals, "_any_in_document", lambda flags, starts: torch.ones_like(flags))
    monkeypatch.setattr(intervals, "_closed_prefix", lambda ends, first, starts: torch.zeros_like(ends))
    code, out, _ = run(capsys, "inspect", good, "--model", "tiny")
    assert "FAILS" in out


@pytest.mark.parametrize("looking", [True, False])
def test_inspect_shows_a_bar_on_standard_error_where_somebody_looks(capsys, good, monkeypatch, looking):
    for name in ("TTY_COMPATIBLE", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    if looking:
        monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes the stream for a terminal
        monkeypatch.setattr("hrm_align.progress.is_terminal", lambda: True)
        monkeypatch.setattr("hrm_align.progress.LONG", 0)
    code, out, err = run(capsys, "inspect", good, "--model", "tiny")
    assert code == 0 and "verifying the mask" not in out
    assert ("verifying the mask" in err) == looking
