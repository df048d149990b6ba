"""Run `make demo`: train the tiny base to chat and to write JSON in minutes on two CPU cores, and score it before and after.

The demo scores the base on held-out rows, fine-tunes the base with recipes/tiny/sft.yaml and scores the fine-tuned model on the
same rows. Reinforcement learning (recipes/tiny/format_grpo.yaml) then trains the base to give plain answers. Outputs:

    runs/demo          the fine-tuned checkpoint, `summary.json` and a picture
    runs/demo/grpo     the checkpoint of the reinforcement learning run
    runs/demo/export   the fine-tuned model exported for plain Transformers, with its model card

An earlier runs/demo is renamed to runs/demo.1, runs/demo.2, and so on.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from before_after import BeforeAfter, before_after_table, draw_before_after, find_learned, read_metrics
from rich.console import Console
from rich.markup import escape
from transformers import AutoModelForCausalLM
from transformers.utils.logging import disable_progress_bar

from hrm_align.cli import run_with_exit_code
from hrm_align.data.dataset import DatasetSpec, load_examples
from hrm_align.data.examples import Example
from hrm_align.evaluation.evaluate import Evaluation, evaluate, last_turns
from hrm_align.evaluation.scores import Score, percent
from hrm_align.export.pipeline import ExportOptions, export
from hrm_align.models.loading import load_model_and_tokenizer, resolve
from hrm_align.models.prefix_mask import causal_prompt
from hrm_align.rendering import get_renderer
from hrm_align.rollouts.logprobs import parity
from hrm_align.run_folder import write_json

OUT = Path("runs/demo")
RECIPE = Path("recipes/tiny/sft.yaml")
TASKS = {"chat": Path("data/chat/test.jsonl"), "JSON": Path("data/json_extraction/test.jsonl")}
PLAIN_ANSWERS = Path("data/plain_answers/test.jsonl")
ROWS_PER_TASK = 300
# The recipe has 60 steps; the first 40 take a minute and give most of the improvement.
GRPO_RECIPE, GRPO_STEPS = Path("recipes/tiny/format_grpo.yaml"), 40
PLAIN = "plain answers"
MAX_NEW_TOKENS = 64  # the longest reference answer has about 40 tokens
PARITY_ROWS = 32

console = Console()


class Stopwatch:
    """Record the wall-clock seconds of each named stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str, announce: str) -> Iterator[None]:
        """Print the heading of a stage and record how many seconds the stage takes."""
        console.print(f"\n{announce}", style="bold", markup=False, highlight=False)
        start = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - start, 1)


def keep_earlier_run() -> None:
    """Rename an earlier runs/demo, so that the demo overwrites nothing."""
    if OUT.exists():
        number = 1
        while (renamed := OUT.with_name(f"{OUT.name}.{number}")).exists():
            number += 1
        OUT.rename(renamed)
        console.print(f"the earlier {OUT} was renamed to {renamed}", style="dim")


def load_held_out(tasks: Mapping[str, Path]) -> dict[str, list[Example]]:
    """Load the held-out rows of each task. No name or value in these rows occurs in the training rows."""
    held_out = {}
    for name, path in tasks.items():
        examples = load_examples([DatasetSpec(path=str(path))])[0]
        held_out[name] = last_turns(examples)[:ROWS_PER_TASK]
    return held_out


class Scores(NamedTuple):
    """Exact-match scores of a model: of each task, of all tasks together (`all`), and the answers to each task's rows."""

    tasks: dict[str, dict[str, Any]]
    total: dict[str, Any]
    samples: dict[str, list[dict[str, Any]]]

    def to_dict(self) -> dict[str, Any]:
        """Return the scores, as summary.json holds them."""
        return {**self.tasks, "all": self.total}


def score(model: Any, tokenizer: Any, held_out: dict[str, list[Example]]) -> Scores:
    """Answer the held-out rows of each task, and return the scores and the answers."""
    results: dict[str, Evaluation] = {}
    total = Score()
    for name, examples in held_out.items():
        result = evaluate(model, tokenizer, examples, max_new_tokens=MAX_NEW_TOKENS, batch_size=100)
        results[name] = result
        total.correct, total.n = total.correct + result.score.correct, total.n + result.score.n
    tasks = {name: result.to_dict() for name, result in results.items()}
    return Scores(tasks, total.to_dict(), {name: result.samples for name, result in results.items()})


def check_parity(model: Any, tokenizer: Any, held_out: dict[str, list[Example]]) -> dict[str, float]:
    """Compare cached sampling with the training forward; the differences are in nats of log-probability."""
    render = get_renderer(tokenizer)
    examples = [example for rows in held_out.values() for example in rows[: PARITY_ROWS // len(held_out)]]
    documents = [render.document(example.messages, example.answer, example.condition) for example in examples]
    compared = parity(model, documents)
    return {"max": compared.max_difference, "mean": compared.mean_difference, "tokens": compared.tokens}


def check_stock_loading(folder: str, model: torch.nn.Module) -> None:
    """Raise RuntimeError unless stock `AutoModelForCausalLM` loads exactly the same weights."""
    stock = AutoModelForCausalLM.from_pretrained(folder).state_dict()
    ours = model.state_dict()
    if ours.keys() != stock.keys() or not all(torch.equal(ours[name], stock[name]) for name in ours):
        raise RuntimeError(f"AutoModelForCausalLM.from_pretrained({folder!r}) loads other weights than hrm_align does")


def show_learned(learned: Mapping[str, dict[str, Any] | None]) -> None:
    """Print for each task a held-out row that training taught, with the answers of the base and of the trained model."""
    for name, row in learned.items():
        if row is None:
            console.print(
                f"\n[bold]{name}[/]  no held-out row is answered correctly after training that was not before"
            )
            continue
        console.print(f"\n[bold]{name}[/]  {escape(row['prompt'])}", highlight=False)
        console.print(f"  base    {row['base'][:100]!r}", markup=False, highlight=False, style="dim")
        console.print(f"  tuned   {row['trained'][:100]!r}", markup=False, highlight=False, style="green")


def reinforce(held_out: dict[str, list[Example]]) -> Scores:
    """Train the base to answer plainly, with exact match as the reward, and return the scores of the trained model."""
    from hrm_align.recipes.grpo import main as grpo

    run = OUT / "grpo"
    console.print("condition `noisy`: the base hedges (24 maybe); only a bare answer is rewarded", style="dim")
    flags = ["--max_steps", str(GRPO_STEPS), "--logging_steps", "5", "--log_samples", "2"]
    grpo(["--config", str(GRPO_RECIPE), "--output_dir", str(run), *flags])
    model, tokenizer = load_model_and_tokenizer(str(run))
    return score(model, tokenizer, held_out)


def publish() -> dict[str, Any]:
    """Export the fine-tuned model for plain Transformers. The export itself compares both in a fresh process."""
    rows = [str(path) for path in TASKS.values()]
    options = ExportOptions(str(OUT), OUT / "export", data=rows, limit=ROWS_PER_TASK, max_new_tokens=MAX_NEW_TOKENS)
    report = export(options)
    return {"parity": report["parity"], "after": report["after"], "folder": f"{OUT}/export"}


def main(argv: Sequence[str]) -> None:
    """Run every stage, print the results and write the summary."""
    from hrm_align.recipes.sft import main as sft  # the import takes seconds, so it runs after the first printed line

    disable_progress_bar()  # only the progress bars of model loading; training has its own
    watch = Stopwatch()
    keep_earlier_run()
    held_out, plain = load_held_out(TASKS), load_held_out({PLAIN: PLAIN_ANSWERS})
    with watch.stage("evaluate_before", f"score the base on {ROWS_PER_TASK} held-out rows of each task"):
        base, tokenizer = load_model_and_tokenizer("tiny")
        check_stock_loading(resolve("tiny"), base)
        before = score(base, tokenizer, held_out)
        plain_before = score(base, tokenizer, plain)
    with watch.stage("train", f"hrm-align sft --config {RECIPE} --output_dir {OUT}"):
        sft(["--config", str(RECIPE), "--output_dir", str(OUT), *argv])
    with watch.stage("evaluate_after", "score the fine-tuned model on the same rows"):
        tuned, tokenizer = load_model_and_tokenizer(str(OUT))
        check_stock_loading(str(OUT), tuned)
        after = score(tuned, tokenizer, held_out)
    with watch.stage("causal_prompt", "score it again with the causal mask that stock trainers apply to prompts"):
        with causal_prompt(tuned):
            causal = score(tuned, tokenizer, held_out).total
        agreement = check_parity(tuned, tokenizer, held_out)
    with watch.stage("reinforce", f"hrm-align grpo --config tiny/{GRPO_RECIPE.stem} --output_dir {OUT}/grpo"):
        plain_after = reinforce(plain)

    with watch.stage("export", f"hrm-align export {OUT} --to {OUT}/export"):
        published = publish()

    rows = [BeforeAfter(name, before.tasks[name], after.tasks[name]) for name in TASKS]
    rows.append(BeforeAfter("both", before.total, after.total))
    reinforced = BeforeAfter(f"{PLAIN} (GRPO)", plain_before.tasks[PLAIN], plain_after.tasks[PLAIN])
    runs = [read_metrics(folder / "metrics.jsonl") for folder in (OUT, OUT / "grpo")]
    draw_before_after([*rows, reinforced], *runs, OUT / "before_after.png")
    learned = {name: find_learned(before.samples[name], after.samples[name]) for name in TASKS}
    learned[reinforced.name] = find_learned(plain_before.samples[PLAIN], plain_after.samples[PLAIN])
    summary = {
        "before": before.to_dict(),
        "after": after.to_dict(),
        "learned": learned,
        "after_with_causal_prompt": causal,
        "logprob_difference": agreement,
        "reinforced": {"before": reinforced.before, "after": reinforced.after, "checkpoint": f"{OUT}/grpo"},
        "exported": published,
        "seconds": watch.seconds,
        "checkpoint": str(OUT),
    }
    write_json(OUT / "summary.json", summary)
    show_learned(learned)
    console.print()
    console.print(before_after_table(rows, f"held-out exact match (95 % interval), {OUT}"))
    console.print(before_after_table([reinforced], f"the base after reinforcement learning, {OUT}/grpo"))
    console.print(f"score with a causal mask on the prompt instead of the prefix mask: {100 * causal['score']:.1f} %")
    console.print(f"log-probabilities of sampling and training differ by at most {agreement['max']:.0e} nats")
    parity = published["parity"]
    console.print(f"exported to {OUT}/export: {percent(published['after'])} under stock Transformers;")
    console.print(
        f"  {parity['other_answers']} of {parity['rows']} completions differ from the run's; model card: README.md there"
    )
    short = {name.removeprefix("evaluate_").removesuffix("_prompt"): value for name, value in watch.seconds.items()}
    console.print("seconds: " + ", ".join(f"{name} {value:.0f}" for name, value in short.items()))
    console.print(f"picture: {OUT}/before_after.png   numbers: {OUT}/summary.json")
    console.print("try it:")
    console.print(f'  .venv/bin/hrm-align generate --model {OUT} --prompt "My name is Lumo."')
    console.print(f"  .venv/bin/hrm-align chat --model {OUT}")


if __name__ == "__main__":
    sys.exit(run_with_exit_code(main, sys.argv[1:]))
