"""The command line: `hrm-align sft | dpo | kto | grpo | estimate | headroom | evaluate | generate | chat | inspect | export | ...`.

Exit codes: 0 for success; 1 for a run that failed; 2 for a user's mistake, with one sentence on standard error; 75 for a run that
stopped at SIGTERM after saving a checkpoint; 130 for a run that Ctrl-C stopped; SIGTERM (143) and SIGHUP (129) end everything else.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path

from hrm_align._version import __version__
from hrm_align.config.checks import check_options, check_words, kind_given
from hrm_align.config.schema import schema
from hrm_align.errors import PREEMPTED_CODE, Preempted, RunError, Terminated, UserError
from hrm_align.output import emit, results_only
from hrm_align.progress import say, show_progress, stage
from hrm_align.releases import check_releases
from hrm_align.signals import called_last, finish_exit, terminable

NOTHING_LEFT = "what was not finished is removed. Run the same command again."
INTERRUPTED_CODE = 130  # the code of shells for a program that SIGINT stopped: 128 + 2

# Each module has `main(argv)`. A module is imported only when its command runs, because importing the trainers takes seconds.
COMMANDS = {
    "sft": ("hrm_align.recipes.sft", "supervised fine-tuning: --config recipes/tiny/sft.yaml [--any_key value]"),
    "dpo": ("hrm_align.recipes.dpo", "preference training on pairs: --config recipes/tiny/dpo.yaml [--any_key value]"),
    "kto": (
        "hrm_align.recipes.kto",
        "preference training on labelled answers: --config recipes/tiny/kto.yaml [--any_key value]",
    ),
    "grpo": (
        "hrm_align.recipes.grpo",
        "reinforcement learning: --config recipes/tiny/math_grpo.yaml [--any_key value]",
    ),
    "reward": (
        "hrm_align.recipes.reward",
        "train a reward model on pairs: --config recipes/tiny/reward.yaml [--any_key value]",
    ),
    "distill": (
        "hrm_align.recipes.distill",
        "learn from a teacher, or from the model itself under another prompt: --config recipes/tiny/distill.yaml [--any_key value]",
    ),
    "recipes": (
        "hrm_align.commands.recipes",
        "the recipes that ship with the package: list | show NAME | copy NAME DIR",
    ),
    "estimate": (
        "hrm_align.commands.estimate",
        "estimate memory and compute of a recipe without running it: --config FILE [--gpu] [--memory GIB]",
    ),
    "headroom": (
        "hrm_align.commands.passk",
        "measure the difficulty of prompts (pass@k of a model) before training on them",
    ),
    "evaluate": ("hrm_align.commands.evaluate", "score a model on held-out rows, with confidence intervals"),
    "benchmark": (
        "hrm_align.commands.benchmark",
        "run public benchmarks as the official evaluation does (GSM8K, MATH, DROP, MMLU, ARC, ...): --model M [--tasks TASK,...]",
    ),
    "lm_eval": (
        "hrm_align.commands.lm_eval",
        "run tasks of lm-evaluation-harness with the model's layout: --tasks TASK",
    ),
    "generate": ("hrm_align.commands.generate", "generate the answer to one prompt"),
    "serve": (
        "hrm_align.commands.serve",
        "answer OpenAI's protocol over HTTP, with a page to chat in: --model M [--adapter NAME=FOLDER] [--engine vllm]",
    ),
    "chat": ("hrm_align.commands.chat", "talk to a model in the terminal: --model M [--adapter NAME=FOLDER]"),
    "sample": (
        "hrm_align.commands.sample",
        "write a data set of a model's own graded answers, for SFT or as preference pairs",
    ),
    "inspect": (
        "hrm_align.commands.inspect",
        "show your rows as training documents, and verify the prefix mask on them",
    ),
    "export": (
        "hrm_align.recipes.export",
        "write a run as a checked folder with a model card, and push it to the Hub: RUN --to DIR [--push OWNER/NAME]",
    ),
    "adapters": (
        "hrm_align.commands.adapters",
        "list, merge or compare adapters: list DIR | merge A --to DIR | compare A B",
    ),
    "runs": ("hrm_align.commands.runs", "list runs, or compare them: list [FOLDER] | compare RUN RUN ..."),
    "cache": ("hrm_align.commands.cache", "list or remove the rows that runs have prepared: list | clear [KEY ...]"),
    "check-engine": (
        "hrm_align.commands.check_engine",
        "compare an engine (vLLM, SGLang, ...) with the model that it serves: URL --model EXPORT",
    ),
    "doctor": ("hrm_align.commands.doctor", "check a checkpoint, and fix what can be fixed: MODEL [--fix]"),
    "rewards": (
        "hrm_align.commands.rewards",
        "list the rewards, or grade answers with one: NAME --data FILE [--preflight]",
    ),
    "convert": ("hrm_align.commands.convert", "convert an official training checkpoint to Transformers' format"),
    "completion": (
        "hrm_align.commands.completion",
        'print a shell completion script: eval "$(hrm-align completion bash)"',
    ),
}


RECIPES = ("sft", "dpo", "kto", "grpo", "reward", "distill")
LONG_COMMANDS = (*RECIPES, "export")  # commands that print each stage


def usage() -> str:
    """Return the text of `hrm-align --help`."""
    lines = [f"  {name:<12}{text}" for name, (_, text) in COMMANDS.items()]
    return "\n".join([f"hrm-align {__version__}: hrm-align COMMAND [--help]", "", *lines])


def dispatch(argv: Sequence[str]) -> None:
    """Run the command that the first argument names.

    Raises:
        UserError: if there is no such command.
    """
    if not argv or argv[0] in ("-h", "--help", "help"):
        emit(usage())
        return
    if argv[0] == "--version":
        emit(__version__)
        return
    if argv[0] not in COMMANDS:
        near = get_close_matches(argv[0], COMMANDS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"use one of {', '.join(COMMANDS)}."
        raise UserError(f"unknown command {argv[0]!r}: {hint}")
    if answered_by_schema(argv):
        return
    if argv[0] == "completion":  # shells run this at startup, so it must be fast
        import_module(COMMANDS[argv[0]][0]).main(argv[1:])
        return
    check_releases()
    with show_progress(stages=argv[0] in LONG_COMMANDS):
        say(f"hrm_align {__version__}: {' '.join(_headline(argv))}")
        with stage("loading libraries"):
            command = import_module(COMMANDS[argv[0]][0]).main
        command(argv[1:])


def _headline(argv: Sequence[str]) -> list[str]:
    """Return the command and what it is about: the recipe of `--config RECIPE`, or its first argument."""
    words = argv[argv.index("--config") + 1 :] if "--config" in argv else argv[1:]
    return [argv[0], *(word for word in words[:1] if not word.startswith("-"))]


def answered_by_schema(argv: Sequence[str]) -> bool:
    """Print a command's help, or reject invalid arguments of a recipe, from the schema alone, without slow imports.

    Returns:
        Whether the help was printed, so that nothing remains to do.

    Raises:
        UserError: see `hrm_align.config.checks`.
    """
    command, words = argv[0], argv[1:]
    if command in RECIPES:
        return check_words(command, words)
    names = [name for name in (" ".join(argv[:2]), command) if name in schema()["commands"]]
    if not names:
        return False
    known = schema()["commands"][names[0]]
    if {"-h", "--help"} & {*words}:
        emit(known["help"].rstrip("\n"))
        return True
    if "options" in known:
        rest = check_options(names[0], argv[len(names[0].split()) :])
        if command == "estimate":
            check_words(kind_given(rest), rest)
    return False


def _describe_resume(argv: Sequence[str]) -> str:
    """Return how to resume a training after Ctrl-C, which, unlike SIGTERM, saves no checkpoint; empty for other commands."""
    names = {*argv[:1], Path(sys.argv[0]).stem}  # `hrm-align sft`, or recipes/sft.py
    if not names & {*RECIPES}:
        return ""
    return ": to resume from the last saved checkpoint, add --resume_from_checkpoint latest to the same command."


def _describe_rest(stop: BaseException, default: str = "") -> str:
    notes = " ".join(getattr(stop, "__notes__", ())) or default
    return f": {notes}" if notes else ""


def _report_cut() -> None:
    print("stopped by a signal, before everything was cleaned up: a library waits for its threads. Run the same command again.",
          file=sys.stderr)  # fmt: skip


def run_with_exit_code(command: Callable[[Sequence[str]], None], argv: Sequence[str]) -> int:
    """Run a command and return its exit code; errors are printed to standard error in one sentence."""
    warnings.filterwarnings("ignore", ".*gradient_checkpointing.*", FutureWarning)  # raised inside PEFT and TRL
    with terminable(), called_last(_report_cut):
        code = _run(command, argv)
    if code in (PREEMPTED_CODE, INTERRUPTED_CODE):
        finish_exit(code)
    return code


def _run(command: Callable[[Sequence[str]], None], argv: Sequence[str]) -> int:
    try:
        with show_progress():
            command(argv)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except RunError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except Preempted as stop:
        print(f"stopped: {stop}", file=sys.stderr)
        return PREEMPTED_CODE
    except KeyboardInterrupt as stop:
        print(f"interrupted{_describe_resume(argv) or _describe_rest(stop)}", file=sys.stderr)
        return INTERRUPTED_CODE
    except Terminated as stop:
        print(f"stopped by {stop}{_describe_rest(stop, NOTHING_LEFT)}", file=sys.stderr)
        return 128 + stop.number  # `terminable` ends the process by the signal, which a shell shows as this code
    except BrokenPipeError:  # the reader of the pipe has closed it, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def main() -> int:
    """Entry point of `hrm-align`."""
    with results_only():
        return run_with_exit_code(dispatch, sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
