"""A row of megabytes is dropped without tokenizing it, and no row is dropped that fits; ids above 65,535 stay what they are."""

import json
import time

import pytest
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from hrm_align.data.dataset import DatasetSpec, load_examples
from hrm_align.data.encode import _PROBE
from hrm_align.data.length_bound import longest_text
from hrm_align.data.packing import PackedCollator, pack
from hrm_align.data.tokenize import select_answerable_prompts, tokenize
from hrm_align.errors import UserError
from hrm_align.models.loading import load_tokenizer
from hrm_align.rendering import Renderer, get_renderer

LONG = "word " * 3_000_000  # 15 MB


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer("tiny")


def changed(tokenizer, change):
    """The tokenizer after a change of its tokenizer.json."""
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    change(state)
    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(json.dumps(state)))


class Watched:
    """A tokenizer that remembers the length of the longest text that it encodes."""

    def __init__(self, encoder):
        self._encoder, self.longest = encoder, 0

    def __getattr__(self, name):
        method = getattr(self._encoder, name)

        def encode(texts, *arguments, **options):
            self.longest = max([self.longest, *map(len, [texts] if isinstance(texts, str) else texts)])
            return method(texts, *arguments, **options)

        return encode if name.startswith("encode") and name != "encode_special_tokens" else method


@pytest.mark.parametrize("place", ["prompt", "response", "tool call"])
def test_a_row_of_15_megabytes_is_dropped_unseen_by_the_tokenizer(tmp_path, tokenizer, monkeypatch, place):
    row = {"prompt": "q", "response": "a"}
    if place == "tool call":
        call = {"name": "f", "arguments": {"x": LONG}}
        row = {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "tool_calls": [call]}]}
    else:
        row[place] = LONG
    short = {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}
    path, renderer = tmp_path / "rows.jsonl", get_renderer(tokenizer)
    path.write_text(
        json.dumps(row) + "\n" + json.dumps(short if place == "tool call" else {"prompt": "q", "response": "a"})
    )
    encoder = Watched(renderer.encoder)
    monkeypatch.setattr(renderer, "encoder", encoder)
    start = time.process_time()
    examples, counts = load_examples([DatasetSpec(str(path))])
    documents, dropped = tokenize(examples, renderer, 4096)
    assert time.process_time() - start < 2  # 0.5 s measured
    assert (len(documents), dropped.counts, dropped.sources) == (1, {"too_long": 1}, {"too_long": [f"{path}:1"]})
    assert counts.rows_bad == 0 and 0 < encoder.longest <= len(_PROBE)
    if place == "prompt":
        encoder.longest = 0
        answerable, report = select_answerable_prompts(examples, tokenizer, 4096, 0.5)
        assert [example.source for example in answerable] == [f"{path}:2"]
        assert report["dropped"]["by_reason"] == {"too_long": 1} and encoder.longest == 1
        with pytest.raises(UserError, match="1 of 2 prompts are longer than 4096 tokens"):
            select_answerable_prompts(examples, tokenizer, 4096, 0.1)


def test_no_text_that_fits_is_dropped_whatever_the_tokenizer(tokenizer):
    """The texts with the most characters a token, for tokenizers that shorten text and others."""
    renderer = get_renderer(tokenizer)
    longest_token = max(tokenizer.get_vocab(), key=len)
    assert longest_text(renderer.encoder, 10) == 10 * len(longest_token) == 200
    composing = Renderer(changed(tokenizer, lambda s: s.update(normalizer={"type": "NFC"})))
    assert longest_text(composing.encoder, 10) == 800
    for render in (renderer, composing):
        for text in (longest_token * 50, " " * 400, "e\u0301" * 300, "\u03b1\u0313\u0300\u0345" * 200, "1" * 300):
            tokens = len(render.plain(text))
            assert longest_text(render.encoder, tokens) >= len(text), text[:10]


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s.update(normalizer={"type": "Strip", "strip_left": True, "strip_right": True}),
        lambda s: s.update(pre_tokenizer={"type": "WhitespaceSplit"}),
        lambda s: s["pre_tokenizer"]["pretokenizers"].insert(0, {"type": "Split", "pattern": {"String": " "}, "behavior": "Removed", "invert": False}),
    ],
)  # fmt: skip
def test_a_tokenizer_that_may_drop_characters_tokenizes_every_text(tokenizer, change):
    encoder = Renderer(changed(tokenizer, change)).encoder
    assert longest_text(encoder, 10) == float("inf")
    assert not encoder.encode(" " * 10_000, add_special_tokens=False).ids


def test_a_vocabulary_without_a_byte_has_no_bound(tokenizer):
    missing = "\u0100"  # in byte-level BPE, the byte 0

    def remove(state):
        model = state["model"]
        model["vocab"] = {token: id for token, id in model["vocab"].items() if missing not in token}
        model["merges"] = [pair for pair in model["merges"] if missing not in "".join(pair)]

    encoder = Renderer(changed(tokenizer, remove)).encoder
    assert longest_text(encoder, 10) == float("inf")


def test_ids_above_65535_pass_through_packing_unchanged(tmp_path, tokenizer):
    """A vocabulary of 131,072 and more, as that of KoHRM-Text: the ids of the tiny base with 131,000 added."""

    def move(state):
        vocabulary = state["model"]["vocab"]
        control = {token["content"] for token in state["added_tokens"]}
        state["model"]["vocab"] = {token: id if token in control else id + 131_000 for token, id in vocabulary.items()}

    large = get_renderer(changed(tokenizer, move))
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"copy {n} sun", "response": f"{n} sun"}) + "\n" for n in range(20)))
    examples, _ = load_examples([DatasetSpec(str(path))])
    documents, _ = tokenize(examples, large, 64)
    small, _ = tokenize(examples, get_renderer(tokenizer), 64)

    def moved(ids):
        return [id if id < 31 else id + 131_000 for id in ids]

    expected = [moved(row["input_ids"]) for row in small]
    assert [row["input_ids"] for row in documents] == expected
    assert max(map(max, expected)) > 2**16
    packed = pack(documents, 64)
    assert sorted(ids for row in packed for ids in row["documents"]) == sorted(expected)
    batch = PackedCollator(pad_id=0)([packed[0]])
    joined = [id for ids in packed[0]["documents"] for id in ids]
    assert batch["input_ids"][0].tolist() == joined
    assert {*batch["labels"][0].tolist()} <= {-100, *joined}
