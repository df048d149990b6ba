"""On-policy distillation: losses, gradients and weights of an independent computation, over several updates.

The other side is plain torch: each document alone in stock Transformers, with a mask drawn token by token, the divergences as in the
paper (Agarwal et al. 2024, equations 1 and 2), and a step of gradient descent by hand. It gets the tokens of the student's completions
and nothing else; test_gate.py compares the sampler.
"""

import math
from dataclasses import dataclass, field
from functools import partial

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch.utils.checkpoint import checkpoint

from hrm_align import render_prompt
from hrm_align.data.examples import Example
from hrm_align.evaluation.drawing import Context
from hrm_align.models.loading import load_model, load_tokenizer
from hrm_align.rendering import Message
from hrm_align.trainers import teachers
from hrm_align.trainers.distillation import DistillationTrainer
from hrm_align.trainers.distillation_config import parse_distill
from hrm_align.trainers.teachers import TopTokens
from tests.parity.reference import float64, recomputed_in_float64, rule_mask, unpatched
from tests.trainers.recipe_runs import arguments

TOLERANCE = 1e-8  # of losses, of about 1, and of gradients and weights.
STEPS, RATE = 2, 0.05
QUESTIONS = ("Add 2 and 3.", "Write pig backwards.")
EXAMPLES = [
    Example((Message("user", text),), Message("assistant", "5"), "direct", f"rows:{n}")
    for n, text in enumerate(QUESTIONS)
]
SYSTEM = "Answer in one word."


def tiny(seed=None):
    """The tiny base in float64; with a seed, with other weights."""
    model = load_model("tiny").double()
    if seed is not None:
        torch.manual_seed(seed)
        with torch.no_grad():
            for weight in model.parameters():
                weight.mul_(1 + 0.2 * torch.randn_like(weight))
    return model


def adapted():
    torch.manual_seed(3)
    return get_peft_model(tiny(), LoraConfig(r=2, target_modules=["q_proj", "down_proj"]))


class Asked:
    """A teacher that returns the most probable tokens of a model, as a server does."""

    def __init__(self, model, k):
        self.model, self.k, self.documents = model, k, []

    def score(self, documents):
        self.documents += [(list(prompt), list(completion)) for prompt, completion in documents]
        answers = []
        for prompt, completion in documents:
            with torch.no_grad():
                top = logits_of(self.model, list(prompt), list(completion)).log_softmax(dim=-1).topk(self.k, dim=-1)
            answers.append(TopTokens(top.indices, top.values))
        return answers


@dataclass
class Case:
    """A teacher, and the settings of a run; `prompt` renders the teacher's prompt of a question."""

    beta: float
    temperature: float = 1.0
    student: object = tiny
    teacher: object = lambda: None
    context: Context | None = None
    prompt: object = render_prompt
    flags: dict = field(default_factory=dict)


def under_system(tokenizer, text):
    return render_prompt(tokenizer, [{"role": "system", "content": SYSTEM}, {"role": "user", "content": text}])


def under_condition(tokenizer, text):
    return render_prompt(tokenizer, text, condition="synth,cot")


BY_SYSTEM = {"context": Context(system=SYSTEM), "prompt": under_system}
CASES = {
    "another model": Case(0.5, 1.7, teacher=lambda: tiny(1)),
    "itself under a system text": Case(0.0, 1.3, **BY_SYSTEM),
    "its base under a condition": Case(
        1.0, 0.8, student=adapted, context=Context(condition="synth,cot"), prompt=under_condition,
        flags={"gradient_accumulation_steps": 2, "per_device_train_batch_size": 1},
    ),
    "another model, under a system text, asked": Case(0.3, teacher=lambda: Asked(tiny(1), 5), **BY_SYSTEM),
}  # fmt: skip


def logits_of(model, prompt, completion):
    """(tokens, vocab) logits at the tokens of a completion, differentiable, in stock Transformers under a mask drawn token by token."""
    tokens = torch.tensor([[*prompt, *completion]])
    with unpatched():
        logits = model(tokens, attention_mask=rule_mask(tokens.tolist(), tokens.shape[1]), use_cache=False).logits
    return logits[0, len(prompt) - 1 : -1]


def divergence(student, teacher, beta):
    """Sum over positions, of distributions (tokens, outcomes)."""

    def kl(p, q):
        return (p * (p.log() - q.log())).sum()

    if beta == 0:
        return kl(teacher, student)
    if beta == 1:
        return kl(student, teacher)
    mixture = beta * teacher + (1 - beta) * student
    return beta * kl(teacher, mixture) + (1 - beta) * kl(student, mixture)


def lumped(probabilities, ids):
    """(tokens, k + 1): the probabilities of some tokens, and of all others together."""
    chosen = probabilities.gather(1, ids)
    return torch.cat([chosen, 1 - chosen.sum(dim=1, keepdim=True)], dim=1)


def independent(case, model, teacher, steps, tokenizer):
    """Losses and reverse KL divergences of the steps, and gradients of the first; the model's weights are updated."""
    losses, kls, first = [], [], {}
    trained = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    for rows in steps:
        total, reverse, tokens = 0, 0, 0
        for text, completion in rows:
            student = (logits_of(model, render_prompt(tokenizer, text), completion) / case.temperature).softmax(dim=-1)
            with torch.no_grad():
                target = logits_of(teacher, case.prompt(tokenizer, text), completion)
                target = (target / case.temperature).softmax(dim=-1)
            if isinstance(case.teacher(), Asked):
                ids = target.topk(5, dim=-1).indices
                student, target = lumped(student, ids), lumped(target, ids)
            total, tokens = total + divergence(student, target, case.beta), tokens + len(completion)
            reverse += divergence(student, target, 1).item()
        loss = total / tokens
        gradients = torch.autograd.grad(loss, list(trained.values()), allow_unused=True)
        with torch.no_grad():
            for weight, gradient in zip(trained.values(), gradients, strict=True):
                if gradient is not None:
                    weight -= RATE * gradient
        losses.append(loss.item())
        kls.append(reverse / tokens)
        first = first or {n: g for n, g in zip(trained, gradients, strict=True) if g is not None}
    return losses, kls, first


@pytest.mark.numeric
@pytest.mark.parametrize("name", CASES)
def test_distillation_computes_what_plain_torch_does(name, tmp_path, monkeypatch):
    case = CASES[name]
    monkeypatch.setattr(teachers, "TOP_CHUNK", 5)
    monkeypatch.setattr(teachers, "checkpoint", partial(checkpoint, context_fn=recomputed_in_float64))
    settings = {"beta": case.beta, "temperature": case.temperature, "teacher_condition": "cot", "max_completion_length": 6,
                "optim": "sgd", "learning_rate": RATE, "lr_scheduler_type": "constant", "weight_decay": 0, "max_grad_norm": 0,
                "max_steps": STEPS, "save_strategy": "no", "per_device_train_batch_size": 2, "report_to": "none", **case.flags}  # fmt: skip
    words = [word for key, value in settings.items() for word in (f"--{key}", str(value))]
    args = parse_distill(arguments(tmp_path / "run", tmp_path / "rows.jsonl", *words)).training
    tokenizer = load_tokenizer("tiny")
    with float64():
        teacher = case.teacher()
        trainer = DistillationTrainer(case.student(), args, EXAMPLES, tokenizer, teacher, case.context)
        losses, steps, gradients, step = [], [], {}, trainer.training_step

        def recorded(*given):
            losses.append(float(step(*given)))
            if trainer._step % args.gradient_accumulation_steps == 0:
                drawn = trainer._rollout.trajectories
                steps.append([(t.messages[0].content, list(t.steps[0].ids)) for t in drawn])
                if not gradients:
                    bare = trainer.accelerator.unwrap_model(trainer.model)
                    gradients.update({n: w.grad.clone() for n, w in bare.named_parameters() if w.grad is not None})
            return torch.tensor(losses[-1])

        trainer.training_step = recorded
        trainer.train()
        model, other = case.student(), teacher or tiny()
        other = other.model if isinstance(other, Asked) else other
        expected, kls, first = independent(case, model, other, steps, tokenizer)
    parts = args.gradient_accumulation_steps
    summed = [math.fsum(losses[n : n + parts]) for n in range(0, len(losses), parts)]
    logged = [record["kl"] for record in trainer.state.log_history if "kl" in record]
    assert len(steps) == STEPS and {len(ids) for rows in steps for _, ids in rows} != {6}, (
        "completions of several lengths"
    )
    assert summed == pytest.approx(expected, abs=TOLERANCE) and min(summed) > 1e-3, (summed, expected)
    assert logged == pytest.approx(kls, abs=TOLERANCE)
    assert gradients.keys() == first.keys()
    assert (
        max((gradients[n] - first[n]).abs().max().item() for n in first)
        < TOLERANCE
        < max(g.abs().max() for g in first.values())
    )
    trained = dict(trainer.accelerator.unwrap_model(trainer.model).named_parameters())
    assert max((trained[n] - weight).abs().max().item() for n, weight in model.named_parameters()) < TOLERANCE
