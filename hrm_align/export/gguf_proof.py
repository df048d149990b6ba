"""Compare a GGUF file with the run: greedy answers and token ids of llama.cpp's library, in a process of its own.

llama.cpp runs in any environment that has llama-cpp-python (`--gguf_python`); `llama_cpp_answers.py` is the program that runs there.
The prompt is decoded in both directions, as the model was trained, and a second time causally, as llama-server does by default.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import subprocess
import sys
import tempfile
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerFast

from hrm_align.errors import RunError, UserError
from hrm_align.export.gguf import is_nfc
from hrm_align.models.rounding import tie_margin
from hrm_align.rendering import Document, get_renderer

logger = logging.getLogger(__name__)

PROVED_ROWS = 100  # prompts that llama.cpp answers
# Least share of equal answers by type. A wrong file has hardly any; what a type loses by rounding depends on the model, so the card
# gives the share, and a share below `EXPECTED` is also reported as a warning. In float32 only ties between two tokens may differ.
LEAST = {"f32": 1.0, "bf16": 0.5, "f16": 0.5, "q8_0": 0.5, "q4_0": 0.0}
EXPECTED = 0.95
# Texts on which tokenizers differ; those of the prompts are compared too.
TEXTS = (
    "<|im_start|>user<|im_end|> <|box_end|><|endoftext|></tool_call> <|object_ref_start|", " ", "  ", "\n", " \n \n\n", "\t\t x\r\n",
    "a  b   c    d", " trailing ", "It's we'll I'M DON'T 'tis ''s", "x=1;y=22;z=333;w=4444", "3.14159e-10, 1,000,000 and ½ ² Ⅳ ١٢٣",
    "def f(x):\n    return {'a': [x**2, \"b\\n\"]}  # ok\n\n\nclass A:\n\tpass", "https://example.org/a?b=c&d=%20#e", "SELECT * FROM t WHERE a<>'b';",
    "Zürich naïve café Straße ŁÓDŹ", "日本語のテキスト、中文 混排 한국어", "Привет, мир! Γειά σου", "שלום עולם مرحبا بالعالم", "हिन्दी ไทย",
    "👩‍👩‍👧‍👦 🇩🇪 👍🏽 ✓", "\u00a0\u2003\u200b\ufeff\u3000.", "$\\frac{1}{2}$ \\boxed{42} ∑∫√∞ ≠≤", "...!!!???---___", "\x00\x01\x7f", "ﬁ ﬀ Å ①",
)  # fmt: skip


@dataclass(frozen=True)
class Proof:
    """Comparison of a GGUF file, run by llama.cpp's library, with the run.

    Args:
        rows: number of prompts answered.
        same: number of greedy answers equal to those of our sampler with the exported weights in float32.
        ties: number of the other answers whose first difference is a tie between two tokens; counted for float32 only.
        causal: number of answers equal to our sampler's if llama.cpp reads the prompt causally, as by default.
        texts: number of texts whose token ids were compared.
        other_texts: number of them that llama.cpp encodes differently.
        engine: name and version of the library.
    """

    rows: int
    same: int
    ties: int
    causal: int
    texts: int
    other_texts: int
    engine: str


@dataclass(frozen=True)
class GgufFile:
    """A GGUF file of an export: its name, its type (a key of `TYPES`), its size in bytes, and its proof if llama.cpp was there."""

    name: str
    type: str
    size: int
    proof: Proof | None

    @property
    def is_same(self) -> bool:
        """Whether nothing shows a fault: token ids are equal, and as many answers as the type allows; true without a proof."""
        if self.proof is None:
            return True
        enough = self.proof.same + self.proof.ties >= LEAST[self.type] * self.proof.rows
        return enough and not self.proof.other_texts

    @property
    def loses_much(self) -> bool:
        """Whether rounding to the type changes more answers than a share of `EXPECTED` allows."""
        return self.proof is not None and self.proof.same + self.proof.ties < EXPECTED * self.proof.rows

    def require(self) -> None:
        """Raise RunError if the proof shows a fault; log a warning if the type changes many answers."""
        if self.is_same and self.loses_much:
            assert self.proof is not None
            logger.warning(
                "%s gives %d of %d answers as the run does, because it rounds the weights: use --gguf f16 if that is too few.",
                self.name,
                self.proof.same,
                self.proof.rows,
            )
        if not self.is_same and self.proof is not None:
            proof = self.proof
            raise RunError(
                f"llama.cpp does not reproduce the run with {self.name}: {proof.rows - proof.same} of {proof.rows} greedy answers "
                f"differ, and {proof.other_texts} of {proof.texts} texts have other token ids. Nothing was written. Export without "
                f"--gguf {self.type}, or export nevertheless with --force parity."
            )

    def to_dict(self) -> dict[str, Any]:
        """Return the file as an object for JSON."""
        return asdict(self)

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> GgufFile:
        """Build the file from an object that `to_dict` returned."""
        return cls(**{**record, "proof": Proof(**record["proof"]) if record["proof"] else None})


@dataclass(frozen=True)
class Engine:
    """An interpreter that can import llama_cpp, and the version of llama-cpp-python that it has."""

    python: str
    version: str


def find_engine(python: str | None) -> Engine | None:
    """Find llama-cpp-python in an environment.

    Args:
        python: interpreter of the environment; None for this one.

    Returns:
        The engine; None if no interpreter is named and this environment does not have it.

    Raises:
        UserError: if the named interpreter cannot import it.
    """
    if python is None and importlib.util.find_spec("llama_cpp") is None:
        return None
    command = [python or sys.executable, "-I", "-c", "import llama_cpp; print(llama_cpp.__version__)"]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except OSError as error:
        raise UserError(
            f"--gguf_python {python} cannot be run ({error.strerror}). Name the python of an environment with llama-cpp-python."
        ) from None
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1][:200]
        raise UserError(
            f"{command[0]} cannot import llama_cpp ({reason}). Install it there (pip install llama-cpp-python), or name another "
            "environment with --gguf_python."
        )
    return Engine(command[0], done.stdout.strip())


def prove(
    path: Path,
    file_type: str,
    engine: Engine,
    model: Any,
    tokenizer: PreTrainedTokenizerFast,
    prompts: Sequence[list[int]],
    answers: Sequence[list[int]],
    texts: Sequence[str],
    max_new_tokens: int,
    tie: float,
) -> Proof:
    """Answer prompts and encode texts with a GGUF file, and compare.

    Args:
        path: the file.
        file_type: a key of `TYPES`.
        engine: from `find_engine`.
        model: the exported model, in float32 arithmetic.
        tokenizer: of the model.
        prompts: token ids of the prompts.
        answers: greedy answers of `model` to them, from our sampler.
        texts: texts to encode, besides `TEXTS`.
        max_new_tokens: longest answer, in tokens.
        tie: largest difference of two logits that counts as a tie.

    Raises:
        RunError: if llama.cpp cannot load or run the file.
    """
    normalised = is_nfc(tokenizer)
    checked = list(dict.fromkeys([*TEXTS, *texts]))
    rows: list[dict[str, Any]] = [{"prompt_ids": ids} for ids in prompts]
    rows += [{"text": unicodedata.normalize("NFC", text) if normalised else text} for text in checked]
    # A file in float32 is compared bit for bit as far as that goes, so its cache is in float32 too.
    flags = ["--max_new_tokens", str(max_new_tokens), "--cache", "f32" if file_type == "f32" else "f16"]
    results = ask(engine, path, rows, flags)
    causal = ask(engine, path, rows[: len(prompts)], [*flags, "--causal"])
    encode = get_renderer(tokenizer).plain
    pairs = [(row["answer_ids"], answer) for row, answer in zip(results, answers, strict=False)]
    ties = 0
    if file_type == "f32":
        documents = [Document([*ids, *answer], len(ids)) for ids, answer in zip(prompts, answers, strict=True)]
        margins = [tie_margin(model, document, other) for document, (other, _) in zip(documents, pairs, strict=True)]
        ties = sum(margin is not None and margin <= tie for margin in margins)
    return Proof(
        rows=len(prompts),
        same=sum(other == answer for other, answer in pairs),
        ties=ties,
        causal=sum(row["answer_ids"] == answer for row, answer in zip(causal, answers, strict=True)),
        texts=len(checked),
        other_texts=sum(
            row["text_ids"] != encode(text) for row, text in zip(results[len(prompts) :], checked, strict=True)
        ),
        engine=f"llama-cpp-python {engine.version}",
    )


def ask(engine: Engine, path: Path, rows: Sequence[dict[str, Any]], flags: Sequence[str]) -> list[dict[str, Any]]:
    """Run `llama_cpp_answers.py` on rows. Raises RunError if it fails."""
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "rows.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        script = str(Path(__file__).with_name("llama_cpp_answers.py"))
        command = [engine.python, "-I", script, str(path), str(file), "--threads", str(torch.get_num_threads()), *flags]
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        reason = " ".join(done.stderr.split())[-400:] or f"exit code {done.returncode}"
        raise RunError(
            f"llama.cpp cannot load or run {path.name} ({reason}). llama-cpp-python 0.3.36 has HRM-Text; "
            "older releases do not."
        )
    return [json.loads(line) for line in done.stdout.splitlines()]
