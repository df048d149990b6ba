"""A good checkpoint, faults to plant in it, and its logits, for the tests of the doctor."""

import json
import re
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import HrmTextForCausalLM

from hrm_align.models.loading import resolve

IDS = torch.tensor([[6, 8, 60, 61, 62, 63, 7, 70, 71, 72, 11]])
TYPES = torch.tensor([[1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0]])


def copy_of_tiny(folder: Path) -> Path:
    folder.mkdir()
    for file in Path(resolve("tiny")).iterdir():
        shutil.copyfile(file, folder / file.name)
    return folder


def stock_logits(folder: Path) -> torch.Tensor:
    model = HrmTextForCausalLM.from_pretrained(folder).eval()
    with torch.no_grad():
        return model(input_ids=IDS, token_type_ids=TYPES).logits


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def edit(name: str, **values):
    """Return a fault that sets keys of a JSON file, or removes a key if its value is None."""

    def plant(folder: Path) -> None:
        content = json.loads((folder / name).read_text()) | values
        content = {key: value for key, value in content.items() if value is not None}
        (folder / name).write_text(json.dumps(content))

    return plant


def reweigh(change):
    """Return a fault of the weights; `change` edits the saved tensors in place."""

    def plant(folder: Path) -> None:
        tensors = load_file(folder / "model.safetensors")
        change(tensors)
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})

    return plant


def split_keys(folder: Path) -> None:
    """Save the weights under the module names of Transformers, like a plain `save_file(model.state_dict())`."""
    model = HrmTextForCausalLM.from_pretrained(folder)
    save_file(
        {k: v.contiguous() for k, v in model.state_dict().items()}, folder / "model.safetensors", {"format": "pt"}
    )


def split_shards(folder: Path) -> None:
    """Save the same in three shards, with the parts of one fused tensor in different shards."""
    model = HrmTextForCausalLM.from_pretrained(folder)
    places = {name: f"model-{i % 3 + 1:05}-of-00003.safetensors" for i, name in enumerate(sorted(model.state_dict()))}
    for file in set(places.values()):
        held = {name: model.state_dict()[name].contiguous() for name in places if places[name] == file}
        save_file(held, folder / file, {"format": "pt"})
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))
    (folder / "model.safetensors").unlink()


def exported(folder: Path) -> None:
    """Change a checkpoint to what the official exporter writes."""
    edit("config.json", L_bp_steps=[0, 3], L_bp_cycles=None, num_layers_per_stack=None, num_hidden_layers=2)(folder)
    edit("config.json", pad_token_id=0, dtype=None)(folder)
    for name in ("chat_template.jinja", "generation_config.json"):
        (folder / name).unlink()


def without_thoughts(folder: Path) -> None:
    """Write the chat template of the release that dropped thoughts."""
    path = folder / "chat_template.jinja"
    answer = re.compile(r"(?<=macro answer\(message\) -%}\n).*?(?=  {%- for call)", re.DOTALL)
    path.write_text(answer.sub('  {{- plain(message.content or "") -}}\n', path.read_text()))
    assert "reasoning" not in path.read_text()


def unmarked(folder: Path) -> None:
    """Write the chat template of the release before that, which did not mark answers."""
    without_thoughts(folder)
    path = folder / "chat_template.jinja"
    marked = re.compile(r"-}}\n +{%- generation -%}\n +{{- answer\(message\) ~ (\S+) -}}\n +{%- endgeneration -%}")
    path.write_text(marked.sub(r"~ answer(message) ~ \1 -}}", path.read_text()))
    assert "generation -%}" not in path.read_text()
