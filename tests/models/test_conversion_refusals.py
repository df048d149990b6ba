"""What cannot be converted is refused by name, and leaves nothing behind."""

import os
import pickle
from pathlib import Path

import pytest
import torch
import yaml

from hrm_align.models.loading import resolve
from tests.command_line import convert, run
from tests.official_form import SETTINGS, Official, Optimizer, save_drawn, save_official, save_small, write_yaml


@pytest.fixture
def official(tmp_path) -> Path:
    return save_drawn(tmp_path / "official")


@pytest.fixture
def small(tmp_path) -> Path:
    return save_small(tmp_path / "small")


def the_refusal(capsys, tmp_path, *argv) -> str:
    """The one sentence of a refusal, after which nothing is there."""
    code, out, err = run(capsys, "convert", *argv, "--to", tmp_path / "refused")
    assert code == 2 and err.count("error: ") == 1 and "Traceback" not in err and not out, err + out
    assert not [path.name for path in tmp_path.iterdir() if "refused" in path.name]
    return err


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


def test_nothing_is_written_over(capsys, tmp_path, official):
    target = tmp_path / "there"
    target.mkdir()
    (target / "mine.txt").write_text("mine")
    code, _, err = run(capsys, "convert", official, "--to", target)
    assert code == 2 and "nothing is written over" in err and [p.name for p in target.iterdir()] == ["mine.txt"]
    (target / "mine.txt").unlink()
    convert(capsys, official, "--to", target)  # an empty folder will do


def test_mistakes_are_one_sentence(capsys, tmp_path, official, small):
    for words, argv in {
        "no fsdp2_epoch_N": [small],
        "has no epoch 7": [official, "--epoch", "7"],
        "invalid choice": [official, "--weights", "best"],
    }.items():
        assert words in the_refusal(capsys, tmp_path, *argv)
