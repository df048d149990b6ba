"""`hrm-align convert SOURCE --to DIR`: official training checkpoints to Transformers' form."""

from __future__ import annotations

import json
from collections.abc import Sequence

from hrm_align.commands.common import PathParser
from hrm_align.commands.doctor import report, show
from hrm_align.models.doctor.fix import diagnose
from hrm_align.models.official.convert import WEIGHTS, to_transformers
from hrm_align.output import emit


def main(argv: Sequence[str]) -> None:
    """Run the command; what was converted is examined at once, and exit code 1 says that it is not sound."""
    parser = PathParser("convert", "Convert an official training checkpoint to Transformers' form.")
    parser.add_argument("source", help="folder with all_config.yaml and fsdp2_epoch_N")
    parser.add_argument("--to", required=True, metavar="DIR", help="new folder for the result")
    parser.add_argument("--weights", choices=WEIGHTS, default="ema", help="which of the two it holds (default ema)")
    parser.add_argument("--epoch", type=int, help="of the official checkpoint (default: the last)")
    parser.add_argument("--tokenizer", help="folder or tokenizer.json (default: where train_metadata.yaml says)")
    arguments = parser.parse_args(argv)

    weights = arguments.weights
    converted = to_transformers(
        arguments.source, arguments.to, weights=weights, epoch=arguments.epoch, tokenizer=arguments.tokenizer
    )
    folder, tensors, parameters, dtype = str(converted.folder), converted.tensors, converted.parameters, converted.dtype
    findings = diagnose(converted.folder)
    if arguments.json:
        size = {"tensors": tensors, "parameters": parameters, "dtype": dtype, "weights": weights}
        emit(json.dumps({"folder": folder, **size, **report(arguments.to, findings, [], [])}))
    else:
        emit(f"{folder}: {tensors} tensors, {parameters:,} parameters, {dtype}, {weights} weights")
        show(arguments.to, findings, [], [])
    if findings:
        raise SystemExit(1)
