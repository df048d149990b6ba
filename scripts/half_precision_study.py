"""Measure how much bfloat16 log-probabilities of sampler and trainer differ at the published depth, and what reducing this costs.

    OMP_NUM_THREADS=1 python scripts/half_precision_study.py                  # 20 CPU minutes, one thread
    OMP_NUM_THREADS=1 python scripts/half_precision_study.py --only tiny

Completions are sampled once from each model in float32. Every half-precision variant then scores the same tokens as training
does (rows of similar length in one forward) and as sampling does (a prefill, then one cached step for each token). Prints the
tables of docs/results/half-precision.md: differences in nats, and time and memory. For the time, the variants take turns in one process.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from study.tables import median_and_range, table
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # for tests.deep_models

from hrm_align.cli import run_with_exit_code  # noqa: E402
from hrm_align.commands.common import at_least  # noqa: E402
from hrm_align.models.loading import load_model_and_tokenizer  # noqa: E402
from hrm_align.rendering import get_renderer  # noqa: E402
from hrm_align.rollouts.local import Completion, Decoding, sample  # noqa: E402
from hrm_align.rollouts.writers import read  # noqa: E402
from tests.deep_models import TRAINED, save_random  # noqa: E402

QUESTIONS = 6  # prompts of each data set
ANSWERS = 2  # completions of each prompt
TOKENS = 24
ALONE = 8  # number of rows that are also scored one at a time
ROUNDS = 5
CAP = 3.0  # TRL's upper bound of an importance weight

Rows = Sequence[tuple[list[int], list[int]]]  # token ids of (prompt, completion)


def autocast() -> AbstractContextManager:
    """Return the autocast context in which accelerate runs a forward with `bf16: true`."""
    return torch.autocast("cpu", torch.bfloat16)


@dataclass(frozen=True)
class Variant:
    """One way to compute the model.

    Args:
        dtype: dtype of the weights.
        context: context manager of every forward.
        change: edits the loaded model in place.
        kernel: attention implementation.
        sampler: name of the variant that computes the sampler's scores; None for this variant.
    """

    dtype: str
    context: Callable[[], AbstractContextManager]
    change: Callable[[Any], None] = lambda model: None
    kernel: str = "sdpa"
    sampler: str | None = None


def _cast_input(module: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (given[0].to(module.weight.dtype), *given[1:])  # type: ignore[arg-type]


def float32_residual(model: Any) -> None:
    """Keep bfloat16 weights and products, but accumulate hidden states in float32 throughout the recurrence."""
    model.model.embed_tokens.register_forward_hook(lambda module, given, output: output.float())
    # Keys must have the dtype of values, so the rotary angles stay bfloat16 as in a bfloat16 model.
    model.model.rotary_emb.register_forward_hook(lambda module, given, output: tuple(x.bfloat16() for x in output))
    for module in model.modules():
        if isinstance(module, nn.Linear):
            module.register_forward_pre_hook(_cast_input)


def float32_head(model: Any) -> None:
    """Compute the output head and its logits in float32, also under autocast."""
    head = model.lm_head.float()
    original_forward = head.forward

    def forward(hidden: Tensor) -> Tensor:
        with torch.autocast("cpu", enabled=False):
            return original_forward(hidden.float())

    head.forward = forward


def float32_residual_and_head(model: Any) -> None:
    """Apply `float32_residual` and `float32_head`."""
    float32_residual(model)
    float32_head(model)


def float32_norms(model: Any) -> None:
    """Return float32 from the norm after each stack.

    The state between stack passes is not rounded to bfloat16; the state inside a stack is.
    """
    model.model.embed_tokens.register_forward_hook(lambda module, given, output: output.float())
    model.model.rotary_emb.register_forward_hook(lambda module, given, output: tuple(x.bfloat16() for x in output))
    for stack in (model.model.L_module, model.model.H_module):
        stack.layers[0].register_forward_pre_hook(lambda module, given: (given[0].bfloat16(), *given[1:]))
        stack.final_norm.register_forward_pre_hook(lambda module, given: (given[0].float(), *given[1:]))
    model.lm_head.register_forward_pre_hook(_cast_input)


VARIANTS = {
    "float32": Variant("float32", nullcontext),
    "bfloat16 weights": Variant("bfloat16", nullcontext),
    "the same, float32 norms between stacks": Variant("bfloat16", nullcontext, float32_norms),
    "the same, float32 head": Variant("bfloat16", nullcontext, float32_head),
    "the same, float32 residual": Variant("bfloat16", nullcontext, float32_residual),
    "the same, float32 residual and head": Variant("bfloat16", nullcontext, float32_residual_and_head),
    "the same, eager attention": Variant("bfloat16", nullcontext, kernel="eager"),
    "float32 weights, autocast (`bf16: true`)": Variant("float32", autocast),
    "autocast, float32 head": Variant("float32", autocast, float32_head),
    "autocast, float32 attention": Variant("float32", autocast, kernel="float32_sdpa"),
    "autocast, eager attention": Variant("float32", autocast, kernel="eager"),
    "autocast, attention by document": Variant("float32", autocast, kernel="per_document"),
    "float32 sampler, autocast trainer": Variant("float32", autocast, sampler="float32"),
}


COSTED = ("float32", "bfloat16 weights", "the same, float32 residual", "float32 weights, autocast (`bf16: true`)",
          "autocast, float32 head", "autocast, eager attention")  # fmt: skip


def load(folder: str, variant: Variant) -> Any:
    """Load the model of a variant."""
    model = load_model_and_tokenizer(folder, dtype=variant.dtype, attn_implementation=variant.kernel)[0].eval()
    variant.change(model)
    return model


def draw_rows(folder: str, questions: int) -> Rows:
    """Sample completions in float32 at temperature 1 for prompts of the shipped test rows, `ANSWERS` for each prompt."""
    model, tokenizer = load_model_and_tokenizer(folder)
    renderer, prompts = get_renderer(tokenizer), []
    for name in ("chat", "json_extraction"):
        lines = (ROOT / f"data/{name}/test.jsonl").read_text(encoding="utf-8").splitlines()[:questions]
        for row in map(json.loads, lines):
            messages = row["messages"][:-1] if "messages" in row else row["prompt"]
            prompts += [renderer.prompt(messages, "direct")] * ANSWERS
    drawn: list[Completion] = sample(model, prompts, list(range(len(prompts))), Decoding(TOKENS))
    return [(prompt, completion.ids) for prompt, completion in zip(prompts, drawn, strict=True)]


def _token_logprobs(logits: Tensor, ids: list[int]) -> Tensor:
    """Return the log-probabilities (tokens,) of `ids` under logits (tokens, vocab)."""
    return logits.float().log_softmax(-1).gather(-1, torch.tensor(ids)[:, None])[:, 0]


def trained_logprobs(model: Any, rows: Rows, context: Callable[[], AbstractContextManager], batch: int) -> list[Tensor]:
    """Score completions as the trainer does: whole rows, right-padded, `batch` rows in one forward.

    Returns:
        A tensor (completion tokens,) of log-probabilities in nats for each row.
    """
    order = sorted(range(len(rows)), key=lambda row: sum(map(len, rows[row])))
    logprobs = {}
    for start in range(0, len(rows), batch):
        # Right-pad the rows of this batch: ids and mask (batch, width).
        chosen = order[start : start + batch]
        width = max(sum(map(len, rows[row])) for row in chosen)
        ids = torch.full((len(chosen), width), 5)
        mask = torch.zeros(len(chosen), width, dtype=torch.long)
        for place, row in enumerate(chosen):
            tokens = [*rows[row][0], *rows[row][1]]
            ids[place, : len(tokens)], mask[place, : len(tokens)] = torch.tensor(tokens), 1
        with context():
            logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits  # (batch, width, vocab)
        # The logits at position t predict token t + 1.
        for place, row in enumerate(chosen):
            prompt, answer = rows[row]
            logprobs[row] = _token_logprobs(logits[place, len(prompt) - 1 : len(prompt) + len(answer) - 1], answer)
    return [logprobs[row] for row in range(len(rows))]


def sampled_logprobs(model: Any, rows: Rows, context: Callable[[], AbstractContextManager]) -> list[Tensor]:
    """Score completions as the sampler does: a prefill, then one cached step for each given token.

    Completions that have ended stay in the batch and repeat their last token.

    Returns:
        A tensor (completion tokens,) of log-probabilities in nats for each row.
    """
    longest = max(len(answer) for _, answer in rows)
    padded = [[*answer, *[answer[-1]] * (longest - len(answer))] for _, answer in rows]
    steps = torch.tensor(padded)  # (batch, longest)
    scores = []
    with context():
        writer = read(model, [prompt for prompt, _ in rows])
        for step in range(longest):
            logprobs = writer.logits.float().log_softmax(-1)
            scores.append(logprobs.gather(-1, steps[:, step : step + 1]))
            if step + 1 < longest:
                writer.write(steps[:, step])
    return [row[: len(answer)] for row, (_, answer) in zip(torch.cat(scores, dim=1), rows, strict=True)]


def distances(folder: str, rows: Rows) -> list[list[str]]:
    """Return one row of the table for each variant."""
    exact = trained_logprobs(load(folder, VARIANTS["float32"]), rows, nullcontext, len(rows))
    cells = []
    for name, variant in VARIANTS.items():
        model = load(folder, variant)
        trained = trained_logprobs(model, rows, variant.context, len(rows))
        alone = trained_logprobs(model, rows[:ALONE], variant.context, 1)
        other = VARIANTS[variant.sampler] if variant.sampler else variant
        sampled = sampled_logprobs(load(folder, other), rows, other.context)
        ratios = torch.stack([(a - b).sum() for a, b in zip(trained, sampled, strict=True)]).exp()
        pairs = ((trained, sampled), (trained[:ALONE], alone), (trained, exact))
        from_sampler, from_one_row, from_float32 = (torch.cat(ours) - torch.cat(theirs) for ours, theirs in pairs)
        means = [difference.abs().mean() for difference in (from_sampler, from_one_row, from_float32)]
        above_cap = (from_sampler.exp() > CAP).float().mean(), (ratios > CAP).float().mean()
        cells.append([name, _nats(means[0]), _nats(from_sampler.abs().max()), _nats(means[1]), _nats(means[2]),
                      *(f"{100 * float(share):.1f}" for share in above_cap)])  # fmt: skip
        print(cells[-1], file=sys.stderr, flush=True)
    return cells


def _nats(value: Tensor) -> str:
    return f"{float(value):.2g}"


@contextmanager
def _counting(model: nn.Module) -> Iterator[dict[int, int]]:
    """Collect the bytes of each storage that autograd saves for the backward pass, without the weights."""
    weights = {tensor.untyped_storage().data_ptr() for tensor in (*model.parameters(), *model.buffers())}
    storages: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        yield storages


def costs(folder: str, rows: Rows, rounds: int) -> list[list[str]]:
    """Measure time and memory of the variants in `COSTED`. Times are CPU seconds of this thread.

    Returns:
        One row of the table for each variant; times relative to autocast are ratios within each round.
    """
    names = COSTED
    models = {name: load(folder, VARIANTS[name]) for name in names}
    seconds: dict[str, dict[str, list[float]]] = {name: {"update": [], "rollout": []} for name in names}
    saved_bytes: dict[str, int] = {}
    for number in range(rounds + 1):
        for name in [*names[number % len(names) :], *names[: number % len(names)]]:
            model, context = models[name], VARIANTS[name].context
            started = time.thread_time()
            with _counting(model) as storages, torch.enable_grad():
                loss = torch.cat(trained_logprobs(model, rows, context, len(rows))).mean()
            loss.backward()
            model.zero_grad()
            middle_of_round = time.thread_time()
            with torch.no_grad():
                sampled_logprobs(model, rows, context)
            if number:  # the first round allocates memory and does not count
                seconds[name]["update"].append(middle_of_round - started)
                seconds[name]["rollout"].append(time.thread_time() - middle_of_round)
            saved_bytes[name] = sum(storages.values())
    base = "float32 weights, autocast (`bf16: true`)"
    cells = []
    for name in names:
        ratios = [
            median_and_range(
                [ours / theirs for ours, theirs in zip(seconds[name][part], seconds[base][part], strict=True)]
            )
            for part in ("update", "rollout")
        ]
        weights = sum(weight.numel() * weight.element_size() for weight in models[name].parameters())
        medians = [f"{statistics.median(seconds[name][part]):.2f}" for part in ("update", "rollout")]
        cells.append([name, *medians, *ratios, f"{weights / 2**20:.1f}", f"{saved_bytes[name] / 2**20:.0f}"])
    return cells


def float32_sdpa(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, **kwargs: Any
) -> Any:
    """Compute PyTorch's attention in float32 on states rounded to bfloat16.

    A bfloat16 KV cache holds the same rounded states, so sampler and trainer attend to equal keys and values.
    """
    query, key, value = (states.bfloat16().float() for states in (query, key, value))
    with torch.autocast("cpu", enabled=False):
        return sdpa_attention_forward(module, query, key, value, mask, **kwargs)


def main(argv: Sequence[str]) -> None:
    """Run the requested parts and print the tables."""
    AttentionInterface.register("float32_sdpa", float32_sdpa)
    AttentionMaskInterface.register("float32_sdpa", sdpa_mask)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=["tiny", "random", "trained", "costs"], help="run only this part")
    parser.add_argument("--questions", type=int, default=QUESTIONS, help="prompts of each data set")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="rounds in which times are measured")
    arguments = parser.parse_args(argv)
    at_least(arguments.rounds, 1, "--rounds")
    at_least(arguments.questions, 1, "--questions")
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        folders = {"tiny": "tiny", "random": str(save_random(Path(folder) / "random")), "trained": str(TRAINED)}
        head = ["variant", "sampler against trainer, mean nats", "largest", "one row against a batch", "against float32",
                f"ratios above {CAP:g}, % of tokens", "% of completions"]  # fmt: skip
        for name, source in folders.items():
            if arguments.only in (None, name):
                rows = draw_rows(source, arguments.questions)
                print(f"\n{name}: {len(rows)} completions, {sum(len(answer) for _, answer in rows)} tokens")
                print("\n".join(table(head, distances(source, rows))))
        if arguments.only in (None, "costs"):
            source = folders["trained"]
            head = ["variant", "CPU s, forward and backward", "CPU s, rollout", "forward and backward / autocast",
                    "rollout / autocast", "weights MiB", "saved for backward MiB"]  # fmt: skip
            print("\n".join(table(head, costs(source, draw_rows(source, arguments.questions), arguments.rounds))))


if __name__ == "__main__":
    sys.exit(run_with_exit_code(main, sys.argv[1:]))
