"""Benefits of the stabilisers: losses and exact match of arms that differ in horizon, optimizer or weight averaging."""

from __future__ import annotations

from typing import Any

from study.runs import Study
from study.tables import QUALITY, quality, quality_before, table

from stabilisers.averages import DECAYS
from stabilisers.costs import HORIZONS, OFFICIAL, horizon_costs

STEPS_FOR_ONE = 1.53  # steps with horizon 2 in the time of one step with horizon 5, on the tiny model


def horizon(study: Study) -> list[str]:
    """Compare horizons 2, 3, 5 and 8, the official warm-up, and horizon 2 trained for as long as horizon 5 takes."""
    costs = horizon_costs(study)
    arms: dict[str, tuple[dict[str, Any], int]] = {str(bp): ({"bp_steps": bp}, study.steps) for bp in HORIZONS}
    arms["2 to 5 over 20 %"] = ({"bp_min_steps": 2, "bp_max_steps": 5, "bp_warmup_ratio": 0.2}, study.steps)
    arms["2, for the time of 5"] = ({"bp_steps": 2}, round(study.steps * STEPS_FOR_ONE))
    rows = []
    for setting in study.settings:
        reference = study.runs(setting, {"bp_steps": OFFICIAL})
        rows.append([setting.name, "before", "", *quality_before(study.before(setting))])
        for name, (keys, steps) in arms.items():
            rows.append([setting.name, name, str(steps), *quality(study.runs(setting, keys, steps), reference)])
    return [*costs, *table(["setting", "horizon", "steps", *QUALITY], rows)]


def optimizer(study: Study) -> list[str]:
    """Compare AdamW with Adam-atan2, at the learning rate of the setting and at a third of that rate."""
    rows = []
    for setting in study.settings:
        for rate in (setting.rate, round(setting.rate / 3, 5)):
            reference = study.runs(setting, {"bp_steps": OFFICIAL}, rate=rate)
            atan2 = study.runs(setting, {"bp_steps": OFFICIAL, "optim": "adam_atan2"}, rate=rate)
            rows.append([setting.name, f"{rate:g}", "AdamW", *quality(reference, reference)])
            rows.append([setting.name, f"{rate:g}", "Adam-atan2", *quality(atan2, reference)])
    return table(["setting", "rate", "optimizer", *QUALITY], rows)


def ema(study: Study) -> list[str]:
    """Compare averaged with raw weights at a constant learning rate, and with a rate that falls to zero."""
    rows = []
    for setting in study.settings:
        constant = {"bp_steps": OFFICIAL, "lr_scheduler_type": "constant_with_warmup", "ema_decay": DECAYS[-1]}
        raw = study.runs(setting, constant)
        rows.append([setting.name, "constant rate, raw", *quality(raw, raw)])
        for decay in DECAYS:
            averaged = [run[str(decay)] for run in raw]
            rows.append([setting.name, f"constant rate, EMA {decay}", *quality(averaged, raw)])
        falling = study.runs(setting, {"bp_steps": OFFICIAL})
        rows.append([setting.name, "rate falls to zero, raw", *quality(falling, raw)])
    return table(["setting", "weights", *QUALITY], rows)
