"""Official training checkpoints become Transformers', bit for bit."""

import inspect
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from transformers import AutoTokenizer, HrmTextForCausalLM

from hrm_align.models.loading import load_config, resolve
from tests.command_line import convert, run
from tests.launching import ROOT, launch
from tests.official_form import (
    HIDDEN,
    INNER,
    LAYERS,
    SETTINGS,
    VOCABULARY,
    Block,
    Official,
    Optimizer,
    Weight,
    load_official,
    same_bits,
    save_drawn,
    save_official,
    write_yaml,
)
from tests.parity.reference import rule_mask, unpatched

IDS = [6, 8, 60, 61, 62, 63, 7, 70, 71, 72, 11]


@pytest.fixture
def official(tmp_path) -> Path:
    return save_drawn(tmp_path / "official")


def stock_logits(folder: Path) -> torch.Tensor:
    model = HrmTextForCausalLM.from_pretrained(folder, attn_implementation="eager").eval()
    with unpatched(), torch.no_grad():
        return model(torch.tensor([IDS]), attention_mask=rule_mask([IDS], len(IDS)), use_cache=False).logits[0]


@pytest.mark.numeric
@pytest.mark.parametrize("weights", ["ema", "raw"])
def test_stock_transformers_computes_what_the_official_forward_computes(capsys, tmp_path, official, weights):
    report = convert(capsys, official, "--to", tmp_path / "hf", "--weights", weights)
    assert report["sound"] and report["weights"] == weights and report["dtype"] == "F32"
    with torch.no_grad():
        expected = load_official(official, 2, ema=weights == "ema")(IDS)
        other = load_official(official, 2, ema=weights != "ema")(IDS)
    logits = stock_logits(tmp_path / "hf")
    # Seen: 2e-6, of logits up to 4. The other weights move them by 1.
    assert (logits - expected).abs().max() < 1e-5 < 1e-2 < (logits - other).abs().max()


def test_the_ema_is_what_is_converted_unless_raw_is_asked_for(capsys, tmp_path, official):
    assert convert(capsys, official, "--to", tmp_path / "default")["weights"] == "ema"
    convert(capsys, official, "--to", tmp_path / "ema", "--weights", "ema")
    assert (tmp_path / "default/model.safetensors").read_bytes() == (tmp_path / "ema/model.safetensors").read_bytes()


def test_the_config_is_the_one_that_was_trained(capsys, tmp_path, official):
    convert(capsys, official, "--to", tmp_path / "hf")
    config = json.loads((tmp_path / "hf/config.json").read_text())
    expected = {
        "architectures": ["HrmTextForCausalLM"], "model_type": "hrm_text", "vocab_size": 512, "hidden_size": 64,
        "intermediate_size": 256, "num_layers_per_stack": 2, "num_hidden_layers": 2 * 2 * (3 + 1), "head_dim": 32,
        "num_attention_heads": 2, "H_cycles": 2, "L_cycles": 3, "L_bp_cycles": [0, 3], "embedding_scale": 8.0,
        "initializer_range": 0.125, "max_position_embeddings": 4096, "rms_norm_eps": 1e-6, "prefix_lm": True,
        "tie_word_embeddings": False, "pad_token_id": 5, "bos_token_id": 6, "eos_token_id": 11, "dtype": "float32",
        "rope_parameters": {"rope_theta": 10000.0, "rope_type": "default"},
    }  # fmt: skip
    assert {key: config.get(key) for key in expected} == expected and "L_bp_steps" not in config
    load_config(str(tmp_path / "hf"))


@pytest.mark.parametrize("steps, cycles", [(5, [0, 3]), (3, [0, 1]), (8, [3, 3]), (2, [0, 3])])
def test_the_horizon_is_the_trained_one_where_the_port_can_say_it(capsys, tmp_path, official, steps, cycles):
    write_yaml(official / "all_config.yaml", SETTINGS | {"arch": SETTINGS["arch"] | {"bp_max_steps": steps}})
    convert(capsys, official, "--to", tmp_path / "hf")
    assert json.loads((tmp_path / "hf/config.json").read_text())["L_bp_cycles"] == cycles


def test_the_files_are_those_of_stock_save_pretrained(capsys, tmp_path, official):
    convert(capsys, official, "--to", tmp_path / "hf")
    HrmTextForCausalLM.from_pretrained(tmp_path / "hf").save_pretrained(tmp_path / "stock")
    for name in ("model.safetensors", "config.json", "generation_config.json"):
        assert (tmp_path / "hf" / name).read_bytes() == (tmp_path / "stock" / name).read_bytes(), name
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "hf")
    sound = AutoTokenizer.from_pretrained(resolve("tiny"))
    text = "<|im_start|><|quad_end|>Add 2 and 3.<|im_end|>"
    assert tokenizer(text)["input_ids"] == sound(text)["input_ids"] and tokenizer.chat_template == sound.chat_template


FSDP = """
import os, sys, math, torch
import torch.distributed as dist, torch.distributed.checkpoint as dcp
from pathlib import Path
from torch import nn
from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
MODEL
folder, rank = Path(sys.argv[1]), int(os.environ["RANK"])
dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
torch.manual_seed(1)
model = Official()
mesh = init_device_mesh("cpu", (2,))
for level in (model.model.H_level, model.model.L_level):
    for block in level.core.layers:
        fully_shard(block, mesh=mesh)
fully_shard(model, mesh=mesh)
optimizer = Optimizer(model.parameters())
dcp.save({"model": model.state_dict(), "optim": get_optimizer_state_dict(model, optimizer)}, checkpoint_id=folder / "fsdp2_epoch_4")
dist.destroy_process_group()
"""


@pytest.mark.campaign
def test_shards_of_two_fsdp2_ranks_are_put_together(capsys, tmp_path, official):
    """The same seed as the fixture: the raw weights are equal, each in two halves."""
    sizes = f"VOCABULARY, HIDDEN, INNER, LAYERS = {VOCABULARY}, {HIDDEN}, {INNER}, {LAYERS}"
    model = "\n".join([sizes, *(inspect.getsource(part) for part in (Weight, Block, Official, Optimizer))])
    script = tmp_path / "fsdp.py"
    script.write_text(FSDP.replace("MODEL", model))
    launch(ROOT / "recipes/accelerate/two_processes_cpu.yaml", script, [str(official)])
    assert len(list((official / "fsdp2_epoch_4").glob("*.distcp"))) == 2
    convert(capsys, official / "fsdp2_epoch_2", "--to", tmp_path / "one", "--weights", "raw")
    convert(capsys, official, "--to", tmp_path / "two", "--weights", "raw")  # the last epoch
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    assert same_bits(one, two)
    convert(capsys, official, "--to", tmp_path / "ema")
    assert not same_bits(one, load_file(tmp_path / "ema/model.safetensors"))


def test_what_the_official_exporter_drops_is_dropped(capsys, tmp_path, official):
    model = Official()
    model.model.register_buffer("zH_init", torch.zeros(HIDDEN))
    model.model.H_level.core.rotary_emb = nn.Module()
    model.model.H_level.core.rotary_emb.register_buffer("cos_cached", torch.zeros(4))
    save_official(tmp_path / "older", model, Optimizer(model.parameters()))
    convert(capsys, tmp_path / "older", "--to", tmp_path / "hf")


def test_what_is_converted_is_examined(capsys, tmp_path):
    model = Official()
    model.model.zL_init.zero_()
    folder = save_official(tmp_path / "official", model, Optimizer(model.parameters()))
    code, out, _ = run(capsys, "convert", folder, "--to", tmp_path / "hf")
    assert code == 1 and "model.z_L_init is all zeros" in out and (tmp_path / "hf/config.json").exists()
