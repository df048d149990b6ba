"""The command line as a new user meets it: every mistake is one sentence with a remedy, exit code 2, nothing touched."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from hrm_align.cli import COMMANDS, dispatch, run_with_exit_code
from hrm_align.evaluation.best_of import Candidate
from hrm_align.models.loading import load_model_and_tokenizer, resolve
from hrm_align.rendering import get_renderer
from hrm_align.run import read_data
from hrm_align.trainers.sft_config import parse_sft

GOOD = [{"prompt": f"say {i}", "response": f"{i}"} for i in range(6)]


def write(path: Path, rows) -> Path:
    text = rows if isinstance(rows, str) else "".join(json.dumps(row) + "\n" for row in rows)
    path.write_text(text, encoding="utf-8")
    return path


def run(capsys, *argv) -> tuple[int, str, str]:
    code = run_with_exit_code(dispatch, [str(word) for word in argv])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def the_error(capsys, *argv) -> str:
    """The one sentence that a mistake gives."""
    code, _, err = run(capsys, *argv)
    assert code == 2 and err.count("error: ") == 1 and "Traceback" not in err, err
    return err[err.index("error: ") :]


@pytest.fixture
def good(tmp_path):
    return write(tmp_path / "good.jsonl", GOOD)


def sft_flags(tmp_path, data, *flags):
    return ("sft", "--model_name_or_path", "tiny", "--datasets", data, "--output_dir", tmp_path / "run", *flags)


MISTAKES = {
    "a misspelt key": (GOOD, ["--learning_rat", "1e-3"], "did you mean learning_rate?"),
    "a renamed key": (GOOD, ["--max_seq_length", "64"], "max_length"),
    "a wrong type": (GOOD, ["--num_train_epochs", "three"], "num_train_epochs"),
    "an unknown condition": (GOOD, ["--condition", "chat"], "use direct, cot, noisy, synth"),
    "an unknown condition in a row": ([*GOOD, {**GOOD[0], "condition": "chat"}], [], "rows.jsonl:7"),
    "a malformed row": ('{"prompt": "a", "response": "b"}\n{"prompt": "a", "response"\n', [], "rows.jsonl:2"),
    "a wrong column": ([{"promt": "a", "response": "b"}], [], "prompt"),
    "a row without its column": ([*GOOD, {"prompt": "a"}], [], "rows.jsonl:7"),
    "an empty file": ("", [], "has no rows"),
    "rows that are all too long": ([{"prompt": "long " * 50, "response": "b"}], ["--max_length", "16"], "--max_length"),
    "answers that are all empty": ([{"prompt": "a", "response": " "}], [], "empty_response"),
    "another sampler of attention": (GOOD, ["--attn_implementation", "flash_attention_2"], "sdpa"),
    "rows longer than the model reads": (GOOD, ["--max_length", "4096"], "Use at most 1024"),
    "a checkpoint that is none": (GOOD, ["--resume_from_checkpoint", "nowhere"], "nowhere is not a checkpoint folder"),
    "a newest checkpoint where there is none": (GOOD, ["--resume_from_checkpoint", "latest"], "no checkpoint-N"),
    "loss on the prompt": (GOOD, ["--completion_only_loss", "false"], "response"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_training_is_one_sentence(capsys, tmp_path, mistake):
    rows, flags, words = MISTAKES[mistake]
    data = write(tmp_path / "rows.jsonl", rows)
    assert words in the_error(capsys, *sft_flags(tmp_path, data, *flags))
    assert not (tmp_path / "run/model.safetensors").exists()


def test_a_missing_data_file_is_named_with_its_neighbour(capsys, tmp_path, good):
    assert "good.jsonl" in the_error(capsys, *sft_flags(tmp_path, tmp_path / "god.jsonl"))


def test_a_missing_recipe_is_named(capsys):
    assert "recipes/tiny/sft.yaml" in the_error(capsys, "sft", "--config", "recipes/tiny/stf.yaml")


def test_a_missing_model_is_named(capsys, tmp_path, good):
    message = the_error(capsys, "evaluate", "--model", tmp_path / "nowhere", "--data", good)
    assert "no model at" in message and "tiny" in message


def test_a_model_that_is_no_hrm_text_is_refused(capsys, tmp_path, good):
    config = LlamaConfig(vocab_size=32, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1)
    LlamaForCausalLM(config).save_pretrained(tmp_path / "llama")
    tokenizer = load_model_and_tokenizer("tiny")[1]
    tokenizer.save_pretrained(tmp_path / "llama")
    for argv in (
        sft_flags(tmp_path, good, "--model_name_or_path", tmp_path / "llama"),
        ("generate", "--model", tmp_path / "llama", "--prompt", "x"),
    ):
        assert "no HRM-Text" in the_error(capsys, *argv)


@pytest.mark.parametrize(
    "change, words",
    [
        ({"L_bp_cycles": [2]}, "L_bp_cycles: [2]"),
        ({"L_bp_steps": 5}, "L_bp_steps"),
        ({"num_hidden_layers": 32}, "num_hidden_layers: 32"),
    ],
)
def test_a_config_that_loads_as_another_model_is_refused(capsys, tmp_path, good, change, words):
    model, tokenizer = load_model_and_tokenizer("tiny")
    model.save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    config = tmp_path / "model/config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | change))
    assert words in the_error(capsys, *sft_flags(tmp_path, good, "--model_name_or_path", tmp_path / "model"))


def test_a_checkpoint_with_missing_weights_is_refused(capsys, tmp_path):
    from safetensors.torch import load_file, save_file

    model, tokenizer = load_model_and_tokenizer("tiny")
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    saved = load_file(tmp_path / "model.safetensors")
    save_file({k: v for k, v in saved.items() if "z_L_init" not in k}, tmp_path / "model.safetensors", {"format": "pt"})
    assert "z_L_init" in the_error(capsys, "generate", "--model", tmp_path, "--prompt", "x")


@pytest.mark.parametrize(
    "file, content", [("model.safetensors", b"x" * 40), ("config.json", b"[]"), ("tokenizer.json", b"{")]
)
def test_a_damaged_checkpoint_is_named(capsys, tmp_path, file, content):
    model, tokenizer = load_model_and_tokenizer("tiny")
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    (tmp_path / file).write_bytes(content)
    assert f"{tmp_path} cannot be loaded" in the_error(capsys, "generate", "--model", tmp_path, "--prompt", "x")


def test_an_adapter_that_is_none_is_damaged(capsys, tmp_path):
    (tmp_path / "adapter_config.json").write_text("{}")
    assert "adapter_config.json is damaged" in the_error(capsys, "generate", "--model", tmp_path, "--prompt", "x")


def test_a_run_is_not_written_over(capsys, tmp_path, good):
    (tmp_path / "run").mkdir()
    kept = write(tmp_path / "run/notes.txt", "mine")
    assert "nothing is overwritten" in the_error(capsys, *sft_flags(tmp_path, good))
    assert kept.read_text() == "mine" and list((tmp_path / "run").iterdir()) == [kept]


READERS = {
    "inspect": lambda data: ("inspect", data, "--model", "tiny"),
    "evaluate": lambda data: ("evaluate", "--model", "tiny", "--data", data),
    "headroom": lambda data: ("headroom", "--model", "tiny", "--data", data, "--rewards", "exact"),
    "rewards": lambda data: ("rewards", "exact", "--data", data, "--preflight"),
}


@pytest.mark.parametrize("command", READERS)
def test_bad_rows_are_errors_for_every_command_alike_unless_a_share_is_allowed(capsys, tmp_path, command):
    bad = "".join(json.dumps(row) + "\n" for row in ({"prompt": "a"}, {"prompt": 1, "response": "b"}))
    data = write(tmp_path / "rows.jsonl", "".join(json.dumps(row) + "\n" for row in GOOD) + bad + '{"prompt"\n')
    message, of_training = the_error(capsys, *READERS[command](data)), the_error(capsys, *sft_flags(tmp_path, data))
    for line in (7, 8, 9):
        assert f"\n  {data}:{line}: " in message, "all bad rows are named at once"
    assert "`--max_bad_fraction 0.334`" in message
    assert message[: message.rindex("\n")].splitlines()[:-1] == of_training.splitlines()[:-1]
    short = () if command == "inspect" else ("--limit", 2)
    code, out, err = run(capsys, *READERS[command](data), "--max_bad_fraction", "0.334", *short)
    assert code == 0, err
    assert "Warning: 3 of 9 rows cannot be used and are left out:" in out + err and f"{data}:9" in out + err
    assert "0.334" in the_error(capsys, *READERS[command](data), "--max_bad_fraction", "0.333")
    assert "between 0 and 1" in the_error(capsys, *READERS[command](data), "--max_bad_fraction", "2")


@pytest.mark.parametrize("command", READERS)
def test_a_column_with_a_meaning_is_an_error_for_every_command_alike_unless_it_is_ignored(capsys, tmp_path, command):
    rows = [{**row, "id": number, "label": False} for number, row in enumerate(GOOD)]
    data = write(tmp_path / "rows.jsonl", [*GOOD, *rows])
    message, of_training = the_error(capsys, *READERS[command](data)), the_error(capsys, *sft_flags(tmp_path, data))
    assert f"`label` ({data}:7, 6 rows): in KTO's rows" in message and message.endswith("--ignore_columns label\n")
    assert message == of_training
    short = () if command == "inspect" else ("--limit", 2)
    code, out, err = run(capsys, *READERS[command](data), "--ignore_columns", "label", *short)
    assert code == 0, err
    said = " ".join((out + err).split())
    assert f"Unused columns of {data}: id." in said and f"Ignored columns of {data}: label." in said


def test_a_key_of_a_message_is_an_error_unless_it_is_ignored_and_the_record_of_the_run_says_so(capsys, tmp_path):
    turns = [{"role": "user", "content": "a", "name": "ann"}, {"role": "assistant", "content": "b", "mood": "glad"}]
    data = write(tmp_path / "rows.jsonl", [{"messages": turns, "weight": weight} for weight in (1, 0, True)])
    message = the_error(capsys, *READERS["inspect"](data))
    assert f"{data}:1: unread key: `name` in message 1 of `messages`" in message
    assert "--ignore_columns messages.name messages.mood" in message and f"{data}:3" in message
    ignored = ("--ignore_columns", "messages.name", "messages.mood")
    shown = run(capsys, *READERS["inspect"](data), *ignored, "--no_proof")[1]
    assert f"1 of 3 rows of {data} have weight 0 and are not used" in " ".join(shown.split())
    plain = write(tmp_path / "plain.jsonl", [{"prompt": "a", "response": "b"}])
    (row, again), (expected,) = (
        [
            json.loads(line)["input_ids"]
            for line in run(capsys, *READERS["inspect"](path), *flags, "--json")[1].splitlines()
        ]
        for path, flags in ((data, ignored), (plain, ()))
    )
    assert row == again == expected
    recipe = parse_sft([str(word) for word in sft_flags(tmp_path, data, *ignored)[1:]])
    run_data = read_data(recipe.data, 0, None)
    (counted,) = run_data.counts["train"]["datasets"]
    assert counted["ignored_columns"] == [*ignored[1:]] and counted["rows_weight_0"] == 1 and len(run_data.train) == 2


def test_answers_stay_beside_their_rows_where_bad_rows_are_left_out(capsys, tmp_path):
    rows = [{"prompt": f"say {n}", "response": f"{n}", "generated": f"{n % 3}"} for n in range(6)]
    rows[1] = {"prompt": "no answer", "generated": "1"}
    data = write(tmp_path / "rows.jsonl", "".join(json.dumps(row) + "\n" for row in rows) + "{broken\n")
    assert f"{data}:7" in the_error(capsys, "rewards", "exact", "--data", data)
    code, out, err = run(capsys, "rewards", "exact", "--data", data, "--max_bad_fraction", "0.5", "--json")
    assert code == 0, err
    report = json.loads(out)
    assert (report["n"], report["values"]) == (5, {"0": 3, "1": 2}), "0 and 2 are right, and 3 to 5 are wrong"


@pytest.mark.parametrize("command", READERS)
def test_rows_in_columns_of_ones_own_are_read_as_a_recipe_reads_them(capsys, tmp_path, command):
    rows = [{"question": row["prompt"], "answer": row["response"]} for row in GOOD]
    argv = READERS[command](write(tmp_path / "rows.jsonl", rows))
    assert "set `columns`" in the_error(capsys, *argv)
    code, out, err = run(capsys, *argv, "--columns", "{prompt: question, response: answer}", "--json")
    assert code == 0, err
    _, expected, _ = run(capsys, *READERS[command](write(tmp_path / "rows.jsonl", GOOD)), "--json")
    assert out == expected
    for columns, words in (
        ("{prompt: [", "--columns: '{prompt: [' is not a valid mapping"),
        ("question", "Use a mapping from schema columns to your columns"),
        ("{promt: question}", "did you mean `prompt`"),
        ("{prompt: asked, response: answer}", "column `asked` is missing"),
    ):
        assert words in the_error(capsys, *argv, "--columns", columns)


def test_a_format_says_which_of_two_schemas_is_meant(capsys, tmp_path):
    argv = READERS["inspect"](write(tmp_path / "rows.jsonl", [{**row, "completion": "no"} for row in GOOD]))
    assert "Set `format` to one of them" in the_error(capsys, *argv)
    assert "--ignore_columns completion" in the_error(capsys, *argv, "--format", "prompt_response")
    out = run(capsys, *argv, "--format", "prompt_response", "--ignore_columns", "completion", "--json")[1]
    assert out and out == run(capsys, *READERS["inspect"](write(tmp_path / "rows.jsonl", GOOD)), "--json")[1]


def test_the_remedy_for_dropped_rows_is_that_of_their_reason(capsys, tmp_path):
    prompts = write(tmp_path / "prompts.jsonl", [{"prompt": "a"}] * 2)
    for argv in (sft_flags(tmp_path, prompts), READERS["inspect"](prompts)):
        message = the_error(capsys, *argv)
        assert "2 empty_response" in message and "`hrm-align grpo`" in message
        assert "--max_" not in message, "neither length nor a share would help"
    blank, long = {"prompt": "a", "response": " "}, {"prompt": "long " * 60, "response": "b"}
    some = write(tmp_path / "some.jsonl", [*GOOD, blank])
    message = the_error(capsys, *sft_flags(tmp_path, some))
    assert "`hrm-align grpo`" in message and "--max_length" not in message
    assert "or allow a share with --max_dropped_fraction 0.143." in message
    both = the_error(capsys, *sft_flags(tmp_path, write(some, [*GOOD, blank, long]), "--max_length", "64"))
    assert "raise --max_length (now 64)" in both and "`hrm-align grpo`" in both


@pytest.mark.parametrize("command", ["evaluate", "headroom"])
def test_a_file_that_cannot_be_written_is_told_before_the_work(capsys, tmp_path, good, command):
    missing = tmp_path / "none/answers.jsonl"
    argv = (*READERS[command](good), "--save")
    assert f"--save, {good}, already exists" in the_error(capsys, *argv, good)
    assert f"--save {missing}: there is no folder {missing.parent}" in the_error(capsys, *argv, missing)


def test_a_start_that_failed_on_a_row_can_be_repeated_in_the_same_folder(capsys, tmp_path, good):
    data = write(tmp_path / "rows.jsonl", [*GOOD, {"prompt": "a"}])
    flags = sft_flags(tmp_path, data, "--max_steps", "1", "--save_strategy", "no", "--disable_tqdm", "true")
    the_error(capsys, *flags)
    assert json.loads((tmp_path / "run/run/quarantine_train.jsonl").read_text())["source"] == f"{data}:7"
    write(data, GOOD)
    assert run(capsys, *flags)[0] == 0 and (tmp_path / "run/model.safetensors").exists()


@pytest.mark.parametrize(
    "argv, words",
    [
        (("evalute",), "did you mean evaluate?"),
        (("generate", "--model", "tiny"), "--prompt"),
        (("generate", "--model", "tiny", "--prompt", "x", "--condition", "chat"), "condition"),
        (("generate", "--model", "tiny", "--prompt", "x" * 5000), "Shorten the prompt"),
        (("generate", "--model", "tiny", "--prompt", "x", "--dtype", "int3"), "dtype"),
        (("generate", "--model", "tiny", "--prompt", "x", "--device", "foo"), "--device: foo"),
        (("generate", "--model", " ", "--prompt", "x"), "name is empty"),
        (("generate", "--model", "tiny", "--prompt", "x", "--temperature", "-1"), "temperature"),
        (("generate", "--model", "tiny", "--prompt", "x", "--temperature", "1", "--top_p", "2"), "--top_p: 2.0"),
        (("generate", "--model", "tiny", "--prompt", "x", "--top_p", "0.9"), "no effect on greedy decoding: add"),
        (("evaluate", "--model", "tiny", "--data", "data/chat/test.jsonl", "--top_k", "3"), "no effect on greedy"),
        (("generate", "--model", "tiny", "--prompt", ""), "prompt"),
    ],
)
def test_a_mistake_in_a_command_is_one_sentence(capsys, argv, words):
    assert words in the_error(capsys, *argv)


@pytest.mark.parametrize("shots, words", [(9, "2 to 8"), (1, "2 to 8"), (8, "larger --few_shot_data")])
def test_few_shot_limits_are_told(capsys, good, shots, words):
    assert words in the_error(capsys, "evaluate", "--model", "tiny", "--data", good, "--few_shot", shots)


@pytest.mark.numeric
def test_generate_prints_the_greedy_answer(capsys):
    code, out, _ = run(
        capsys, "generate", "--model", "tiny", "--prompt", "Add 2 and 3.", "--max_new_tokens", 5, "--json"
    )
    answer = json.loads(out)
    assert code == 0 and answer.keys() == {"text", "token_ids", "finish_reason"}
    model, tokenizer = load_model_and_tokenizer("tiny")
    ids = get_renderer(tokenizer).prompt("Add 2 and 3.", "direct")
    for token in answer["token_ids"]:
        with torch.no_grad():
            assert int(model(torch.tensor([ids]), use_cache=False).logits[0, -1].argmax()) == token
        ids.append(token)


def test_generate_says_that_an_answer_is_cut_and_does_not_let_it_control_a_terminal(capsys, monkeypatch):
    hostile = Candidate([1, 2, 3], "\x1b[31mred", "length", [0.0] * 3)
    monkeypatch.setattr("hrm_align.commands.generate.draw_candidates", lambda *_: [hostile])
    words = ("generate", "--model", "tiny", "--prompt", "Add 2 and 3.", "--max_new_tokens", 3)
    code, out, err = run(capsys, *words)
    assert code == 0 and out == "\x1b[31mred\n" and "cut at 3 tokens (--max_new_tokens)" in err
    monkeypatch.setattr("hrm_align.commands.generate.results", lambda: SimpleNamespace(isatty=lambda: True))
    assert run(capsys, *words)[1] == "\\x1b[31mred\n"


@pytest.mark.numeric
def test_evaluate_prints_one_object_with_groups_and_intervals(capsys, tmp_path):
    rows = [{"prompt": f"say {i}", "response": "no such answer", "group": "ab"[i % 2]} for i in range(6)]
    data = write(tmp_path / "rows.jsonl", rows)
    argv = ("evaluate", "--model", "tiny", "--data", data, "--max_new_tokens", 4, "--json", "--few_shot", 2)
    code, out, _ = run(capsys, *argv, "--save", tmp_path / "answers.jsonl")
    result = json.loads(out)
    assert code == 0 and result["exact_match"] == 0 and result["n"] == 6
    assert {name: group["n"] for name, group in result["groups"].items()} == {"a": 3, "b": 3}
    assert result["interval"] == pytest.approx([0.0, 0.3903], abs=1e-3)  # Wilson, 0 of 6
    assert len((tmp_path / "answers.jsonl").read_text().splitlines()) == 6


@pytest.mark.parametrize(
    "groups, rows",
    [
        ([], ["all"]),
        (["", None], ["all"]),
        (["a", "b"], ["a", "b", "all"]),
        (["a", ""], ["(no group)", "a", "all"]),
        (["all", None], ["(no group)", "'all'", "all"]),
        (["(no group)", " ", "[b]"], ["'(no group)'", "(no group)", "[b]", "all"]),
    ],
)
def test_evaluate_shows_the_total_once_and_names_the_rows_without_a_group(capsys, tmp_path, groups, rows):
    lines = [{**row, **({"group": groups[i % len(groups)]} if groups else {})} for i, row in enumerate(GOOD)]
    argv = (*READERS["evaluate"](write(tmp_path / "rows.jsonl", lines)), "--max_new_tokens", 4)
    code, out, _ = run(capsys, *argv)
    table = [[cell.strip() for cell in line.split("│")[1:-1]] for line in out.splitlines() if line.startswith("│")]
    assert code == 0 and [cells[0] for cells in table] == rows
    assert table[-1][-1] == str(len(GOOD))
    report = json.loads(run(capsys, *argv, "--json")[1])
    counts = {name: part["n"] for name, part in report["groups"].items()}
    assert counts == {name.replace("'all'", "all"): int(n) for name, *_, n in table[:-1]}
    assert report["n"] == len(GOOD) and sum(counts.values()) == (len(GOOD) if counts else 0)


@pytest.mark.parametrize("command, says", [("sft", True), ("grpo", True), ("generate", False)])
def test_ctrl_c_says_how_a_training_goes_on(capsys, monkeypatch, command, says):
    def stopped(argv):
        raise KeyboardInterrupt

    monkeypatch.setattr(f"{COMMANDS[command][0]}.main", stopped)
    training = ("--model_name_or_path", "tiny", "--datasets", "a.jsonl", "--output_dir", "runs/x")
    words = {
        "sft": training,
        "grpo": (*training, "--rewards", "exact"),
        "generate": ("--model", "tiny", "--prompt", "x"),
    }
    code, _, err = run(capsys, command, *words[command])
    last = err.splitlines()[-1]
    assert code == 130 and last.startswith("interrupted") and ("--resume_from_checkpoint latest" in last) == says


def test_the_installed_command_exits_with_2():
    command = [sys.executable, "-m", "hrm_align.cli", "sft", "--config", "nowhere/at/all.yaml"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2 and done.stderr.startswith("error: ") and "Traceback" not in done.stderr


def test_the_embedded_base_is_small():
    assert sum(file.stat().st_size for file in Path(resolve("tiny")).iterdir()) < 10e6
