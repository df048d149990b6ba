"""Saving and resuming take no second copy of the model; what is saved is what stock code saves."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from hrm_align.config.arguments import LoraArguments
from hrm_align.errors import UserError
from hrm_align.export.merging import merge
from hrm_align.models.loading import DTYPES, load_model, load_model_and_tokenizer
from hrm_align.models.lora import add_adapter
from hrm_align.models.sharding import all_finite
from hrm_align.models.weight_files import load_weights, save_weights
from hrm_align.trainers.checkpoint_mixin import SafeCheckpoints
from hrm_align.trainers.checkpoints import MANIFEST, find_damage, write_manifest
from tests.memory import CLEAR, growth, size_of
from tests.trainers.recipe_runs import sft, write_rows
from tests.trainers.resume.runs import LATEST, adapter_sft, forked

ROWS = [{"prompt": f"say {n}", "response": str(n)} for n in range(4)]
STEP = ("--max_steps", "1", "--save_steps", "1", "--per_device_train_batch_size", "1", "--learning_rate", "1e-3")

# Peaks ----------------------------------------------------------------------------------------------------------------


def trains_and_resumes(medium: Path, out: Path, rows: Path) -> None:
    """In bf16 without an optimizer's state, so that a step takes little more than weights and gradients."""
    peaks: dict[str, list[int]] = {"_save_checkpoint": [], "_load_from_checkpoint": []}
    for name, taken in peaks.items():
        stock = getattr(SafeCheckpoints, name)

        def measured(self, *args, stock=stock, taken=taken, **kwargs):
            taken.append(growth(stock, self, *args, **kwargs))

        setattr(SafeCheckpoints, name, measured)
    flags = ("--model_name_or_path", str(medium), "--dtype", "bfloat16", "--optim", "sgd", "--health", "false", *STEP)
    sft(out, rows, *flags)
    sft(out, rows, *flags, "--max_steps", "2", *LATEST)
    size = size_of(medium)
    assert max(peaks["_save_checkpoint"]) < 0.4 * size, f"a save takes {max(peaks['_save_checkpoint']) / size:.2f}"
    (resumed,) = peaks["_load_from_checkpoint"]  # the weights were mapped before, and are written now
    assert resumed < 1.3 * size, f"to resume takes {resumed / size:.2f}"


@pytest.mark.skipif(not CLEAR.exists(), reason="peaks are read from /proc, which is Linux's")
def test_no_second_copy_of_the_model_is_made_to_save_or_to_resume(medium, tmp_path):
    """Seen: 0.1 of the weights and 1.0. With all of them fused first a save takes 1.0, a float32 copy to resume from 3.0."""
    rows = write_rows(tmp_path / "rows.jsonl", ROWS)
    codes = forked(tmp_path / "log", trains_and_resumes, medium, tmp_path / "run", rows)
    assert codes == [0], (tmp_path / "log").read_text()[-3000:]


def merges(medium: Path) -> None:
    """An adapter on every layer of the stacks, in float32."""
    base, tokenizer = load_model_and_tokenizer(str(medium))
    model = add_adapter(base, tokenizer, str(medium), LoraArguments(use_peft=True, lora_r=8))
    size = sum(weight.nbytes for weight in model.parameters())
    grown = growth(merge, model, [list(range(6, 14))], answers=[[20, 21]], max_new_tokens=2)
    assert grown < 0.25 * size, f"to merge takes {grown / size:.2f}"


@pytest.mark.skipif(not CLEAR.exists(), reason="peaks are read from /proc, which is Linux's")
def test_a_merge_changes_the_weights_in_place(medium, tmp_path):
    """Seen: 0.09 of the weights, with their comparison. Where each is copied first, as PEFT's safe_merge does, 0.69."""
    codes = forked(tmp_path / "log", merges, medium)
    assert codes == [0], (tmp_path / "log").read_text()[-3000:]


# What is written and read ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_saved_weights_are_byte_for_byte_those_of_save_pretrained(tmp_path, dtype):
    model = load_model("tiny", dtype=dtype)
    model.save_pretrained(tmp_path)
    save_weights(model.state_dict(), tmp_path / "ours.safetensors")
    assert (tmp_path / "ours.safetensors").read_bytes() == (tmp_path / "model.safetensors").read_bytes()


def test_a_run_leaves_the_files_that_stock_saving_does(tmp_path):
    rows = write_rows(tmp_path / "rows.jsonl", ROWS)
    sft(tmp_path / "run", rows, *STEP)
    model, tokenizer = load_model_and_tokenizer(str(tmp_path / "run"))
    model.save_pretrained(tmp_path / "stock")
    tokenizer.save_pretrained(tmp_path / "stock")
    for path in (tmp_path / "stock").iterdir():
        assert path.read_bytes() == (tmp_path / "run/checkpoint-1" / path.name).read_bytes(), path.name


@pytest.mark.parametrize("dtype", DTYPES)
def test_weights_go_into_a_model_in_its_own_precision(tmp_path, dtype):
    saved = load_model("tiny")
    with torch.no_grad():
        for weight in saved.parameters():
            weight.add_(torch.randn_like(weight) / 100)
    saved.save_pretrained(tmp_path)
    model = load_model("tiny", dtype=dtype)
    load_weights(model, tmp_path)
    expected = saved.state_dict()
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, expected[name].to(DTYPES[dtype])), name


def _without(tensors: dict, name: str) -> None:
    del tensors[name]


def _with_more(tensors: dict, name: str) -> None:
    tensors[f"{name}.more"] = tensors[name].clone()


def _smaller(tensors: dict, name: str) -> None:
    tensors[name] = tensors[name][:-2].clone()


@pytest.mark.parametrize("change", [_without, _with_more, _smaller])
@pytest.mark.parametrize("run, file", [(sft, "model.safetensors"), (adapter_sft, "adapter_model.safetensors")])
def test_a_checkpoint_of_other_tensors_is_not_resumed(tmp_path, change, run, file):
    """Published like that, so that its manifest says nothing."""
    rows = write_rows(tmp_path / "rows.jsonl", ROWS)
    run(tmp_path / "run", rows, *STEP)
    checkpoint = tmp_path / "run/checkpoint-1"
    tensors = load_file(checkpoint / file)
    name = next(name for name in tensors if "o_proj" in name)
    change(tensors, name)
    save_file(tensors, checkpoint / file, metadata={"format": "pt"})
    write_manifest(checkpoint)
    with pytest.raises(UserError, match=r"(not fit this model|not fit its own config).*o_proj.*of another shape"):
        run(tmp_path / "run", rows, *STEP, "--max_steps", "2", *LATEST)


# Checks ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES)
def test_every_number_that_is_not_finite_is_found(dtype):
    largest = torch.finfo(dtype).max
    weights = torch.randn(3, 1000).clamp(-9, 9).to(dtype)
    weights[0, 0], weights[2, 1] = largest, -largest  # their sum would be infinite
    others = [torch.arange(3), torch.empty(0, dtype=dtype)]
    assert all_finite([weights, *others]) and all_finite([])
    for bad in (float("nan"), float("inf"), -float("inf")):
        for place in (0, 1234, 2999):
            broken = weights.clone()
            broken.view(-1)[place] = bad
            assert not all_finite([weights, broken, *others]), (bad, place)


def test_digests_of_files_of_many_blocks_are_sha256(tmp_path):
    contents = {f"{size}.bin": bytes(range(256)) * (size // 256) + b"end" for size in (0, 1 << 22, 9_000_192)}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    write_manifest(tmp_path)
    listed = json.loads((tmp_path / MANIFEST).read_text())["files"]
    assert {name: entry["sha256"] for name, entry in listed.items()} == {
        name: hashlib.sha256(content).hexdigest() for name, content in contents.items()
    }
    assert find_damage(tmp_path) is None
    shutil.copy(tmp_path / "0.bin", tmp_path / "moved")
    (tmp_path / "0.bin").unlink()
    assert find_damage(tmp_path) == "0.bin is missing"
