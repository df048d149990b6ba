"""Compare GGUF exports with this package through llama.cpp's library, and llama.cpp's tokenizer with ours on random texts.

    python scripts/campaigns/gguf_parity.py --model runs/demo --out runs/gguf

Makes an environment of its own in OUT/venv (llama-cpp-python 0.3.36, which pip builds: a compiler, CMake and about a quarter of an hour),
unless --python names one. Exports the model and the test model of the published depth in every type, runs the code of the card on every
row, and prints the tables of docs/results/engines.md; exits with 1 if a row is not as expected.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from random import Random

from tokenizers import AddedToken, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from hrm_align import load_model, load_tokenizer  # noqa: E402
from hrm_align.data.dataset import load_examples  # noqa: E402
from hrm_align.data.specs import DatasetSpec  # noqa: E402
from hrm_align.export.gguf import TYPES, write_gguf  # noqa: E402
from hrm_align.export.gguf_proof import ask, find_engine  # noqa: E402
from hrm_align.export.options import ExportOptions  # noqa: E402
from hrm_align.export.parity import as_row  # noqa: E402
from hrm_align.export.pipeline import export  # noqa: E402
from hrm_align.rendering import get_renderer  # noqa: E402
from hrm_align.rollouts.local import generate  # noqa: E402
from tests.export.runs import untrained_like_the_published  # noqa: E402

RELEASE = "llama-cpp-python==0.3.36"
DEEP = ROOT / "tests/golden/deep"
ROWS, TOKENS = 100, 64
EXPECTED = {"f32": 100, "q8_0": 95}  # least number of equal answers of --model
# Runs the code of the card once per row, without its last three lines, which ask one question.
CARD_PROGRAM = """
import json, sys
{start}
for line in open(sys.argv[1]):
    model.reset()
    answer = model.create_chat_completion(json.loads(line), temperature=0, max_tokens={tokens})
    print(json.dumps(answer["choices"][0]["message"]["content"]))
"""
# Parts of random texts: words, spaces, signs, scripts, combining marks, emoji and control tokens.
PARTS = (
    *"abcXYZ0123456789 \n\t\r.,;:!?'\"()[]{}<>/\\|@#$%^&*-_=+`~", "  ", "    ", "\n\n", "'s", "'LL", "'re", " the", "def ", "return",
    "ä", "é", "ß", "İ", "ſ", "Ω", "ж", "Ю", "א", "ع", "٣", "अ", "ि", "ไ", "ก", "中", "文", "か", "ン", "한", "½", "²", "Ⅳ", "५",
    "e\u0301", "\u0308", "\u00a0", "\u2003", "\u200b", "\u200d", "\ufeff", "\u3000", "\x85", "\x00", "\x7f", "👩", "🏽", "🇩", "🇪", "✓", "∑", "“", "—", "…",
    "<|im_end|>", "<|box_end|>", "</tool_call>", "<think>", "<|",
)  # fmt: skip


def make_environment(folder: Path) -> Path:
    """Install llama-cpp-python into an environment of its own; returns its Python."""
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", RELEASE], check=True)
    return python


def rows_with_the_code_of_the_card(folder: Path, python: str, data: Path) -> tuple[int, int]:
    """Answer the rows with the code of an export's card; returns the number of answers equal to ours, and of rows."""
    examples = load_examples([DatasetSpec(str(data))])[0][:ROWS]
    card = (folder / "README.md").read_text(encoding="utf-8")
    code = next(block for block in re.findall(r"```python\n(.*?)```", card, re.DOTALL) if "llama_cpp" in block)
    start = code.partition("model.reset()")[0]
    questions = folder.parent / "questions.jsonl"
    questions.write_text("".join(json.dumps(as_row(example)["messages"]) + "\n" for example in examples))
    program = CARD_PROGRAM.format(start=start, tokens=TOKENS)
    done = subprocess.run([python, "-c", program, str(questions)], cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    model, tokenizer = load_model(str(folder)), load_tokenizer(str(folder))
    model.generation_config.eos_token_id = get_renderer(tokenizer).response_end_id
    render = get_renderer(tokenizer)
    ours = generate(model, [render.prompt(example.messages, "direct") for example in examples], max_new_tokens=TOKENS)
    theirs = [json.loads(line) for line in done.stdout.splitlines()]
    texts = [tokenizer.decode(ids, skip_special_tokens=True) for ids in ours]
    return sum(one == two for one, two in zip(theirs, texts, strict=True)), len(examples)


def random_texts(count: int) -> Iterator[str]:
    """Yield random texts of 1 to 40 parts."""
    rng = Random(0)
    for _ in range(count):
        yield "".join(rng.choices(PARTS, k=rng.randint(1, 40)))


def like_the_published(control: list[str]) -> PreTrainedTokenizerFast:
    """Train a tokenizer of 512 tokens with the steps of HRM-Text-1B's (NFC, Qwen2's pattern, bytes) on the pages of docs/."""
    tokenizer = untrained_like_the_published()
    trainer = trainers.BpeTrainer(
        vocab_size=512,
        special_tokens=[AddedToken(token, special=True, normalized=False) for token in control],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    pages = [page.read_text(encoding="utf-8") for page in sorted((ROOT / "docs").rglob("*.md"))]
    tokenizer.train_from_iterator([*pages, *random_texts(2000)], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<|im_start|>", eos_token="<|box_end|>", pad_token="<|endoftext|>"
    )


def compare_tokenizer(name: str, tokenizer: PreTrainedTokenizerFast, out: Path, python: str, count: int) -> int:
    """Print how many random texts llama.cpp encodes differently, with an example; returns that number."""
    folder = out / name
    load_model("tiny").save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    write_gguf(folder, folder / "model.gguf", "f32", {})
    texts = list(random_texts(count))
    given = [{"text": unicodedata.normalize("NFC", text)} for text in texts]
    if name == "tiny":  # whose tokenizer does not normalise
        given = [{"text": text} for text in texts]
    engine = find_engine(python)
    assert engine is not None
    rows = ask(engine, folder / "model.gguf", given, [])
    encode = get_renderer(load_tokenizer(str(folder))).plain
    other = [text for row, text in zip(rows, texts, strict=True) if row["text_ids"] != encode(text)]
    print(f"| {name} | {len(texts):,} | {len(other)} |" + (f" {min(other, key=len)!r}" if other else ""))
    return len(other)


def main() -> None:
    """Export, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--python", help="python of an environment with llama-cpp-python")
    parser.add_argument("--data", type=Path, default=ROOT / "data/chat/test.jsonl")
    parser.add_argument("--texts", type=int, default=5000)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    python = arguments.python or str(make_environment(arguments.out / "venv"))
    wrong = 0
    print("| model | type | bytes | equal | read causally |\n| --- | --- | --- | --- | --- |")
    for name, run in (("model", arguments.model), ("published depth", str(DEEP))):
        folder = arguments.out / name.replace(" ", "-")
        options = ExportOptions(
            run,
            folder,
            data=[str(arguments.data)],
            limit=ROWS,
            max_new_tokens=TOKENS,
            gguf=[*TYPES],
            gguf_python=python,
        )
        for file in export(options)["gguf"]:
            proof = file["proof"]
            print(
                f"| {name} | {file['type']} | {file['size']:,} | {proof['same']} of {proof['rows']} | {proof['causal']} of {proof['rows']} |"
            )
            wrong += name == "model" and proof["same"] < EXPECTED.get(file["type"], 0)
    same, count = rows_with_the_code_of_the_card(arguments.out / "model", python, arguments.data)
    print(f"\nthe code of the card: {same} of {count}\n\n| tokenizer | texts | differ |\n| --- | --- | --- |")
    wrong += same != count
    tiny = load_tokenizer("tiny")
    published = like_the_published([token.content for _, token in sorted(tiny.added_tokens_decoder.items())])
    for name, tokenizer in (("tiny", tiny), ("like HRM-Text-1B's", published)):
        wrong += bool(compare_tokenizer(name, tokenizer, arguments.out, python, arguments.texts))
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
