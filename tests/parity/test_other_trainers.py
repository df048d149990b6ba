"""TRL's trainers without a class of ours, unmodified: losses and gradients of an independent computation, over two updates.

Each trainer runs from the same seed with `import hrm_align` alone, under the oracle (each document alone in stock Transformers, with a
mask drawn token by token and no cache), and in stock Transformers, which applies a causal mask to the prompt.
"""

from contextlib import nullcontext
from dataclasses import dataclass, field
from importlib import import_module

import pytest
import torch
from datasets import Dataset
from transformers import set_seed

from hrm_align import render_prompt
from hrm_align.models.loading import load_model_and_tokenizer
from tests.docs_text import DOCS, blocks
from tests.parity.reference import END, float64, oracle, unpatched

# Of the loss, of about 1, and of the gradient's norm. Noise seen: 1e-14; a causal prompt moves one of them by 4e-3 and more.
TOLERANCE, FAR = 1e-8, 1e-3
COMMON = {"report_to": "none", "learning_rate": 1e-2, "lr_scheduler_type": "constant", "optim": "sgd", "max_steps": 2,
          "save_strategy": "no", "bf16": False, "per_device_train_batch_size": 2, "use_cpu": True, "logging_steps": 1,
          "disable_tqdm": True, "gradient_checkpointing": False}  # fmt: skip

ROWS = [
    ("Add 2 and 3.", "5", "It is not 5."),
    ("Write pig backwards.", "gip", "pig"),
    ("Copy: fox", "fox", "a fox, as I was told"),
    ("What is 9 minus 4?", "5", "6"),
]
HINT = "The answer is short."


def user(text):
    return [{"role": "user", "content": text}]


def assistant(text):
    return [{"role": "assistant", "content": text}]


def rows(columns):
    """Every column that a trainer may read; each trainer gets those that its page in TRL's documentation names."""
    made = [
        {
            "prompt": user(prompt),
            "chosen": assistant(good),
            "rejected": assistant(bad),
            "reference": assistant(good + "!"),
            "completion": assistant(good if number % 2 else bad),
            "label": bool(number % 2),
            "messages": user(prompt) + assistant(good),
            "privileged_context": HINT,
        }
        for number, (prompt, good, bad) in enumerate(ROWS)
    ]
    return Dataset.from_list([{name: row[name] for name in columns.split()} for row in made])


def teacher():
    """The tiny base with other weights: a teacher equal to the student has nothing to teach under any mask."""
    model = load_model_and_tokenizer("tiny")[0].double()
    torch.manual_seed(1)
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(1 + 0.2 * torch.randn_like(weight))
    return model


def length_reward(completion_ids, **_):
    return [float(sum(ids) % 7) for ids in completion_ids]


@dataclass(frozen=True)
class Case:
    """A trainer of TRL: the module and the first part of its name, its columns, settings and further arguments."""

    module: str
    name: str
    columns: str
    settings: dict = field(default_factory=dict)
    arguments: dict = field(default_factory=dict)


PAIRS = "prompt chosen rejected"
REWARD = {"reward_funcs": lambda: length_reward}
TEACHER = {"teacher_model": teacher}
CASES = {
    "orpo": Case("trl.experimental.orpo", "ORPO", PAIRS),
    "cpo": Case("trl.experimental.cpo", "CPO", PAIRS),
    "simpo": Case("trl.experimental.cpo", "CPO", PAIRS, {"loss_type": "simpo", "cpo_alpha": 0.0}),
    "tpo": Case("trl.experimental.tpo", "TPO", PAIRS + " reference"),
    "kto": Case("trl", "KTO", "prompt completion label"),
    "gkd": Case("trl.experimental.gkd", "GKD", "messages", {"lmbda": 0.0}, TEACHER),
    "gkd_on_policy": Case("trl.experimental.gkd", "GKD", "messages", {"lmbda": 1.0, "max_new_tokens": 4, "temperature": 3.0}, TEACHER),
    "gold": Case("trl.experimental.gold", "GOLD", "prompt completion", {"lmbda": 1.0, "max_completion_length": 4, "temperature": 3.0}, TEACHER),
    "sdft": Case(
        "trl.experimental.sdft", "SDFT", "prompt privileged_context", {"num_generations": 1, "max_completion_length": 4}
    ),
    "online_dpo": Case("trl.experimental.online_dpo", "OnlineDPO", "prompt", {"max_new_tokens": 4, "temperature": 3.0}, REWARD),
    "rloo": Case("trl", "RLOO", "prompt", {"num_generations": 2, "max_completion_length": 4, "beta": 0.1, "temperature": 3.0}, REWARD),
    "distillation": Case("trl", "Distillation", "prompt", {"max_completion_length": 4}, TEACHER),
}  # fmt: skip
QUICK = ("orpo", "simpo", "gkd", "rloo")  # the others take longer, and run under the marker `campaign`


def run(case, folder, context, **settings):
    """(steps, 2): the loss of each step, unrounded, and the norm of its gradient."""
    module = import_module(case.module)
    trainer_class, config_class = getattr(module, f"{case.name}Trainer"), getattr(module, f"{case.name}Config")
    with context, float64():
        model, tokenizer = load_model_and_tokenizer("tiny")
        arguments = {name: make() for name, make in case.arguments.items()}
        trainer = trainer_class(
            model=model.double(),
            args=config_class(str(folder), **{**COMMON, **case.settings, **settings}),
            train_dataset=rows(case.columns),
            processing_class=tokenizer,
            **arguments,
        )
        losses, step = [], trainer.training_step
        trainer.training_step = lambda *args: losses.append(step(*args)) or losses[-1]
        set_seed(0)
        trainer.train()
    norms = [record["grad_norm"] for record in trainer.state.log_history if "grad_norm" in record]
    return torch.tensor([[float(loss), norm] for loss, norm in zip(losses, norms, strict=True)], dtype=torch.float64)


@pytest.mark.numeric
@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.campaign) for name in CASES]
)
def test_a_stock_trainer_computes_what_the_oracle_does(name, tmp_path):
    case, (_, tokenizer) = CASES[name], load_model_and_tokenizer("tiny")
    ours = run(case, tmp_path / "ours", nullcontext())
    with oracle() as documents:
        theirs = run(case, tmp_path / "oracle", nullcontext())
    causal = run(case, tmp_path / "causal", unpatched(), max_steps=1)
    worst, off = (ours - theirs).abs().max().item(), (causal - theirs[:1]).abs().max().item()
    print(f"{name}: loss and gradient {theirs.tolist()}, largest distance {worst:.1e}, of a causal prompt {off:.1e}")
    assert ours.shape == (2, 2) and ours[:, 1].min() > 1e-3, "two steps that change weights"
    assert worst < TOLERANCE
    assert off > FAR, "a causal prompt gives another loss or gradient"
    texts = [prompt + hint for prompt, *_ in ROWS for hint in ("", f"\n\n{HINT}")]
    prompts = {tuple(render_prompt(tokenizer, user(text))) for text in texts}
    assert documents and {tuple(ids[: ids.index(END) + 1]) for ids in documents} <= prompts, "prompts of the renderer"


def test_the_example_of_the_page_trains(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (example,) = [block.text for block in blocks(DOCS / "guides/other-trainers.md") if block.kind == "python"]
    names = {}
    exec(example, names)
    trained = load_model_and_tokenizer("runs/simpo")[0]
    start = load_model_and_tokenizer("tiny")[0]
    assert any(not torch.equal(a, b) for a, b in zip(trained.parameters(), start.parameters(), strict=True))
