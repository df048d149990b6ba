"""The estimate against the memory of a process that trains."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import HrmTextConfig, HrmTextForCausalLM

from hrm_align.models.loading import load_tokenizer
from tests.estimates.told import estimate
from tests.trainers.recipe_runs import write_rows

ROOT = Path(__file__).parents[2]
# Gaps of the heap are measured, not counted, and differ from run to run. Where glibc gives every large block back they do not
# arise, and parts of different moments do not add up either: what is counted stood 14 to 15 % above what was taken.
WITHOUT_GAPS = {"MALLOC_TRIM_THRESHOLD_": "131072"}
LOW, HIGH = 1.0, 1.3  # other processors have other work buffers
TRAINS = """
import sys
from recipes.sft import main

def resident(name):
    return next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith(name))

imports = resident("VmRSS")
main(sys.argv[1:])
print(resident("VmHWM") - imports)
"""


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    """A model of hidden 384 and rows of which every one is full."""
    folder = tmp_path_factory.mktemp("real")
    config = HrmTextConfig(hidden_size=384, num_layers_per_stack=1, num_hidden_layers=8, intermediate_size=1024,
                           num_attention_heads=6, head_dim=64, vocab_size=512, L_bp_cycles=[0, 3], pad_token_id=5,
                           initializer_range=384**-0.5, embedding_scale=384**0.5)  # fmt: skip
    torch.manual_seed(0)
    model = HrmTextForCausalLM(config)
    model.model.z_L_init.data.normal_()
    model.save_pretrained(folder / "model")
    load_tokenizer("tiny").save_pretrained(folder / "model")
    draw, words = random.Random(0), ["add", "two", "tell", "me", "river", "stone", "light", "words"]
    rows = [
        {"prompt": " ".join(draw.choices(words, k=draw.randint(20, 60))),
         "response": " ".join(draw.choices(words, k=draw.randint(40, 120)))}
        for _ in range(100)
    ]  # fmt: skip
    data = write_rows(folder / "rows.jsonl", rows)
    (folder / "recipe.yaml").write_text(
        f"model_name_or_path: {folder / 'model'}\ndatasets: [{data}]\noutput_dir: {folder / 'run'}\nmax_length: 512\n"
        "per_device_train_batch_size: 2\npacking: true\nmax_steps: 2\nsave_strategy: 'no'\ndisable_tqdm: true\nmax_dropped_fraction: 0.5\n"
    )
    return folder / "recipe.yaml"


@pytest.mark.campaign
@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
def test_the_estimate_is_what_a_process_takes(recipe, capsys):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), **WITHOUT_GAPS}
    command = [sys.executable, "-c", TRAINS, "--config", str(recipe)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    taken = json.loads(done.stdout.splitlines()[-1])
    told = counted(capsys, recipe)
    assert LOW < told / taken < HIGH, f"counted {told / 2**20:.0f} MiB, taken {taken / 2**20:.0f}"
    fault = counted(capsys, recipe, "--bp_steps", 3)  # what would be seen: a horizon two passes too short
    assert not LOW < fault / taken < HIGH, f"counted {fault / 2**20:.0f} MiB"


def counted(capsys, recipe, *flags):
    found = estimate(capsys, recipe, *flags)
    return found["total"] - found["bytes"]["gaps of the heap"]
