"""What stock `generate` would do with a checkpoint's generation settings and pad token is named in training."""

import json
import logging

import pytest
from transformers import AutoTokenizer

from hrm_align.config.arguments import LoraArguments, ModelArguments
from hrm_align.models.lora import load_trainable
from hrm_align.models.stock_generation import find_settings
from tests.planted_faults import copy_of_tiny, edit

ODD = {"do_sample": True, "temperature": 0.01, "repetition_penalty": 1.3, "suppress_tokens": [10, 11, 12]}


@pytest.fixture
def model(tmp_path):
    return copy_of_tiny(tmp_path / "model")


def warnings_of(caplog, model) -> list[str]:
    caplog.clear()
    load_trainable(ModelArguments(str(model)), LoraArguments())
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        (
            ODD,
            [*(f"{key} {json.dumps(value)} (" for key, value in ODD.items()), "the end token (11) is never generated"],
        ),
        ({"bad_words_ids": [[11]]}, ["bad_words_ids [[11]] (the end token (11) is never generated"]),
        ({"min_new_tokens": 9}, ["min_new_tokens 9 (no answer ends before this length)"]),
        ({"num_beams": 2, "early_stopping": True}, ["num_beams 2 (beam search replaces greedy decoding)"]),
    ],
)
def test_training_names_the_settings_that_stock_generate_follows_once(model, caplog, settings, named):
    edit("generation_config.json", **settings)(model)
    (warning,) = warnings_of(caplog, model)
    assert (
        warning.startswith(f"generation_config.json of {model} sets ")
        and f"`hrm-align doctor {model} --fix`" in warning
    )
    assert all(part in warning for part in named), warning


def test_training_is_silent_about_a_sound_checkpoint(model, caplog):
    assert warnings_of(caplog, model) == [] and warnings_of(caplog, "tiny") == []


@pytest.mark.parametrize(
    ("token", "id", "fault"),
    [
        ("<|box_end|>", 5, "the pad token <|box_end|> is the end token"),
        ("<|vision_pad|>", 5, "has the id 16, but pad_token_id in config.json is 5"),
        ("<|endoftext|>", 11, "has the id 5, but pad_token_id in config.json is 11"),
    ],
)
def test_training_names_a_pad_token_that_does_not_fit_and_saves_the_one_of_the_layout(
    model, caplog, tmp_path, token, id, fault
):
    edit("tokenizer_config.json", pad_token=token)(model)
    edit("config.json", pad_token_id=id)(model)
    (warning,) = warnings_of(caplog, model)
    assert warning.startswith(f"tokenizer_config.json of {model}: ") and fault in warning
    trained, tokenizer = load_trainable(ModelArguments(str(model)), LoraArguments())
    trained.save_pretrained(tmp_path / "saved")
    tokenizer.save_pretrained(tmp_path / "saved")
    assert AutoTokenizer.from_pretrained(tmp_path / "saved").pad_token_id == trained.config.pad_token_id == 5


def test_a_setting_is_neutral_by_its_value():
    assert not find_settings({"repetition_penalty": 1.0, "top_k": 50, "max_length": 64, "use_cache": True}, 11, 64)
    (setting,) = find_settings({"max_length": 63}, 11, 64)
    assert setting.key == "max_length" and not setting.changes_greedy
