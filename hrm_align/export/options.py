"""Options of `hrm-align export`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from hrm_align.config.arguments import option
from hrm_align.errors import UserError
from hrm_align.export.folder import SHARD
from hrm_align.export.gguf import TYPES
from hrm_align.models.loading import DTYPES
from hrm_align.rewards.base import check_match, match_names


@dataclass(frozen=True)
class ExportOptions:
    """What to export, and how. Each field with a help text is an option of `hrm-align export`.

    Args:
        run: output_dir of a run, a checkpoint of it, or any folder that holds a checkpoint or an adapter.
        to: new folder to write.

    Raises:
        UserError: for an invalid value; the message names the option.
    """

    run: str
    to: Path
    adapter: bool = option(False, "export the adapter alone (default for a run with an adapter)")
    merged: bool = option(False, "merge the adapter into its base, in float32")
    ema: bool = option(False, "export the averaged weights (EMA) of the run")
    dtype: str | None = option(
        None, "dtype of the exported weights (default float32, as trained; an adapter keeps its own)", choices=[*DTYPES]
    )
    data: list[str] = option([], "held-out rows to score (default: those of the run)", metavar="FILE")
    limit: int = option(300, "use at most this many rows of each file (default %(default)s)")
    match: str | None = option(None, f"grader: {', '.join(match_names())} (default: the grader of the run)")
    max_new_tokens: int = option(256, "longest answer, in tokens (default %(default)s)")
    base: str | None = option(
        None, "location of the adapter's base, or of the model before training (default: as recorded by the run)"
    )
    base_model: str | None = option(
        None, "name of the base in the card (default: as recorded by the run)", metavar="OWNER/NAME"
    )
    license: str = option("apache-2.0", "license in the card (default %(default)s)")
    max_shard_size: str = option(SHARD, "largest size of a weight file (default %(default)s)")
    force: str | None = option(
        None, "export even if the folder does not reproduce the run's answers", choices=["parity"]
    )
    gguf: list[str] | None = option(
        None,
        f"also write GGUF files for llama.cpp: {', '.join(TYPES)} (default q8_0), and compare their answers with the run's",
        nargs="*",
        metavar="TYPE",
    )
    gguf_python: str | None = option(
        None, "python of the environment with llama-cpp-python (default: this one)", metavar="PYTHON"
    )
    push: str | None = option(
        None, "upload to the Hub, with the token of `hf auth login` or HF_TOKEN", metavar="OWNER/NAME"
    )

    def __post_init__(self) -> None:
        """Check the values that the command line parser accepts as any text or number."""
        for name in ("limit", "max_new_tokens"):
            if getattr(self, name) < 1:
                raise UserError(f"invalid value for --{name}: {getattr(self, name)}. Use 1 or more.")
        if self.adapter and self.merged:
            raise UserError("--adapter and --merged cannot be combined. Use one of them.")
        if self.match is not None:
            check_match(self.match, "--match")
        if not re.fullmatch(r"[1-9][0-9]*[KMGT]B", self.max_shard_size):
            raise UserError(
                f"invalid value for --max_shard_size: {self.max_shard_size!r}. Use a number and a unit, such as 500MB or 4GB."
            )
        self._check_gguf()
        if not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", self.license):
            raise UserError(
                f"invalid value for --license: {self.license!r}. Use an identifier of the Hub, such as mit, apache-2.0 or other."
            )

    def _check_gguf(self) -> None:
        """Check the options of GGUF files."""
        unknown = next((name for name in self.gguf or [] if name not in TYPES), None)
        if unknown is not None:
            raise UserError(f"invalid value for --gguf: {unknown!r}. Use one or several of {', '.join(TYPES)}.")
        if self.gguf is None and self.gguf_python is not None:
            raise UserError(
                "--gguf_python names the environment that tests a GGUF file, and --gguf is missing: add it."
            )

    @property
    def gguf_types(self) -> list[str]:
        """Types of the GGUF files to write; empty without `--gguf`."""
        return [] if self.gguf is None else list(dict.fromkeys(self.gguf or ["q8_0"]))
