"""Compare runs by their records: settings, data and machine that differ, held-out scores with intervals, curves.

A difference is a mapping from the name of a setting to one value per run, in the order of the runs; `MISSING` stands for a setting
that a run does not have.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hrm_align.evaluation.scores import Score, Z, get_score
from hrm_align.run_history.reading import RunHistory

MISSING = "not recorded"
Differences = dict[str, list[Any]]

_DATA = {"datasets": "train", "eval_datasets": "eval", "replay_datasets": "replay", "guard_datasets": "guard"}
ANSWERS = "eval_n"  # number of generated answers behind the scores of an evaluation
_SPEEDS = ("_runtime", "_per_second", "num_tokens", "_entropy", "_std")  # ends of metrics that are no score
_COUNTS = ("rows_read", "examples", "fingerprint")
ROWS = 10  # steps of a curve in a table


def differing(records: Sequence[Mapping[str, Any]], shared_only: bool = False) -> Differences:
    """Return the entries whose values differ between records.

    Args:
        records: one mapping per run.
        shared_only: leave out entries that a record lacks.
    """
    names = list(dict.fromkeys(name for record in records for name in record))
    if shared_only:
        names = [name for name in names if all(name in record for record in records)]
    values = {name: [record.get(name, MISSING) for record in records] for name in names}
    return {name: row for name, row in values.items() if any(value != row[0] for value in row)}


def flatten(record: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the leaves of nested mappings under dotted names: `{"a": {"b": 1}}` gives `{"a.b": 1}`."""
    leaves: dict[str, Any] = {}
    for key, value in record.items():
        leaves |= (
            flatten(value, f"{prefix}{key}.") if isinstance(value, Mapping) and value else {f"{prefix}{key}": value}
        )
    return leaves


def compare_settings(runs: Sequence[RunHistory]) -> Differences:
    """Return the settings that differ; of different recipes only those that all of them have. Data sets are left out."""
    settings = [
        flatten({name: value for name, value in run.settings.items() if name != "output_dir" and name not in _DATA})
        for run in runs
    ]
    kinds = [run.kind for run in runs]
    return differing([{"kind": kind} for kind in kinds]) | differing(settings, shared_only=len({*kinds}) > 1)


def compare_environments(runs: Sequence[RunHistory]) -> Differences:
    """Return the versions and properties of the machine that differ."""
    return differing([flatten(run.environment) for run in runs])


def compare_data(runs: Sequence[RunHistory]) -> Differences:
    """Return the data sets that differ, by path, with their rows and fingerprint, and the counts of rows that differ."""
    described = [list(_describe_data(run)) for run in runs]
    identities = [[(name, _identity(entry)) for name, _, entry in sets] for sets in described]
    in_all = [identity for identity in identities[0] if all(identity in others for others in identities)]
    records: list[dict[str, Any]] = []
    for sets, keys in zip(described, identities, strict=True):
        record: dict[str, Any] = {}
        for (name, path, entry), identity in zip(sets, keys, strict=True):
            if identity not in in_all:
                record.setdefault(f"{name}: {path}", []).append(entry)
        records.append(record)
    compared = differing(records) | differing([_count_rows(run.data) for run in runs])
    return {name: [None if value == MISSING else value for value in row] for name, row in compared.items()}


def _describe_data(run: RunHistory) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield for each data set of a run the name of its setting, its path, and its rows, fingerprint and other keys."""
    for name, section in _DATA.items():
        entries = run.settings.get(name) or []
        for index, entry in enumerate(entries if isinstance(entries, list) else [entries]):
            keys = dict(entry) if isinstance(entry, Mapping) else {"path": entry}
            part, place = (f"guard_{index + 1}", 0) if name == "guard_datasets" else (section, index)
            recorded = mapping_in(run.data, part).get("datasets") or []
            counts = recorded[place] if isinstance(recorded, list) and place < len(recorded) else {}
            path = str(mapping_in({"counts": counts}, "counts").get("path", keys.get("path")))
            yield name, path, {key: counts[key] for key in _COUNTS if key in counts} | _without(keys, "path")


def mapping_in(record: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return the mapping that a record holds under a name; an empty one for anything else."""
    value = record.get(name)
    return value if isinstance(value, Mapping) else {}


def _without(record: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key != name}


def _identity(entry: Mapping[str, Any]) -> Any:
    return sorted((key, str(value)) for key, value in entry.items())


def _count_rows(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the counts of rows that were kept or dropped, by the reason."""
    counted = {}
    for section, part in data.items():
        for name, value in flatten(part if isinstance(part, Mapping) else {}, f"{section}.").items():
            is_count = isinstance(value, int | float) and "first_rows" not in name
            if is_count and not name.endswith((".rows_read", ".examples")):
                counted[name] = value
    return counted


@dataclass(frozen=True)
class HeldOut:
    """A score of a run on held-out rows.

    Args:
        name: name of the metric in metrics.jsonl, or `guard SET before` and `guard SET after`.
        value: its value.
        interval: 95 % confidence interval; None where the number of answers or the spread of the values is unknown.
        n: number of answers; None if it was not recorded.
        step: step of the evaluation; None for guard sets.
        is_rate: whether the value is a share from 0 to 1.
    """

    name: str
    value: float
    interval: tuple[float, float] | None = None
    n: int | None = None
    step: int | None = None
    is_rate: bool = False


def held_out_scores(run: RunHistory) -> list[HeldOut]:
    """Return the scores of a run's final weights: the last evaluation, or with `load_best_model_at_end` the best one."""
    best = run.trainer_state.get("best_global_step") if run.settings.get("load_best_model_at_end") else None
    names = dict.fromkeys(name for record in run.metrics for name in record if name.startswith("eval_"))
    scores = []
    for name in sorted(name for name in names if name != ANSWERS and not name.endswith(_SPEEDS)):
        points = dict(run.curve(name))
        step = best if best in points else max(points)
        scores.append(_with_interval(run, name, points[step], step))
    return scores + guard_scores(run.guard)


def guard_scores(guard: Mapping[str, Any]) -> list[HeldOut]:
    """Return the scores of the guard sets before and after training, from `run/guard.json`; empty for another content."""
    scores = []
    try:
        for path, part in (guard.get("sets") or {}).items():
            for moment in ("before", "after"):
                low, high = part[moment]["interval"]
                value, n = get_score(part[moment]), part[moment]["n"]
                scores.append(HeldOut(f"guard {path} {moment}", value, (float(low), float(high)), n, is_rate=True))
    except (AttributeError, KeyError, TypeError, ValueError):
        return []
    return scores


def _with_interval(run: RunHistory, name: str, value: float, step: int) -> HeldOut:
    """Add the interval to a score.

    A share of n answers gets the Wilson interval; a mean reward the normal one, if `eval_reward_std` is known. The values of
    a grader of shares (`json_fields`) are not recorded, so its mean has no interval.
    """
    n = dict(run.curve(ANSWERS)).get(step)
    is_rate = name.endswith("_match") or name in ("eval_unfinished", "eval_truncated", "eval_accuracy")
    interval = None
    n = None if n is None or not n >= 1 else int(n)
    if n is None:
        pass
    elif is_rate:
        interval = _wilson(value, n)
    elif name == "eval_reward":
        spread = dict(run.curve("eval_reward_std")).get(step, math.nan)
        interval = _mean_interval(value, spread, n)
    return HeldOut(name, value, interval, n if interval else None, step, is_rate)


def _wilson(rate: float, n: int) -> tuple[float, float] | None:
    """Return the interval of a share; None if the share is not that of a whole number of answers."""
    correct = round(rate * n) if math.isfinite(rate) else -1
    return Score(correct, n).interval if abs(correct - rate * n) < 1e-6 * n else None


def _mean_interval(mean: float, spread: float, n: int) -> tuple[float, float] | None:
    """Return the interval of a mean, given the sample standard deviation; None if that is unknown or zero.

    Rewards between 0 and 1 whose variance is mean * (1 - mean) are all 0 or 1, and get the Wilson interval.
    """
    if math.isfinite(spread) and 0 <= mean <= 1 and abs(spread**2 * (n - 1) / n - mean * (1 - mean)) < 1e-9:
        return _wilson(mean, n)
    if not spread > 0:
        return None
    half = Z * spread / math.sqrt(n)
    return mean - half, mean + half


def curve_names(runs: Sequence[RunHistory]) -> list[str]:
    """Return the curves to compare: training loss or reward, loss and score on held-out rows. Each has a point in some run."""
    names = [run.main_metric for run in runs] + ["eval_loss"] + [run.score_name for run in runs]
    return [name for name in dict.fromkeys(names) if any(run.curve(name) for run in runs)]


def curves(runs: Sequence[RunHistory], name: str) -> list[list[tuple[int, float]]]:
    """Return a curve of each run; the loss of reinforcement learning, which is 0 by construction, is left out."""
    return [[] if name == "loss" and run.kind == "grpo" else run.curve(name) for run in runs]


def matching_steps(points: Sequence[Sequence[tuple[int, float]]]) -> list[int]:
    """Choose about `ROWS` steps for a table of curves: steps that all curves have where there are three, else some of each.

    The last step of each curve is always among them.
    """
    steps = [[step for step, _ in curve] for curve in points if curve]
    common = sorted(set.intersection(*map(set, steps)))
    ends = [curve[-1] for curve in steps]
    chosen = (
        _thin(common, ROWS) if len(common) >= 3 else [s for curve in steps for s in _thin(curve, ROWS // len(steps))]
    )
    return sorted({*chosen, *ends})


def _thin(steps: Sequence[int], count: int) -> list[int]:
    """Choose at most `count` steps at equal distances, the first and the last among them."""
    count = max(2, count)
    if len(steps) <= count:
        return list(steps)
    return [steps[round(index * (len(steps) - 1) / (count - 1))] for index in range(count)]


def to_json(value: Any) -> Any:
    """Return a value as JSON holds it: NaN and infinity become text, as in metrics.jsonl."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): to_json(part) for key, part in value.items()}
    return [to_json(part) for part in value] if isinstance(value, list | tuple) else value
