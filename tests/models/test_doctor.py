"""The doctor finds each planted fault and fixes it, and the fixed checkpoint computes what the sound one computed."""

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer, HrmTextForCausalLM, LlamaConfig

from hrm_align.models.doctor import weight_checks
from hrm_align.models.loading import load_config, load_model_and_tokenizer, resolve
from tests.command_line import examined, run
from tests.forks import OFFLINE
from tests.planted_faults import (
    contents,
    copy_of_tiny,
    edit,
    exported,
    reweigh,
    split_keys,
    split_shards,
    stock_logits,
    unmarked,
    without_thoughts,
)


@pytest.fixture
def model(tmp_path) -> Path:
    return copy_of_tiny(tmp_path / "model")


def without_token(folder: Path) -> None:
    content = json.loads((folder / "tokenizer.json").read_text())
    content["added_tokens"] = [token for token in content["added_tokens"] if token["content"] != "<|quad_end|>"]
    (folder / "tokenizer.json").write_text(json.dumps(content))


def foreign_template(folder: Path) -> None:
    (folder / "chat_template.jinja").write_text("{{ messages[0].content }}")


def inline_template(folder: Path) -> None:
    (folder / "chat_template.jinja").unlink()
    edit("tokenizer_config.json", chat_template="{{ messages }}")(folder)


MENDABLE = {
    "the port's default horizon": (edit("config.json", L_bp_cycles=[2]), "horizon"),
    "no horizon": (edit("config.json", L_bp_cycles=None), "horizon"),
    "the exporter's horizon": (edit("config.json", L_bp_steps=[0, 3], L_bp_cycles=None), "horizon"),
    "a horizon beside the exporter's": (edit("config.json", L_bp_steps=5), "horizon"),
    "both stacks' layers": (edit("config.json", num_hidden_layers=2, num_layers_per_stack=None), "layers"),
    "layers that are not inflated": (edit("config.json", num_hidden_layers=1), "layers"),
    "another stack": (edit("config.json", num_layers_per_stack=2, num_hidden_layers=16), "layers"),
    "a wrong pad id": (edit("config.json", pad_token_id=0), "token_ids"),
    "a wrong end id": (edit("config.json", eos_token_id=5), "token_ids"),
    "no bos id": (edit("config.json", bos_token_id=None), "token_ids"),
    "another prefix end": (edit("config.json", prefix_end_token_id=9), "token_ids"),
    "no embedding scale": (edit("config.json", embedding_scale=1.0), "embedding_scale"),
    "a std that is not the scale's": (edit("config.json", initializer_range=0.02), "embedding_scale"),
    "no prefix mask": (edit("config.json", prefix_lm=False), "architecture"),
    "a tied head": (edit("config.json", tie_word_embeddings=True), "architecture"),
    "no architecture": (edit("config.json", architectures=None), "architecture"),
    "another vocabulary size": (edit("config.json", vocab_size=1024), "sizes"),
    "no inner size": (edit("config.json", intermediate_size=None), "sizes"),
    "another dtype": (edit("config.json", dtype="bfloat16"), "dtype"),
    "the old name of dtype": (edit("config.json", torch_dtype="float16", dtype=None), "dtype"),
    "split keys": (split_keys, "fused_keys"),
    "split keys in shards": (split_shards, "fused_keys"),
    "a control token that is text": (without_token, "control_tokens"),
    "a template of another layout": (foreign_template, "chat_template"),
    "a template inside the config": (inline_template, "chat_template"),
    "no template": (lambda folder: (folder / "chat_template.jinja").unlink(), "chat_template"),
    "types that are zeros": (
        edit("tokenizer_config.json", model_input_names=["input_ids", "token_type_ids", "attention_mask"]),
        "input_names",
    ),
    "input names that are none": (edit("tokenizer_config.json", model_input_names=1), "input_names"),
    "another end token": (edit("tokenizer_config.json", eos_token="<|im_end|>"), "special_tokens"),
    "no tokenizer config": (lambda folder: (folder / "tokenizer_config.json").unlink(), "special_tokens"),
    "a damaged tokenizer config": (lambda folder: (folder / "tokenizer_config.json").write_text("{"), "files"),
    "an end that never comes": (edit("generation_config.json", eos_token_id=None), "generation_config"),
    "a wrong end of generation": (edit("generation_config.json", eos_token_id=5), "generation_config"),
    "an exported checkpoint": (exported, "layers"),
    "a template of an earlier release": (without_thoughts, "chat_template"),
    "a template of the first release": (unmarked, "chat_template"),
    "an end token that is suppressed": (edit("generation_config.json", suppress_tokens=[10, 11]), "generation_config"),
    "sampling by default": (edit("generation_config.json", do_sample=True, top_p=0.9), "generation_config"),
    "a least and a longest answer": (
        edit("generation_config.json", min_new_tokens=5, max_length=50),
        "generation_config",
    ),
    "an end token as pad token": (edit("tokenizer_config.json", pad_token="<|box_end|>"), "special_tokens"),
}


@pytest.mark.parametrize("fault", MENDABLE)
def test_a_fault_is_found_and_mended_and_the_logits_are_those_from_before(capsys, model, fault):
    plant, check = MENDABLE[fault]
    before = stock_logits(model)
    plant(model)
    faulty = contents(model)

    code, found = examined(capsys, model)
    assert code == 1 and not found["sound"]
    assert check in {finding["check"] for finding in found["findings"] if finding["fixable"]}
    assert contents(model) == faulty, "looking wrote something"

    code, result = examined(capsys, model, "--fix")
    assert code == 0 and result["sound"] and check in {finding["check"] for finding in result["fixed"]}
    assert examined(capsys, model) == (0, result | {"fixed": [], "written": []})
    assert torch.equal(stock_logits(model), before)
    after = contents(model)
    for name, content in faulty.items():
        assert content in (after.get(name), after.get(f"{name}.bak")), f"{name} was not kept"
    assert {name for name in after if after[name] != faulty.get(name)} == {
        *result["written"],
        *(f"{name}.bak" for name in faulty if f"{name}.bak" in after),
    }
    assert not [name for name in after if "partial" in name]

    load_config(str(model))
    tokenizer = AutoTokenizer.from_pretrained(model)
    text = "<|im_start|><|quad_end|>a<|im_end|>"
    sound = AutoTokenizer.from_pretrained(resolve("tiny"))
    assert tokenizer(text)["input_ids"] == sound(text)["input_ids"] and "token_type_ids" not in tokenizer(text)
    assert tokenizer.chat_template == sound.chat_template
    assert (tokenizer.pad_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id) == (5, 6, 11)
    assert HrmTextForCausalLM.from_pretrained(model).generation_config.eos_token_id == 11


@pytest.mark.parametrize(
    ("key", "value", "effect"),
    [
        ("suppress_tokens", [10, 11, 12], "the end token (11) is never generated, so no answer ends"),
        ("bad_words_ids", [[40, 41], [11]], "the end token (11) is never generated, so no answer ends"),
        ("bad_words_ids", [[11, 41]], "these tokens are never generated"),
        ("begin_suppress_tokens", [11], "no answer begins with these tokens"),
        ("forced_eos_token_id", 7, "the tokens at this place are fixed"),
        ("min_length", 40, "no answer ends before this length"),
        ("max_new_tokens", 20, "longer answers are cut"),
        ("num_beams", 4, "beam search replaces greedy decoding"),
        ("no_repeat_ngram_size", 3, "tokens that repeat are penalised"),
        ("temperature", 0.7, "sampling follows it"),
        ("min_p", 0.1, "sampling follows it"),
        ("use_cache", False, "the model attends to its answer in both directions"),
    ],
)
def test_a_setting_that_stock_generate_follows_is_named_with_its_effect(capsys, model, key, value, effect):
    edit("generation_config.json", **{key: value})(model)
    code, report = examined(capsys, model)
    (finding,) = report["findings"]
    assert code == 1 and finding["check"] == "generation_config" and finding["remedy"] == f"remove {key}."
    assert f"generation_config.json: {key} {json.dumps(value)}: " in finding["problem"] and effect in finding["problem"]


def test_settings_without_an_effect_are_no_problem(capsys, model):
    neutral = {"do_sample": False, "repetition_penalty": 1.0, "temperature": 1.0, "top_k": 50, "max_length": 1024}
    neutral |= {"suppress_tokens": [], "num_beams": 1, "min_length": 0, "transformers_version": "5.9.0"}
    edit("generation_config.json", **neutral)(model)
    assert examined(capsys, model)[0] == 0


def test_a_pad_token_is_compared_with_the_end_token_and_with_the_config(capsys, model):
    edit("tokenizer_config.json", pad_token="<|box_end|>")(model)
    (finding,) = examined(capsys, model)[1]["findings"]
    assert (
        "the pad token <|box_end|> is the end token" in finding["problem"]
        and "never train the end" in finding["problem"]
    )
    edit("tokenizer_config.json", pad_token="<|vision_pad|>")(model)
    (finding,) = examined(capsys, model)[1]["findings"]
    assert "has the id 16, but pad_token_id in config.json is 5" in finding["problem"]


def swapped_tokens(folder: Path) -> None:
    text = (folder / "tokenizer.json").read_text()
    for old, new in (("<|im_end|>", "@@"), ("<|box_end|>", "<|im_end|>"), ("@@", "<|box_end|>")):
        text = text.replace(old, new)
    (folder / "tokenizer.json").write_text(text)


def truncated(folder: Path) -> None:
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[:-64])


def one_infinite(tensors) -> None:
    tensors["model.H_module.layers.0.mlp.down_proj.weight"][3, 5] = float("inf")


def half_precision(tensors) -> None:
    tensors["lm_head.weight"] = tensors["lm_head.weight"].bfloat16()


LOST = {
    "a start state of zeros": (
        reweigh(lambda t: t["model.z_L_init"].zero_()),
        "z_L_init",
        "copy model.z_L_init from the checkpoint",
    ),
    "no start state": (reweigh(lambda t: t.pop("model.z_L_init")), "z_L_init", "missing"),
    "an infinite weight": (reweigh(one_infinite), "finite", "1 weights in 1 tensors"),
    "a missing tensor": (reweigh(lambda t: t.pop("lm_head.weight")), "keys", "lm_head.weight"),
    "an adapter's tensor": (reweigh(lambda t: t.update(lora_A=torch.ones(2))), "keys", "lora_A"),
    "two dtypes": (reweigh(half_precision), "dtype", "BF16, F32"),
    "truncated weights": (truncated, "weights", "damaged"),
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), "weights", "no model.safetensors"),
    "ids that are another token's": (swapped_tokens, "control_tokens", "<|im_end|> is 11, not 7"),
    "a damaged tokenizer": (lambda folder: (folder / "tokenizer.json").write_text("{"), "tokenizer", "damaged"),
    "no tokenizer": (lambda folder: (folder / "tokenizer.json").unlink(), "tokenizer", "missing"),
    "heads that do not fit": (edit("config.json", num_attention_heads=8), "keys", "another shape"),
    "cycles that are no number": (edit("config.json", H_cycles="two"), "numbers", "H_cycles"),
    "cycles beyond reason": (edit("config.json", L_cycles=10**9), "numbers", "L_cycles"),
    "two scales that contradict": (
        edit("config.json", embedding_scale=1.0, initializer_range=0.5),
        "embedding_scale",
        "the values of the training",
    ),
}


@pytest.mark.parametrize("fault", LOST)
def test_what_cannot_be_mended_is_told_and_nothing_is_written(capsys, model, fault):
    plant, check, words = LOST[fault]
    plant(model)
    faulty = contents(model)
    code, result = examined(capsys, model, "--fix")
    texts = [f"{finding['problem']} {finding['remedy']}" for finding in result["findings"] if finding["check"] == check]
    assert code == 1 and words in " ".join(texts)
    assert contents(model) == faulty and result["written"] == []


def test_the_official_horizons_are_sound_and_no_other(capsys, model):
    """bp 3 to 8 of H 2 x L 3; [3] is padded to [1, 3] by the port."""
    sound = [[0, 1], [0, 2], [0, 3], [1, 3], [2, 3], [3, 3], [3]]
    for cycles in sound:
        edit("config.json", L_bp_cycles=cycles)(model)
        assert examined(capsys, model)[0] == 0, cycles
    for cycles in ([1], [2], [1, 2], [0, 0], [0, 4], [3, 0], [0, 0, 3], "03", 5, []):
        edit("config.json", L_bp_cycles=cycles)(model)
        assert examined(capsys, model)[0] == 1, cycles


def test_the_exporters_horizon_is_kept_where_it_is_official(capsys, model):
    edit("config.json", L_bp_steps=[1, 3], L_bp_cycles=None)(model)
    assert examined(capsys, model, "--fix")[0] == 0
    config = json.loads((model / "config.json").read_text())
    assert config["L_bp_cycles"] == [1, 3] and "L_bp_steps" not in config


def test_a_vocabulary_of_its_own_is_sound_when_the_config_says_so(capsys, model):
    """The same model behind another numbering: 7 and 11 change places, in the tokenizer and in every id."""
    swapped_tokens(model)
    (model / "chat_template.jinja").unlink()
    edit("config.json", prefix_end_token_id=11, eos_token_id=7)(model)
    edit("generation_config.json", eos_token_id=7)(model)
    assert examined(capsys, model, "--fix")[0] == 0
    edit("config.json", eos_token_id=11)(model)
    assert [finding["check"] for finding in examined(capsys, model)[1]["findings"]] == ["token_ids"]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_stock_checkpoint_is_sound_whole_and_sharded(capsys, tmp_path, dtype):
    model, tokenizer = load_model_and_tokenizer("tiny")
    for size in ("5GB", "500KB"):
        folder = tmp_path / size
        model.to(dtype).save_pretrained(folder, max_shard_size=size)
        tokenizer.save_pretrained(folder)
        assert examined(capsys, folder) == (
            0,
            {"model": str(folder), "sound": True, "findings": [], "fixed": [], "written": []},
        )
    assert len(list((tmp_path / "500KB").glob("*.safetensors"))) > 2


def test_faults_in_a_sharded_checkpoint_are_found(capsys, model):
    split_shards(model)
    examined(capsys, model, "--fix")
    index = model / "model.safetensors.index.json"
    content = json.loads(index.read_text())
    assert not [name for name in content["weight_map"] if "q_proj" in name]
    # tools that take every *.safetensors must not find the old shards beside the new ones
    assert {path.name for path in model.glob("*.safetensors")} == set(content["weight_map"].values())
    assert len(list(model.glob("*.safetensors.bak"))) == 3
    (model / content["weight_map"]["lm_head.weight"]).unlink()
    assert [finding["check"] for finding in examined(capsys, model)[1]["findings"]] == ["weights"]
    index.write_text(json.dumps({"weight_map": {"lm_head.weight": "../model.safetensors"}}))
    assert "which is not in" in examined(capsys, model)[1]["findings"][0]["problem"]


def test_mistakes_are_one_sentence_and_exit_with_2(capsys, tmp_path, model):
    LlamaConfig().save_pretrained(tmp_path / "llama")
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter/adapter_config.json").write_text("{}")
    (tmp_path / "empty").mkdir()
    (model / "config.json").write_text("[]")
    for words, argv in {
        "no model at": [tmp_path / "nowhere"],
        "no HRM-Text": [tmp_path / "llama"],
        "is an adapter": [tmp_path / "adapter"],
        "has no config.json": [tmp_path / "empty"],
        "damaged": [model],
        "Copy the model to a folder": ["tiny", "--fix"],
        "Download the model": ["someone/else", "--fix"],
        "the Hub cannot provide it": ["someone/else"],
        "arguments are required": [],
    }.items():
        code, _, err = run(capsys, "doctor", *argv)
        assert code == 2 and words in err and err.count("error: ") == 1 and "Traceback" not in err, (words, err)


def test_people_are_told_in_words(capsys, model):
    assert run(capsys, "doctor", "tiny") == (0, "tiny has no problems.\n", "")
    edit("config.json", num_hidden_layers=2, num_layers_per_stack=None)(model)
    done = OFFLINE.run(
        "import sys; from hrm_align.cli import main; sys.exit(main())", "hrm-align", "doctor", str(model)
    )
    assert done.returncode == 1 and "Set num_layers_per_stack to 1, set num_hidden_layers to 8.  [--fix]" in done.stdout
    code, out, _ = run(capsys, "doctor", model, "--fix")
    assert code == 0 and "fixed " in out and "has no problems" in out


def test_the_port_keeps_the_start_state_frozen(capsys, monkeypatch):
    monkeypatch.setattr(weight_checks, "_transformers_freezes_start_state", lambda: False)
    assert examined(capsys, "tiny")[1]["findings"][0]["check"] == "z_L_init"
