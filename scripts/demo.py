"""`make demo`: the tiny base, which can neither chat nor write JSON, learns both in minutes on two CPU cores.

Scores the base on held-out rows, fine-tunes it with recipes/tiny/sft.yaml, scores the result in the same way; then teaches
the base plain answers by reinforcement learning (recipes/tiny/format_grpo.yaml). Writes runs/demo: the checkpoint,
`summary.json`, and a picture; runs/demo/grpo is the second one; runs/demo/export is the first one, ready for others, with its
model card. An earlier runs/demo is kept under another name.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from before_after import BeforeAfter, before_after_table, draw_before_after, read_metrics
from rich.console import Console
from transformers import AutoModelForCausalLM
from transformers.utils.logging import disable_progress_bar

from hrm_align.cli import exit_code_of
from hrm_align.data.dataset import DatasetSpec, load_examples
from hrm_align.data.examples import Example
from hrm_align.evaluation.evaluate import Evaluation, Score, evaluate, last_turns, percent
from hrm_align.export.pipeline import ExportOptions, export
from hrm_align.models.loading import load_model_and_tokenizer, resolve
from hrm_align.models.prefix_mask import causal_prompt
from hrm_align.rendering import renderer_of
from hrm_align.rollouts.logprobs import parity
from hrm_align.run_folder import write_json

OUT = Path("runs/demo")
RECIPE = Path("recipes/tiny/sft.yaml")
TASKS = {"chat": Path("data/chat/test.jsonl"), "JSON": Path("data/json_extraction/test.jsonl")}
PLAIN_ANSWERS = Path("data/plain_answers/test.jsonl")
ROWS_A_TASK = 300
GRPO_RECIPE, GRPO_STEPS = Path("recipes/tiny/format_grpo.yaml"), 40  # of 60: a minute, and most of what they give
PLAIN = "plain answers"
MAX_NEW_TOKENS = 64  # the longest expected answer has about 40
PARITY_ROWS = 32

console = Console()


class Stopwatch:
    """Seconds by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str, announce: str) -> Iterator[None]:
        """Time a stage and say that it begins."""
        console.rule(announce, align="left", style="dim")
        start = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - start, 1)


def keep_earlier_run() -> None:
    """Move an earlier runs/demo aside: nothing is written over."""
    if OUT.exists():
        number = 1
        while (kept := OUT.with_name(f"{OUT.name}.{number}")).exists():
            number += 1
        OUT.rename(kept)
        console.print(f"the earlier {OUT} is now {kept}", style="dim")


def questions(tasks: Mapping[str, Path]) -> dict[str, list[Example]]:
    """Held-out rows of each task; none of their names or values occurs in training."""
    return {
        name: last_turns(load_examples([DatasetSpec(path=str(path))])[0])[:ROWS_A_TASK] for name, path in tasks.items()
    }


def score(model: Any, tokenizer: Any, asked: dict[str, list[Example]]) -> dict[str, Any]:
    """Exact match by task and over all of them, with a wrong or right answer of each to look at."""
    results: dict[str, Any] = {}
    total = Score()
    for name, examples in asked.items():
        result: Evaluation = evaluate(model, tokenizer, examples, max_new_tokens=MAX_NEW_TOKENS, batch_size=100)
        results[name] = result.to_dict() | {"sample": result.samples[1]}
        total.correct, total.n = total.correct + result.score.correct, total.n + result.score.n
    return results | {"all": total.to_dict()}


def check_parity(model: Any, tokenizer: Any, asked: dict[str, list[Example]]) -> dict[str, float]:
    """How far cached sampling is from the training forward, in log-probability."""
    render = renderer_of(tokenizer)
    examples = [example for rows in asked.values() for example in rows[: PARITY_ROWS // len(asked)]]
    compared = parity(model, [render.document(e.messages, e.answer, e.condition) for e in examples])
    return {"max": compared.max_difference, "mean": compared.mean_difference, "tokens": compared.tokens}


def check_stock_loading(folder: str, model: torch.nn.Module) -> None:
    """Stop unless stock `AutoModelForCausalLM` restores the very same weights."""
    stock = AutoModelForCausalLM.from_pretrained(folder).state_dict()
    ours = model.state_dict()
    if ours.keys() != stock.keys() or not all(torch.equal(ours[name], stock[name]) for name in ours):
        raise RuntimeError(f"AutoModelForCausalLM.from_pretrained({folder!r}) gives other weights than hrm_align")


def show_samples(before: dict[str, Any], after: dict[str, Any]) -> None:
    """One question a task, answered by the base and by the result."""
    for name in TASKS:
        old, new = before[name]["sample"], after[name]["sample"]
        console.print(f"\n[bold]{name}[/]  {new['prompt']}", highlight=False)
        console.print(f"  base    {old['generated'][:100]!r}", markup=False, highlight=False, style="dim")
        console.print(f"  tuned   {new['generated'][:100]!r}", markup=False, highlight=False, style="green")


def reinforce(asked: dict[str, list[Example]]) -> dict[str, Any]:
    """Teach the base to answer plainly, paid by exact match, and score it."""
    from hrm_align.recipes.grpo import main as grpo

    run = OUT / "grpo"
    console.print("under the condition `noisy` the base hedges (24 maybe); only the bare answer is paid", style="dim")
    words = ["--max_steps", str(GRPO_STEPS), "--logging_steps", "10", "--log_samples", "2"]
    grpo(["--config", str(GRPO_RECIPE), "--output_dir", str(run), *words])
    model, tokenizer = load_model_and_tokenizer(str(run))
    return dict(score(model, tokenizer, asked)[PLAIN])


def publish() -> dict[str, Any]:
    """Export the result: a folder that stock Transformers answers from, which is proven in a fresh process."""
    rows = [str(path) for path in TASKS.values()]
    told = export(ExportOptions(str(OUT), OUT / "export", data=rows, limit=ROWS_A_TASK, max_new_tokens=MAX_NEW_TOKENS))
    return {"parity": told["parity"], "after": told["after"], "folder": f"{OUT}/export"}


def main(argv: Sequence[str]) -> None:
    """Run every stage and write the summary."""
    from hrm_align.recipes.sft import main as sft  # seconds to import, so after the first words on the screen

    disable_progress_bar()  # those of loading; the training keeps its own
    watch = Stopwatch()
    keep_earlier_run()
    asked, plain = questions(TASKS), questions({PLAIN: PLAIN_ANSWERS})
    with watch.stage("evaluate_before", f"the base on {ROWS_A_TASK} held-out rows a task"):
        base, tokenizer = load_model_and_tokenizer("tiny")
        check_stock_loading(resolve("tiny"), base)
        before = score(base, tokenizer, asked)
        plain_before = score(base, tokenizer, plain)[PLAIN]
    with watch.stage("train", f"hrm-align sft --config {RECIPE} --output_dir {OUT}"):
        sft(["--config", str(RECIPE), "--output_dir", str(OUT), *argv])
    with watch.stage("evaluate_after", "the result on the same rows"):
        tuned, tokenizer = load_model_and_tokenizer(str(OUT))
        check_stock_loading(str(OUT), tuned)
        after = score(tuned, tokenizer, asked)
    with watch.stage("causal_prompt", "the result again, its prompt run causally as stock trainers would"):
        with causal_prompt(tuned):
            causal = score(tuned, tokenizer, asked)["all"]
        agreement = check_parity(tuned, tokenizer, asked)
    with watch.stage("reinforce", f"hrm-align grpo --config {GRPO_RECIPE} --output_dir {OUT}/grpo"):
        plain_after = reinforce(plain)

    with watch.stage("export", f"hrm-align export {OUT} --to {OUT}/export"):
        published = publish()

    rows = [BeforeAfter("both" if name == "all" else name, before[name], after[name]) for name in before]
    reinforced = BeforeAfter(f"{PLAIN} (GRPO)", plain_before, plain_after)
    draw_before_after([*rows, reinforced], read_metrics(OUT / "metrics.jsonl"), OUT / "before_after.png")
    summary = {
        "before": before,
        "after": after,
        "after_with_causal_prompt": causal,
        "logprob_difference": agreement,
        "reinforced": {"before": plain_before, "after": plain_after, "checkpoint": f"{OUT}/grpo"},
        "exported": published,
        "seconds": watch.seconds,
        "checkpoint": str(OUT),
    }
    write_json(OUT / "summary.json", summary)
    show_samples(before, after)
    console.print()
    console.print(before_after_table(rows, f"held-out exact match (95 % interval), {OUT}"))
    console.print(before_after_table([reinforced], f"the base, by reinforcement learning, {OUT}/grpo"))
    console.print(f"with a causal prompt instead of the prefix mask: {100 * causal['score']:.1f} %")
    console.print(f"cached sampling and training agree to {agreement['max']:.0e} in log-probability")
    differing = published["parity"]["other_answers"]
    console.print(
        f"exported to {OUT}/export: {percent(published['after'])} under stock Transformers, {differing} of "
        f"{published['parity']['rows']} answers other than the run's; its card is {OUT}/export/README.md"
    )
    console.print("seconds: " + ", ".join(f"{name} {value:.0f}" for name, value in watch.seconds.items()))
    console.print(f"picture: {OUT}/before_after.png   numbers: {OUT}/summary.json")
    console.print(f'try it:  .venv/bin/hrm-align generate --model {OUT} --prompt "Good morning, my name is Lumo."')


if __name__ == "__main__":
    sys.exit(exit_code_of(main, sys.argv[1:]))
