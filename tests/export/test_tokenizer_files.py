"""The exported tokenizer loads in every release of Transformers that has the model, and its template marks the trained tokens.

Checked by hand on 28 November 2026: each folder of `ODD` loads, and gives the same ids, types and mask, in Transformers 5.9.0, the
oldest release with HrmText; in 4.57.6, on which some engines build, it gives the same ids and types.
"""

import json
import shutil

import pytest
from datasets import Dataset
from transformers import AutoTokenizer
from trl import SFTConfig, SFTTrainer

from hrm_align import render_conversation
from hrm_align.export.folder import write_tokenizer
from hrm_align.models.loading import load_model, load_tokenizer, resolve
from tests.planted_faults import copy_of_tiny, edit, unmarked, without_thoughts

TALK = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": " Hello.\n"},
    {"role": "user", "content": "\U0001f600 What is the time?"},
    {"role": "assistant", "content": "", "tool_calls": [{"name": "clock", "arguments": {"zone": "UTC"}}]},
    {"role": "tool", "content": "12:30"},
    {"role": "assistant", "content": "\U0001f600 Half past twelve."},
]
TURNS = (3, 5, 7)

ODD = {
    "as it is": {},
    "extra tokens in the old form": {"additional_special_tokens": ["<tool_call>", "</tool_call>"]},
    "extra tokens as a list": {"extra_special_tokens": ["<tool_call>", "</tool_call>"]},
    "extra tokens by name": {"extra_special_tokens": {"think_token": "<think>"}},
    "no longest text": {"model_max_length": int(1e30)},
    "a longest text that is a float": {"model_max_length": 1e30},
    "a longest text above the positions": {"model_max_length": 131072},
    "the class of another model": {"tokenizer_class": "Qwen2Tokenizer"},
    "a class that no release has": {"tokenizer_class": "HrmTextTokenizer"},
    "code beside the tokenizer": {"auto_map": {"AutoTokenizer": ["tok.Tok", None]}},
    "padding on the right": {"padding_side": "right", "truncation_side": "left"},
    "the end token as pad token": {"pad_token": "<|box_end|>"},
}


def written(tmp_path, base):
    """The exported tokenizer of a base, as a folder."""
    (tmp_path / "mine").mkdir()
    write_tokenizer(load_tokenizer(str(base)), tmp_path / "mine", 1024)
    shutil.copy(base / "config.json", tmp_path / "mine")
    return tmp_path / "mine"


@pytest.mark.parametrize("name", ODD)
def test_the_metadata_are_those_that_every_release_reads(tmp_path, name):
    base = copy_of_tiny(tmp_path / "base")
    edit("tokenizer_config.json", **ODD[name])(base)
    folder = written(tmp_path, base)
    config = json.loads((folder / "tokenizer_config.json").read_text())
    assert config["tokenizer_class"] == "PreTrainedTokenizerFast" and config["model_max_length"] == 1024
    assert config["padding_side"] == "left" and config["pad_token"] == "<|endoftext|>"
    assert not config.keys() & {"extra_special_tokens", "auto_map", "backend", "name_or_path"}
    stock, ours = AutoTokenizer.from_pretrained(folder), AutoTokenizer.from_pretrained(resolve("tiny"))
    extra = {"<tool_call>", "</tool_call>"} if "extra tokens" in name and "by name" not in name else set()
    assert extra <= set(stock.all_special_tokens) and (stock.eos_token_id, stock.pad_token_id) == (11, 5)
    text = "<|im_start|><|quad_end|>Add 12 and 30.<tool_call><|im_end|>"
    encoded = stock(text)
    assert encoded["input_ids"] == ours(text)["input_ids"] and set(encoded["token_type_ids"]) == {1}


def own_byte_level(base):
    """Give a tokenizer a post-processor whose offsets leave out the space before a word."""
    state = json.loads((base / "tokenizer.json").read_text())
    state["post_processor"] = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    (base / "tokenizer.json").write_text(json.dumps(state))


@pytest.mark.parametrize("change", [None, own_byte_level, unmarked, without_thoughts])
def test_the_template_marks_the_last_answer_and_its_end_token(tmp_path, change):
    base = copy_of_tiny(tmp_path / "base")
    if change is not None:
        change(base)
    stock, ours = AutoTokenizer.from_pretrained(written(tmp_path, base)), load_tokenizer("tiny")
    for turns in TURNS:
        for condition in ("direct", "synth,cot", ""):
            document = render_conversation(ours, TALK[:turns], condition)[-1]
            encoded = stock.apply_chat_template(
                TALK[:turns], condition=condition, return_dict=True, return_assistant_tokens_mask=True
            )
            assert encoded["input_ids"] == document.input_ids
            trained = [int(place >= document.prefix_length) for place in range(len(document.input_ids))]
            assert encoded["assistant_masks"] == trained, (turns, condition)
    prompt = stock.apply_chat_template(
        TALK[:6], add_generation_prompt=True, return_dict=True, return_assistant_tokens_mask=True
    )
    assert set(prompt["assistant_masks"]) == {0}, "a prompt has no trained token"


def test_stock_trl_trains_the_same_tokens(tmp_path):
    stock, ours = (
        AutoTokenizer.from_pretrained(written(tmp_path, copy_of_tiny(tmp_path / "base"))),
        load_tokenizer("tiny"),
    )
    args = SFTConfig(str(tmp_path / "run"), assistant_only_loss=True, report_to="none", use_cpu=True, max_length=512)
    rows = Dataset.from_list([{"messages": TALK[:turns]} for turns in TURNS])
    trainer = SFTTrainer(load_model("tiny"), args, train_dataset=rows, processing_class=stock)
    batch = trainer.data_collator([trainer.train_dataset[place] for place in range(len(TURNS))])
    for row, turns in zip(batch["labels"], TURNS, strict=True):
        document = render_conversation(ours, TALK[:turns])[-1]
        assert row[row != -100].tolist() == document.input_ids[document.prefix_length :]
