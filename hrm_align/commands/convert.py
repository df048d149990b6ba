"""`hrm-align convert SOURCE --to DIR`: official training checkpoints to Transformers' form, and back."""

from __future__ import annotations

import json
from collections.abc import Sequence

from hrm_align.commands.common import PathParser
from hrm_align.commands.doctor import report, show
from hrm_align.errors import UserError
from hrm_align.models.doctor.fix import diagnose
from hrm_align.models.official.convert import WEIGHTS, Converted, to_official, to_transformers
from hrm_align.output import emit


def main(argv: Sequence[str]) -> None:
    """Run the command; what was converted is examined at once, and exit code 1 says that it is not sound."""
    parser = PathParser("convert", "Convert an official training checkpoint to Transformers' form, or back.")
    parser.add_argument("source", help="folder with all_config.yaml and fsdp2_epoch_N (with --to_official: a model)")
    parser.add_argument("--to", required=True, metavar="DIR", help="new folder for the result")
    parser.add_argument("--weights", choices=WEIGHTS, help="which of the two it holds (default ema)")
    parser.add_argument("--epoch", type=int, help="of the official checkpoint (default: the last)")
    parser.add_argument("--tokenizer", help="folder or tokenizer.json (default: where train_metadata.yaml says)")
    parser.add_argument("--to_official", action="store_true", help="from Transformers' form to the official one")
    arguments = parser.parse_args(argv)

    if arguments.to_official:
        for option in ("weights", "epoch", "tokenizer"):
            if getattr(arguments, option) is not None:
                raise UserError(f"--{option} reads an official checkpoint: leave it out with --to_official.")
        converted = to_official(arguments.source, arguments.to)
        _tell(converted, {}, as_json=arguments.json)
        return
    weights = arguments.weights or "ema"
    options = {"epoch": arguments.epoch, "tokenizer": arguments.tokenizer}
    converted = to_transformers(arguments.source, arguments.to, weights=weights, **options)
    findings = diagnose(converted.folder)
    _tell(converted, {"weights": weights, **report(arguments.to, findings, [], [])}, as_json=arguments.json)
    if not arguments.json:
        show(arguments.to, findings, [], [])
    if findings:
        raise SystemExit(1)


def _tell(converted: Converted, more: dict, *, as_json: bool) -> None:
    size = {"tensors": converted.tensors, "parameters": converted.parameters, "dtype": converted.dtype}
    if as_json:
        emit(json.dumps({"folder": str(converted.folder), **size, **more}))
        return
    kind = f", {more['weights']} weights" if more else ""
    emit(
        f"{converted.folder}: {converted.tensors} tensors, {converted.parameters:,} parameters, {converted.dtype}{kind}"
    )
