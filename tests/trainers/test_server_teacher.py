"""A distillation teacher behind a server: the loss of a local teacher, what a probe finds wrong, failures, and the key."""

import pytest
import torch

import recipes.distill
from hrm_align import render_prompt
from hrm_align.errors import RunError
from hrm_align.models.loading import load_model_and_tokenizer
from hrm_align.trainers.server_teacher import ServerTeacher
from hrm_align.trainers.teachers import TopTokens
from recipes.distill import main
from tests.command_line import run
from tests.rewards.judge_server import closing, error, text
from tests.trainers.recipe_runs import last_of_each, metrics, write_rows
from tests.trainers.teacher_server import TeacherServer

SMALL = ("--max_completion_length", "6", "--per_device_train_batch_size", "4", "--learning_rate", "1e-3", "--max_steps", "2",
         "--save_strategy", "no", "--parity_every", "0", "--disable_tqdm", "true", "--beta", "0.5", "--logging_steps", "1",
         "--teacher_model_name_or_path", "teacher")  # fmt: skip


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    """The tiny base with other weights: its folder, model and tokenizer."""
    model, tokenizer = load_model_and_tokenizer("tiny")
    torch.manual_seed(1)
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(1 + 0.1 * torch.randn_like(weight))
    folder = tmp_path_factory.mktemp("teacher")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder, model.eval(), tokenizer


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    made = [{"prompt": f"{a} plus {b}?"} for a in range(11, 15) for b in (5, 23)]
    return write_rows(tmp_path_factory.mktemp("rows") / "rows.jsonl", made)


def flags_of(output_dir, data, *flags):
    given = ["--model_name_or_path", "tiny", "--datasets", str(data), "--output_dir", str(output_dir)]
    return last_of_each([*given, *SMALL, *flags])


def losses(output_dir, data, *flags):
    main(flags_of(output_dir, data, *flags))
    return [(record["loss"], record["kl"]) for record in metrics(output_dir) if "loss" in record]


class Local:
    """The tokens that a server of this model returns, without a server."""

    def __init__(self, model, tokenizer, k):
        self.server, self.k = TeacherServer(model, tokenizer), k

    def score(self, documents):
        answers = []
        for prompt, completion in documents:
            logprobs = self.server.logprobs([*prompt, *completion])[len(prompt) - 1 :]
            ids = [
                sorted({*row.topk(self.k).indices.tolist(), own}) for row, own in zip(logprobs, completion, strict=True)
            ]
            answer = torch.full((len(ids), self.k + 1), -torch.inf)
            places = torch.zeros(len(ids), self.k + 1, dtype=torch.long)
            for t, tokens in enumerate(ids):
                places[t, : len(tokens)] = torch.tensor(tokens)
                answer[t, : len(tokens)] = logprobs[t, tokens]
            answers.append(TopTokens(places, answer))
        return answers


@pytest.mark.numeric
@pytest.mark.parametrize("form", ["prompt_logprobs", pytest.param("echo", marks=pytest.mark.campaign)])
def test_the_loss_is_that_of_a_local_teacher(form, teacher, rows, tmp_path, monkeypatch):
    """Of the whole vocabulary, and of the most probable tokens; two updates. Differences seen: 3e-7."""
    folder, model, tokenizer = teacher
    with TeacherServer(model, tokenizer, form) as server:
        address = ("--teacher_base_url", server.url)
        whole = losses(tmp_path / "whole", rows, *address, "--teacher_top_logprobs", str(model.config.vocab_size))
        top = losses(tmp_path / "top", rows, *address, "--teacher_top_logprobs", "4")
        assert server.overlap > 1, "documents are asked about together"
    local = losses(tmp_path / "local", rows, "--teacher_model_name_or_path", str(folder))
    monkeypatch.setattr(recipes.distill, "load_teacher", lambda *_: Local(model, tokenizer, 4))
    restricted = losses(tmp_path / "restricted", rows, "--teacher_model_name_or_path", str(folder))
    print(form, torch.tensor(whole) - torch.tensor(local), torch.tensor(top) - torch.tensor(restricted))
    assert torch.tensor(whole) == pytest.approx(torch.tensor(local), abs=1e-5)
    assert torch.tensor(top) == pytest.approx(torch.tensor(restricted), abs=1e-5)
    assert top[0][0] < whole[0][0] - 1e-3, "the tokens that are not returned are one outcome"


WRONG = {
    "a causal prompt": ({"mask": "causal"}, (), "reads the prompt from left to right"),
    "a completion in both directions": ({"mask": "all"}, (), "reads the completion in both directions"),
    "too few tokens": ({"most": 5}, (), "returns 5 of 20 requested tokens: set teacher_top_logprobs to 5"),
    "no log-probabilities": ({"form": "none"}, (), "returns no log-probabilities of a prompt given as token ids (prompt_logprobs: "),
    "a token before the prompt": ({"before": [31]}, (), "the body is not what was requested"),
    "no key": ({"key": "s3cret"}, (), "the server refuses a request without a key. Set `teacher_api_key_env`"),
    "a wrong key": ({"key": "s3cret"}, ("--teacher_api_key_env", "TEACHER_KEY"), "the server refuses the key in TEACHER_KEY"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_server_that_cannot_teach_is_refused_before_the_run(name, teacher, rows, tmp_path, capsys, monkeypatch):
    how, flags, words = WRONG[name]
    monkeypatch.setenv("TEACHER_KEY", "another-key")
    monkeypatch.setattr("hrm_align.rewards.judge_client.FIRST_PAUSE", 0.01)
    with TeacherServer(*teacher[1:], **how) as server:
        code, _, err = run(
            capsys, "distill", *flags_of(tmp_path / "run", rows, "--teacher_base_url", server.url, *flags)
        )
    told = err[err.rindex("error: ") :]
    assert code == 2 and words in told, told
    assert told.startswith(f"error: the teacher's server {server.url} ") and told.count("\n") == 1
    assert "another-key" not in err


def test_other_tokens_are_noticed(teacher, rows, tmp_path, capsys):
    class Other:
        def decode(self, ids):
            return chr(97 + ids[0] % 26)

    with TeacherServer(teacher[1], Other()) as server:
        code, _, err = run(capsys, "distill", *flags_of(tmp_path / "run", rows, "--teacher_base_url", server.url))
    assert code == 2 and "has other tokens than the student" in err, err


def test_failed_tries_are_repeated_and_a_lost_server_fails_the_run_in_one_sentence(teacher, monkeypatch):
    monkeypatch.setattr("hrm_align.rewards.judge_client.FIRST_PAUSE", 0.001)
    monkeypatch.setattr("hrm_align.trainers.server_teacher.RETRIES", 3)
    _, model, tokenizer = teacher
    prompt, completion = render_prompt(tokenizer, "2 plus 3?"), [40, 41, 42]
    with TeacherServer(model, tokenizer) as server:
        asked = ServerTeacher(server.url, "teacher", 3, model.config.vocab_size)
        asked.connect(tokenizer)
        before = len(server.requests)
        server.failures = [error(503), closing(), text(b'{"choices": [{"prompt_logprobs": [null, {}]}]}')]
        (top,) = asked.score([(prompt, completion)])
        assert top.ids.shape[0] == 3 and len(server.requests) == before + 4
        server.failures = [error(500, "no memory")] * 4
        with pytest.raises(RunError, match=r"did not answer: HTTP 500 \(no memory\) \(4 tries\)"):
            asked.score([(prompt, completion)])


def test_the_key_is_sent_and_stands_nowhere(teacher, rows, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("TEACHER_KEY", "s3cret-key")
    with TeacherServer(*teacher[1:], key="s3cret-key") as server:
        flags = (
            "--teacher_base_url",
            server.url,
            "--teacher_api_key_env",
            "TEACHER_KEY",
            "--save_strategy",
            "steps",
            "--save_steps",
            "1",
        )
        code, out, err = run(capsys, "distill", *flags_of(tmp_path / "run", rows, *flags, "--max_steps", "1"))
    assert code == 0, err
    files = [path for path in (tmp_path / "run").rglob("*") if path.is_file()]
    assert len(files) > 10 and not [path for path in files if b"s3cret-key" in path.read_bytes()]
    assert "s3cret-key" not in out + err


@pytest.mark.parametrize(
    ("flags", "words"),
    [(("--temperature", "0.7"), "temperature must be 1 with teacher_base_url"),
     (("--teacher_dtype", "bfloat16"), "teacher_dtype is for a teacher in this process"),
     (("--teacher_base_url", "http://me:pass@host/v1"), "invalid value for teacher_base_url. Use an address"),
     (("--teacher_api_key_env", "sk-12345"), "invalid value for teacher_api_key_env: it is not the name")],
)  # fmt: skip
def test_settings_that_do_not_fit_a_server(flags, words, rows, tmp_path, capsys):
    code, _, err = run(
        capsys, "distill", *flags_of(tmp_path / "run", rows, "--teacher_base_url", "http://localhost:9/v1", *flags)
    )
    assert code == 2 and words in err and "sk-12345" not in err and "pass@" not in err, err
