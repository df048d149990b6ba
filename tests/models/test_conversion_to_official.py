"""scripts/convert_to_official.py: checkpoints in Transformers' form become official training folders, bit for bit."""

import shutil
import warnings
from importlib import import_module
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from transformers import HrmTextForCausalLM

from hrm_align.cli import run_with_exit_code
from tests.command_line import convert
from tests.forks import OFFLINE
from tests.official_form import SETTINGS, keys_of, load_official, same_bits, save_drawn, save_small

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def scripts(monkeypatch):
    """Scripts run in this process: a new one would import for five seconds."""
    monkeypatch.syspath_prepend(ROOT / "scripts")


@pytest.fixture
def official(tmp_path) -> Path:
    return save_drawn(tmp_path / "official")


@pytest.fixture
def small(tmp_path) -> Path:
    return save_small(tmp_path / "small")


def run_script(capsys, source, target) -> tuple[int, str, str]:
    """The exit code, and what was printed and complained about."""
    code = run_with_exit_code(import_module("convert_to_official").main, [str(source), str(target)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def to_official(capsys, source, target) -> str:
    """What is printed of a conversion that succeeds without a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # what a person would see among the output
        code, out, err = run_script(capsys, source, target)
    assert code == 0, err + out
    return out


def the_refusal(capsys, tmp_path, source) -> str:
    """The one sentence of a refusal, after which nothing is there."""
    code, out, err = run_script(capsys, source, tmp_path / "refused")
    assert code == 2 and err.count("error: ") == 1 and not out, err + out
    assert not [path.name for path in tmp_path.iterdir() if "refused" in path.name]
    return err


def test_it_runs_by_its_path(tmp_path, small):
    script = ROOT / "scripts/convert_to_official.py"
    words = (str(script), str(small), str(tmp_path / "official"))
    done = OFFLINE.run(None, *words, folder=tmp_path, paths=[str(script.parent)])  # as `python PATH` puts it first
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.startswith(f"{tmp_path / 'official'}: ") and done.stdout.endswith(" parameters, F32\n")
    load_official(tmp_path / "official", 0, ema=True)


def test_official_to_transformers_and_back_is_bit_exact(capsys, tmp_path, official):
    for weights in ("raw", "ema"):
        convert(capsys, official, "--to", tmp_path / weights, "--weights", weights)
        to_official(capsys, tmp_path / weights, tmp_path / f"{weights}-back")
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
    to_official(capsys, small, tmp_path / "official")
    shutil.move(tmp_path / "official", tmp_path / "moved")  # the recorded path of the tokenizer is no longer right
    convert(capsys, tmp_path / "moved", "--to", tmp_path / "back")
    for name in ("model.safetensors", "config.json", "generation_config.json", "tokenizer.json", "chat_template.jinja"):
        assert (tmp_path / "back" / name).read_bytes() == (small / name).read_bytes(), name


def test_a_sharded_and_a_bfloat16_model_go_to_the_official_form_too(capsys, tmp_path, small):
    model = HrmTextForCausalLM.from_pretrained(small, dtype=torch.bfloat16)
    model.save_pretrained(tmp_path / "bf16", max_shard_size="100KB")
    shutil.copy(small / "tokenizer.json", tmp_path / "bf16")
    assert len(list((tmp_path / "bf16").glob("*.safetensors"))) > 2
    assert to_official(capsys, tmp_path / "bf16", tmp_path / "official").endswith(" parameters, BF16\n")
    convert(capsys, tmp_path / "official", "--to", tmp_path / "back")
    back = HrmTextForCausalLM.from_pretrained(tmp_path / "back", dtype="auto")
    assert same_bits(back.state_dict(), model.state_dict())


def test_nothing_is_written_over(capsys, tmp_path, small):
    target = tmp_path / "there"
    target.mkdir()
    (target / "mine.txt").write_text("mine")
    code, _, err = run_script(capsys, small, target)
    assert code == 2 and "nothing is overwritten" in err and [p.name for p in target.iterdir()] == ["mine.txt"]
    (target / "mine.txt").unlink()
    to_official(capsys, small, target)  # an empty folder will do


def test_mistakes_are_one_sentence(capsys, tmp_path, small):
    for words, source in {"no multiple of 256": "tiny", "no model at": tmp_path / "nowhere"}.items():
        assert words in the_refusal(capsys, tmp_path, source)
    tensors = load_file(small / "model.safetensors")
    tensors["model.extra"] = tensors.pop("lm_head.weight")
    save_file(tensors, small / "model.safetensors", {"format": "pt"})
    message = the_refusal(capsys, tmp_path, small)
    assert "lm_head.weight" in message and "model.extra" in message and "hrm-align doctor" in message
