"""Damaged text: every kind is found in rows of its kind, and sound rows of the same look are not reported."""

import json
import re
from pathlib import Path

import pytest

from hrm_align.data.dataset import DatasetSpec, load_examples
from hrm_align.data.latex_damage import lost_commands
from tests.command_line import run

FRAMES = ("The result is $%s$.", "so \\(%s\\) holds", "Let $x %s y$ be given, with x > 0.", "thus \\[ %s \\]")
# Commands that JSON or Python strings damage, with what follows them.
COMMANDS = [
    r"\alpha",
    r"\approx",
    r"\arctan{x}",
    r"\bar{x}",
    r"\begin{cases}",
    r"\beta",
    r"\bigcup",
    r"\binom{n}{k}",
    r"\bmod",
    r"\boldsymbol{v}",
    r"\bot",
    r"\boxed{5}",
    r"\bullet",
    r"\forall",
    r"\frac{1}{2}",
    r"\frac12",
    r"\nabla",
    r"\rangle",
    r"\rfloor",
    r"\rho",
    r"\right)",
    r"\rightarrow",
    r"\rm",
    r"\tan",
    r"\tanh",
    r"\tau",
    r"\text{cm}",
    r"\textbf{so}",
    r"\tfrac12",
    r"\therefore",
    r"\theta",
    r"\tilde{x}",
    r"\times",
    r"\to",
    r"\top",
    r"\triangle",
    r"\varepsilon",
    r"\vec{v}",
    r"\vee",
]


def damaged(latex: str) -> str:
    """What a writer gets who pastes LaTeX into a string whose escapes are interpreted."""
    for letter, character in zip("abfnrtv", "\a\b\f\n\r\t\v", strict=True):
        latex = latex.replace(f"\\{letter}", character)
    return latex


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("frame", FRAMES)
def test_a_lost_backslash_is_found_and_named_whatever_stands_around_it(command, frame):
    text, name = frame % command, re.match(r"\\[A-Za-z]+", command)[0]
    assert not lost_commands(text), "as it should be written"
    assert [found.split(" (")[0] for found in lost_commands(damaged(text))] == [name]


@pytest.mark.parametrize("command", [r"\ne", r"\neg", r"\neq", r"\ni", r"\not", r"\notin", r"\nu"])
def test_a_line_break_in_a_line_of_math_is_a_lost_backslash(command):
    for text in (f"Let $x {command} y$ be given", f"Let \\(x {command} y\\) be given"):
        assert not lost_commands(text)
        assert [found.split(" (")[0] for found in lost_commands(damaged(text))] == [command]


@pytest.mark.parametrize(
    "text, commands",
    [
        ("x \neq 1", [r"\neq"]),
        ("\theta \times \right \nu", [r"\theta", r"\times", r"\right", r"\nu"]),
        ("the limit x \to 0", [r"\to"]),
        ("\frac{1}{2}", [r"\frac"]),
        ("so oxed{5}, or rac{1}{2}", [r"\boxed", r"\frac"]),
        ("```\nok\n```\nthen \frac{1}{2}", [r"\frac"]),
    ],
)
def test_short_answers_count_without_math_around_them(text, commands):
    assert [name.split(" (")[0] for name in lost_commands(text)] == commands


SOUND = {
    "a list": "Colours:\n\ttan\n\tau\n\to\n\tan old hat",
    "a table": "name\to\tan\tfrac\tbox\nx\to\t5\t1\t2",
    "lines that begin like commands": "is it\nu or i?\ni = 3\ne = 4\nless than that,\nnot more\nmid\neq = a\neq: b\nright",
    "assembler": "cmp r0, r1\nbeq out\nne\neq",
    "displayed math over lines": "$$\nu = x^2\ne^{x}\ni \\neq 0\n$$",
    "LaTeX with tabs": "\\begin{align}\n\tu &= \\frac{1}{2} \\\\\n\tan &= \\theta\n\\end{align}",
    "a Gradle file": "ext {\n\text {\n\t}\n}",
    "old line ends": "one\rangle\rule\rfloor",
    "a page break": "Postel\f\nRFC 793\fbox 7",
    "a program": "if x:\n\treturn [\n\t\t'o',\n\t]\n\tt = 1\n\top(t)",
}


@pytest.mark.parametrize("text", SOUND.values(), ids=SOUND)
def test_ordinary_tabs_and_line_breaks_are_not_lost_backslashes(text):
    assert not lost_commands(text)


def load(path: Path, rows: list) -> dict:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return load_examples([DatasetSpec(str(path))])[1].to_dict()["datasets"][0]["damage"]


DAMAGED = {
    "mojibake": [
        text.encode().decode("cp1252") for text in ("café au lait", "it’s", "5 °C", "“so", "Ünder", "ñandú €5")
    ]
    + [text.encode().decode("latin-1") for text in ("日本語です", "“so”", "Привет всем", "naïve")],
    "replacement_character": ["caf\ufffd"],
    "control_character": ["a\x1b[31mred", "N\bNA\bA"],
    "html": ["Tom &amp; Jerry", "it&#39;s", "one<br/>two", "<p>so</p>"],
    "cut": ["```python\nprint(1", "so \\boxed{5", '{"name": "Ada", "age": 3'],
    "other_script": ["这是一个关于天气的回答，今天下雨。", "Столица этой страны город Париж"],
}
WHOLE = [
    "café – “quote” naïve, it’s 5 °C; £3 Straße", "Das ist „Ä“ und É™: NÃO, MANHÃ… VOILÀ", "São Tomé — coração; maçã",
    "a & b; c &c. AT&T; x < y", "use `&amp;` here\n```\n<br/>\n```", "```python\nprint(1)\n```", "so \\boxed{5}.",
    '{"name": {"a": 1}}', "{x} is a set", "Say 你好 to greet somebody in China, politely", "ψ and φ are letters",
]  # fmt: skip


@pytest.mark.parametrize("kind", DAMAGED)
def test_damage_is_counted_by_kind_and_named_by_row(tmp_path, kind):
    rows = [{"prompt": "Please tell me what the weather is like", "response": text} for text in DAMAGED[kind]]
    damage = load(tmp_path / "rows.jsonl", [{"prompt": "a", "response": "b"}, *rows])
    assert [*damage] == [kind] and damage[kind]["rows"] == len(rows)
    for number, line in enumerate(damage[kind]["first"], start=2):
        assert line.startswith(f"{tmp_path / 'rows.jsonl'}:{number}: ")
    assert len(damage[kind]["first"]) == min(len(rows), 5)


def test_sound_text_of_the_same_look_is_not_reported(tmp_path):
    rows = [{"prompt": "Please tell me what the weather is like", "response": text} for text in WHOLE]
    asked = [
        {"prompt": "Translate this sentence into Russian, please", "response": "Столица этой страны город Париж"},
        {"prompt": "Write HTML for a line break and an ampersand", "response": "<p>so</p> &amp;<br/>"},
    ]
    assert load(tmp_path / "rows.jsonl", rows + asked) == {}


def test_history_tool_calls_and_grading_data_are_checked_once_a_row(tmp_path):
    call = {"name": "solve", "arguments": {"formula": ["\frac{1}{2}"]}}
    turns = [
        {"role": "user", "content": "a \times b"}, {"role": "assistant", "content": "c"},
        {"role": "user", "content": "d"}, {"role": "assistant", "content": "", "tool_calls": [call]},
    ]  # fmt: skip
    graded = {"prompt": "a", "response": "b", "grading": {"tests": ["\boxed{5}"]}}
    conversation = load(tmp_path / "turns.jsonl", [{"messages": turns}])["lost_backslash"]
    assert conversation["rows"] == 1 and r"\times (tab" in conversation["first"][0]
    assert load(tmp_path / "calls.jsonl", [{"messages": turns[2:]}])["lost_backslash"]["rows"] == 1
    assert load(tmp_path / "graded.jsonl", [graded])["lost_backslash"]["rows"] == 1


EATEN = r"""{"prompt": "2+3?", "response": "so \boxed{5} and \frac{1}{2}"}
{"prompt": "3+3?", "response": "6"}
{"prompt": "4+3?", "response": "\theta \times 7"}
"""


@pytest.mark.parametrize(
    "words",
    [
        "inspect {data} --model tiny --no_proof",
        "inspect {data} --model tiny --json",
        "rewards exact --data {data} --preflight",
        "rewards length --option most=99 --data {data} --preflight",
        "rewards exact --data {data} --completions response",
        "evaluate --model tiny --data {data} --max_new_tokens 1",
    ],
)
def test_every_reader_of_rows_names_the_damaged_ones(tmp_path, capsys, words):
    data = tmp_path / "rows.jsonl"
    data.write_text(EATEN)
    code, out, err = run(capsys, *words.format(data=data).split())
    said = "".join((out + err).split())
    assert code == 0, err
    assert said.count("Warning:2of3rowshaveLaTeXcommandswhosebackslash") == 1
    for row, names in ((1, r"\boxed(backspace,thenoxed),\frac(formfeed"), (3, r"\theta(tab,thenheta),\times(tab")):
        assert f"{data}:{row}:{names}" in said
    assert f"{data}:2" not in said.split("Warning:")[1] and "Writeeachbackslashtwice" in said


def test_a_run_warns_in_its_first_lines_records_the_damage_and_stops_above_a_share(tmp_path, capsys):
    data, out = tmp_path / "rows.jsonl", tmp_path / "run"
    data.write_text(EATEN + '{"prompt": "a", "response": "Tom &amp; Jerry"}\n')
    words = ["sft", "--model_name_or_path", "tiny", "--datasets", data, "--output_dir", out, "--max_steps", "1"]
    words += ["--use_cpu", "true", "--report_to", "none", "--save_strategy", "no", "--max_damaged_fraction"]
    code, _, err = run(capsys, *words, "0.5")
    assert code == 2 and "3 of 4 rows have damaged text; at most 50.0% are allowed" in err and f"{data}:3: " in err
    assert "--max_damaged_fraction" in err.splitlines()[-1] and not [*out.glob("*.safetensors")]
    code, _, err = run(capsys, *words, "0.75")
    assert code == 0, err
    assert err.index("Warning: 2 of 4 rows have LaTeX commands") < err.index("train: 4 kept")
    assert "Warning: rows with damaged text: 1 with HTML entities" in err and f"{data}:4" not in err
    (record,) = json.loads((out / "run/data.json").read_text())["train"]["datasets"]
    assert record["rows_damaged"] == 3 and {kind: part["rows"] for kind, part in record["damage"].items()} == {
        "lost_backslash": 2,
        "html": 1,
    }
