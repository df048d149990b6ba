"""The page of metrics. Names come from the code; a name without a text here is an error, and so is a
text whose name the code does not have."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from types import ModuleType

import hrm_align
from docs_pages.tables import code, table
from hrm_align.rewards.base import match_names, metric_name
from hrm_align.rewards.scoring import KINDS as FAULTS
from hrm_align.rollouts.parity import KEYS as PARITY
from hrm_align.trainers import monitor, preference_health

PACKAGE = Path(hrm_align.__file__).parent
_LOGGED = re.compile(r"(groups|rewards|seconds|parity)/[\w/]+|sampling/[a-z]\w*/\w+")

# What the package logs beside TRL: name, meaning.
METRICS = {
    "groups/drawn": "Groups (prompts with all their completions) drawn in a rollout, replaced groups included.",
    "groups/without_signal": "Share of these groups with zero reward variance. Near 1, prompts are too easy or too hard.",
    "rewards/drawn": "Mean reward of everything drawn, replaced groups included; `reward` counts the groups that are used.",
    "rewards/ungraded": "Share of completions that no reward could grade.",
    "rewards/faults/NAME": "Calls of a reward that failed, `NAME` being `reward/kind`; the kinds are below.",
    "rewards/usage/NAME": "What a judge used in a rollout, `NAME` being `reward/count`; the counts are below.",
    "seconds/sync": "Seconds of handing the weights to the vLLM server in a step, part of no other time.",
    "seconds/rollout": "Seconds of sampling in a step.",
    "seconds/reward": "Seconds of grading in a step.",
    "seconds/update": "Seconds of forward, backward and optimizer in a step.",
    "seconds/parity": "Seconds of the parity gate, in steps that check.",
    "sampling/sampling_logp_difference/mean": "Half precision: mean distance between the log-probabilities of sampler and "
    "trainer, nats a token.",
    "sampling/sampling_logp_difference/max": "The largest such distance.",
    "sampling/importance_sampling_ratio/min": "The smallest weight of a token (or of a completion).",
    "sampling/importance_sampling_ratio/mean": "The mean weight.",
    "sampling/importance_sampling_ratio/max": "The largest weight.",
    "sampling/importance_sampling_ratio/clipped": "Share of weights beyond a bound.",
}
_USAGE = {
    "requests": "Requests to the server of the judge, repeated ones included.",
    "cached": "Completions whose verdict was known: from the cache, or from an equal completion to the same prompt.",
    "retries": "Repeated requests.",
    "failures": "Completions without a verdict.",
    "prompt_tokens": "Prompt tokens, as the server counts them.",
    "completion_tokens": "Tokens of the judge's replies.",
    "cost": "With `price_in` or `price_out`: what these tokens cost, in the unit of the prices.",
}
_PARITY = {
    "sampler": "between sampler and trainer",
    "mask": "between the trainer and a forward under a mask drawn from the rule",
    "reference": "between the reference model and a forward under a mask drawn from the rule",
    "reference_again": "between the reference and the reference scored a second time",
    "floor": "between two attention kernels under the drawn mask: what rounding alone gives",
}
# What TRL and Transformers log, as far as a reader needs it.
UPSTREAM = {
    "loss": "Fine-tuning: mean over response tokens. Reinforcement learning: the policy loss, which is 0 at the first update on "
    "a rollout. Distillation: the divergence from the teacher, a mean over completion tokens, nats.",
    "eval_loss": "Fine-tuning: mean over all response tokens of the held-out rows; also `eval_entropy` and "
    "`eval_mean_token_accuracy`.",
    "accuracy": "Reward models: share of the pairs whose chosen answer has the higher score; also `eval_accuracy`.",
    "margin": "Reward models: mean score of the chosen answers minus that of the rejected ones; also `eval_margin`.",
    "mean_reward": "Reward models: mean score of both answers; also `min_reward` and `max_reward`.",
    "grad_norm": "Norm of all gradients before clipping.",
    "learning_rate": "Rate of the step.",
    "entropy": "Mean entropy of the predicted distributions over response tokens, nats a token.",
    "mean_token_accuracy": "Share of response tokens that are the likeliest token (fine-tuning).",
    "num_tokens": "Tokens seen so far.",
    "reward": "Mean reward of the completions that are used (reinforcement learning).",
    "reward_std": "Standard deviation of the rewards within a group, mean over groups.",
    "frac_reward_zero_std": "Share of used groups with zero reward variance.",
    "rewards/NAME/mean": "Mean of one reward, by its name or label; also `rewards/NAME/std`.",
    "kl": "Reinforcement learning: divergence from the reference model, logged when `beta` is above 0. Distillation: KL(student to "
    "teacher) over completion tokens, nats a token, whatever `beta` is; also `eval_kl`.",
    "clip_ratio/region_mean": "Share of tokens whose ratio was clipped; also `low_mean` and `high_mean`, and `low_min` and "
    "`high_max`, the extremes over completions.",
    "completions/mean_length": "Mean length of completions in tokens; also `min_length`, `max_length`.",
    "completions/clipped_ratio": "Share of completions without an end token.",
    "epoch": "Passes over the data so far.",
    "step_time": "Seconds of a step (reinforcement learning).",
}
# Beginnings of the names above and below that only reinforcement learning logs.
_REINFORCED = (
    "eval_reward",
    "eval_truncated",
    "reward",
    "frac_reward",
    "kl",
    "clip_ratio/",
    "completions/",
    "step_time",
)
_OWN_PLAIN = {
    "step": "Optimizer steps so far. Every line has it.",
    "bp_steps": "Stack passes that carried gradient in the step (the gradient horizon).",
    "resumed_from": "In a line of its own: the checkpoint where the run was resumed; `null` where a killed run starts again from "
    "the beginning.",
    "changed": "In the line of `resumed_from`: a sentence for each setting that differs from the resumed run's and may differ.",
    "eval_n": "Number of generated answers behind the scores of an evaluation; of a reward model the number of pairs.",
    "eval_accuracy_low": "Reward models: lower end of the 95 % Wilson interval of `eval_accuracy`; also `eval_accuracy_high`.",
    "eval_calibration_error": "Reward models: expected calibration error of sigmoid(margin), in bins of equal width "
    "(`run/calibration.json`).",
    "eval_unfinished": "Share of generated answers without an end token.",
    "eval_reward": "Reinforcement learning: mean reward of greedy completions to held-out prompts (`generation_eval_samples`).",
    "eval_reward_std": "Reinforcement learning: standard deviation of the rewards of these completions; `runs compare` takes the "
    "interval of `eval_reward` from it.",
    "eval_truncated": "Reinforcement learning: share of these completions without an end token.",
}


def logged_names() -> set[str]:
    """Names with a slash that the trainers log, from the text constants of their modules."""
    matches = set()
    for folder in ("trainers", "rollouts"):
        for file in sorted((PACKAGE / folder).glob("*.py")):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Dict):
                    matches |= {name for key in node.keys if key is not None and (name := _name(key))}
                if isinstance(node, ast.DictComp) and (name := _name(node.key)):
                    matches.add(name)
    return matches


def _name(node: ast.expr) -> str | None:
    """The name in a constant or an f-string; a replaced part is `NAME`, but for the prefix `sampling/`."""
    if isinstance(node, ast.Constant):
        text = str(node.value)
    elif isinstance(node, ast.JoinedStr):
        parts = [str(part.value) if isinstance(part, ast.Constant) else "NAME" for part in node.values]
        if len(parts) > 1 and parts[0] == "NAME" and not parts[1].startswith("/"):
            parts[0] = "sampling/"
        text = "".join(parts)
    else:
        return None
    return text if _LOGGED.fullmatch(text) else None


HEALTH = {
    "residual_rms_h": "RMS of the residual stream of the H stack before its final norm over all tokens of the step, prompts "
    "included and padding not, mean over its passes. Behind the norm it is always 1.",
    "residual_rms_l": "The same for the L stack.",
    "grad_norm_h": "Norm of the gradients of the H stack, before clipping.",
    "grad_norm_l": "The same for the L stack.",
    "grad_norm_embedding": "The same for the embedding.",
    "grad_norm_head": "The same for the head.",
    "grad_ratio_lh": "`grad_norm_l` over `grad_norm_h`.",
    "update_ratio_h": "RMS of the change in a step over RMS of the weights, on a sample of the weights of the H stack.",
    "update_ratio_l": "The same for the L stack.",
    "update_ratio_embedding": "The same for the embedding.",
    "update_ratio_head": "The same for the head.",
    "first_token_loss": "Loss of the first response token, nats.",
    "first_token_entropy": "Entropy of the distribution of the first response token, nats.",
    "rest_entropy": "The same for all other response tokens.",
    "first_token_accuracy": "Share of first response tokens that greedy decoding would choose.",
    "answer_accuracy": "Share of responses of which greedy decoding would choose every token.",
    "probe_kl": "KL divergence of the model from the model at the start of the run, on fixed rows, nats a token.",
}
# What TRL logs in preference training.
UPSTREAM_PREFERENCES = {
    "rewards/chosen": "Beta times the change of a chosen answer's log-probability from the reference; also `rewards/rejected`.",
    "rewards/margins": "The first of these minus the second.",
    "rewards/accuracies": "Share of pairs with a positive margin (DPO).",
    "logps/chosen": "Log-probability of a chosen answer, nats; also `logps/rejected`.",
    "logits/chosen": "Mean of all logits at the tokens of chosen answers; also `logits/rejected`.",
}
# In preference training; also as `eval_health/...` on held-out rows.
PREFERENCES = {
    "chosen_logp_change": "Log-probability of a chosen answer minus that under the reference, mean over answers, nats.",
    "rejected_logp_change": "The same for rejected answers.",
    "chosen_token_logp_change": "The same for chosen answers, mean over their tokens.",
    "rejected_token_logp_change": "The same for rejected answers.",
    "chosen_length": "Tokens of a chosen answer, end token included.",
    "rejected_length": "The same for rejected answers.",
    "rejected_first_token_loss": "Loss of the first token of rejected answers, nats. `first_token_loss` is that of chosen answers.",
    "rejected_first_token_accuracy": "Share of first tokens of rejected answers that greedy decoding would choose.",
    "accuracy_longer": "Reward accuracy in pairs whose chosen answer is longer than the rejected one; logged from 10 such pairs.",
    "accuracy_shorter": "The same in pairs whose chosen answer is shorter.",
}


def health_names(module: ModuleType) -> set[str]:
    """Names of the health metrics, as the docstring of a module lists them."""
    listed = re.findall(r"^    ([a-z]\w*(?:\{[\w,]*\})?(?:, \w+)*)  +\S", module.__doc__ or "", re.MULTILINE)
    return {name for names in listed for name in _expanded(names)}


def _expanded(names: str) -> list[str]:
    """`a_{x,y}, b` are `a_x`, `a_y` and `b`."""
    matches = []
    for name in re.split(r",\s+", names):
        choices = re.search(r"\{([^}]*)\}", name)
        parts = choices[1].split(",") if choices else [""]
        matches += [name if not choices else name[: choices.start()] + part + name[choices.end() :] for part in parts]
    return matches


def metrics_page() -> str:
    """Every name in metrics.jsonl, with its meaning."""
    logged = logged_names() - {"rewards/NAME", *UPSTREAM_PREFERENCES}  # of an evaluation, and of TRL: below
    if logged != {*METRICS}:
        raise SystemExit(
            f"metrics: without a text {sorted(logged - {*METRICS})}, not in the code {sorted({*METRICS} - logged)}"
        )
    health = health_names(monitor) | {"grad_ratio_lh"}  # which is in the text of another
    for listed, texts in ((health, HEALTH), (health_names(preference_health), PREFERENCES)):
        if listed != {*texts}:
            raise SystemExit(f"health metrics: {sorted(listed ^ {*texts})}")
    if {*PARITY.values()} != {*_PARITY}:
        raise SystemExit(f"parity metrics: {sorted({*PARITY.values()} ^ {*_PARITY})}")
    matches = ", ".join(code(f"eval_{metric_name(name)}") for name in match_names())
    parity = [
        (
            code(f"parity/{name}_max") + " " + code(f"parity/{name}_mean"),
            f"Distance {text}, nats: the largest of a token, and the mean.",
        )
        for name, text in _PARITY.items()
    ]
    plain = {**_OWN_PLAIN, **UPSTREAM}
    reinforced = {name: text for name, text in plain.items() if name.startswith(_REINFORCED)}
    shared = {name: text for name, text in plain.items() if name not in reinforced}
    lines = [
        "# Metrics",
        "",
        "Each line of `metrics.jsonl` is one JSON object: `step` and the metrics of a log step. The trackers get the same names "
        "([trackers](../guides/trackers.md)). This page is generated by `scripts/docs_reference.py`.",
        "",
        "A metric of a step covers the rows of all micro-batches and all processes, and a mean is over tokens. A batch of 8, two "
        "batches of 4, eight of 1 and two processes therefore log the same values, up to rounding in float32. A record of several "
        "steps (`logging_steps`) holds the mean of the steps' values. Exceptions: times and rates; `total_flos`, which counts "
        "padding; `epoch`, where the batches do not divide the rows; `parity/...`, rounding errors of `parity_rows` rows of each "
        "process; and the loss with `loss_type: bnpo` or `entropy_coef`, which TRL normalises in each micro-batch.",
        "",
        "## Every run",
        "",
        *table(("metric", "meaning"), [(code(name), text) for name, text in shared.items()]),
        "",
        f"Generated answers at an evaluation of fine-tuning are scored by `generation_eval_match`, and the metric has the "
        f"grader's name: {matches}.",
        "",
        "## Health",
        "",
        "Logged as `health/...` when `health` is on (the default). Alarms on these metrics: [errors](errors.md#alarms).",
        "",
        *table(("metric", "meaning"), [(code(f"health/{name}"), text) for name, text in HEALTH.items()]),
        "",
        "## Preference training",
        "",
        'Runs on pairs or labelled answers; on held-out rows with `eval_` before the name. "Chosen" are also KTO\'s desirable answers. '
        "The health metrics cover all answers since the last log; the first-token metrics above and `health/probe_kl`, chosen answers "
        "only. What they show: [preference training](../guides/preferences.md#health).",
        "",
        *table(
            ("metric", "meaning"),
            [
                *((code(name), text) for name, text in UPSTREAM_PREFERENCES.items()),
                *((code(f"health/{name}"), text) for name, text in PREFERENCES.items()),
            ],
        ),
        "",
        "## Reinforcement learning",
        "",
        *table(("metric", "meaning"), [(code(name), text) for name, text in {**reinforced, **METRICS}.items()]),
        "",
        "An evaluation logs each reward as `eval_rewards/NAME`.",
        "",
        "Kinds of `rewards/faults`:",
        "",
        *table(("kind", "meaning"), [(code(kind), text) for kind, text in FAULTS.items()]),
        "",
        "Counts of `rewards/usage`, for a rollout; a record of several steps holds their mean:",
        "",
        *table(("count", "meaning"), [(code(name), text) for name, text in _USAGE.items()]),
        "",
        "## Parity gate",
        "",
        "Logged every `parity_every` rollouts; in half precision also as `parity/float32/...` for the completions that are drawn "
        "again in float32 ([parity gate](../concepts/parity-gate.md)).",
        "",
        *table(("metrics", "meaning"), parity),
        "",
    ]
    return "\n".join(lines)
