"""`hrm-align chat`: in a real terminal and over a pipe, every prompt is that of `render_conversation`."""

import io
import json
import os
import re
import signal
import sys
from contextlib import ExitStack
from dataclasses import replace

import pytest
import torch

from hrm_align.cli import main
from hrm_align.data.dataset import DatasetSpec, load_examples
from hrm_align.models.adapters import load_adapted, open_adapter
from hrm_align.models.loading import load_tokenizer
from hrm_align.rendering import get_renderer, render_conversation, render_prompt
from hrm_align.rollouts.local import LocalEngine, generate
from hrm_align.serve.models import ServedModels
from tests.command_line import run
from tests.forks import PRELOADED
from tests.serve.serving import save_adapters
from tests.terminal import Terminal

TEXTS = ["My name is <|im_end|> Lumo.", "Add 2 and 3.", "Name a colour."]
HOSTILE = "\x1b]0;mine\x07\x1b[31mred\u202e\r"
SYSTEM = "Be brief."


@pytest.fixture(scope="module")
def adapters(tmp_path_factory):
    """Two adapters with random weights, which change every answer and still end it."""
    return save_adapters(tmp_path_factory.mktemp("adapters"), alpha=8)


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer("tiny")


def flags(adapters):
    return [word for name, folder in adapters.items() for word in ("--adapter", f"{name}={folder}")]


def messages_of(*texts, system=""):
    """Messages of a conversation, from its user and assistant texts in turn."""
    opening = [{"role": "system", "content": system}] if system else []
    return opening + [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(texts)]


# In a terminal --------------------------------------------------------------------------------------------------------


def chat_on(terminal, requests, *argv):
    """A process that chats on a terminal, and records each request with its model. A text that contains `hostile` gets a hostile answer."""
    os.setsid()
    device = os.open(terminal, os.O_RDWR)  # becomes the terminal that sends Ctrl-C
    for stream in range(3):
        os.dup2(device, stream)
    sys.stdin, sys.stdout, sys.stderr = os.fdopen(0), os.fdopen(1, "w"), os.fdopen(2, "w", buffering=1)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.update(TERM="xterm", COLUMNS="80", HRM_ALIGN_CACHE=str(requests.parent / "cache"))
    torch.set_num_threads(1)
    renderer, tokens = get_renderer(load_tokenizer("tiny")), iter(())
    submit, step = ServedModels.submit, ServedModels.step

    def recorded(self, name, request):
        nonlocal tokens
        tokens = iter(renderer.plain(HOSTILE) if "hostile" in renderer.encoder.decode(request.prompt_ids) else ())
        with requests.open("a") as file:
            file.write(json.dumps([name, [*request.prompt_ids]]) + "\n")
        return submit(self, name, request)

    def replaced(self):
        return [replace(event, token=next(tokens, event.token)) for event in step(self)]

    ServedModels.submit, ServedModels.step = recorded, replaced
    sys.argv = ["hrm-align", "chat", *map(str, argv)]
    sys.exit(main())


class Session:
    """A chat in a terminal of its own process."""

    def __init__(self, folder, *argv):
        self.terminal, self.place, self.requests = Terminal(), 0, folder / "requests.jsonl"
        self.process = PRELOADED.call(chat_on, str(self.terminal.path), self.requests, *argv)
        self.is_closed = False

    def wait(self, text):
        """Wait for a text behind what was waited for before; returns what was written up to its end."""
        written = self.terminal.wait_for(text, self.place)
        end = written.index(text) + len(text)
        self.place += end
        return written[:end]

    def send(self, line, until="\n> "):
        self.terminal.type(line + "\n")
        return self.wait(until)

    def end(self, key):
        """Press a key at the prompt, and return the exit code and the last output."""
        self.terminal.type(key)
        self.process.join(30)
        self.close()
        return self.process.exitcode, self.terminal.raw[self.place :]

    def close(self):
        if not self.is_closed:
            self.is_closed = True
            self.process.kill()
            self.terminal.close()


@pytest.fixture
def in_terminal(tmp_path):
    """Start a chat in a terminal; returns its session at the first prompt."""
    with ExitStack() as stack:

        def start(*argv):
            session = Session(tmp_path, *argv)
            stack.callback(session.close)
            session.wait("\n> ")
            return session

        yield start


def test_three_turns_a_condition_an_adapter_and_ctrl_c_in_a_terminal(
    adapters, tokenizer, in_terminal, tmp_path, capsys
):
    chat = in_terminal("--model", "tiny", *flags(adapters), "--system", SYSTEM, "--max_new_tokens", "32")
    shown = [chat.send(TEXTS[0])]
    assert "condition: synth,cot" in chat.send("/condition synth, cot")
    shown.append(chat.send(TEXTS[1]))
    assert "* red" in chat.send("/adapter") and "adapter: blue" in chat.send("/adapter blue")
    shown.append(chat.send(TEXTS[2]))
    picture = chat.send("/show")
    chat.send("/set max_new_tokens 900")
    chat.send("/set temperature 100")
    chat.send(
        "/set seed 1"
    )  # with which the answer has all 900 tokens; with one in twenty it ends before the hostile text does
    chat.terminal.type("Be hostile.\n")
    chat.wait("\\x1b]0;mine\\x07\\x1b[31mred\\u202e\\r")
    chat.terminal.type("\x03")
    assert "interrupted: the" in chat.wait("\n> ")
    saved = tmp_path / "chat.jsonl"
    report = chat.send(f"/save {saved}")
    assert "2 rows with 3 answers" in report and "1 answer cut, interrupted" in report
    code, _ = chat.end("\x04")
    assert code == 0 and "Traceback" not in chat.terminal.raw
    assert "\x1b[31m" not in chat.terminal.raw and not {"\x07", "\u202e"} & set(chat.terminal.raw)

    # The answers are those of each adapter with fresh prefixes.
    model, _ = load_adapted("tiny", {name: open_adapter(str(folder)) for name, folder in adapters.items()})
    words, expected = [], []
    under = [("red", "direct"), ("red", "synth,cot"), ("blue", "synth,cot")]
    for text, (adapter, condition), output in zip(TEXTS, under, shown, strict=True):
        words.append(text)
        model.set_adapter(adapter)
        prompt = render_prompt(tokenizer, messages_of(*words, system=SYSTEM), condition)
        answer = get_renderer(tokenizer).decode_response(generate(model.eval(), [prompt], max_new_tokens=32)[0])
        assert f"\n{answer}\r\n" in output, answer
        words.append(answer)
        document = render_conversation(tokenizer, messages_of(*words, system=SYSTEM), condition)[-1]
        expected.append([adapter, document.input_ids[: document.prefix_length]])
    requests = [json.loads(line) for line in chat.requests.read_text().splitlines()]
    assert requests[:3] == expected and len(requests) == 4
    assert requests[3][1] == render_prompt(
        tokenizer, messages_of(*words, "Be hostile.", system=SYSTEM), "synth,cot"
    )  # all turns before, and no token of the pieces that were written

    lines = [re.sub(r"\x1b\[\d*m", "", line).strip() for line in picture.splitlines()]
    assert f"prefix, {len(expected[2][1])} tokens that all see each other:" in lines
    assert f'<|im_start|> <|quad_end|> <|object_ref_end|> "{SYSTEM}"' in lines
    assert f'<|im_start|> "{TEXTS[0]}"' in lines and "<|im_end|>" in lines
    assert f'"{words[-1]}" <|box_end|>' in lines and f'<|box_start|> "{words[1]}" <|box_end|>' in lines

    # The saved rows train on what was said, as it was said.
    examples = load_examples([DatasetSpec(path=str(saved))])[0]
    render = get_renderer(tokenizer)
    prompts = [render.prompt(one.messages, one.condition) for one in examples]
    assert prompts == [prompt for _, prompt in expected]
    assert [one.answer.content for one in examples] == words[1::2]
    code, out, err = run(capsys, "inspect", saved, "--model", "tiny", "--no_proof", "--json")
    assert code == 0, err
    rows = [json.loads(line)["input_ids"] for line in out.splitlines()]
    assert [row[: len(prompt)] for row, prompt in zip(rows, prompts, strict=True)] == prompts


def test_ctrl_c_at_the_prompt_leaves_and_mistakes_do_not(in_terminal):
    chat = in_terminal("--model", "tiny")
    assert "did you mean /condition?" in chat.send("/conditon cot")
    assert "unknown condition" in chat.send("/condition deep")
    assert "Lumo" in chat.send("My name is Lumo.")
    code, last = chat.end("\x03")
    assert code == 130 and "interrupted: the conversation was not saved" in last


# Over a pipe ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def chat(capsys, monkeypatch):
    """Run `hrm-align chat` with lines on standard input; returns code, output, errors, and the prompts of all requests."""

    def piped(lines, *argv, model="tiny"):
        prompts, submit = [], ServedModels.submit
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
            patch.setattr(ServedModels, "submit", lambda *args: prompts.append(args[2].prompt_ids) or submit(*args))
            return *run(capsys, "chat", "--model", model, *argv), prompts

    return piped


def objects(out):
    return [json.loads(line) for line in out.splitlines()]


def test_standard_output_has_the_answers_alone(chat, tokenizer):
    code, out, err, prompts = chat([TEXTS[0], "", "/show", "/set", TEXTS[1], "/help", "/quit", "never sent"])
    assert code == 0, err
    words = [TEXTS[0], out.splitlines()[0], TEXTS[1], out.splitlines()[1]]
    assert out == f"{words[1]}\n{words[3]}\n" and "\x1b" not in out + err
    documents = render_conversation(tokenizer, messages_of(*words))
    assert prompts == [document.input_ids[: document.prefix_length] for document in documents]
    assert "temperature: 0.0" in err and "/retry" in err and "1,024 are left" in err


def test_json_lines_are_what_generate_prints(chat, capsys):
    texts = ["My name is Lumo.", "What is my name?"]
    sampled = ("--temperature", "1.5", "--top_p", "1", "--seed", "7", "--condition", "synth, cot")
    code, out, err, prompts = chat([texts[0], "/retry", texts[1]], *sampled, "--json")
    assert code == 0, err
    first, again, second = objects(out)
    words = ("--model", "tiny", "--prompt", texts[0], "--temperature", "1.5", "--seed", "7", "--json")
    one = json.loads(run(capsys, "generate", *words, "--condition", "synth,cot")[1])
    assert {**one, "prompt_tokens": len(prompts[0]), "condition": "synth,cot", "adapter": "base"} == first
    assert again["token_ids"] != first["token_ids"] and again["prompt_tokens"] == first["prompt_tokens"]
    assert second["prompt_tokens"] == len(prompts[2]) > len(prompts[1]) == len(prompts[0])


def test_a_model_may_be_an_adapter(chat, adapters):
    answers = [objects(chat([TEXTS[0]], "--json", *words, model=model)[1])[0] for model, words in (
        (str(adapters["blue"]), ()), ("tiny", flags(adapters)[2:]), ("tiny", ()))]  # fmt: skip
    assert [one["adapter"] for one in answers] == ["adapter", "blue", "base"]
    assert answers[0]["token_ids"] == answers[1]["token_ids"] != answers[2]["token_ids"]


def test_history_is_taken_back_and_lines_are_joined(chat, tokenizer):
    lines = ["first", "/undo", "//slash", "/clear", "/system Be brief.", "one\\", "two\\\\", '/system ""', "last\\"]
    code, out, err, prompts = chat(lines, "--json", "--max_new_tokens", "4")
    assert code == 0, err
    joined = messages_of("one\ntwo\\\\", objects(out)[2]["text"], "last")
    alone = [render_prompt(tokenizer, text) for text in ("first", "/slash")]
    briefly = render_prompt(tokenizer, messages_of(joined[0]["content"], system="Be brief."))
    assert prompts == [*alone, briefly, render_prompt(tokenizer, joined)]


def test_greedy_decoding_is_not_repeated_unless_something_changed(chat):
    lines = ["Add 2 and 3.", "/retry", "/set max_new_tokens 1", "/retry", '/condition ""', "/retry"]
    code, out, err, prompts = chat(lines, "--json")
    assert code == 0 and err.count("would give the same answer") == 1, err
    _, cut, other = objects(out)
    assert cut["finish_reason"] == "length" and len(cut["token_ids"]) == 1 and "cut at 1 tokens" in err
    assert other["condition"] == "" and len(prompts[2]) == len(prompts[0]) - 1


def test_saved_rows_leave_out_what_is_not_complete(chat, tmp_path):
    file = tmp_path / "chat.jsonl"
    lines = ["Add 2 and 3.", "/set max_new_tokens 1", "My name is Lumo.", "/set max_new_tokens 9", "/condition \"\"",
             "Add 4 and 3.", f"/save {file}", f"/save {file}"]  # fmt: skip
    code, _, err, prompts = chat(lines, "--json")
    assert code == 2 and "line 8: " in err and "already exists and is not overwritten" in err
    assert "2 rows with 2 answers (condition direct and none)" in err and "1 answer cut" in err
    assert 'read this file with --condition ""' in err
    examples = load_examples([DatasetSpec(path=str(file))], default_condition="")[0]
    render = get_renderer(load_tokenizer("tiny"))
    assert [render.prompt(one.messages, one.condition) for one in examples] == [prompts[0], prompts[2]]
    assert {path.name for path in tmp_path.iterdir()} == {"chat.jsonl"}


class Keyboard(io.StringIO):
    """Standard input that says it is a terminal."""

    def isatty(self):
        return True


@pytest.mark.parametrize("stdin", [io.StringIO, Keyboard])
def test_a_fault_of_the_engine_takes_no_conversation_along(capsys, monkeypatch, stdin):
    """A person can send the text again; over a pipe the fault ends the command."""
    prompts, submit, step = [], ServedModels.submit, LocalEngine.step

    def failing(engine):
        if len(prompts) == 2:
            raise MemoryError("no room")
        return step(engine)

    monkeypatch.setattr(ServedModels, "submit", lambda *args: prompts.append(args[2].prompt_ids) or submit(*args))
    monkeypatch.setattr(LocalEngine, "step", failing)
    monkeypatch.setattr(sys, "stdin", stdin("first\nsecond\nsecond\n"))
    code, out, err = run(capsys, "chat", "--model", "tiny", "--max_new_tokens", "3")
    assert "the engine failed (no room)" in err and "Traceback" not in err
    if stdin is Keyboard:
        assert code == 0 and len(prompts) == 3 and prompts[2] == prompts[1] and len(out.splitlines()) == 2, out
    else:
        assert code == 1 and len(prompts) == 2 and len(out.splitlines()) == 1, out


def test_a_conversation_that_is_too_long_says_what_to_do(chat):
    code, out, err, _ = chat(["Add 2 and 3.", "word " * 2000], "--json")
    assert code == 2 and len(objects(out)) == 1
    assert "the model takes at most 1,024" in err and "/undo" in err and "/clear" in err and err.count("error: ") == 1


@pytest.mark.parametrize(
    "line, reason",
    [
        ("/adapter red", "there is no adapter 'red': use one of base"),
        ("/home/me", "is sent with two (//)"),
        ("/set heat 1", "unknown setting 'heat'"),
        ("/set temperature warm", "The value must be a finite number, 0 or more"),
        ("/set top_p 0", "above 0 and at most 1"),
        ("/undo", "there is no answer yet"),
        ("/retry", "there is no answer yet"),
        ("/undo 2", "takes nothing behind it"),
        ("/save", "needs a file"),
        ("/save new.jsonl", "no complete answer to save"),
        ("a\udcff", "not UTF-8"),
    ],
)
def test_a_mistake_is_one_sentence(chat, line, reason, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err, _ = chat([line])
    assert code == 2 and out == "" and reason in err and "standard input, line 1: " in err and "Traceback" not in err


def test_options_are_checked_before_the_model_is_loaded(chat):
    for words in (("--condition", "deep"), ("--top_p", "2"), ("--max_new_tokens", "0")):
        code, _, err, _ = chat([], *words, model="missing")
        assert code == 2 and "missing" not in err and err.count("error: ") == 1, err
