"""Runs of `hrm-align sample` on sums that the tiny base solves in part, for the tests of that command."""

import json
from pathlib import Path

from hrm_align.evaluation import drawing
from hrm_align.models.loading import load_model_and_tokenizer
from hrm_align.rendering import get_renderer
from hrm_align.rollouts.engine import Completion
from tests.command_line import run

N = 6
# A condition, a group, grading data and a system text, which rows must keep. The tiny base solves some of these sums.
ROWS = [
    {"prompt": f"{a} plus {b}?", "response": str(a + b), "group": f"sums {b}", "grading": {"digits": 2}}
    for a in range(11, 14)
    for b in (5, 8, 23)
]
ROWS[4] |= {"system": "Only the number.", "condition": "noisy"}
OPTIONS = ("--model", "tiny", "--match", "exact", "--n", N, "--max_new_tokens", 6, "--temperature", "1.2")


def sample(capsys, data, output, *flags) -> dict:
    """Run the command and return what it prints as JSON."""
    code, out, err = run(capsys, "sample", "--data", data, *OPTIONS, "--output", output, *flags, "--json")
    assert code == 0, err
    return json.loads(out)


def read(path) -> list[dict]:
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]


def answered(monkeypatch, *texts) -> None:
    """Let the model answer every prompt with these texts, in turn, instead of drawing."""
    renderer = get_renderer(load_model_and_tokenizer("tiny")[1])
    drawn_instead(monkeypatch, [Completion(renderer.response(text), finish="stop") for text in texts])


def drawn_instead(monkeypatch, completions) -> None:
    """Draw these completions, in turn, instead of the model's."""
    monkeypatch.setattr(
        drawing, "sample", lambda engine, prompts, *_, **__: (completions * len(prompts))[: len(prompts)]
    )


def counted_draws(monkeypatch) -> list[int]:
    """The first rows of the chunks that are drawn from now on."""
    drawn, draw = [], drawing.Drawer.draw

    def counted(self, examples, first, *rest):
        drawn.append(first)
        return draw(self, examples, first, *rest)

    monkeypatch.setattr(drawing.Drawer, "draw", counted)
    return drawn
