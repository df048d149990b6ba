"""Train the 512-token tokenizer of the tiny base and save it as a `PreTrainedTokenizerFast`.

    python scripts/base_tokenizer.py --out hrm_align/models/tiny

The tokenizer is a byte-level BPE, so it can encode any text. Every digit is a separate token, so that arithmetic works on digit
positions. Ids 0-30 are the control tokens of HRM-Text-1B with their ids, so code that works with the tiny base works with the
released model. The corpus also has a little English and JSON-like text. Without this text, fine-tuning data would need about
one token for each letter.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from random import Random

from base_tasks import CITIES, NAMES, WORDS, training_rows
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

VOCAB_SIZE = 512
CONTROL_TOKENS = (  # in the order of their ids
    "<|reserved_0|>",
    "<|direct|>",
    "<|cot|>",
    "<|noisy|>",
    "<|synth|>",
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|object_ref_start|>",
    "<|object_ref_end|>",
    "<|box_start|>",
    "<|box_end|>",
    "<|quad_start|>",
    "<|quad_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
    "<|fim_prefix|>",
    "<|fim_middle|>",
    "<|fim_suffix|>",
    "<|fim_pad|>",
    "<|repo_name|>",
    "<|file_sep|>",
    "<tool_call>",
    "</tool_call>",
    "<tool_response>",
    "</tool_response>",
    "<think>",
    "</think>",
)
PAD, BOS, EOS = "<|endoftext|>", "<|im_start|>", "<|box_end|>"
BASE_ROWS = 20_000
EXTRA_ROWS = (
    2_500  # a tenth of the characters: enough for the common merges; most merges are still the base's own words
)
ENGLISH = (
    "You are a helpful assistant that answers in one short line.",
    "Hello, how can I help you today? I would like to know the name of the city.",
    "The answer is not known, because the text does not say when it was written.",
    "Please write a function that returns the number of items in the list.",
    "There are many people who think that this should be done with more care.",
    "He said that they were going home, but she wanted to stay for another hour.",
    "Select the name and the price from the table where the order is less than ten.",
    "Use the tool to find the weather, then tell the user what you have found.",
    "Yes, of course. Here is the result. No, I am sorry, I cannot do that.",
)


def extra_text(rng: Random, n: int) -> Iterator[str]:
    """Yield lines of plain English and JSON-like records alternately."""
    for i in range(n):
        if i % 2:
            yield rng.choice(ENGLISH)
        else:
            name, city, word = rng.choice(NAMES), rng.choice(CITIES), rng.choice(WORDS)
            yield f'{{"name": "{name}", "city": "{city}", "items": ["{word}"], "count": {rng.randint(0, 99)}}}'


def corpus(seed: int) -> Iterator[str]:
    """Yield the words from which the tokenizer learns its merges.

    Words are yielded one by one, so no merge contains a space, and a word has the same tokens inside a prompt and at the start of
    an answer. Copying `hammer` then means copying its tokens, and not mapping ` hammer` to `hammer`. Documents have 13 % more
    tokens this way. The effect on accuracy was not measured alone; runs that also changed other things showed no gain.
    """
    for row in training_rows(seed, BASE_ROWS):
        yield from row["prompt"].split()
        yield from row["response"].split()
    for line in extra_text(Random(f"extra {seed}"), EXTRA_ROWS):
        yield from line.split()


def train_tokenizer(seed: int) -> PreTrainedTokenizerFast:
    """Train the tokenizer on the corpus of this seed."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE,
        special_tokens=[AddedToken(token, special=True, normalized=False) for token in CONTROL_TOKENS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus(seed), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        bos_token=BOS,
        eos_token=EOS,
        model_max_length=1024,
        model_input_names=["input_ids", "attention_mask"],  # the renderer makes token_type_ids, which mark the prefix
        clean_up_tokenization_spaces=False,
    )


def check(tokenizer: PreTrainedTokenizerFast) -> None:
    """Assert the properties that other code relies on, because they could change with the version of `tokenizers`."""
    assert len(tokenizer) == VOCAB_SIZE
    assert tokenizer.convert_tokens_to_ids(list(CONTROL_TOKENS)) == list(range(len(CONTROL_TOKENS)))
    assert set(pre_tokenizers.ByteLevel.alphabet()) <= set(tokenizer.get_vocab())
    text = 'x = {"a": 12}\n  Zürich \t\u2713'
    assert tokenizer.decode(tokenizer.encode(text)) == text


def main() -> None:
    """Train, check and save the tokenizer."""
    parser = argparse.ArgumentParser(description="Train and save the tokenizer of the tiny base.")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    tokenizer = train_tokenizer(args.seed)
    check(tokenizer)
    tokenizer.save_pretrained(args.out)


if __name__ == "__main__":
    main()
