"""An exported folder is the model that was trained, in the hands of others, and says what it is."""

import json
import re
import shutil
import subprocess
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer

from hrm_align.export import folder as folders
from hrm_align.export import merging, parity, stock
from hrm_align.models.loading import load_model, resolve
from recipes.export import main as export
from tests.command_line import examined, run
from tests.export.runs import ASKED, LORA, ROWS, TASK, card_metadata, quickstart, trained
from tests.forks import STOCK
from tests.planted_faults import copy_of_tiny, edit

WHOLE = {"README.md", "chat_template.jinja", "config.json", "export.json", "generation_config.json", "model.safetensors",
         "special_tokens_map.json", "tokenizer.json", "tokenizer_config.json"}  # fmt: skip


PART = 12  # rows on which the exports of `exports` prove themselves


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    guard = ("--guard_datasets", "data/chat/test.jsonl", "--guard_samples", "4", "--max_new_tokens", "24")
    return trained(tmp_path_factory.mktemp("whole") / "run", *guard)


@pytest.fixture(scope="module")
def adapter(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("adapter") / "run", *LORA)


@pytest.fixture(scope="module")
def exports(whole, adapter, tmp_path_factory):
    """One export of each form, each in a folder called `mine`, and the report of the command."""
    made = {}
    for form, source, flags in (
        ("full", whole, ["--base_model", "someone/base"]),
        ("adapter", adapter, ["--adapter"]),
        ("merged", adapter, ["--merged"]),
    ):
        folder = tmp_path_factory.mktemp(form) / "mine"
        printed = StringIO()
        with redirect_stdout(printed):
            export([str(source), "--to", str(folder), *flags, *ASKED, "--limit", str(PART), "--json"])
        made[form] = folder, json.loads(printed.getvalue())
    return made


def test_people_are_told_in_words(adapter, tmp_path, capsys):
    code, out, err = run(capsys, "export", adapter, "--to", tmp_path / "mine", "--merged", *ASKED, "--limit", 4)
    assert code == 0, err
    report = dict(line.split(": ", 1) for line in out.splitlines()[-5:])
    assert f"exported to {tmp_path / 'mine'}" in out and "{" not in out
    assert report["form"] == "merged" and report["parity"].startswith("0 of 4 greedy answers differ from the run's; ")
    assert report["merge"].startswith("0 of 4 greedy answers") and report["after"].endswith(" of 4 rows right")
    assert re.match(r"\d+\.\d %  \(\d+\.\d to \d+\.\d\)", report["before"])


def exported(capsys, *argv, rows: int = 4) -> dict:
    code, out, err = run(capsys, "export", *argv, *ASKED, "--limit", rows, "--json")
    assert code == 0, err
    return json.loads(out)


def refused(capsys, *argv, code=2) -> str:
    found, _, err = run(capsys, "export", *argv)
    assert found == code and err.count("error: ") == 1 and "Traceback" not in err, err
    return err[err.index("error: ") :]


@pytest.mark.numeric
def test_a_whole_run(whole, exports, capsys):
    folder, report = exports["full"]
    assert {path.name for path in folder.iterdir()} == WHOLE
    assert report["parity"]["other_answers"] == 0 and report["parity"]["rows"] == PART
    assert report["parity"]["largest_difference"] < 1e-4, "another order of sums, no other model"
    stock_weights = AutoModelForCausalLM.from_pretrained(folder).state_dict()
    ours = load_model(str(whole)).state_dict()
    assert all(torch.equal(ours[name], stock_weights[name]) for name in ours)
    command = ("evaluate", "--model", folder, "--data", ROWS, "--limit", PART)
    code, out, _ = run(capsys, *command, "--max_new_tokens", "24", "--json")
    assert code == 0 and json.loads(out)["correct"] == report["after"]["correct"]


def test_a_process_of_its_own_says_the_same(whole, exports, tmp_path, monkeypatch, capsys):
    """The other tests fork one in which Transformers is imported already: see stock_process.py."""
    monkeypatch.setattr(parity, "subprocess", subprocess)
    report = exported(capsys, whole, "--to", tmp_path / "again", "--base_model", "someone/base", rows=PART)
    assert report["parity"] == exports["full"][1]["parity"] and report["after"] == exports["full"][1]["after"]


@pytest.mark.parametrize("form", ["full", "merged"])
def test_the_doctor_finds_nothing(exports, capsys, form):
    code, out, _ = run(capsys, "doctor", exports[form][0], "--json")
    assert code == 0 and json.loads(out)["findings"] == []


@pytest.mark.numeric
@pytest.mark.parametrize("form", ["adapter", "merged"])
def test_the_run_of_an_adapter(exports, form):
    folder, report = exports[form]
    assert (
        report["form"] == form and report["parity"]["other_answers"] == 0 and report["parity"]["mean_difference"] < 1e-5
    )
    files = {"adapter_config.json", "adapter_model.safetensors", "hrm_adapter.json"}
    alone = WHOLE - {"config.json", "generation_config.json", "model.safetensors"} | files
    assert {path.name for path in folder.iterdir()} == (WHOLE if form == "merged" else alone)


def test_a_merge_is_compared_with_the_answers_that_the_run_has_given_already(adapter, tmp_path, capsys, monkeypatch):
    """Only the merged model answers again, in the tokens requested: at 1B parameters each token of a batch takes seconds."""
    asked, stock = [], merging.generate

    def counted(model, prompts, **options):
        asked.append((len(prompts), options["max_new_tokens"]))
        return stock(model, prompts, **options)

    monkeypatch.setattr(merging, "generate", counted)
    code, out, err = run(capsys, "export", adapter, "--to", tmp_path / "mine", "--merged", "--data", ROWS, "--limit", 4,
                         "--max_new_tokens", 8, "--json")  # fmt: skip
    assert code == 0, err
    assert asked == [(4, 8)]
    assert json.loads(out)["merge"]["prompts"] == 4


def test_the_averaged_weights(whole, tmp_path, capsys):
    exported(capsys, whole, "--to", tmp_path / "mine", "--ema")
    average, last = load_model(str(whole / "ema")).state_dict(), load_model(str(whole)).state_dict()
    found = load_model(str(tmp_path / "mine")).state_dict()
    assert all(torch.equal(found[name], average[name]) for name in average)
    assert any(not torch.equal(found[name], last[name]) for name in last)
    assert "averaged weights" in (tmp_path / "mine/README.md").read_text()


@pytest.mark.parametrize("form", ["full", "adapter", "merged"])
def test_the_quickstart_of_the_card_answers_as_the_run_does(whole, adapter, exports, capsys, form):
    source, (folder, _) = whole if form == "full" else adapter, exports[form]
    question = "Add 14 and 47."
    code, out, _ = run(capsys, "generate", "--model", source, "--prompt", question, "--json")
    answer = json.loads(out)["text"]
    assert code == 0 and answer and quickstart(folder, question) == answer


def test_the_tokenizer_is_what_makes_stock_transformers_read_both_ways(whole, tmp_path, capsys, monkeypatch):
    """With types of 0 the prompt would be causal, without an error: the comparison finds it, and nothing is written."""
    causal = json.loads(json.dumps(folders._ALL_PREFIX).replace('"type_id": 1', '"type_id": 0'))
    monkeypatch.setattr(folders, "_ALL_PREFIX", causal)
    said = refused(capsys, whole, "--to", tmp_path / "mine", *ASKED, "--limit", 6, code=1)
    assert re.search(r"does not reproduce the run: in float32, \d+ of 6 greedy answers differ", said)
    assert not (tmp_path / "mine").exists() and "--force parity" in said
    assert exported(capsys, whole, "--to", tmp_path / "mine", "--force", "parity")["parity"]["other_answers"] > 0
    assert "outside the tolerance" in (tmp_path / "mine/README.md").read_text()


def test_one_other_answer_is_enough(whole, tmp_path, capsys, monkeypatch):
    """Also where all log-probabilities are the same: the run's answers are scored, not the folder's own."""
    ask = parity.subprocess.run

    def of_another_mind(*args, **kwargs):
        done = ask(*args, **kwargs)
        first, *others = map(json.loads, done.stdout.splitlines())
        first["float32_answer_ids"] = [first["float32_answer_ids"][0] + 1, *first["float32_answer_ids"][1:]]
        done.stdout = "".join(json.dumps(row) + "\n" for row in (first, *others))
        return done

    monkeypatch.setattr(parity.subprocess, "run", of_another_mind)
    said = refused(capsys, whole, "--to", tmp_path / "mine", *ASKED, "--limit", 6, code=1)
    assert (
        "does not reproduce the run: in float32, 1 of 6 greedy answers differ" in said
        and not (tmp_path / "mine").exists()
    )


def test_another_template_is_found(whole, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(parity, "as_row", lambda example: {"messages": [{"role": "user", "content": "?"}]})
    assert "chat template encodes" in refused(capsys, whole, "--to", tmp_path / "mine", *ASKED, code=1)


def test_batches_and_pairs_of_texts_are_marked_and_padding_is_not(exports):
    tokenizer = AutoTokenizer.from_pretrained(exports["full"][0])
    talks = [[{"role": "user", "content": text}] for text in ("a", "a longer one")]
    batch = tokenizer.apply_chat_template(talks, add_generation_prompt=True, padding=True, return_dict=True)
    assert batch["token_type_ids"] == batch["attention_mask"] and batch["attention_mask"][0][0] == 0
    assert set(tokenizer("one", "two")["token_type_ids"]) == {1}
    ids = AutoTokenizer.from_pretrained(resolve("tiny"))("one two")["input_ids"]
    assert tokenizer("one two")["input_ids"] == ids, "no token more"


@pytest.mark.numeric
def test_half_precision_in_shards_is_what_engines_read_within_its_tolerance(adapter, tmp_path, capsys):
    """The layout in tests/golden is written out by hand, for any size, from what the engines' loaders name."""
    flags = ("--merged", "--dtype", "bfloat16", "--max_shard_size", "300KB", "--force", "parity")
    report = exported(capsys, adapter, "--to", tmp_path / "mine", *flags)
    assert 1e-4 < report["parity"]["rounding"] < parity.ROUNDING["bfloat16"]
    assert report["parity"]["mean_difference"] < 1e-5 and report["parity"]["wrong_answers"] == 0, "in float32"
    shards = sorted((tmp_path / "mine").glob("model-*.safetensors"))
    index = json.loads((tmp_path / "mine/model.safetensors.index.json").read_text())
    assert len(shards) > 1 and set(index["weight_map"].values()) == {path.name for path in shards}
    found, types = {}, set()
    for path in shards:
        with safe_open(path, "pt") as file:
            names = list(file.keys())
            found |= {name: file.get_slice(name).get_shape() for name in names}
            types |= {file.get_slice(name).get_dtype() for name in names}
    config = json.loads((tmp_path / "mine/config.json").read_text())
    assert types == {"BF16"} and config["dtype"] == "bfloat16"
    heads = config["num_attention_heads"] * config["head_dim"]
    sizes = {"vocabulary": config["vocab_size"], "hidden": config["hidden_size"], "heads": heads}
    sizes["mlp"] = config["intermediate_size"]
    layout = json.loads(Path("tests/golden/fused_layout.json").read_text())
    assert found == {
        name.format(stack=stack, layer=layer): [factor * sizes[size] for factor, size in shape]
        for name, shape in layout.items()
        for stack in ("H", "L")
        for layer in range(config["num_layers_per_stack"])
    }


@pytest.mark.numeric
def test_the_card_says_what_it_is(whole, exports):
    folder, report = exports["full"]
    text, data = (folder / "README.md").read_text(), card_metadata(folder)
    assert (
        data["base_model"] == "someone/base" and data["library_name"] == "transformers" and "prefix-lm" in data["tags"]
    )
    (result,) = data["model-index"][0]["results"]
    assert result["metrics"][0]["value"] == pytest.approx(report["after"]["exact_match"], abs=1e-4)
    record = json.loads((whole / "run/data.json").read_text())
    fingerprint = record["train"]["datasets"][0]["fingerprint"]
    for part in (fingerprint, "json_extraction/train.jsonl", "H 2 x L 3", "`L_bp_cycles` [0, 3]", "The `condition` selects",
                 "| `learning_rate` | 0.001 |", "chat/test.jsonl | 4 |", f"of {PART} greedy answers are identical",
                 "token_type_ids", "llama.cpp silently applies a causal mask", "chunked prefill", "License: apache-2.0. The base model is HRM-Text", "@misc{"):  # fmt: skip
        assert part in text, part
    low, high = report["after"]["interval"]
    assert f"({100 * low:.1f} to {100 * high:.1f})" in text
    assert str(folder.parent) not in text and str(whole.parent) not in text


def test_what_is_not_known_is_said_to_be_unknown(tmp_path, capsys):
    """A checkpoint without a record of its run, and no held-out rows."""
    code, _, err = run(capsys, "export", resolve("tiny"), "--to", tmp_path / "mine", "--max_new_tokens", "8")
    assert code == 0, err
    text = (tmp_path / "mine/README.md").read_text()
    assert (
        "a method that was not recorded" in text
        and "was not evaluated" in text
        and "No record of the training run" in text
    )
    assert "model-index" not in card_metadata(tmp_path / "mine")


def test_the_chain_of_bases_is_followed(whole, adapter, tmp_path, capsys):
    """A run on a merge of an adapter of the tiny base began with the tiny base."""
    code, _, err = run(capsys, "adapters", "merge", adapter, "--to", tmp_path / "merged")
    assert code == 0, err
    again = trained(tmp_path / "again", "--model_name_or_path", str(tmp_path / "merged"), "--max_steps", "1")
    capsys.readouterr()
    exported(capsys, again, "--to", tmp_path / "mine")
    text = (tmp_path / "mine/README.md").read_text()
    assert "derived from the tiny base model" in text and "by an earlier run that this card does not describe" in text
    assert json.loads((tmp_path / "mine/export.json").read_text())["base_model"] == "tiny"


def test_a_copy_of_the_base_is_not_the_result_of_a_run(tmp_path, capsys):
    shutil.copytree(resolve("tiny"), tmp_path / "base")
    source = trained(tmp_path / "run", "--model_name_or_path", str(tmp_path / "base"), "--max_steps", "1")
    capsys.readouterr()
    exported(capsys, source, "--to", tmp_path / "mine")
    text = (tmp_path / "mine/README.md").read_text()
    assert (
        "trained from a local HRM-Text checkpoint" in text
        and "an earlier run" not in text
        and "| before training |" in text
    )


def test_an_adapter_on_the_result_of_a_run_is_not_said_to_be_one_of_the_base(whole, tmp_path, capsys):
    """Stock PEFT would silently load it on the tiny base."""
    again = trained(tmp_path / "again", *LORA, "--model_name_or_path", str(whole), "--max_steps", "1")
    said = refused(capsys, again, "--to", tmp_path / "mine", *ASKED)
    assert "is not published. Add --merged" in said
    capsys.readouterr()
    exported(capsys, again, "--to", tmp_path / "mine", "--merged")
    text = (tmp_path / "mine/README.md").read_text()
    assert "derived from the tiny base model" in text and "| start of this run |" in text


def test_settings_of_stock_generate_are_named_and_the_doctor_makes_the_export_possible(tmp_path, capsys, caplog):
    base = copy_of_tiny(tmp_path / "base")
    odd = {"do_sample": True, "temperature": 0.01, "repetition_penalty": 1.3, "suppress_tokens": [10, 11, 12]}
    edit("generation_config.json", **odd)(base)
    source = trained(tmp_path / "run", "--model_name_or_path", str(base), "--max_steps", "1")
    capsys.readouterr()
    assert caplog.text.count("generation_config.json of") == 1, "training names them once"
    command = (source, "--to", tmp_path / "mine", "--max_new_tokens", "8")
    said = refused(capsys, *command)
    assert (
        "generation_config.json" in said and "suppress_tokens [10, 11, 12]" in said and "repetition_penalty 1.3" in said
    )
    assert "--dtype" not in said and "--force" not in said and "do_sample" not in said, (
        "only what changes greedy answers"
    )
    assert not (tmp_path / "mine").exists()
    assert (
        run(capsys, "export", source, "--to", tmp_path / "forced", "--max_new_tokens", "8", "--force", "parity")[0] == 0
    )
    assert "outside the tolerance" in (tmp_path / "forced/README.md").read_text()
    assert examined(capsys, source, "--fix")[0] == 0
    code, out, err = run(capsys, "export", *command)
    assert code == 0 and "0 of 8 greedy answers differ" in out, err
    assert examined(capsys, tmp_path / "mine")[0] == 0


def test_rows_that_were_learnt_are_not_held_out(whole, tmp_path, capsys):
    said = refused(capsys, whole, "--to", tmp_path / "mine", "--data", f"{TASK}/train.jsonl")
    assert "contains the rows that the run was trained on" in said


def test_what_the_run_recorded_is_what_the_card_tells(tmp_path, capsys):
    """The condition of the rows, not the default; the horizon of the adapter, not of its base; nothing of other weights."""
    rows = [json.loads(line) | {"condition": "cot"} for line in Path(ROWS).read_text().splitlines()]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    guard = ("--guard_datasets", ROWS, "--guard_samples", "4")
    settings = ("--bp_steps", "4", "--weight_decay", "0", "--max_steps", "2")
    source = trained(tmp_path / "run", *LORA, *guard, *settings, "--datasets", str(tmp_path / "rows.jsonl"))
    capsys.readouterr()
    exported(capsys, source, "--to", tmp_path / "mine", "--merged")
    text = (tmp_path / "mine/README.md").read_text()
    assert "| condition in training | `cot` (24 rows) |" in text and 'condition="cot"' in text
    assert "| gradient horizon in training | `L_bp_cycles` [0, 2] (" in text
    assert json.loads((tmp_path / "mine/config.json").read_text())["L_bp_cycles"] == [0, 2]
    assert "## Forgetting" in text and "| `weight_decay` | 0.0 |" in text
    exported(capsys, source, "--to", tmp_path / "averaged", "--merged", "--ema")
    assert "## Forgetting" not in (tmp_path / "averaged/README.md").read_text()


def test_damaged_records_are_one_sentence(tmp_path, capsys):
    for name, content in (("resolved.yaml", "a: ["), ("resolved.yaml", ""), ("data.json", "{"), ("guard.json", "[1]")):
        folder = tmp_path / "copy"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(resolve("tiny"), folder)
        (folder / "run").mkdir()
        (folder / "run" / name).write_text(content)
        assert "is damaged" in refused(capsys, folder, "--to", tmp_path / "mine")


def test_rows_are_scored_by_a_script_that_anyone_can_copy(exports, tmp_path):
    folder, report = exports["full"]
    rows = [json.loads(line) for line in Path(ROWS).read_text().splitlines()[:PART]]
    asked = [{"messages": [{"role": "user", "content": row["prompt"]}], "expected": row["response"],
              "condition": row.get("condition", "direct")} for row in rows]  # fmt: skip
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in asked))
    done = STOCK.run(None, stock.__file__, str(folder), str(tmp_path / "rows.jsonl"), "--max_new_tokens", "24")
    assert f"exact match {report['after']['correct']} of {PART}" in done.stderr
    assert len(done.stdout.splitlines()) == PART


def test_wrong_words_are_one_sentence(whole, adapter, tmp_path, capsys):
    new = ("--to", tmp_path / "mine")
    assert "use the output_dir of a run" in refused(capsys, tmp_path / "nothing", *new)
    assert "is a whole checkpoint" in refused(capsys, whole, *new, "--merged")
    assert "Add --merged" in refused(capsys, adapter, *new, "--dtype", "bfloat16")
    assert "invalid choice" in refused(capsys, whole, *new, "--dtype", "int8")
    assert "give --to DIR" in refused(capsys, whole)
    assert "is not an exported folder" in refused(capsys, whole, "--push", "alice/mine")
    assert "already exists" in refused(capsys, whole, "--to", whole, *ASKED)
    assert "is not published" in refused(capsys, adapter, *new, "--push", "alice/mine")
    assert "--max_shard_size: 'big'" in refused(capsys, whole, *new, "--max_shard_size", "big")
    assert "--license: 'Apache 2'" in refused(capsys, whole, *new, "--license", "Apache 2")
    assert "--limit: 0. Use 1 or more" in refused(capsys, whole, *new, "--limit", "0")
    assert "--match is 'maths'" in refused(capsys, whole, *new, "--match", "maths")
    assert "'base' has no owner" in refused(capsys, adapter, *new, "--base_model", "base")
    assert "Use one of them" in refused(capsys, adapter, *new, "--adapter", "--merged")
    assert "no averaged weights" in refused(capsys, resolve("tiny"), *new, "--ema")
    assert "file not found" in refused(capsys, whole, *new, "--data", tmp_path / "none.jsonl")
    (tmp_path / "bad.jsonl").write_text('{"prompt": "a", "response": "b"}\n{"prompt": "a"\n')
    said = refused(capsys, whole, *new, "--data", tmp_path / "bad.jsonl")
    assert "bad.jsonl:2: " in said and said.endswith("Fix the rows.\n") and "--max_" not in said
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "a"}\n')
    assert "rows with a reference" in refused(capsys, whole, *new, "--data", tmp_path / "prompts.jsonl")
    for name in ("mine", "a/b/c", "../b", "a/..", "a/b.git", "https://huggingface.co/a/b", "a b/c", ""):
        assert "OWNER/NAME" in refused(capsys, whole, *new, "--push", name)
    assert not (tmp_path / "mine").exists()
