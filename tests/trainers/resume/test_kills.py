"""Runs of preference training that are killed at random moments while they save lose at most one interval, and end to the bit."""

import json
import os
import random
import signal
import sys
import threading
import time

import pytest

from hrm_align.trainers.checkpoint_mixin import SafeCheckpoints
from recipes.dpo import main as dpo_main
from recipes.kto import main as kto_main
from recipes.reward import main as reward_main
from tests.trainers.recipe_runs import arguments, metrics, write_rows
from tests.trainers.resume.runs import AUTO, STABILISED, assert_same, forked

RECIPES = {"dpo": dpo_main, "kto": kto_main, "reward": reward_main}
TRIALS = 20
INTERVAL = 2  # steps between checkpoints, of 8 in all
FLAGS = (*STABILISED, "--save_total_limit", "2", "--per_device_train_batch_size", "4", "--max_length", "64")
TOUCHES = ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.truncate")
LONGEST_DELAY = 0.02  # seconds from an operation to the kill: as long as the largest file takes


def saves(main, argv, count_file, kill_at=None, delay=0.0):
    """Run a recipe; count its file operations while it saves, or send it SIGKILL some time behind one of them."""
    depth, operations = 0, 0

    def kill():
        time.sleep(delay)
        os.kill(os.getpid(), signal.SIGKILL)

    def watch(event, _):
        nonlocal operations
        if depth and event in TOUCHES:
            operations += 1
            if operations == kill_at:
                threading.Thread(target=kill).start()

    def watched(stock):
        def save(*args, **kwargs):
            nonlocal depth
            depth += 1
            try:
                return stock(*args, **kwargs)
            finally:
                depth -= 1

        return save

    for name in ("_save_checkpoint", "save_model"):
        setattr(SafeCheckpoints, name, watched(getattr(SafeCheckpoints, name)))
    sys.addaudithook(watch)
    main(argv)
    count_file.write_text(str(operations))
    if kill_at is not None:
        time.sleep(1)  # the kill may come behind the last operation


@pytest.mark.campaign
@pytest.mark.parametrize("name", RECIPES)
def test_kills_while_saving_lose_at_most_one_interval(name, tmp_path):
    draw, log = random.Random(name), tmp_path / "log"
    rows = [{"prompt": f"say {n}", "chosen": "oak " * (1 + n % 5), "rejected": f"{n} ok"} for n in range(20)]
    if name == "kto":
        rows = [
            {"prompt": row["prompt"], "completion": row["chosen"], "label": n % 3 > 0} for n, row in enumerate(rows)
        ]
    data, count_file = write_rows(tmp_path / "rows.jsonl", rows), tmp_path / "operations"
    whole = tmp_path / "whole"
    code = forked(log, saves, RECIPES[name], arguments(whole, data, *FLAGS), count_file)
    assert code == [0], log.read_text()[-3000:]
    operations, lost = int(count_file.read_text()), []
    for trial in range(TRIALS):
        out, argv = tmp_path / str(trial), arguments(tmp_path / str(trial), data, *FLAGS, *AUTO)
        kill_at, delay = draw.randint(1, operations), draw.choice([0, draw.uniform(0, LONGEST_DELAY)])
        code = forked(log, saves, RECIPES[name], argv, count_file, kill_at, delay)
        assert code == [-signal.SIGKILL], log.read_text()[-3000:]
        reached = max((record["step"] for record in metrics(out) if "loss" in record), default=0)
        code = forked(log, saves, RECIPES[name], argv, count_file)
        assert code == [0], (kill_at, delay, log.read_text()[-3000:])
        resumed = [record["step"] for record in metrics(out) if "resumed_from" in record]
        lost.append(reached - (resumed[-1] if resumed else 0))
        assert lost[-1] <= INTERVAL, (kill_at, delay)
        assert_same(out, whole)
    print(json.dumps({"recipe": name, "file operations": operations, "steps lost": sorted(lost)}))
