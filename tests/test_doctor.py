"""The doctor finds each planted fault, mends it, and the mended checkpoint computes what the sound one computed."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, HrmTextForCausalLM, LlamaConfig

from hrm_align.cli import dispatch, exit_code_of
from hrm_align.models import doctor
from hrm_align.models.loading import load_config, load_model_and_tokenizer, resolve
from hrm_align.trainers.checkpoints import check_whole, write_manifest

IDS = torch.tensor([[6, 8, 60, 61, 62, 63, 7, 70, 71, 72, 11]])
TYPES = torch.tensor([[1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0]])


def stock_logits(folder: Path) -> torch.Tensor:
    model = HrmTextForCausalLM.from_pretrained(folder).eval()
    with torch.no_grad():
        return model(input_ids=IDS, token_type_ids=TYPES).logits


def run(capsys, *argv) -> tuple[int, str, str]:
    try:
        code = exit_code_of(dispatch, [str(word) for word in argv])
    except SystemExit as stop:
        code = stop.code
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def examined(capsys, folder: Path, *flags) -> tuple[int, dict]:
    code, out, _ = run(capsys, "doctor", folder, "--json", *flags)
    return code, json.loads(out)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def model(tmp_path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    for file in Path(resolve("tiny")).iterdir():
        shutil.copyfile(file, folder / file.name)
    return folder


def edit(name: str, **values):
    """A fault in a JSON file: keys set, or removed where the value is None."""

    def plant(folder: Path) -> None:
        content = json.loads((folder / name).read_text()) | values
        content = {key: value for key, value in content.items() if value is not None}
        (folder / name).write_text(json.dumps(content))

    return plant


def reweigh(change):
    """A fault in the weights: `change` edits the saved tensors in place."""

    def plant(folder: Path) -> None:
        tensors = load_file(folder / "model.safetensors")
        change(tensors)
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})

    return plant


def split_keys(folder: Path) -> None:
    """The names of the port's modules, as a plain `save_file(model.state_dict())` writes them."""
    model = HrmTextForCausalLM.from_pretrained(folder)
    save_file(
        {k: v.contiguous() for k, v in model.state_dict().items()}, folder / "model.safetensors", {"format": "pt"}
    )


def split_shards(folder: Path) -> None:
    """The same in three shards, dealt out so that the parts of one fused tensor lie in different ones."""
    model = HrmTextForCausalLM.from_pretrained(folder)
    places = {name: f"model-{i % 3 + 1:05}-of-00003.safetensors" for i, name in enumerate(sorted(model.state_dict()))}
    for file in set(places.values()):
        held = {name: model.state_dict()[name].contiguous() for name in places if places[name] == file}
        save_file(held, folder / file, {"format": "pt"})
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))
    (folder / "model.safetensors").unlink()


def without_token(folder: Path) -> None:
    content = json.loads((folder / "tokenizer.json").read_text())
    content["added_tokens"] = [token for token in content["added_tokens"] if token["content"] != "<|quad_end|>"]
    (folder / "tokenizer.json").write_text(json.dumps(content))


def foreign_template(folder: Path) -> None:
    (folder / "chat_template.jinja").write_text("{{ messages[0].content }}")


def inline_template(folder: Path) -> None:
    (folder / "chat_template.jinja").unlink()
    edit("tokenizer_config.json", chat_template="{{ messages }}")(folder)


def exported(folder: Path) -> None:
    """What the official exporter leaves."""
    edit("config.json", L_bp_steps=[0, 3], L_bp_cycles=None, num_layers_per_stack=None, num_hidden_layers=2)(folder)
    edit("config.json", pad_token_id=0, dtype=None)(folder)
    for name in ("chat_template.jinja", "generation_config.json"):
        (folder / name).unlink()


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
}


@pytest.mark.parametrize("fault", MENDABLE)
def test_a_fault_is_found_and_mended_and_the_logits_are_those_from_before(capsys, model, fault):
    plant, check = MENDABLE[fault]
    before = stock_logits(model)
    plant(model)
    faulty = contents(model)

    code, found = examined(capsys, model)
    assert code == 1 and not found["sound"]
    assert check in {finding["check"] for finding in found["findings"] if finding["mendable"]}
    assert contents(model) == faulty, "looking wrote something"

    code, result = examined(capsys, model, "--fix")
    assert code == 0 and result["sound"] and check in {finding["check"] for finding in result["mended"]}
    assert examined(capsys, model) == (0, result | {"mended": [], "written": []})
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
    "a start state of zeros": (reweigh(lambda t: t["model.z_L_init"].zero_()), "z_L_init", "cannot be mended"),
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
        "what it was trained with",
    ),
}


@pytest.mark.parametrize("fault", LOST)
def test_what_cannot_be_mended_is_told_and_nothing_is_written(capsys, model, fault):
    plant, check, words = LOST[fault]
    plant(model)
    faulty = contents(model)
    code, result = examined(capsys, model, "--fix")
    told = [f"{finding['problem']} {finding['remedy']}" for finding in result["findings"] if finding["check"] == check]
    assert code == 1 and words in " ".join(told)
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
            {"model": str(folder), "sound": True, "findings": [], "mended": [], "written": []},
        )
    assert len(list((tmp_path / "500KB").glob("*.safetensors"))) > 2


def test_a_fused_file_is_byte_for_byte_what_stock_save_pretrained_writes(capsys, model, tmp_path):
    HrmTextForCausalLM.from_pretrained(model).save_pretrained(tmp_path / "stock")
    split_keys(model)
    examined(capsys, model, "--fix")
    assert (model / "model.safetensors").read_bytes() == (tmp_path / "stock/model.safetensors").read_bytes()


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


def test_an_existing_backup_is_never_written_over(capsys, model):
    (model / "config.json.bak").write_text("mine")
    for ids, backup in ((0, "config.json.bak.1"), (1, "config.json.bak.2")):
        edit("config.json", pad_token_id=ids)(model)
        faulty = (model / "config.json").read_bytes()
        assert examined(capsys, model, "--fix")[0] == 0
        assert (model / backup).read_bytes() == faulty
    assert (model / "config.json.bak").read_text() == "mine"


class Killed(BaseException):
    """What no handler expects."""


def killed_at(moment: int, folder: Path, monkeypatch) -> bool:
    """Mend, and die at the n-th change of the disk: from then on nothing reaches it. False if it came through before."""
    left = [moment]

    def deadly(function):
        def call(*args, **kwargs):
            left[0] -= 1
            if left[0] < 0:
                raise Killed
            return function(*args, **kwargs)

        return call

    with monkeypatch.context() as patched:
        for holder, name in ((os, "replace"), (os, "link"), (os, "fsync"), (Path, "rename"), (Path, "unlink")):
            patched.setattr(holder, name, deadly(getattr(holder, name)))
        try:
            doctor.mend(folder)
        except Killed:
            return True
    return False


@pytest.mark.parametrize("plant", [split_keys, split_shards, exported])
def test_a_kill_at_any_moment_leaves_a_checkpoint_that_loads_as_the_old_or_the_new(
    capsys, tmp_path, model, plant, monkeypatch
):
    before = stock_logits(model)
    plant(model)
    for moment in range(40):
        folder = tmp_path / f"kill-{moment}"
        shutil.copytree(model, folder)
        killed = killed_at(moment, folder, monkeypatch)
        json.loads((folder / "config.json").read_text())
        if plant is not exported:  # its config loads as another model until it is mended
            assert torch.equal(stock_logits(folder), before), moment
        assert examined(capsys, folder, "--fix")[0] == 0
        assert torch.equal(stock_logits(folder), before), moment
        if not killed:
            break
    assert moment >= 4 and not killed


def test_a_full_disk_is_told_and_loses_nothing(capsys, model, monkeypatch):
    split_keys(model)
    faulty = contents(model)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 9, 1))
    code, _, err = run(capsys, "doctor", model, "--fix")
    assert code == 2 and "free space" in err and contents(model) == faulty
    monkeypatch.undo()
    monkeypatch.setattr(os, "fsync", lambda handle: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    code, _, err = run(capsys, "doctor", model, "--fix")
    assert code == 2 and "No space left" in err and contents(model) == faulty


def test_a_runs_own_checkpoint_is_not_mended_behind_its_seal(capsys, model):
    edit("config.json", pad_token_id=0)(model)
    write_manifest(model)
    sealed = contents(model)
    code, _, err = run(capsys, "doctor", model, "--fix")
    assert code == 2 and "delete manifest.json in the copy" in err
    assert contents(model) == sealed and check_whole(model) is None
    (model / "manifest.json").unlink()
    assert examined(capsys, model, "--fix")[0] == 0


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
        "holds no config.json": [tmp_path / "empty"],
        "damaged": [model],
        "copy the model first": ["tiny", "--fix"],
        "download it": ["someone/else", "--fix"],
        "neither a folder here nor reachable": ["someone/else"],
        "arguments are required": [],
    }.items():
        code, _, err = run(capsys, "doctor", *argv)
        assert code == 2 and words in err and err.count("error: ") == 1 and "Traceback" not in err, (words, err)


def test_people_are_told_in_words(capsys, model):
    assert run(capsys, "doctor", "tiny") == (0, "tiny is sound.\n", "")
    edit("config.json", num_hidden_layers=2, num_layers_per_stack=None)(model)
    command = [sys.executable, "-m", "hrm_align.cli", "doctor", str(model)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1 and "Set num_layers_per_stack to 1, set num_hidden_layers to 8.  [--fix]" in done.stdout
    code, out, _ = run(capsys, "doctor", model, "--fix")
    assert code == 0 and "mended" in out and "is sound" in out


def test_the_port_keeps_the_start_state_frozen(capsys, monkeypatch):
    monkeypatch.setattr(doctor, "_stock_freezes", lambda: False)
    assert examined(capsys, "tiny")[1]["findings"][0]["check"] == "z_L_init"
