"""`hrm-align check-engine` against a server of vLLM's protocol: right, and with each fault planted."""

import json

import pytest

from hrm_align.models.loading import load_model_and_tokenizer
from tests.command_line import run
from tests.rewards.judge_server import Reply
from tests.rollouts.vllm_server import VLLMServer

FEW = ("--model", "tiny", "--rows", "4", "--max_new_tokens", "8", "--burst", "4")


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    """The tiny base with a context of 320 tokens instead of 1,024, because prompts of full length take most of the time.

    Rows of more than 256 tokens still take the kernel of long rows.
    """
    folder = tmp_path_factory.mktemp("short") / "base"
    model, tokenizer = load_model_and_tokenizer("tiny")
    model.config.max_position_embeddings = 320
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def checked(capsys, *flags, **how):
    with VLLMServer(**how) as server:
        code, out, err = run(capsys, "check-engine", server.url, *FEW, *flags)
    assert out.count("\n") == (1 if code < 2 else 0), err
    return code, out, err


@pytest.mark.numeric
def test_a_right_engine_passes(short, capsys):
    code, out, _ = checked(capsys, "--json", "--model", short, model=short)
    report = json.loads(out)
    assert code == 0 and report["right"] and report["flags"] == []
    assert report["answers"]["equal"] == report["answers"]["n"] == 4 and report["answers"]["largest"] < 1e-4
    assert report["full_length"]["tokens"] == 288 and report["full_length"]["largest"] < 1e-4
    assert report["verdict"].startswith("right: 4 of 4 answers equal, log-probabilities within ")
    assert "128 requests of full length fit into its memory of 131072 tokens" in report["verdict"]


WRONG = {
    "a causal prompt": ({"causal": True}, "it reads prompts from left to right", ""),
    "a small budget": ({"budget": 160}, "a step has at most 160 tokens, and a longer prompt stops the server",
                       ". Start it with --max-num-batched-tokens 320"),
    "a small budget that it does not state": ({"budget": 160, "dev": False}, "a prompt of 288 tokens has no answer (no answer within",
                                              ". Start it with --max-num-batched-tokens 320"),
    "little memory": ({"kv_tokens": 400}, "4 long answers at once are off by up to 0.3 nats after ", ". Start it with --max-num-seqs 1"),
}  # fmt: skip


@pytest.mark.numeric
@pytest.mark.parametrize("name", WRONG)
def test_a_fault_is_named_with_the_flag_to_set(name, short, capsys):
    how, words, remedy = WRONG[name]
    flags = ("--model", short, *(("--timeout", "2") if "dev" in how else ()))
    code, out, _ = checked(capsys, *flags, model=short, **how)
    assert code == 1 and out.startswith("wrong: ") and words in out, out
    assert out.rstrip().endswith(remedy) and ("Start it" in out) == bool(remedy), out


@pytest.mark.numeric
def test_other_weights_are_noticed(capsys, tmp_path):
    model, tokenizer = load_model_and_tokenizer("tiny")
    model.lm_head.weight.data *= 1.02
    model.save_pretrained(tmp_path / "other")
    tokenizer.save_pretrained(tmp_path / "other")
    code, out, _ = checked(capsys, model=str(tmp_path / "other"))
    assert code == 1 and "it does not compute this model" in out, out


def test_prompts_without_room_are_counted(capsys, tmp_path):
    rows = [{"prompt": text, "response": "-"} for text in ("copy abc", "copy " + "a" * 2000)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    code, out, err = checked(capsys, "--data", tmp_path / "rows.jsonl")
    assert code == 0 and out.startswith("right: 1 of 1 answers equal")
    assert "1 of 2 prompts leave no room for 8 tokens" in " ".join(err.split())


def test_what_cannot_be_checked(capsys):
    code, _, err = run(capsys, "check-engine", "http://127.0.0.1:9/v1", *FEW)
    assert code == 2 and "does not answer" in err and err.count("\n") <= 3, err
    with VLLMServer() as server:
        server.post = lambda path, request: Reply(body=b'{"choices": [{"text": "x"}]}')
        code, _, err = run(capsys, "check-engine", server.url, *FEW)
    assert code == 2 and "does not answer completions with token ids and log-probabilities" in err, err
