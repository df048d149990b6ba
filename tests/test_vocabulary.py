"""The tiny base behind another vocabulary, in which every token has another id, is the same model everywhere.

And a checkpoint with another prompt layout than HRM-Text's is named as such, in one sentence.
"""

import json
import shutil
from pathlib import Path
from unittest.mock import patch

import pytest
import torch
from safetensors.torch import load_file, save_file

from hrm_align import load_model
from hrm_align.cli import main as cli
from hrm_align.models.intervals import PrefixMaskError
from hrm_align.models.loading import load_model_and_tokenizer, resolve
from hrm_align.rendering import PUBLISHED, Layout, render_conversation, render_prompt
from hrm_align.rollouts.local import generate
from tests.trainers.recipe_runs import metrics, sft, write_rows

SIZE, SHIFT = 512, 100
TURNS = [
    {"role": "user", "content": "copy sun"},
    {"role": "assistant", "content": "sun"},
    {"role": "user", "content": "and the oak"},
    {"role": "assistant", "content": "oak"},
]


def moved(ids):
    """The other vocabulary's ids of the same tokens; control tokens 6, 7, 10, 11 become 106, 107, 110, 111."""
    return [(id + SHIFT) % SIZE for id in ids]


def rewrite(path: Path, change) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """A folder with the tiny base under moved ids: tokenizer, config, and the rows of embedding and head."""
    folder = tmp_path_factory.mktemp("vocabulary") / "other"
    shutil.copytree(resolve("tiny"), folder)

    def move_tokenizer(content):
        content["model"]["vocab"] = {token: (id + SHIFT) % SIZE for token, id in content["model"]["vocab"].items()}
        for token in content["added_tokens"]:
            token["id"] = (token["id"] + SHIFT) % SIZE

    def move_config(content):
        for word in ("pad", "bos", "eos"):
            content[f"{word}_token_id"] += SHIFT

    rewrite(folder / "tokenizer.json", move_tokenizer)
    rewrite(folder / "config.json", move_config)
    rewrite(folder / "generation_config.json", move_config)
    tensors = load_file(folder / "model.safetensors")
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        tensors[name] = tensors[name].roll(SHIFT, 0)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    return folder


@pytest.fixture(scope="module")
def both(other):
    return load_model_and_tokenizer("tiny"), load_model_and_tokenizer(str(other))


def test_prompts_and_documents_are_the_same_tokens(both):
    (_, ours), (_, theirs) = both
    assert render_prompt(theirs, "copy sun", "cot") == moved(render_prompt(ours, "copy sun", "cot"))
    for document, expected in zip(render_conversation(theirs, TURNS), render_conversation(ours, TURNS), strict=True):
        assert document.input_ids == moved(expected.input_ids) and document.prefix_length == expected.prefix_length


def packed(documents):
    ids = torch.tensor([[id for document in documents for id in document.input_ids]])
    return ids, torch.cat([torch.arange(len(document.input_ids)) for document in documents])[None]


@pytest.mark.numeric
@pytest.mark.parametrize("kernel", ["sdpa", "per_document"])
def test_masks_and_logits_are_the_same(both, kernel):
    (model, tokenizer), (other_model, _) = both
    ids, positions = packed(render_conversation(tokenizer, TURNS))
    for each in (model, other_model):
        each.set_attn_implementation(kernel)
    with torch.no_grad():
        expected = model(ids, position_ids=positions).logits
        logits = other_model((ids + SHIFT) % SIZE, position_ids=positions).logits
    assert torch.equal(logits.roll(-SHIFT, 2), expected)


def test_packed_documents_without_positions_are_refused(both):
    (_, tokenizer), (other_model, _) = both
    ids, _ = packed(render_conversation(tokenizer, TURNS))
    with pytest.raises(PrefixMaskError, match="several documents"):
        other_model((ids + SHIFT) % SIZE)


def test_an_answer_may_hold_what_are_control_tokens_elsewhere(both):
    """The published ids of the end of an answer and the start of a message are plain text here."""
    (model, tokenizer), (other_model, _) = both
    prompt = render_prompt(tokenizer, "copy sun")
    answer = [(id - SHIFT) % SIZE for id in (PUBLISHED.answer_end, PUBLISHED.message_start, PUBLISHED.prefix_end, 300)]
    with torch.no_grad():
        expected = model(torch.tensor([prompt + answer])).logits
        logits = other_model(torch.tensor([moved(prompt + answer)])).logits
    assert torch.equal(logits.roll(-SHIFT, 2), expected)


def test_greedy_answers_are_the_same(both):
    (model, tokenizer), (other_model, other_tokenizer) = both
    questions = ["copy sun", "what is 3 plus 4?", "say red"]
    ours = generate(model, [render_prompt(tokenizer, text) for text in questions], max_new_tokens=24)
    theirs = generate(other_model, [render_prompt(other_tokenizer, text) for text in questions], max_new_tokens=24)
    assert theirs == [moved(answer) for answer in ours]


@pytest.mark.numeric
def test_training_learns_the_same_and_saves_the_layout_by_role(other, tmp_path, capsys):
    rows = write_rows(tmp_path / "rows.jsonl", [{"prompt": f"copy {n} sun", "response": f"{n} sun"} for n in range(16)])
    flags = ("--max_steps", "4", "--logging_steps", "1", "--learning_rate", "1e-3", "--packing", "true", "--max_length", "64",
             "--save_strategy", "no")  # fmt: skip
    losses = []
    for name, model in (("ours", "tiny"), ("theirs", str(other))):
        sft(tmp_path / name, rows, *flags, "--model_name_or_path", model)
        losses.append([line["loss"] for line in metrics(tmp_path / name) if "loss" in line])
    assert losses[1] == pytest.approx(
        losses[0], rel=1e-5
    )  # noise 0 seen; another mask changes a loss by more than 1e-3
    config = load_model(str(tmp_path / "theirs")).config
    assert Layout.of(config) == Layout(*moved(PUBLISHED))
    assert Layout.of(load_model(str(tmp_path / "ours")).config) == PUBLISHED
    capsys.readouterr()
    assert run_cli("doctor", str(tmp_path / "theirs"), "--json") == 0
    assert json.loads(capsys.readouterr().out)["findings"] == []


def run_cli(*words):
    with patch("sys.argv", ["hrm-align", *words]):
        return cli()


def test_the_doctor_adds_the_roles_to_a_config_that_names_only_first_and_last(other, tmp_path, capsys):
    folder = shutil.copytree(other, tmp_path / "copy")
    (folder / "chat_template.jinja").unlink()
    assert run_cli("doctor", str(folder), "--fix") == 0
    capsys.readouterr()
    config = json.loads((folder / "config.json").read_text())
    assert [config[f"{role}_token_id"] for role in Layout._fields] == moved(PUBLISHED)
    assert Layout.of(load_model(str(folder)).config) == Layout(*moved(PUBLISHED)), "without the tokenizer too"


@pytest.fixture
def turns(tmp_path):
    """A checkpoint whose tokenizer has the markers of Gemma's template in the place of HRM-Text's."""
    folder = tmp_path / "turns"
    shutil.copytree(resolve("tiny"), folder)
    text = (folder / "tokenizer.json").read_text()
    names = {"<|im_start|>": "<|turn>", "<|im_end|>": "<turn|>", "<|box_start|>": "<|channel>", "<|box_end|>": "<eos>"}
    for ours, theirs in names.items():
        text = text.replace(ours, theirs)
    (folder / "tokenizer.json").write_text(text)
    rewrite(folder / "tokenizer_config.json", lambda content: content.update(bos_token="<|turn>", eos_token="<eos>"))
    (folder / "chat_template.jinja").write_text(
        "{% for m in messages %}<|turn>{{ m.role }}\n{{ m.content }}<turn|>{% endfor %}"
    )
    return folder


def test_another_layout_is_named_in_one_sentence(turns, tmp_path, capsys):
    rows = write_rows(tmp_path / "rows.jsonl", [{"prompt": f"copy {n}", "response": str(n)} for n in range(3)])
    for words in (
        ("inspect", str(rows), "--model", str(turns)),
        (
            "sft",
            "--model_name_or_path",
            str(turns),
            "--datasets",
            str(rows),
            "--output_dir",
            str(tmp_path / "run"),
            "--use_cpu",
            "true",
        ),
        ("evaluate", "--model", str(turns), "--data", str(rows)),
    ):
        assert run_cli(*words) == 2
        lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
        assert len(lines) == 1 and "another prompt layout" in lines[0] and "<|turn>" in lines[0], (words, lines)
    with pytest.raises(SystemExit):
        run_cli("doctor", str(turns), "--json")
    findings = json.loads(capsys.readouterr().out)["findings"]
    assert ["another prompt layout" in json.dumps(finding) for finding in findings] == [True], findings
