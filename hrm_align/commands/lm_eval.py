"""`hrm-align lm_eval ...`: the command line of lm-evaluation-harness with this package's model `hrm`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib.util import find_spec

from hrm_align.config.checks import CommandLine
from hrm_align.errors import UserError

DESCRIPTION = """\
Run tasks of EleutherAI's lm-evaluation-harness on a model, with the layout and the mask of training.
All arguments are those of lm_eval's own command line (lm_eval run --help), with the model `hrm` as the
default of --model. Needs the extra `eval`: pip install 'hrm_align[eval]'."""
EXAMPLES = """\
model_args: pretrained (a checkpoint, an adapter, a Hub id or tiny), condition (direct; synth+cot for
several), dtype, max_gen_toks, seed

examples:
  hrm-align lm_eval --model_args pretrained=runs/mine --tasks arc_challenge --num_fewshot 25 --batch_size 16
  hrm-align lm_eval --model_args pretrained=runs/mine,condition=synth+cot --tasks gsm8k_cot_zeroshot
  hrm-align lm_eval --model_args pretrained=runs/mine --tasks ifeval --apply_chat_template
  hrm-align lm_eval ls tasks"""
MODEL = "hrm"
LM_EVAL_COMMANDS = ("run", "ls", "list", "validate")


def main(argv: Sequence[str]) -> None:
    """Run lm_eval with the given arguments; `run` is the default subcommand, and `hrm` the default model.

    Raises:
        UserError: if lm_eval is not installed, or a value or a request is not supported.
    """
    parser = CommandLine("lm_eval", DESCRIPTION)
    parser.formatter_class, parser.epilog = argparse.RawDescriptionHelpFormatter, EXAMPLES
    parser.usage = "hrm-align lm_eval [run | ls | validate] ARGUMENTS OF LM_EVAL"
    parser.parse_known_args(argv)
    if find_spec("lm_eval") is None:
        raise UserError("this command needs lm_eval: pip install 'hrm_align[eval]'.")
    from lm_eval.__main__ import cli_evaluate

    words = [*argv] if argv and argv[0] in LM_EVAL_COMMANDS else ["run", *argv]
    if words[0] == "run" and not {word.partition("=")[0] for word in words} & {"--model", "-M", "--config", "-C"}:
        words += ["--model", MODEL]
    before, sys.argv = sys.argv, ["lm_eval", *words]
    try:
        cli_evaluate()
    finally:
        sys.argv = before
