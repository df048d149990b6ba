"""Official training checkpoints become Transformers' and back, bit for bit, and what cannot is refused by name.

The official side here is a stand-in written from the published names, shapes and formulas (sapientinc/HRM-Text), saved and
loaded through torch's own DCP in the way of the official trainer and loader.
"""

import inspect
import json
import math
import os
import pickle
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
import torch.distributed.checkpoint as dcp
import yaml
from safetensors.torch import load_file, save_file
from torch import nn
from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict, set_optimizer_state_dict
from torch.nn import functional as F
from transformers import AutoTokenizer, HrmTextConfig, HrmTextForCausalLM

from hrm_align.cli import dispatch, exit_code_of
from hrm_align.models.conversion import new_folder
from hrm_align.models.loading import load_config, load_model_and_tokenizer, resolve
from tests.parity.reference import drawn_mask, unpatched

VOCABULARY, HIDDEN, HEADS, INNER, LAYERS = 512, 64, 2, 256, 2
H_CYCLES, L_CYCLES = 2, 3
IDS = [6, 8, 60, 61, 62, 63, 7, 70, 71, 72, 11]


class Weight(nn.Module):
    def __init__(self, *shape: int, name: str = "weight"):
        super().__init__()
        self.register_parameter(name, nn.Parameter(torch.randn(shape) / math.sqrt(shape[-1])))


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.attn, self.mlp = nn.Module(), nn.Module()
        self.attn.gqkv_proj, self.attn.o_proj = Weight(4 * HIDDEN, HIDDEN), Weight(HIDDEN, HIDDEN)
        self.mlp.gate_up_proj, self.mlp.down_proj = Weight(2 * INNER, HIDDEN), Weight(HIDDEN, INNER)

    def forward(self, x, mask):  # (seq, hidden)
        gate, query, key, value = (F.rms_norm(x, (HIDDEN,), eps=1e-6) @ self.attn.gqkv_proj.weight.T).chunk(4, -1)
        heads = [part.view(len(x), HEADS, -1).transpose(0, 1) for part in (rotated(query), rotated(key), value)]
        read = F.scaled_dot_product_attention(*heads, attn_mask=mask).transpose(0, 1).reshape(x.shape)
        x = x + (torch.sigmoid(gate) * read) @ self.attn.o_proj.weight.T
        gate, up = (F.rms_norm(x, (HIDDEN,), eps=1e-6) @ self.mlp.gate_up_proj.weight.T).chunk(2, -1)
        return x + (F.silu(gate) * up) @ self.mlp.down_proj.weight.T


def rotated(x):
    size = HIDDEN // HEADS
    angles = torch.outer(torch.arange(len(x)).float(), 10000.0 ** (-torch.arange(0, size, 2) / size)).repeat(1, 2)
    heads = x.view(len(x), HEADS, size)
    half = torch.cat([-heads[..., size // 2 :], heads[..., : size // 2]], -1)
    return (heads * angles.cos()[:, None] + half * angles.sin()[:, None]).reshape(x.shape)


class Official(nn.Module):
    """The published names around the published forward."""

    def __init__(self):
        super().__init__()
        self.embed_tokens = Weight(VOCABULARY, HIDDEN, name="embedding_weight")
        self.lm_head = Weight(VOCABULARY, HIDDEN)
        self.model = nn.Module()
        for name in ("H_level", "L_level"):
            level = nn.Module()
            level.core = nn.Module()
            level.core.layers = nn.ModuleList([Block() for _ in range(LAYERS)])
            self.model.add_module(name, level)
        self.model.register_buffer("zL_init", torch.randn(HIDDEN).bfloat16())

    def forward(self, ids):
        mask = drawn_mask([ids], len(ids))[0]
        z_h = F.embedding(torch.tensor(ids), self.embed_tokens.embedding_weight) * math.sqrt(HIDDEN)
        z_l = self.model.zL_init.float()
        for _ in range(H_CYCLES):
            for _ in range(L_CYCLES):
                z_l = stack(self.model.L_level, z_l + z_h, mask)
            z_h = stack(self.model.H_level, z_h + z_l, mask)
        return z_h @ self.lm_head.weight.T


def stack(level, x, mask):
    for block in level.core.layers:
        x = block(x, mask)
    return F.rms_norm(x, (HIDDEN,), eps=1e-6)


class Optimizer(torch.optim.Optimizer):
    """The state that the official Adam-atan2 keeps, of some step."""

    def __init__(self, parameters, ema: float | None = 0.999):
        defaults = {"lr": torch.tensor(0.0), "betas": (0.9, 0.95), "weight_decay": 0.1, "ema": ema}
        super().__init__(parameters, defaults)
        for weight in self.param_groups[0]["params"]:
            state = self.state[weight]
            state["step"] = torch.tensor(3.0)
            state["exp_avg"], state["exp_avg_sq"] = torch.randn_like(weight), torch.rand_like(weight)
            if ema is not None:
                state["param_ema"] = weight.detach() + 0.01 * torch.randn_like(weight)

    @torch.no_grad()
    def swap(self):
        for weight, state in self.state.items():
            weight.copy_(state["param_ema"])


SETTINGS = {
    "arch": {
        "name": "baselines.hrm_nocarry_bp_warmup@HierarchicalReasoningModel", "head": "lm_head@LMHead",
        "half_layers": True, "H_cycles": H_CYCLES, "L_cycles": L_CYCLES, "H_override": {}, "bp_warmup_ratio": 0.2,
        "bp_max_steps": 5, "n_layers": 2 * LAYERS, "hidden_size": HIDDEN, "num_heads": HEADS, "expansion": 4,
        "norm_type": "pre", "norm_eps": 1e-6, "rope_theta": 10000.0, "pos_emb_type": "rope", "init_type": "lecun_normal",
    },
    "data": {"path": "/dev/shm/sampled", "target_only": True},
    "global_batch_size": 196608, "epochs": 4, "lr": 2.2e-4, "lr_min_ratio": 1.0, "lr_warmup_steps": 2000,
    "weight_decay": 0.1, "beta1": 0.9, "beta2": 0.95, "ema": 0.9999,
}  # fmt: skip
TAGS = {
    "boq": "<|im_start|>", "eoq": "<|im_end|>", "eoa": "<|box_end|>",
    "condition_mapping": {
        "direct": "<|object_ref_start|>", "cot": "<|object_ref_end|>", "noisy": "<|quad_start|>", "synth": "<|quad_end|>",
    },
}  # fmt: skip


def save_official(folder: Path, model: Official, optimizer: Optimizer, epoch: int = 2) -> Path:
    folder.mkdir(exist_ok=True)
    state = {"model": model.state_dict(), "optim": get_optimizer_state_dict(model, optimizer)}
    dcp.save(state, checkpoint_id=folder / f"fsdp2_epoch_{epoch}", no_dist=True)
    torch.save(None, folder / f"carry_epoch_{epoch}.0.pt")
    metadata = {"tokenizer_info": {"tokenizer_path": resolve("tiny"), **TAGS}, "vocab_size": VOCABULARY}
    write_yaml(folder / "all_config.yaml", SETTINGS)
    write_yaml(folder / "train_metadata.yaml", metadata | {"max_seq_len": 4096, "total_length": 10})
    return folder


def write_yaml(path: Path, content: dict) -> None:
    path.write_text(yaml.dump(content))


def load_official(folder: Path, epoch: int, *, ema: bool) -> Official:
    """As the official inference engine loads: everything that model and optimizer name must be there."""
    model = Official()
    optimizer = Optimizer(model.parameters())
    optim = get_optimizer_state_dict(model, optimizer)
    dcp.load({"model": model.state_dict(), "optim": optim}, checkpoint_id=folder / f"fsdp2_epoch_{epoch}", no_dist=True)
    set_optimizer_state_dict(model, optimizer, optim)
    torch.load(folder / f"carry_epoch_{epoch}.0.pt")
    if ema:
        optimizer.swap()
    return model


def keys_of(folder: Path, epoch: int) -> set[str]:
    return set(dcp.FileSystemReader(folder / f"fsdp2_epoch_{epoch}").read_metadata().state_dict_metadata)


def run(capsys, *argv) -> tuple[int, str, str]:
    try:
        code = exit_code_of(dispatch, [str(word) for word in argv])
    except SystemExit as stop:
        code = stop.code
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def convert(capsys, *argv) -> dict:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # what a person would see among the output
        code, out, err = run(capsys, "convert", *argv, "--json")
    assert code == 0, err + out
    return json.loads(out)


def the_refusal(capsys, tmp_path, *argv) -> str:
    """The one sentence of a refusal, after which nothing is there."""
    code, out, err = run(capsys, "convert", *argv, "--to", tmp_path / "refused")
    assert code == 2 and err.count("error: ") == 1 and "Traceback" not in err and not out, err + out
    assert not [path.name for path in tmp_path.iterdir() if "refused" in path.name]
    return err


def stock_logits(folder: Path) -> torch.Tensor:
    model = HrmTextForCausalLM.from_pretrained(folder, attn_implementation="eager").eval()
    with unpatched(), torch.no_grad():
        return model(torch.tensor([IDS]), attention_mask=drawn_mask([IDS], len(IDS)), use_cache=False).logits[0]


def same_bits(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    return left.keys() == right.keys() and all(
        left[key].dtype == right[key].dtype and torch.equal(left[key], right[key]) for key in left
    )


@pytest.fixture
def official(tmp_path):
    torch.manual_seed(1)
    model = Official()
    return save_official(tmp_path / "official", model, Optimizer(model.parameters()))


@pytest.fixture
def small(tmp_path):
    """A checkpoint in Transformers' form of a size that the official code can build; its start state fits bfloat16."""
    config = HrmTextConfig(
        vocab_size=512, hidden_size=64, intermediate_size=256, num_hidden_layers=2, num_attention_heads=2, head_dim=32,
        max_position_embeddings=1024, initializer_range=0.125, L_bp_cycles=[0, 3], pad_token_id=5, bos_token_id=6,
        eos_token_id=11, rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
    )  # fmt: skip
    model = HrmTextForCausalLM(config)
    model.model.z_L_init.data.copy_(torch.randn(64).bfloat16())
    model.save_pretrained(tmp_path / "small")
    load_model_and_tokenizer("tiny")[1].save_pretrained(tmp_path / "small")
    return tmp_path / "small"


@pytest.mark.parametrize("weights", ["ema", "raw"])
def test_stock_transformers_computes_what_the_official_forward_computes(capsys, tmp_path, official, weights):
    told = convert(capsys, official, "--to", tmp_path / "hf", "--weights", weights)
    assert told["sound"] and told["weights"] == weights and told["dtype"] == "F32"
    with torch.no_grad():
        expected = load_official(official, 2, ema=weights == "ema")(IDS)
        other = load_official(official, 2, ema=weights != "ema")(IDS)
    logits = stock_logits(tmp_path / "hf")
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


def test_official_to_transformers_and_back_is_bit_exact(capsys, tmp_path, official):
    for weights in ("raw", "ema"):
        convert(capsys, official, "--to", tmp_path / weights, "--weights", weights)
        convert(capsys, tmp_path / weights, "--to", tmp_path / f"{weights}-back", "--to_official")
        source = load_official(official, 2, ema=weights == "ema").state_dict()
        assert same_bits(load_official(tmp_path / f"{weights}-back", 0, ema=False).state_dict(), source)
        assert same_bits(load_official(tmp_path / f"{weights}-back", 0, ema=True).state_dict(), source)
    assert keys_of(tmp_path / "raw-back", 0) == keys_of(official, 2), "not the keys that an official run saves"
    back = yaml.safe_load((tmp_path / "raw-back/all_config.yaml").read_text())
    # 4 x 64 x 2 / 3 is rounded up to 256, which an expansion of 6 gives without rounding
    stated = {"attn_type": "prefixlm", "init_std": None, "bp_warmup_ratio": 0.0, "expansion": 6.0}
    assert back["arch"] == SETTINGS["arch"] | stated and back.keys() >= SETTINGS.keys()


@pytest.mark.parametrize("start", ["fits bfloat16", "needs float32"])
def test_transformers_to_official_and_back_is_bit_exact(capsys, tmp_path, small, start):
    if start == "needs float32":
        tensors = load_file(small / "model.safetensors")
        tensors["model.z_L_init"] += 1e-4
        save_file(tensors, small / "model.safetensors", {"format": "pt"})
    convert(capsys, small, "--to", tmp_path / "official", "--to_official")
    shutil.move(tmp_path / "official", tmp_path / "moved")  # the recorded path of the tokenizer is no longer right
    convert(capsys, tmp_path / "moved", "--to", tmp_path / "back")
    for name in ("model.safetensors", "config.json", "generation_config.json", "tokenizer.json", "chat_template.jinja"):
        assert (tmp_path / "back" / name).read_bytes() == (small / name).read_bytes(), name


def test_a_sharded_and_a_bfloat16_model_go_to_the_official_form_too(capsys, tmp_path, small):
    model = HrmTextForCausalLM.from_pretrained(small, dtype=torch.bfloat16)
    model.save_pretrained(tmp_path / "bf16", max_shard_size="100KB")
    shutil.copy(small / "tokenizer.json", tmp_path / "bf16")
    assert len(list((tmp_path / "bf16").glob("*.safetensors"))) > 2
    assert convert(capsys, tmp_path / "bf16", "--to", tmp_path / "official", "--to_official")["dtype"] == "BF16"
    convert(capsys, tmp_path / "official", "--to", tmp_path / "back")
    back = HrmTextForCausalLM.from_pretrained(tmp_path / "back", dtype="auto")
    assert same_bits(back.state_dict(), model.state_dict())


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


def test_shards_of_two_fsdp2_ranks_are_put_together(capsys, tmp_path, official):
    """The same seed as the fixture: the raw weights are equal, each in two halves."""
    sizes = f"VOCABULARY, HIDDEN, INNER, LAYERS = {VOCABULARY}, {HIDDEN}, {INNER}, {LAYERS}"
    model = "\n".join([sizes, *(inspect.getsource(part) for part in (Weight, Block, Official, Optimizer))])
    script = tmp_path / "fsdp.py"  # of torch alone: importing this file would take longer than the rest
    script.write_text(FSDP.replace("MODEL", model))
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, script, official]
    ranks = [subprocess.Popen(command, env=environment | {"RANK": str(rank)}) for rank in (0, 1)]
    assert [rank.wait(timeout=120) for rank in ranks] == [0, 0]
    assert len(list((official / "fsdp2_epoch_4").glob("*.distcp"))) == 2
    convert(capsys, official / "fsdp2_epoch_2", "--to", tmp_path / "one", "--weights", "raw")
    convert(capsys, official, "--to", tmp_path / "two", "--weights", "raw")  # the last epoch
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    assert same_bits(one, two)
    convert(capsys, official, "--to", tmp_path / "ema")
    assert not same_bits(one, load_file(tmp_path / "ema/model.safetensors"))


def rename_key(folder: Path, old: str, new: str) -> None:
    path = folder / "fsdp2_epoch_2/.metadata"
    metadata = pickle.loads(path.read_bytes())
    records = metadata.state_dict_metadata
    metadata.state_dict_metadata = {new if key == old else key: value for key, value in records.items()}
    path.write_bytes(pickle.dumps(metadata))


@pytest.mark.parametrize(
    "new, words",
    [
        ("model.model.extra", ["lacks model.lm_head.weight", "model.model.extra are unknown"]),
        ("optim.state.x", ["lacks model.lm_head.weight"]),
    ],
)
def test_keys_that_are_missing_or_unknown_are_named(capsys, tmp_path, official, new, words):
    rename_key(official, "model.lm_head.weight", new)
    message = the_refusal(capsys, tmp_path, official)
    assert all(word in message for word in words)


def test_a_tensor_too_many_is_named(capsys, tmp_path):
    model = Official()
    model.model.H_level.core.layers[0].attn.register_buffer("q_norm", torch.ones(4))
    folder = save_official(tmp_path / "official", model, Optimizer(model.parameters()))
    assert "model.model.H_level.core.layers.0.attn.q_norm are unknown" in the_refusal(capsys, tmp_path, folder)


def test_what_the_official_exporter_drops_is_dropped(capsys, tmp_path, official):
    model = Official()
    model.model.register_buffer("zH_init", torch.zeros(HIDDEN))
    model.model.H_level.core.rotary_emb = nn.Module()
    model.model.H_level.core.rotary_emb.register_buffer("cos_cached", torch.zeros(4))
    save_official(tmp_path / "older", model, Optimizer(model.parameters()))
    convert(capsys, tmp_path / "older", "--to", tmp_path / "hf")


@pytest.mark.parametrize(
    "change, words",
    [
        (
            {"name": "baselines.trm_nocarry@TinyRecursiveModel"},
            "arch.name is 'baselines.trm_nocarry@TinyRecursiveModel'",
        ),
        ({"norm_type": "post"}, "arch.norm_type is 'post'"),
        ({"attn_type": "causal"}, "arch.attn_type is 'causal'"),
        ({"H_override": {"n_layers": 2}}, "arch.H_override"),
        ({"inject_x": True}, "inject_x in arch"),
        ({"n_layers": None}, "lack n_layers"),
        ({"n_layers": 6}, "lacks model.model.H_level.core.layers.2"),
        ({"n_layers": 5}, "half_layers needs an even n_layers"),
        ({"hidden_size": 128}, "where all_config.yaml makes it"),
        ({"init_type": "magic"}, "init_type 'magic' is unknown"),
        ({"num_heads": 3}, "make no model"),
        ({"norm_eps": "nan"}, "norm_eps is nan"),
        ({"hidden_size": 0}, "hidden_size is 0"),
    ],
)
def test_another_architecture_is_refused_by_its_setting(capsys, tmp_path, official, change, words):
    write_yaml(official / "all_config.yaml", SETTINGS | {"arch": SETTINGS["arch"] | change})
    assert words in the_refusal(capsys, tmp_path, official)


def test_settings_that_are_none_are_told(capsys, tmp_path, official):
    write_yaml(official / "all_config.yaml", SETTINGS | {"arch": "hrm"})
    assert "arch is 'hrm' and should hold settings" in the_refusal(capsys, tmp_path, official)


def test_a_run_without_ema_is_told_so(capsys, tmp_path):
    model = Official()
    folder = save_official(tmp_path / "official", model, Optimizer(model.parameters(), ema=None))
    assert "no EMA: use --weights raw" in the_refusal(capsys, tmp_path, folder)
    convert(capsys, folder, "--to", tmp_path / "hf", "--weights", "raw")


def test_another_layout_of_prompts_is_refused(capsys, tmp_path, official):
    metadata = yaml.safe_load((official / "train_metadata.yaml").read_text())
    metadata["tokenizer_info"]["eoa"] = "<|endoftext|>"
    write_yaml(official / "train_metadata.yaml", metadata)
    assert "eoa of tokenizer_info" in the_refusal(capsys, tmp_path, official)


def test_a_tokenizer_that_is_elsewhere_can_be_named(capsys, tmp_path, official):
    metadata = yaml.safe_load((official / "train_metadata.yaml").read_text())
    metadata["tokenizer_info"]["tokenizer_path"] = "/other/machine/tokenizer.json"
    write_yaml(official / "train_metadata.yaml", metadata)
    assert "no tokenizer at /other/machine/tokenizer.json" in the_refusal(capsys, tmp_path, official)
    convert(capsys, official, "--to", tmp_path / "hf", "--tokenizer", resolve("tiny"))


class Malice:
    def __reduce__(self):
        return (os.system, ("touch {}",))


def test_a_metadata_pickle_runs_nothing(capsys, tmp_path, official):
    path = official / "fsdp2_epoch_2/.metadata"
    victim = tmp_path / "victim"
    Malice.__reduce__ = lambda self: (os.system, (f"touch {victim}",))
    path.write_bytes(pickle.dumps(Malice()))
    assert "names posix.system" in the_refusal(capsys, tmp_path, official)
    assert not victim.exists()


def test_a_shard_outside_the_folder_is_not_read(capsys, tmp_path, official):
    path = official / "fsdp2_epoch_2/.metadata"
    metadata = pickle.loads(path.read_bytes())
    for info in metadata.storage_data.values():
        info.relative_path = f"../fsdp2_epoch_2/{info.relative_path}"
    path.write_bytes(pickle.dumps(metadata))
    assert "outside the folder" in the_refusal(capsys, tmp_path, official)


@pytest.mark.parametrize("damage", ["truncated", "absent"])
def test_a_damaged_shard_is_named_and_leaves_nothing(capsys, tmp_path, official, damage):
    (shard,) = (official / "fsdp2_epoch_2").glob("*.distcp")
    if damage == "truncated":
        shard.write_bytes(shard.read_bytes()[: shard.stat().st_size // 2])
    else:
        shard.unlink()
    assert "cannot be read" in the_refusal(capsys, tmp_path, official)


@pytest.mark.parametrize("file", ["all_config.yaml", "train_metadata.yaml", "fsdp2_epoch_2/.metadata"])
def test_a_missing_or_damaged_record_is_named(capsys, tmp_path, official, file):
    (official / file).write_text("]: {")
    assert file.split("/")[0] in the_refusal(capsys, tmp_path, official)
    (official / file).unlink()
    assert file.split("/")[0] in the_refusal(capsys, tmp_path, official)


def test_nothing_is_written_over(capsys, tmp_path, official, small):
    for source, flags in ((official, []), (small, ["--to_official"])):
        target = tmp_path / "there"
        target.mkdir(exist_ok=True)
        (target / "mine.txt").write_text("mine")
        code, _, err = run(capsys, "convert", source, "--to", target, *flags)
        assert code == 2 and "nothing is written over" in err and [p.name for p in target.iterdir()] == ["mine.txt"]
        (target / "mine.txt").unlink()
        convert(capsys, source, "--to", target, *flags)  # an empty folder will do
        shutil.rmtree(target)


def test_a_folder_that_is_interrupted_never_gets_its_name(tmp_path):
    def interrupted():
        with new_folder(tmp_path / "new", 0) as folder:
            (folder / "half").write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_mistakes_are_one_sentence(capsys, tmp_path, official, small):
    for words, argv in {
        "no fsdp2_epoch_N": [small],
        "has no epoch 7": [official, "--epoch", "7"],
        "no multiple of 256": ["tiny", "--to_official"],
        "no model at": [tmp_path / "nowhere", "--to_official"],
        "--weights reads an official": [small, "--to_official", "--weights", "raw"],
        "invalid choice": [official, "--weights", "best"],
    }.items():
        assert words in the_refusal(capsys, tmp_path, *argv)
    tensors = load_file(small / "model.safetensors")
    tensors["model.extra"] = tensors.pop("lm_head.weight")
    save_file(tensors, small / "model.safetensors", {"format": "pt"})
    message = the_refusal(capsys, tmp_path, small, "--to_official")
    assert "lm_head.weight" in message and "model.extra" in message and "hrm-align doctor" in message


def test_what_is_converted_is_examined(capsys, tmp_path):
    model = Official()
    model.model.zL_init.zero_()
    folder = save_official(tmp_path / "official", model, Optimizer(model.parameters()))
    code, out, _ = run(capsys, "convert", folder, "--to", tmp_path / "hf")
    assert code == 1 and "model.z_L_init is all zeros" in out and (tmp_path / "hf/config.json").exists()
