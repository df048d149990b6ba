"""Records of `hrm-align sample`: the settings that rows depend on, the card beside the rows, and what is printed."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from hrm_align._version import __version__
from hrm_align.data.examples import Example
from hrm_align.errors import RunError
from hrm_align.evaluation.chunk_files import ChunkedFile
from hrm_align.evaluation.drawing import Context
from hrm_align.evaluation.scores import percent
from hrm_align.evaluation.selecting import NAMED_ROWS, Selection, Tally
from hrm_align.models.adapter_record import fingerprint
from hrm_align.output import emit, results
from hrm_align.rewards.base import RewardSpec

FORMAT = 1  # of draws and rows; files of another format are not continued


def describe_settings(
    arguments: argparse.Namespace,
    model: Any,
    examples: Sequence[Example],
    specs: Sequence[RewardSpec],
    selection: Selection,
    context: Context,
) -> dict[str, Any]:
    """Return everything that the rows depend on, by name; rows of other settings are not continued."""
    config = model.config
    solved = [_content(example) for example in context.solved]
    return {
        "format": FORMAT,
        "model": f"weights {fingerprint(model)}, cycles {config.H_cycles} x {config.L_cycles}",
        "dtype": str(model.dtype).removeprefix("torch."),
        "data": f"{len(examples):,} rows {_digest([[*_content(example), example.source] for example in examples])}",
        "rewards": [_describe_reward(spec) for spec in specs],
        "n": arguments.n,
        **asdict(selection),
        **{name: getattr(arguments, name) for name in ("max_new_tokens", "temperature", "top_p", "top_k", "seed")},
        "system_file": None if context.system is None else f"text {_digest(context.system)}",
        "examples": f"rows {_digest(solved)}" if solved else None,
        "shots": context.shots,
        "draw_condition": context.condition,
    }


def _describe_reward(spec: RewardSpec) -> dict[str, Any]:
    code = {} if spec.file is None else {"file": spec.file, "sha256": sha256(Path(spec.file).read_bytes()).hexdigest()}
    return {"name": spec.name, "weight": spec.weight, "options": dict(spec.options), "label": spec.label, **code}


def _content(example: Example) -> list[Any]:
    messages = [
        [message.role, message.content, [*message.tool_calls]] for message in (*example.messages, example.answer)
    ]
    return [messages, example.condition, example.group, dict(example.grading)]


def _digest(value: Any) -> str:
    return sha256(json.dumps(value, default=str).encode()).hexdigest()[:16]


def describe_rows(parts: Sequence[Mapping[str, Any]], n: int, made: Mapping[str, Any]) -> dict[str, Any]:
    """Return the card of a file, but for its settings.

    Args:
        parts: the counts of its chunks, as mappings of `Tally`.
        n: answers per prompt.
        made: model, data and device.
    """
    total = Tally()
    for part in parts:
        total.add(part)
    first = {reason: places[:NAMED_ROWS] for reason, places in total.first_without_rows.items()}
    counts = {name: getattr(total, name) for name in ("prompts", "prompts_with_rows", "prompts_without_rows")}
    answers = {name: getattr(total, name) for name in ("answers", "answers_used", "dropped", "rows", "correct")}
    card = {"hrm_align": __version__, **made, **counts, "first_without_rows": first, **answers}
    if total.graded:
        card["mean_reward"] = total.reward_sum / total.graded
    if any(correct is not None for correct in total.correct_by_prompt):
        scores = {"pass@1": total.pass_rate(n), "solved": total.solved()}
        for name, score in scores.items():
            card[name] = {"score": score.rate, "interval": [*score.interval], "n": score.n}
    if total.pair_tokens:
        longer = {"chosen_longer": total.chosen_longer, "rejected_longer": total.rejected_longer}
        card["pairs"] = {
            **{f"{side}_tokens": tokens / total.rows for side, tokens in total.pair_tokens.items()},
            **longer,
        }
    return {**card, "tokens": total.tokens, "seconds": total.seconds, "faults": total.faults, "usage": total.usage}


def report(card: Mapping[str, Any] | None, file: ChunkedFile, as_json: bool) -> None:
    """Print what was made. Raises RunError (exit code 1) if no answer became a row."""
    if card is None:
        left = len(file.missing(range(file.chunks)))
        if as_json:
            emit(json.dumps({"complete": False, "chunks": file.chunks, "chunks_left": left}))
        else:
            emit(
                f"{file.chunks - left} of {file.chunks} chunks are done; the process with the last one writes {file.output}."
            )
        return
    if as_json:
        emit(json.dumps({"complete": True, **card}))
    else:
        show(card, file)
    if not card["rows"]:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in card["dropped"].items())
        raise RunError(
            f"no answer became a row, and {file.output} is empty ({reasons or 'no prompt leaves room for an answer'}). Draw more "
            "answers with --n, use other prompts, or change what --keep selects."
        )


def show(card: Mapping[str, Any], file: ChunkedFile) -> None:
    """Print the counts and scores of a card."""
    console = Console(file=results())

    def line(text: str) -> None:
        console.print(text, markup=False, highlight=False)

    line(f"{card['rows']:,} rows from {card['prompts_with_rows']:,} of {card['prompts']:,} prompts in {file.output}")
    table = Table("answers", "number")
    table.add_row("drawn", f"{card['answers']:,}")
    table.add_row("used", f"{card['answers_used']:,}")
    for reason, count in card["dropped"].items():
        table.add_row(f"dropped: {reason}", f"{count:,}")
    table.add_section()
    for reason, count in card["prompts_without_rows"].items():
        table.add_row(f"prompts without a row: {reason}", f"{count:,}")
    console.print(table)
    if "mean_reward" in card:
        line(f"mean reward {card['mean_reward']:.4f}")
    for name, words in (("pass@1", "pass@1"), ("solved", "prompts with a correct answer")):
        if name in card:
            line(f"{words}: {percent(card[name])}")
    if pairs := card.get("pairs"):
        line(
            f"tokens of an answer: chosen {pairs['chosen_tokens']:.1f}, rejected {pairs['rejected_tokens']:.1f}; the chosen one "
            f"is longer in {pairs['chosen_longer']:,} pairs and shorter in {pairs['rejected_longer']:,}"
        )
    if card["faults"]:
        line("failures of rewards: " + ", ".join(f"{count:,} {name}" for name, count in card["faults"].items()))
    line(f"counts and settings: {file.card}")
