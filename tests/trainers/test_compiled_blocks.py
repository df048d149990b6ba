"""`compile_blocks`: what is learnt stays the same, and neither depth, nor recurrence, nor other lengths compile again."""

import shutil
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch._dynamo.utils import counters
from torch._inductor.utils import fresh_cache
from transformers import HrmTextConfig, HrmTextForCausalLM

from hrm_align.cli import dispatch, run_with_exit_code
from hrm_align.models.compile import compile_blocks
from hrm_align.models.loading import load_model, resolve
from hrm_align.models.recurrence import Horizon
from hrm_align.rollouts.local import generate
from tests.trainers.recipe_runs import arguments, distance, launched_sft, metrics, sft, weights, write_rows

needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="compiling for a CPU needs g++")

# One step of plain SGD, so long that the weights are the gradient. Noise seen: 6e-7; a horizon of one pass less is off by
# 0.3, one token that is not learnt by 2.6e-3 (tests/trainers/test_sft.py).
STEP = ("--optim", "sgd", "--learning_rate", "1000", "--lr_scheduler_type", "constant", "--weight_decay", "0",
        "--max_grad_norm", "0", "--max_steps", "1", "--train_sampling_strategy", "sequential", "--logging_steps", "1",
        "--save_strategy", "no", "--packing", "true", "--max_length", "320")  # fmt: skip
TOLERANCE = 2e-5

# "eager" traces and runs the graphs as they are, in seconds. Compiling them to C++ takes most of a minute on an empty cache.
BACKENDS = ["eager", pytest.param("inductor", marks=[pytest.mark.campaign, needs_compiler])]


@pytest.fixture(autouse=True)
def fresh_compiler():
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    rows = [{"prompt": f"say {n}", "response": " ".join(["red"] * (1 + 7 * n % 40))} for n in range(24)]
    return write_rows(tmp_path_factory.mktemp("rows") / "rows.jsonl", rows)


@pytest.fixture
def fast_compiler(monkeypatch):
    """Traces as the other does, and runs the graphs as they are: seconds instead of a minute."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))


@pytest.mark.numeric
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_step_learns_what_it_learnt(data, tmp_path, monkeypatch, backend):
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=backend))
    learns_the_same(data, tmp_path, "--attn_implementation", "sdpa")


@pytest.mark.numeric
def test_document_by_document_and_recomputed_too(data, tmp_path, fast_compiler, monkeypatch):
    recomputed = []
    checkpoint = torch.utils.checkpoint.checkpoint
    monkeypatch.setattr(
        "transformers.modeling_utils.checkpoint",
        lambda *args, **kwargs: recomputed.append(torch.is_grad_enabled()) or checkpoint(*args, **kwargs),
    )
    learns_the_same(data, tmp_path, "--attn_implementation", "per_document", "--activation_checkpointing", "true")
    # Transformers before 5.24 asks for it in the three passes without gradient too.
    assert sum(recomputed) == 2 * 5, "every pass with gradient, in the run that is compiled as in the other"


RUN_GRAPHS_AS_THEY_ARE = """
import sys, torch
from functools import partial
torch.compile = partial(torch.compile, backend="eager")
from hrm_align.cli import run_with_exit_code
from recipes.sft import main
sys.exit(run_with_exit_code(main, sys.argv[1:]))
"""


@pytest.mark.campaign
@pytest.mark.numeric
@pytest.mark.parametrize("backend", BACKENDS)
def test_two_processes_learn_what_one_did(data, tmp_path, backend):
    """An adapter, under DDP, which by itself would cut the blocks."""
    script = tmp_path / "recipe.py"
    script.write_text(RUN_GRAPHS_AS_THEY_ARE if backend == "eager" else Path("recipes/sft.py").read_text())
    flags = (
        *STEP,
        "--use_peft",
        "true",
        "--lora_r",
        "2",
        "--attn_implementation",
        "sdpa",
        "--dataloader_num_workers",
        "0",
    )
    sft(tmp_path / "one", data, *flags, "--per_device_train_batch_size", "4")
    both = (*flags, "--per_device_train_batch_size", "2", "--compile_blocks", "true")
    launched_sft(tmp_path / "two", data, *both, config="two_processes_cpu", script=script)
    one, two = (load_file(tmp_path / run / "adapter_model.safetensors") for run in ("one", "two"))
    largest = max(weight.abs().max().item() for weight in one.values())
    apart = max((one[name] - two[name]).abs().max().item() for name in one)
    print(f"{apart / largest:.1e}")
    assert largest > 0.1 and apart < TOLERANCE * largest


def learns_the_same(data, tmp_path, *flags):
    flags = (*STEP, *flags)
    sft(tmp_path / "eager", data, *flags)
    assert counters["stats"]["unique_graphs"] == 0
    sft(tmp_path / "compiled", data, *flags, "--compile_blocks", "true")
    assert counters["stats"]["unique_graphs"] > 0, "nothing was compiled"
    eager, compiled, start = (
        weights(folder) for folder in (tmp_path / "eager", tmp_path / "compiled", Path(resolve("tiny")))
    )
    assert distance(eager, compiled, start) < TOLERANCE
    assert metrics(tmp_path / "eager")[0]["loss"] == pytest.approx(metrics(tmp_path / "compiled")[0]["loss"], abs=1e-5)


def test_depth_recurrence_other_lengths_and_answers_compile_nothing_again(fast_compiler):
    """Nor do answers, whose shapes change with every token. A batch of one row is a case of its own to the compiler."""

    def graphs(layers: int) -> list[int]:
        torch._dynamo.reset()
        counters.clear()
        config = HrmTextConfig(hidden_size=32, num_layers_per_stack=layers, num_hidden_layers=8 * layers, intermediate_size=64,
                               num_attention_heads=2, head_dim=16, vocab_size=64, L_bp_cycles=[0, 3], pad_token_id=5)  # fmt: skip
        model = HrmTextForCausalLM(config).train()
        Horizon(model, 5)
        compile_blocks(model)
        before, seen = counters["stats"]["unique_graphs"], []  # of the proof that it can compile
        for rows, length in ((2, 24), (3, 40), (1, 33)):
            ids = torch.randint(20, 60, (rows, length))
            ids[:, 9] = 7
            model.model(ids, use_cache=False).last_hidden_state.sum().backward()
            seen.append(counters["stats"]["unique_graphs"] - before)
        generate(model.eval(), [[20, 21, 7]], max_new_tokens=3)
        seen.append(counters["stats"]["unique_graphs"] - before)
        return seen

    for layers, passes in (
        (1, 2),
        (2, 3),
    ):  # without gradient, with it, and of two layers those whose input has none yet
        assert graphs(layers) == [passes, passes, 2 * passes, 2 * passes]


def test_other_documents_compile_nothing_again(fast_compiler):
    """Attention document by document is as many calls as there are documents; the compiler must not look into it."""
    torch.manual_seed(0)
    model = load_model("tiny", attn_implementation="per_document").train()
    compile_blocks(model)
    seen = []
    for lengths in ((300, 100), (50, 150, 200), (30, 70, 90, 10, 180, 20)):
        ids = torch.randint(31, 200, (1, 400))
        positions = torch.cat([torch.arange(length) for length in lengths])[None]
        ids[positions == 8] = 7
        model.model(ids, position_ids=positions, use_cache=False).last_hidden_state.sum().backward()
        seen.append(counters["stats"]["unique_graphs"])
    assert seen[0] > 1 and len(set(seen)) == 1


def test_where_nothing_can_be_compiled_it_is_one_sentence(data, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("torch._inductor.config.cpp.cxx", ("no-such-compiler",))
    with fresh_cache():
        assert (
            run_with_exit_code(dispatch, ["sft", *arguments(tmp_path / "run", data, *STEP, "--compile_blocks", "true")])
            == 2
        )
    said = capsys.readouterr().err
    assert "--compile_blocks cannot compile on this machine" in said and "Traceback" not in said
