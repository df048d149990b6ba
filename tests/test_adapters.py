"""Living with adapters on the command line: several on one base, merged, listed, compared, and refused."""

import json
import shutil

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from hrm_align.data.dataset import DatasetSpec, load_examples
from hrm_align.evaluation.evaluate import last_turns
from hrm_align.models.loading import load_model, load_model_and_tokenizer, resolve
from hrm_align.rendering import get_renderer
from hrm_align.rollouts.local import generate
from tests.command_line import run
from tests.trainers.recipe_runs import sft

CHAT, LOOKUP, JSON = ("data/chat", "data/lookup", "data/json_extraction")
STEPS = ("--use_peft", "true", "--lora_r", "4", "--lora_target_modules", "all", "--lora_scaling", "per_application",
         "--learning_rate", "2e-2", "--max_steps", "8", "--per_device_train_batch_size", "1", "--packing", "true",
         "--max_length", "256", "--save_steps", "8")  # fmt: skip


@pytest.fixture(scope="module")
def chat(tmp_path_factory):
    folder = tmp_path_factory.mktemp("adapters") / "chat"
    sft(folder, f"{CHAT}/train.jsonl", *STEPS)
    return folder


@pytest.fixture(scope="module")
def lookup(tmp_path_factory):
    folder = tmp_path_factory.mktemp("adapters") / "lookup"
    sft(folder, f"{LOOKUP}/train.jsonl", *STEPS)
    return folder


@pytest.fixture(scope="module")
def prompts():
    """Six held-out prompts of three tasks; export_campaign.py compares on hundreds."""
    render = get_renderer(load_model_and_tokenizer("tiny")[1])
    rows = [last_turns(load_examples([DatasetSpec(path=f"{task}/test.jsonl")])[0]) for task in (CHAT, LOOKUP, JSON)]
    examples = rows[0][:2] + rows[1][:2] + rows[2][:2]
    return [render.prompt(example.messages, example.condition) for example in examples]


def run_json(capsys, *argv):
    code, out, err = run(capsys, *argv, "--json")
    assert code == 0, err
    return json.loads(out)


def sentence(capsys, *argv):
    code, _, err = run(capsys, *argv)
    assert code == 2 and err.count("error: ") == 1 and "Traceback" not in err, err
    return err[err.index("error: ") :]


def answers_and_logits(model, prompts):
    model.eval()
    answers = generate(model, prompts, max_new_tokens=8)
    with torch.no_grad():
        documents = [[*prompt, *answer] for prompt, answer in zip(prompts, answers, strict=True)]
        return answers, [model(torch.tensor([ids]), use_cache=False).logits[0] for ids in documents]


@pytest.mark.numeric
def test_adapter_merged_reloaded_and_stock_peft_are_one_model(chat, prompts, tmp_path, capsys):
    """Greedy outputs on held-out prompts; logits in float32, relative to the largest (noise seen: 2e-6)."""
    report = run_json(capsys, "adapters", "merge", chat, "--to", tmp_path / "merged", "--data", f"{CHAT}/test.jsonl",
                  "--limit", 4, "--max_new_tokens", 8)  # fmt: skip
    assert report["prompts"] == 4 and report["other_answers"] == 0 and report["largest_difference"] < 1e-5
    stock = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(resolve("tiny")), str(chat))
    answers, logits = answers_and_logits(stock, prompts)
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
    again, other = answers_and_logits(merged, prompts)
    assert answers == again
    assert answers != answers_and_logits(load_model("tiny"), prompts)[0], "the adapter does something"
    difference = max((a - b).abs().max().item() for a, b in zip(logits, other, strict=True))
    assert difference < 1e-5 * max(a.abs().max().item() for a in logits)
    record = json.loads((tmp_path / "merged/merge.json").read_text())
    assert record["base"] == "tiny" and record["prompts"] == 4


@pytest.mark.numeric
def test_a_merge_outside_its_tolerance_writes_nothing(chat, tmp_path, capsys):
    code, _, err = run(capsys, "adapters", "merge", chat, "--to", tmp_path / "merged", "--tolerance", "1e-12",
                       "--max_new_tokens", 8)  # fmt: skip
    assert code == 1 and "Nothing was written" in err and not any(tmp_path.iterdir())


def test_an_adapter_that_is_not_finite_is_not_merged(chat, tmp_path, capsys):
    broken = tmp_path / "broken"
    shutil.copytree(chat, broken, ignore=shutil.ignore_patterns("checkpoint-*"))
    tensors = load_file(broken / "adapter_model.safetensors")
    tensors[next(name for name in tensors if "lora_B" in name)][0, 0] = float("nan")
    save_file(tensors, broken / "adapter_model.safetensors", metadata={"format": "pt"})
    code, _, err = run(capsys, "adapters", "merge", broken, "--to", tmp_path / "merged")
    assert code == 1 and "are not finite. Nothing was written" in err and "Traceback" not in err
    assert not (tmp_path / "merged").exists()


def test_a_fresh_adapter_on_the_merged_base_knows_its_base(chat, tmp_path, capsys):
    """SFT, merge, SFT again: the second adapter fits the merged checkpoint, and not the first base."""
    run(capsys, "adapters", "merge", chat, "--to", tmp_path / "merged", "--max_new_tokens", 8)
    sft(tmp_path / "second", f"{LOOKUP}/train.jsonl", *STEPS, "--model_name_or_path", str(tmp_path / "merged"))
    rows = ("--data", f"{LOOKUP}/test.jsonl", "--limit", 5, "--max_new_tokens", 8)
    capsys.readouterr()
    assert run_json(capsys, "evaluate", "--model", tmp_path / "second", *rows)["n"] == 5
    said = sentence(capsys, "evaluate", "--model", "tiny", "--adapter", tmp_path / "second", *rows)
    assert "was trained on other weights than those of tiny" in said and str(tmp_path / "merged") in said


def test_adapters_are_switched_by_name(chat, lookup, capsys):
    """Each answers as it does alone, whatever was asked before it."""
    rows = ("--data", f"{CHAT}/test.jsonl", "--limit", 12, "--max_new_tokens", 12)
    both = ("--adapter", f"talk={chat}", "--adapter", lookup)
    together = run_json(capsys, "evaluate", "--model", "tiny", *both, *rows)["adapters"]
    assert list(together) == ["talk", "lookup"]
    one = ("generate", "--model", "tiny", "--prompt", "Good morning, my name is Lumo.", "--max_new_tokens", 12)
    spoken = run_json(capsys, *one, *both)["adapters"]
    for name, folder in (("talk", chat), ("lookup", lookup)):
        alone = run_json(capsys, "generate", "--model", folder, *one[3:])
        assert spoken[name] == alone
        assert run_json(capsys, "evaluate", "--model", folder, *rows)["groups"] == together[name]["groups"]
    assert spoken["talk"] != spoken["lookup"]


@pytest.mark.numeric
def test_list_and_compare_tell_what_adapters_are(chat, lookup, capsys):
    listed = run_json(capsys, "adapters", "list", chat.parent, lookup)
    assert [entry["folder"] for entry in listed] == [str(chat), str(lookup)], "not the checkpoints of their runs"
    assert {entry["layers"] for entry in listed} == {"all"} and listed[0]["alpha"] == "4 / applications"
    weights = load_file(chat / "adapter_model.safetensors")
    assert listed[0]["parameters"] == sum(tensor.numel() for tensor in weights.values())
    changes = run_json(capsys, "adapters", "compare", chat, lookup, "--max_new_tokens", 4)["changes"]
    config = json.loads((chat / "adapter_config.json").read_text())
    assert config["r"] == 4
    name = "base_model.model.lm_head.lora_{}.weight"
    delta = weights[name.format("B")].double() @ weights[name.format("A")].double()
    assert changes["lm_head"]["norm_a"] == pytest.approx(delta.norm().item())
    low = "base_model.model.model.L_module.layers.0.mlp.{}.lora_{}.weight"
    deltas = [weights[low.format(p, "B")].double() @ weights[low.format(p, "A")].double() / 6
              for p in ("gate_proj", "up_proj", "down_proj")]  # fmt: skip
    assert changes["L.mlp"]["norm_a"] == pytest.approx(sum(d.norm().item() ** 2 for d in deltas) ** 0.5)
    same = run_json(capsys, "adapters", "compare", chat, chat, "--data", f"{CHAT}/test.jsonl", "--limit", 8,
                    "--max_new_tokens", 8)  # fmt: skip
    assert all(part["cosine"] == pytest.approx(1) for part in same["changes"].values())
    assert same["answers"]["same"] == same["answers"]["n"] == 8 and not same["settings"].keys() - {"folder"}


@pytest.mark.parametrize("command", ["list", "compare"])
def test_paths_are_whole_in_80_columns(chat, lookup, capsys, monkeypatch, command):
    monkeypatch.setenv("COLUMNS", "80")
    code, out, err = run(capsys, "adapters", command, chat, lookup)
    assert code == 0 and "…" not in out, err
    rows = [line.strip("│").split("│") for line in out.partition("└")[0].splitlines() if line.startswith("│")]
    columns = ["".join(part.strip() for part in column) for column in zip(*rows, strict=True)]
    assert all(any(str(path) in column for column in columns) for path in (chat, lookup))


def test_an_adapter_that_does_not_name_its_base_says_where_to_write_it(chat, tmp_path, capsys):
    """In words that every command can follow: merge takes a --base, generate a --model, compare neither."""

    def forget(folder):
        (folder / "hrm_adapter.json").unlink()
        edit("adapter_config.json", base_model_name_or_path=None)(folder)

    folder = damaged(chat, tmp_path / "adapter", forget)
    for argv in (
        ("adapters", "merge", folder, "--to", tmp_path / "merged"),
        ("generate", "--model", folder, "--prompt", "x"),
    ):
        said = sentence(capsys, *argv)
        assert "into adapter_config.json, as base_model_name_or_path" in said and "--" not in said


def damaged(source, folder, change):
    shutil.copytree(source, folder)
    change(folder)
    return folder


def edit(file, **values):
    def change(folder):
        content = json.loads((folder / file).read_text()) | values
        (folder / file).write_text(json.dumps(content))

    return change


def drop_a_tensor(folder):
    weights = load_file(folder / "adapter_model.safetensors")
    weights.pop(next(iter(weights)))
    save_file(weights, folder / "adapter_model.safetensors", metadata={"format": "pt"})


WRONG = {
    "another base": (edit("hrm_adapter.json", fingerprint="0" * 16), "was trained on other weights"),
    "other cycles": (edit("hrm_adapter.json", L_cycles=5), "was trained with L_cycles 5, and tiny has 3"),
    "a layer that is not there": (
        edit("adapter_config.json", target_modules=["lm_head", "model.H_module.layers.7.mlp.up_proj"]),
        "does not fit tiny, which has no model.H_module.layers.7.mlp.up_proj",
    ),
    "another rank": (edit("adapter_config.json", r=8), "does not fit tiny"),
    "a lost tensor": (drop_a_tensor, "does not fit its own config"),
    "another kind": (edit("adapter_config.json", peft_type="IA3"), "is a IA3 adapter"),
    "a damaged config": (lambda f: (f / "adapter_config.json").write_text("{"), "adapter_config.json is damaged"),
    "damaged weights": (lambda f: (f / "adapter_model.safetensors").write_bytes(b"x" * 99), "is damaged"),
    "no weights": (lambda f: (f / "adapter_model.safetensors").unlink(), "has no adapter_model.safetensors"),
    "a damaged record": (lambda f: (f / "hrm_adapter.json").write_text("[]"), "hrm_adapter.json is damaged"),
}


@pytest.mark.parametrize(("change", "said"), WRONG.values(), ids=WRONG)
def test_an_adapter_that_does_not_fit_is_one_sentence(change, said, chat, tmp_path, capsys):
    folder = damaged(chat, tmp_path / "adapter", change)
    assert said in sentence(capsys, "generate", "--model", "tiny", "--adapter", folder, "--prompt", "x")


def test_wrong_words_are_one_sentence(chat, tmp_path, capsys):
    ask = ("generate", "--prompt", "x", "--model")
    merge = ("adapters", "merge")
    for argv, said in {
        (*ask, "tiny", "--adapter", tmp_path / "none"): "there is no adapter at",
        (*ask, "tiny", "--adapter", chat.parent): "Name one of its adapters",
        (*ask, "tiny", "--adapter", resolve("tiny")): "is a whole checkpoint, no adapter",
        (*ask, "tiny", "--adapter", chat, "--adapter", chat): "the name 'chat' is in use",
        (*ask, chat, "--adapter", chat): "is itself an adapter",
        ("adapters",): "use list, merge or compare",
        ("adapters", "join"): "use list, merge or compare",
        ("adapters", "list", tmp_path): "contains no adapter",
        (*merge, chat, "--to", chat): "already exists",
        (*merge, "tiny", "--to", tmp_path / "m"): "there is no adapter at tiny",
        (*merge, resolve("tiny"), "--to", tmp_path / "m"): "name the folder of a run with use_peft",
    }.items():
        message = sentence(capsys, *argv)
        assert said in message and ("adapters" not in argv or "--model" not in message), argv
    with pytest.raises(Exception, match="is an adapter, and a whole checkpoint is needed"):
        sft(tmp_path / "run", f"{CHAT}/train.jsonl", *STEPS, "--model_name_or_path", str(chat))


def test_a_merge_into_a_quantised_base_is_refused(chat, tmp_path, capsys):
    """The config of such a checkpoint names the quantisation."""
    base = tmp_path / "base"
    shutil.copytree(resolve("tiny"), base)
    edit("config.json", quantization_config={"quant_method": "bitsandbytes", "load_in_4bit": True})(base)
    said = sentence(capsys, "adapters", "merge", chat, "--to", tmp_path / "merged", "--base", base)
    assert "quantised" in said and not (tmp_path / "merged").exists()


@pytest.mark.numeric
def test_an_adapter_that_was_trained_elsewhere_is_taken(tmp_path, capsys):
    """Stock PEFT's, without a record, with the whole head in the file."""
    config = LoraConfig(r=2, target_modules=["lm_head", "down_proj"], init_lora_weights=False, task_type="CAUSAL_LM")
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(resolve("tiny")), config)
    model.save_pretrained(tmp_path / "elsewhere")
    assert any(
        name.endswith("base_layer.weight") for name in load_file(tmp_path / "elsewhere/adapter_model.safetensors")
    )
    ask = ("--prompt", "copy abc", "--max_new_tokens", 8)
    answer = run_json(capsys, "generate", "--model", "tiny", "--adapter", tmp_path / "elsewhere", *ask)
    render = get_renderer(load_model_and_tokenizer("tiny")[1])
    (ids,) = generate(model, [render.prompt([{"role": "user", "content": "copy abc"}], "direct")], max_new_tokens=8)
    assert answer["token_ids"] == ids


def test_each_adapter_has_its_own_confidence_and_calibration(chat, lookup, capsys):
    named = ("--adapter", f"chat={chat}", "--adapter", f"lookup={lookup}")
    words = ("--data", f"{CHAT}/test.jsonl", "--limit", 3, "--max_new_tokens", 8, "--calibration", "--n", 2, "--vote")
    reports = run_json(capsys, "evaluate", "--model", "tiny", *named, *words)["adapters"]
    kinds = ["probability", "token_probability", "agreement"]
    assert [[*report["calibration"]] for report in reports.values()] == [kinds, kinds]
    means = [report["calibration"]["token_probability"]["confidence"] for report in reports.values()]
    assert means[0] != means[1]
    answers = run_json(capsys, "generate", "--model", "tiny", *named, "--prompt", "Hello", "--confidence")["adapters"]
    assert answers["chat"]["confidence"]["logprob"] != answers["lookup"]["confidence"]["logprob"]
