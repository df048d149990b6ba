"""Measure the items of `gpu_report.py` in a separate process, which reads items from standard input and prints their figures.

    echo '["rollout", {"prompts": 8, "way": "graphs"}]' | python scripts/bench/gpu_items.py small

Models have random weights, made on the device. Figures of training come from the trainer's own loop, after two warm-up steps.
"""

from __future__ import annotations

import gc
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]
os.environ.update(HF_HUB_OFFLINE="1", WANDB_MODE="disabled", TOKENIZERS_PARALLELISM="false")

import torch  # noqa: E402
import trl  # noqa: E402
from bench_grpo import EVEN, questions  # noqa: E402
from bench_rollout import end_by_chance  # noqa: E402
from bench_sft import by_length  # noqa: E402
from peft import get_peft_model  # noqa: E402
from transformers import PrinterCallback, TrainerCallback  # noqa: E402

from bench.race import peak_memory  # noqa: E402
from bench.shapes import END, build_config, documents, random_model  # noqa: E402
from hrm_align.config.arguments import LoraArguments  # noqa: E402
from hrm_align.data.examples import Example, Message  # noqa: E402
from hrm_align.estimates.model import count_stack_weights  # noqa: E402
from hrm_align.estimates.sft import estimate_sft  # noqa: E402
from hrm_align.models.loading import load_tokenizer  # noqa: E402
from hrm_align.models.lora import lora_config  # noqa: E402
from hrm_align.models.recurrence import longest  # noqa: E402
from hrm_align.rewards.suite import RewardSpec, RewardSuite  # noqa: E402
from hrm_align.rollouts.kv_cache import left_pad  # noqa: E402
from hrm_align.rollouts.local import Decoding, sample  # noqa: E402
from hrm_align.trainers.grpo import GRPOTrainer  # noqa: E402
from hrm_align.trainers.grpo_config import GRPOArguments  # noqa: E402
from hrm_align.trainers.sft import SFTTrainer  # noqa: E402
from hrm_align.trainers.sft_config import SFTArguments, parse_sft  # noqa: E402

ON_GPU = torch.cuda.is_available()
GIB = 1 << 30
STOCK_ROWS = 8  # documents in a forward of TRL's trainers
ACCUMULATED = 2  # forwards of an optimizer step, in all trainers


@dataclass(frozen=True)
class Sizes:
    """The lengths at a shape, in tokens, and the limits of a training measurement.

    Args:
        row: length of a packed row.
        document: length of the longest document.
        scale: scale of all document lengths, see `shapes.documents`.
        prompt, answer: lengths of prompts and completions in rollouts; all have the same length.
        group: prompts, completions of each prompt, and longest completion in a step of reinforcement learning.
        steps: largest number of measured training steps.
        seconds: a training measurement ends after this time.
    """

    row: int
    document: int
    scale: float
    prompt: int
    answer: int
    group: tuple[int, int, int]
    steps: int
    seconds: float


SIZES = {
    "tiny": Sizes(128, 64, 0.1, 16, 12, (2, 4, 12), 2, 2.0),
    "small": Sizes(512, 256, 0.4, 32, 16, (2, 4, 16), 2, 4.0),
    "1b": Sizes(4096, 1024, 1.0, 256, 256, (16, 8, 3072), 8, 12.0),
}


# Training -------------------------------------------------------------------------------------------------------------


class Clock(TrainerCallback):
    """Callback that times a trainer's steps after the first `warmup` steps, and then stops the trainer."""

    def __init__(self, tokens_so_far: Callable[[], float], warmup: int, steps: int, seconds: float):
        self._tokens_so_far, self._warmup, self._steps, self._seconds = tokens_so_far, warmup, steps, seconds
        self.times, self.tokens = list[float](), list[float]()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Record the time and the tokens after an update of the weights."""
        if state.global_step < self._warmup:
            return
        if ON_GPU:
            torch.cuda.synchronize()
        self.times.append(time.perf_counter())
        self.tokens.append(self._tokens_so_far())
        counted = len(self.times) - 1
        control.should_training_stop = counted >= self._steps or (
            counted > 0 and self.times[-1] - self.times[0] > self._seconds
        )

    def figures(self) -> dict[str, float]:
        """Return the tokens a second over all measured steps, and the median and slowest step."""
        steps = [later - earlier for earlier, later in zip(self.times, self.times[1:], strict=False)]
        whole = self.times[-1] - self.times[0]
        return {
            "tokens_per_second": (self.tokens[-1] - self.tokens[0]) / whole,
            "step_seconds": statistics.median(steps),
            "slowest_step_seconds": max(steps),
            "steps": len(steps),
        }


def common_settings(sizes: Sizes) -> dict[str, Any]:
    """Return the settings that all trainers share."""
    return {
        "output_dir": tempfile.mkdtemp(), "max_steps": 1000, "save_strategy": "no", "report_to": "none",
        "disable_tqdm": True, "logging_steps": 1000, "learning_rate": 1e-5, "bf16": ON_GPU, "use_cpu": not ON_GPU,
        "gradient_accumulation_steps": ACCUMULATED, "dataloader_pin_memory": False,
    }  # fmt: skip


def adapted(model: Any) -> Any:
    """Return the model in bfloat16 (float32 on a CPU) with an adapter of rank 16 on both stacks."""
    if ON_GPU:
        for weight in model.parameters():
            weight.data = weight.data.bfloat16()
    return get_peft_model(model, lora_config(model, LoraArguments(use_peft=True)))


def sft(shape: str, kernel: str = "sdpa", adapter: bool = False, profile: bool = False, **keys: Any) -> dict[str, Any]:
    """Measure this package's trainer on packed rows at horizon 5; `profile` returns the seconds of each kind of operation."""
    sizes = SIZES[shape]
    keys = {"max_length": sizes.row, "packing": True, "per_device_train_batch_size": 1, **keys}
    model = random_model(shape)
    model.set_attn_implementation(kernel)
    arguments = SFTArguments(
        **common_settings(sizes), **keys, train_sampling_strategy="random", logging_first_step=False
    )
    trainer: Any = SFTTrainer(
        adapted(model) if adapter else model,
        arguments,
        documents(400, sizes.document, sizes.scale),
        load_tokenizer("tiny"),
    )
    if profile:
        from profile_steps import profiled_training

        return profiled_training(trainer)
    figures = timed(trainer, sizes)
    flags = [f"--{key}={value}" for key, value in keys.items() if key != "compile_blocks"]
    estimate = estimate_run(shape, [*flags, f"--attn_implementation={kernel}"], adapter)
    ideal = estimate.flops / estimate.tokens / ACCUMULATED
    return {**figures, "estimate_gib": estimate.total / GIB, "flops_per_token": ideal}


def stock_sft(shape: str, strongest: bool) -> dict[str, Any]:
    """Measure TRL's trainer on padded rows, with its defaults or grouped by length and without recomputation."""
    sizes = SIZES[shape]
    rows = documents(400, sizes.document, sizes.scale)
    keys: dict[str, Any] = {"per_device_train_batch_size": STOCK_ROWS, "max_length": sizes.document}
    if strongest:
        rows = rows.select(by_length(rows["length"]))
        keys |= {"gradient_checkpointing": False, "train_sampling_strategy": "sequential"}
    trainer = trl.SFTTrainer(
        random_model(shape),
        trl.SFTConfig(**common_settings(sizes), **keys),
        train_dataset=rows.remove_columns("prefix_length"),
        processing_class=load_tokenizer("tiny"),
    )
    return timed(trainer, sizes)


def timed(trainer: Any, sizes: Sizes) -> dict[str, Any]:
    """Train until the clock stops the trainer, and return the figures."""
    clock = Clock(lambda: float(trainer._total_train_tokens), 2, sizes.steps, sizes.seconds)
    trainer.pop_callback(PrinterCallback)
    trainer.add_callback(clock)
    trainer.train()
    return clock.figures()


def estimate_run(shape: str, flags: Sequence[str], adapter: bool) -> Any:
    """Return the estimate of `hrm-align estimate` for the same run."""
    folder = tempfile.mkdtemp()
    build_config(shape).save_pretrained(folder)
    fixed = [f"--model_name_or_path={folder}", "--datasets=none.jsonl", f"--output_dir={folder}/run"]
    fixed += [f"--gradient_accumulation_steps={ACCUMULATED}", f"--bf16={str(ON_GPU).lower()}"]
    if adapter:
        fixed += ["--use_peft=true", *(["--dtype=bfloat16"] if ON_GPU else [])]
    return estimate_sft(parse_sft([*fixed, *flags]), build_config(shape), 1, ON_GPU)


# Rollouts and reinforcement learning ----------------------------------------------------------------------------------


def rollout(shape: str, prompts: int, way: str) -> dict[str, Any]:
    """Measure a rollout of one completion for each prompt. No token ends a completion, so all have the maximum length.

    Args:
        shape: name of the model's shape.
        prompts: number of prompts.
        way: "plain" or "graphs" for this package's sampler, without or with CUDA graphs; "dynamic" or "static" for
            Transformers' `generate` with that cache.
    """
    sizes = SIZES[shape]
    model = random_model(shape).eval()
    if ON_GPU:
        for weight in model.parameters():
            weight.data = weight.data.bfloat16()
    model.generation_config.eos_token_id = -1 if way in ("plain", "graphs") else None
    generator = torch.Generator().manual_seed(0)
    rows = [
        [6, *torch.randint(31, 512, (sizes.prompt - 2,), generator=generator).tolist(), END] for _ in range(prompts)
    ]
    model.set_attn_implementation("per_document" if way in ("plain", "graphs") else "sdpa")
    seconds = []
    first = sizes.answer if way in ("graphs", "static") else min(8, sizes.answer)
    for length in (first, sizes.answer):  # the first call allocates memory and compiles
        start = time.perf_counter()
        if way in ("plain", "graphs"):
            sample(model, rows, range(prompts), Decoding(length, cuda_graphs=way == "graphs"))
        else:
            ids, mask = (tensor.to(model.device) for tensor in left_pad(rows, model.config.pad_token_id))
            cache = {"cache_implementation": "static"} if way == "static" else {}
            with torch.no_grad():
                model.generate(
                    input_ids=ids,
                    attention_mask=mask,
                    do_sample=True,
                    top_k=0,
                    min_new_tokens=length,
                    max_new_tokens=length,
                    **cache,
                )
        if ON_GPU:
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return {
        "tokens_per_second": prompts * sizes.answer / seconds[1],
        "step_seconds": seconds[1] / sizes.answer,
        "first_call_seconds": seconds[0],
        "bytes_per_step": bytes_read(shape, prompts),
        "tokens_per_step": prompts,
    }


def bytes_read(shape: str, answers: int) -> float:
    """Return the bytes of weights and KV cache that a decoding step reads, in the middle of the completions."""
    config, sizes = build_config(shape), SIZES[shape]
    size = 2 if ON_GPU else 4
    passes, layers = longest(config), int(config.num_layers_per_stack or 0)
    weights = passes * count_stack_weights(config) + config.hidden_size * config.vocab_size
    states = 2 * config.num_attention_heads * config.head_dim * layers * passes
    return size * (weights + answers * states * (sizes.prompt + sizes.answer / 2))


def grpo(shape: str, cuda_graphs: bool) -> dict[str, Any]:
    """Measure a GRPO step with an adapter: 16 prompts x 8 completions at the published shape, in two rollouts."""
    prompts, group, answer = SIZES[shape].group
    model = random_model(shape)
    model.set_attn_implementation("per_document")
    end_by_chance(model, answer)
    settings = common_settings(SIZES[shape]) | {
        "max_steps": 1, "logging_steps": 1, "per_device_train_batch_size": group, "num_generations": group,
        "gradient_accumulation_steps": prompts, "steps_per_generation": max(1, prompts // 2),
        "max_completion_length": answer, "activation_checkpointing": ON_GPU,
    }  # fmt: skip
    examples = [
        Example((Message("user", text),), Message("assistant", ""), "direct", f"question {number}")
        for number, text in enumerate(questions(shape))
    ]
    arguments = GRPOArguments(**settings, parity_every=0, share_prompts=True, cuda_graphs=cuda_graphs)
    with RewardSuite([RewardSpec.of({"name": "format", "pattern": EVEN})]) as suite:
        trainer: Any = GRPOTrainer(adapted(model), arguments, examples, suite, load_tokenizer("tiny"))
        trainer.pop_callback(PrinterCallback)
        start = time.perf_counter()
        trainer.train()
        whole = time.perf_counter() - start
    logged = next(record for record in trainer.state.log_history if "seconds/update" in record)
    tokens = logged["completions/mean_length"] * prompts * group
    rollouts = logged["seconds/rollout"] * 2  # the log has the mean of the two rollouts
    return {
        "tokens_per_second": tokens / whole,
        "step_seconds": whole,
        "rollout_seconds": rollouts,
        "update_seconds": logged["seconds/update"],
        "mean_answer": logged["completions/mean_length"],
    }


# Ceilings and profiles ------------------------------------------------------------------------------------------------


def ceilings(shape: str) -> dict[str, Any]:
    """Measure the matrix-product and copy rates of the device, with which all other items are compared."""
    device, size = ("cuda", 8192) if ON_GPU else ("cpu", 1024)
    dtype = torch.bfloat16 if ON_GPU else torch.float32
    one, other = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    source = torch.zeros(4 * GIB if ON_GPU else GIB // 16, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    multiply, copy = median_seconds(lambda: one @ other), median_seconds(lambda: target.copy_(source))
    return {"tflops": 2 * size**3 / multiply / 1e12, "copied_tb_per_second": 2 * source.numel() / copy / 1e12}


def median_seconds(work: Callable[[], Any], times: int = 10) -> float:
    """Return the median seconds of `times` calls, after three warm-up calls."""
    seconds = []
    for _ in range(times + 3):
        start = time.perf_counter()
        work()
        if ON_GPU:
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[3:])


def profiled(shape: str, kind: str) -> dict[str, Any]:
    """Measure the seconds of each kind of operation in a training step or a rollout."""
    import profile_steps

    work = profile_steps.sft_step(shape) if kind == "SFT step" else profile_steps.rollout(shape)
    parts, whole = profile_steps.measured(work)
    return {"step_seconds": whole, "parts": parts}


# Items ----------------------------------------------------------------------------------------------------------------

WORK: dict[str, Callable[..., dict[str, Any]]] = {
    "ceilings": ceilings, "sft": sft, "stock_sft": stock_sft, "rollout": rollout, "grpo": grpo, "profile": profiled,
}  # fmt: skip


def measure_item(shape: str, name: str, keys: dict[str, Any]) -> dict[str, Any]:
    """Run a function of `WORK`. Returns its figures, or `skipped` or `failed` with the reason."""
    if keys.get("kernel") == "flex_attention" and not ON_GPU:
        return {"skipped": "flex_attention has no backward on a CPU"}
    if ON_GPU:
        torch.cuda.reset_peak_memory_stats()
    start = time.perf_counter()
    try:
        figures = WORK[name](shape, **keys)
    except torch.cuda.OutOfMemoryError:
        return {"failed": "out of memory"}
    except Exception as error:  # a failed item must not end the process, which measures the other items too
        import traceback

        traceback.print_exc(file=sys.stderr)
        return {"failed": " ".join(f"{type(error).__name__}: {error}".split())[:300]}
    return {**figures, "seconds": round(time.perf_counter() - start, 1), "peak_gib": peak_memory() / 1024}


def main(argv: Sequence[str], items: Iterable[str]) -> None:
    """Read lines `[name, keys]` and print one line of figures for each. All other output goes to standard error."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    print(json.dumps({"ready": True}), file=answers, flush=True)
    for item in items:
        print(json.dumps(measure_item(argv[0], *json.loads(item))), file=answers, flush=True)
        torch._dynamo.reset()
        gc.collect()
        if ON_GPU:
            torch.cuda.empty_cache()


if __name__ == "__main__":
    main(sys.argv[1:], iter(sys.stdin.readline, ""))
