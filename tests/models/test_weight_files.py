"""Whole checkpoints are written as stock `save_pretrained` writes them, from one tensor at a time, and checked by reading."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from hrm_align.errors import UserError
from hrm_align.models import checkpoint_format
from hrm_align.models.checkpoint_format import stored_tensors
from hrm_align.models.loading import load_model
from hrm_align.models.weight_files import differing_tensors, load_weights, save_whole


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("dtype", [None, torch.bfloat16], ids=["own type", "bfloat16"])
def test_the_files_are_those_of_save_pretrained(dtype, tmp_path):
    model = load_model("tiny")
    (tmp_path / "ours").mkdir()
    save_whole(model, tmp_path / "ours", dtype)
    assert model.dtype == torch.float32 and differing_tensors(model, tmp_path / "ours", dtype) == []
    (model if dtype is None else model.to(dtype)).save_pretrained(tmp_path / "stock")
    assert files(tmp_path / "ours") == files(tmp_path / "stock")


def test_shards_are_complete_and_no_larger_than_requested(tmp_path):
    model = load_model("tiny")
    save_whole(model, tmp_path, shard="300KB")
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())["weight_map"]
    shards = sorted(tmp_path.glob("*.safetensors"))
    assert len(shards) > 1 and set(index.values()) == {shard.name for shard in shards}
    for shard in shards:
        tensors = load_file(shard)
        assert len(tensors) == 1 or sum(tensor.nbytes for tensor in tensors.values()) <= 300_000
        assert all(index[name] == shard.name for name in tensors)
    stock = AutoModelForCausalLM.from_pretrained(tmp_path).state_dict()
    assert all(torch.equal(stock[name], tensor) for name, tensor in model.state_dict().items())
    assert differing_tensors(model, tmp_path) == []


def test_a_tensor_that_was_not_saved_as_it_is_is_named(tmp_path):
    model = load_model("tiny")
    save_whole(model, tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    fused = "model.L_module.layers.0.attn.gqkv_proj.weight"
    tensors[fused][200, 3] += 1e-6  # in the third of four parts
    lost = "lm_head.weight"
    save_file({name: t for name, t in tensors.items() if name != lost}, tmp_path / "model.safetensors")
    assert differing_tensors(model, tmp_path) == [lost, fused]


def test_blocks_put_behind_each_other_are_the_tensor(tmp_path, monkeypatch):
    saved = load_model("tiny")
    save_whole(saved, tmp_path)
    monkeypatch.setattr(checkpoint_format, "BLOCK", 1000)  # every block but the last of a tensor
    whole = load_file(tmp_path / "model.safetensors")
    for name, stored in stored_tensors(tmp_path).items():
        assert stored.size == whole[name].nbytes
        assert torch.equal(torch.cat(list(stored.blocks())), whole[name].view(-1)), name
    model = load_model("tiny", dtype="bfloat16")
    load_weights(model, tmp_path)
    expected = saved.state_dict()
    assert all(torch.equal(tensor, expected[name].bfloat16()) for name, tensor in model.state_dict().items())


def test_a_file_that_loses_its_end_while_it_is_read_is_damaged(tmp_path):
    save_whole(load_model("tiny"), tmp_path)
    file = tmp_path / "model.safetensors"
    tensors = stored_tensors(tmp_path)
    file.write_bytes(file.read_bytes()[:-4])
    with pytest.raises(UserError, match=r"model.safetensors is damaged .* copy it again"):
        list(tensors["lm_head.weight"].blocks())
