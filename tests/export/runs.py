"""Small runs to export, and what is done with an export."""

import json
import re
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

from hrm_align.export.gguf import QWEN2_PATTERN
from hrm_align.models.loading import resolve
from tests.forks import STOCK
from tests.trainers.recipe_runs import sft

TASK = "data/json_extraction"
STEPS = ("--learning_rate", "1e-3", "--max_steps", "12", "--per_device_train_batch_size", "1", "--packing", "true",
         "--max_length", "256", "--save_strategy", "no", "--ema_decay", "0.5")  # fmt: skip
LORA = ("--use_peft", "true", "--lora_r", "4", "--lora_target_modules", "all", "--learning_rate", "2.5e-2")
# Sums: the base knows them, and twelve steps on another task leave some of them right.
ROWS = "tests/export/sums.jsonl"
ASKED = ("--data", ROWS, "--max_new_tokens", "24")


def trained(folder: Path, *flags: str) -> Path:
    """A run of twelve steps, which changes every answer of the base."""
    sft(folder, Path(f"{TASK}/train.jsonl"), *STEPS, *flags)
    return folder


def card_metadata(folder: Path) -> dict:
    """The metadata of a card, as the Hub reads it."""
    from huggingface_hub import ModelCard

    return ModelCard.load(folder / "README.md").data.to_dict()


def quickstart(folder: Path, question: str, condition: str = "direct", beside: Path | None = None) -> str:
    """What the code in the card prints for a question, run in a process of its own beside the folder."""
    text = (folder / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert f'condition="{condition}"' in code
    code = code.replace('"Hello."', json.dumps(question)).replace(
        '"hrm_align/models/tiny"', json.dumps(resolve("tiny"))
    )
    code += '\nimport sys\nassert "hrm_align" not in sys.modules'
    done = STOCK.run(code, folder=beside or folder.parent)
    assert done.returncode == 0, done.stderr
    return done.stdout.rstrip("\n")


def untrained_like_the_published() -> Tokenizer:
    """A tokenizer without tokens that splits texts as HRM-Text-1B's does: NFC, Qwen2's pattern, bytes."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    split = pre_tokenizers.Split(Regex(QWEN2_PATTERN), "isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer
