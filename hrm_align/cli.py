"""The command line: `hrm-align sft | grpo | estimate | headroom | evaluate | generate | inspect | export | ...`.

Exit codes: 0; 2 for a user's mistake, told in one sentence; 1 for a run that failed; 75 for one that was asked to stop
(SIGTERM) and has saved; 130 for one that Ctrl-C has ended.
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
from hrm_align.config.schema import check_words, schema
from hrm_align.errors import PREEMPTED_CODE, Preempted, RunError, UserError
from hrm_align.output import emit, results_only
from hrm_align.releases import check_releases

INTERRUPTED_CODE = 130  # what a shell gives for a program that SIGINT has ended: 128 + 2

# Each module has `main(argv)`; it is imported only when its command is called, because the trainers take seconds.
COMMANDS = {
    "sft": ("hrm_align.recipes.sft", "fine-tune on rows: --config recipes/tiny/sft.yaml [--any_key value]"),
    "grpo": (
        "hrm_align.recipes.grpo",
        "reinforcement learning: --config recipes/tiny/math_grpo.yaml [--any_key value]",
    ),
    "estimate": (
        "hrm_align.commands.estimate",
        "memory and work of a recipe, before it is started: --config FILE [--gpu] [--memory GIB]",
    ),
    "headroom": ("hrm_align.commands.passk", "how often a model solves each prompt, before it is trained on them"),
    "evaluate": ("hrm_align.commands.evaluate", "graded answers to held-out rows, with intervals"),
    "generate": ("hrm_align.commands.generate", "answer one prompt"),
    "inspect": ("hrm_align.commands.inspect", "show what training sees of your rows, and prove the mask on them"),
    "export": (
        "hrm_align.recipes.export",
        "a folder that others load in one line, proven, with its card; and to the Hub: RUN --to DIR [--push OWNER/NAME]",
    ),
    "adapters": (
        "hrm_align.commands.adapters",
        "list, merge or compare adapters: list DIR | merge A --to DIR | compare A B",
    ),
    "doctor": ("hrm_align.commands.doctor", "check a checkpoint, and mend what can be mended: MODEL [--fix]"),
    "rewards": ("hrm_align.commands.rewards", "list the rewards, or grade answers: NAME --data FILE [--preflight]"),
    "convert": ("hrm_align.commands.convert", "official training checkpoints to Transformers' form"),
    "completion": ("hrm_align.commands.completion", 'completion for a shell: eval "$(hrm-align completion bash)"'),
}


RECIPES = ("sft", "grpo")


def usage() -> str:
    """What `hrm-align --help` prints."""
    lines = [f"  {name:<10}{text}" for name, (_, text) in COMMANDS.items()]
    return "\n".join([f"hrm-align {__version__}: hrm-align COMMAND [--help]", "", *lines])


def dispatch(argv: Sequence[str]) -> None:
    """Run the command that the first word names.

    Raises:
        UserError: if it names none.
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
    if argv[0] != "completion":  # which a shell reads at its start
        check_releases()
    import_module(COMMANDS[argv[0]][0]).main(argv[1:])


def answered_by_schema(argv: Sequence[str]) -> bool:
    """Help of a command, and what is wrong with the words of a recipe, before anything is imported that takes seconds.

    Raises:
        UserError: see `hrm_align.config.schema.check_words`.
    """
    command, words = argv[0], argv[1:]
    if command in RECIPES:
        return check_words(command, words)
    for name in (" ".join(argv[:2]), command):
        known = schema()["commands"].get(name)
        if known is not None and {"-h", "--help"} & {*words}:
            emit(known["help"].rstrip("\n"))
            return True
    return False


def _way_on(argv: Sequence[str]) -> str:
    """How to go on after Ctrl-C, which, unlike SIGTERM, saves nothing; empty for what is no training."""
    started = {*argv[:1], Path(sys.argv[0]).stem}  # `hrm-align sft`, or recipes/sft.py
    if not started & {"sft", "grpo"}:
        return ""
    return ": if it has saved a checkpoint, go on from there with the same command and --resume_from_checkpoint latest."


def exit_code_of(command: Callable[[Sequence[str]], None], argv: Sequence[str]) -> int:
    """Run a command; a user's mistake is printed as one sentence and gives 2."""
    warnings.filterwarnings("ignore", ".*is_gradient_checkpointing.*", FutureWarning)  # raised inside PEFT
    try:
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
    except KeyboardInterrupt:
        print(f"interrupted{_way_on(argv)}", file=sys.stderr)
        return INTERRUPTED_CODE
    except BrokenPipeError:  # the reader (`| head`) has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def main() -> int:
    """Entry point of `hrm-align`."""
    with results_only():
        return exit_code_of(dispatch, sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
