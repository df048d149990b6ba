"""Change one line of the package at a time to a faulty one, and check that its tests fail.

    python scripts/campaigns/breakages.py            # all breakages, about five minutes
    python scripts/campaigns/breakages.py mask       # breakages with this word in their names

Each breakage is made in a copy of the repository. A breakage that no test detects is printed as MISSED. A breakage whose line no
longer occurs exactly once is printed as NOT FOUND and must be updated in this file. Exit code 1 in both cases.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
SECONDS = 300  # time limit of the tests of one breakage


@dataclass(frozen=True)
class Breakage:
    """A line to replace, and the tests that must then fail.

    Args:
        name: name of the breakage.
        file: path relative to hrm_align.
        line: text that occurs exactly once in the file.
        broken: the faulty replacement.
        tests: arguments of pytest.
    """

    name: str
    file: str
    line: str
    broken: str
    tests: str


BREAKAGES = [
    # The prefix mask
    Breakage("mask: the prompt is causal", "models/intervals.py",
             "last = torch.where(prefix, next_close, index)", "last = index",
             "tests/parity/test_prefix_mask.py -k padded_batch"),
    Breakage("mask: packed documents attend to each other", "models/intervals.py",
             "first = _latest(starts, index)\n    ruled", "first = torch.zeros_like(index)\n    ruled",
             "tests/parity/test_prefix_mask.py -k packed_row_equals_each"),
    Breakage("mask: a further answer attends to the answer before it", "models/intervals.py",
             "return Intervals(torch.where(is_further, own, first), last, prompt_first, prompt_last)",
             "return Intervals(first, last, prompt_first, prompt_last)",
             "tests/parity/test_shared_prompts.py -k 'logprobs_and_gradients and float32'"),
    Breakage("mask: a prompt on a live cache is not refused", "models/prefix_mask.py",
             "if prefix_length is None or cached < prefix_length:", "if False:",
             "tests/parity/test_prefix_mask.py -k 'cache_filled or chunked'"),
    Breakage("mask: the published token ids are used for every tokenizer", "rendering.py",
             "self.layout = Layout(*(vocabulary[name] for name in (IM_START, IM_END, BOX_START, BOX_END)))",
             "self.layout = PUBLISHED", "tests/test_vocabulary.py"),
    # Data
    Breakage("labels: the loss includes the prompt", "data/packing.py",
             '"labels": input_ids.masked_fill(is_prefix, IGNORED)', '"labels": input_ids.clone()',
             "tests/data/test_packing.py -k batch"),
    Breakage("data: packed positions do not restart at 0", "data/packing.py",
             '"position_ids": torch.arange(len(ids)),', '"position_ids": torch.arange(len(ids)) + 1,',
             "tests/data/test_packing.py -k batch"),
    Breakage("data: a document that is too long is kept", "data/tokenize.py",
             "if len(document.input_ids) > max_length:", "if False:", "tests/data/test_packing.py -k dropped_by_name"),
    # The recurrence and its stabilisers
    Breakage("horizon: one pass too few", "models/recurrence.py",
             "l_steps = bp_steps - h_steps\n", "l_steps = bp_steps - h_steps - 1\n",
             "tests/parity/test_horizon.py -k official_rule"),
    Breakage("average: decay and share are exchanged", "models/ema.py", "1.0 - self.decay", "self.decay",
             "tests/trainers/test_stabilisers.py -k 'average or averaged'"),
    # Adapters
    Breakage("merge: a difference is never too large", "export/merging.py",
             "difference = float(apart.max()) / largest", "difference = 0.0 * float(apart.max()) / largest",
             "tests/parity/test_rounding.py -k wrong_merge"),
    Breakage("head: an adapter of it is not trained", "models/lm_head.py",
             "weight = weight + self._layer.get_delta_weight(name).to(weight.dtype)", "pass",
             "tests/trainers/test_lora.py tests/models/test_forward_wrappers.py -k 'head or wrappers'"),
    # Rollouts
    Breakage("engine: draws depend on the place in the batch", "rollouts/local.py",
             "generator, steps = torch.Generator().manual_seed(seed), decoding.max_new_tokens",
             "generator, steps = torch.Generator().manual_seed(seed + row), decoding.max_new_tokens",
             "tests/rollouts/test_engine.py -k cancelled"),
    Breakage("engine: a request that was cancelled continues", "rollouts/local.py",
             "slot.ended = slot.ended or slot.handle == handle", "pass", "tests/rollouts/test_engine.py -k cancelled"),
    Breakage("engine: positions do not advance", "rollouts/writers.py",
             "self._positions = self._positions + 1", "pass", "tests/rollouts/test_local.py -k greedy_answers"),
    Breakage("engine: tokens attend to the padding of a joined batch", "rollouts/writers.py",
             "self._mask = torch.cat([pad(mask, (width - mask.shape[1], 0)) for mask in",
             "self._mask = torch.cat([pad(mask, (width - mask.shape[1], 0), value=1) for mask in",
             "tests/rollouts/test_engine.py -k cancelled"),
    Breakage("gate: no difference stops a run", "rollouts/parity.py",
             "if measured <= self.value:", "if True:", "tests/parity/test_gate.py -k 'sampler_of_another or causal_reference'"),
    Breakage("update: the first token of an answer is scored at the wrong place", "rollouts/logprobs.py",
             "places[-1][0] = len(group.prompt) - 1", "pass",
             "tests/parity/test_shared_prompts.py -k 'logprobs_and_gradients and float32'"),
    Breakage("correction: the importance ratio is inverted", "trainers/importance_sampling.py",
             "(trained.detach().float() - sampled)", "(sampled - trained.detach().float())",
             "tests/trainers/test_importance_sampling.py"),
    # Runs
    Breakage("checkpoints: contents are not compared", "trainers/checkpoints.py",
             "if digests[path].result() != expected[name][1]:", "if False:", "tests/trainers/resume/test_damage.py"),
    Breakage("checkpoints: the config is published first", "trainers/checkpoints.py",
             'key=lambda path: path.name in ("config.json", "adapter_config.json")',
             'key=lambda path: path.name not in ("config.json", "adapter_config.json")',
             "tests/trainers/resume/test_resume.py -k killed_run"),
    Breakage("checkpoints: the old one is deleted under its own name", "trainers/checkpoints.py",
             "path.rename(doomed)\n        shutil.rmtree(doomed", "shutil.rmtree(path", "tests/trainers/resume/test_resume.py -k killed_run"),
    Breakage("claim: a second run is let in", "trainers/claim.py",
             "raise UserError(self._refusal(seen.owner, age, now - start))", "return",
             "tests/trainers/resume/test_claim.py -k 'two_starts or refused_while'"),
    Breakage("claim: it is not removed at the end", "trainers/claim.py",
             "if self._is_own():\n                self.path.unlink()", "if self._is_own():\n                pass",
             "tests/trainers/resume/test_claim.py -k removed_at_every_exit"),
    Breakage(
        "sharded: the output head is not gathered",
        "models/sharding.py",
        "        head.unshard()",
        "        pass",
        "tests/trainers/test_fsdp.py -k 'gradient or losses_and_norms'",
    ),
    Breakage(
        "sharded: a cast that is older than the graph is kept",
        "models/recurrence.py",
        "            torch.clear_autocast_cache()",
        "            pass",
        "tests/trainers/test_fsdp.py -k keep_their_gradients",
    ),
    # Export and push
    Breakage("export: a push ignores newer commits of others", "export/hub.py",
             "parent_commit=info.sha,", "parent_commit=None,", "tests/export/test_push.py -k somebody_else"),
    Breakage("export: differing completions are accepted", "export/parity.py",
             "and not self.wrong_answers", "", "tests/export/test_export.py"),
    Breakage("export: the scan misses a Hub token", "export/folder.py",
             "secrets = [*findings(folder)]", "secrets = []", "tests/export/test_what_leaves.py"),
    # Rows and graders
    Breakage("rows: a duplicate key is accepted", "data/strict_json.py",
             'raise JsonFault(f"duplicate key:', 'return dict(pairs)\n        raise JsonFault(f"duplicate key:',
             "tests/data/test_sources.py"),
    Breakage("graders: true equals 1", "rewards/json_rewards.py",
             "return (type(value), value)", "return value", "tests/rewards -k json"),
    Breakage("sandbox: system calls are not filtered", "sandbox/inside/confinement.py",
             'if "seccomp" in layers:', "if False:", "tests/sandbox/test_self_test.py tests/sandbox/test_hostile.py"),
    Breakage("guard: no drop is reported", "trainers/evals.py",
             "if change < -self._margin]", "if False]", "tests/trainers/test_guard.py"),
]  # fmt: skip


def main(words: list[str]) -> int:
    """Make the breakages whose names contain one of the words, or all. Returns 1 if any was missed or not found, else 0."""
    chosen = [one for one in BREAKAGES if not words or any(word in one.name for word in words)]
    bad = 0
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / "copy"
        tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        for name in filter(None, tracked.split("\0")):
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name)
        (copy / "hrm_align/recipes").symlink_to("../recipes")
        for one in chosen:
            verdict = try_breakage(one, copy)
            bad += verdict.startswith(("MISSED", "NOT FOUND"))
            print(f"{one.name}: {verdict}", flush=True)
    print(f"tests detected {len(chosen) - bad} of {len(chosen)} breakages")
    return int(bad > 0)


def try_breakage(breakage: Breakage, copy: Path) -> str:
    """Make a breakage in the copy, run its tests and return the verdict."""
    file = copy / "hrm_align" / breakage.file
    sound = file.read_text(encoding="utf-8")
    if sound.count(breakage.line) != 1:
        return f"NOT FOUND exactly once in {breakage.file}: update the line in scripts/campaigns/breakages.py"
    begun = time.monotonic()
    file.write_text(sound.replace(breakage.line, breakage.broken), encoding="utf-8")
    try:
        environment = {**os.environ, "PYTHONPATH": str(copy), "OMP_NUM_THREADS": "1"}
        command = f"{sys.executable} -m pytest -q -x -p no:cacheprovider {breakage.tests}"
        done = subprocess.run(
            command, shell=True, cwd=copy, env=environment, capture_output=True, text=True, timeout=SECONDS
        )
    except subprocess.TimeoutExpired:
        return f"detected: its tests do not end within {SECONDS} seconds"
    finally:
        file.write_text(sound, encoding="utf-8")
    if done.returncode == 0:
        return "MISSED"
    failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    if done.returncode != 1 or not failed:
        return f"MISSED: pytest ended with {done.returncode}: {done.stdout[-300:]}"
    return f"detected by {failed[0].split(' ')[1].split('::')[-1]} in {time.monotonic() - begun:.0f} s"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
