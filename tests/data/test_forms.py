"""Every published form of a row is read with its meaning, or refused by file, line and name; the page of forms is made from this list.

Write the page anew with `python scripts/docs_reference.py`. A new form is one more entry of `FORMS`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from hrm_align.data.columns import METADATA
from hrm_align.data.dataset import DatasetSpec, load_examples
from hrm_align.data.examples import Example
from hrm_align.errors import UserError
from hrm_align.messages import LABELS
from hrm_align.models.loading import load_tokenizer
from hrm_align.rendering import Message, get_renderer, render_conversation


@dataclass(frozen=True)
class Form:
    """A form of rows, and what it must become.

    Args:
        name: who publishes it, and what is special about it.
        row: one short row.
        kept: the documents, as `prefix -> response`, without the control tokens that open and close every document; of a pair as
            `prefix -> chosen, not rejected`, of a labelled answer as `prefix -> desirable: answer`.
        refused: words of the error, if the row is refused.
        unused: columns that are named as unused.
        spec: other keys of the data set.
        kind: what the rows are read as.
    """

    name: str
    row: Mapping[str, Any]
    kept: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    spec: Mapping[str, Any] = field(default_factory=dict)
    kind: str = "answers"


def talk(*messages: Mapping[str, Any], **columns: Any) -> dict[str, Any]:
    """A row of the schema `messages` whose user asks `2+2?` first."""
    return {"messages": [{"role": "user", "content": "2+2?"}, *messages], **columns}


def said(**keys: Any) -> dict[str, Any]:
    """An assistant message with some keys."""
    return {"role": "assistant", "content": "4", **keys}


def wrong_then_right(**keys: Any) -> dict[str, Any]:
    """A row whose first answer is wrong, and has some keys."""
    return talk(said(**keys) | {"content": "5"}, {"role": "user", "content": "Sure?"}, said())


CALL = {"name": "add", "arguments": {"a": 2}}
TEXT_CALL = {"name": "add", "arguments": '{"a": 2}'}
FUNCTION = {"name": "add", "parameters": {}}
TOOLS = [{"type": "function", "function": FUNCTION}]
TOOLS_TEXT = '[{"type": "function", "function": {"name": "add", "parameters": {}}}]'
CALL_TEXT = '<tool_call>{"name": "add", "arguments": {"a": 2}}</tool_call>'
THOUGHT = "<think>\ntwo twos\n</think>\n\n4"
PLAIN = ("2+2? -> 4",)
ONLY_RIGHT = ("2+2?<|box_start|>5<|box_end|><|im_start|>Sure? -> 4",)
CALLED = (
    f"2+2? -> {CALL_TEXT}",
    f"2+2?<|box_start|>{CALL_TEXT}<|box_end|><|im_start|><tool_response>4</tool_response> -> It is 4.",
)
SYSTEM_FIRST = ("Be brief.<|im_start|>2+2? -> 4",)
HISTORY = ("1+1? -> 2", "1+1?<|box_start|>2<|box_end|><|im_start|>2+2? -> 4")
ASK = {"from": "human", "value": "2+2?"}


def pair(name: str, row: Mapping[str, Any], kept: tuple[str, ...] = ("2+2? -> 4, not 5",), **others: Any) -> Form:
    """A form of pairs of a chosen and a rejected answer."""
    return Form(name, row, kept, kind="pairs", **others)


def hermes(call: str, answer: str) -> dict[str, Any]:
    """A row of ShareGPT's form whose assistant calls a tool in its text."""
    turns = (("gpt", call), ("tool", answer), ("gpt", "It is 4."))
    return {"conversations": [ASK, *({"from": speaker, "value": value} for speaker, value in turns)]}


FORMS = [
    # One question and one answer
    Form("prompt and response", {"prompt": "2+2?", "response": "4"}, PLAIN),
    Form("TRL: prompt and completion", {"prompt": "2+2?", "completion": "4"}, PLAIN),
    Form(
        "TRL: prompt and completion as messages",
        {"prompt": talk()["messages"], "completion": [said()]},
        PLAIN,
    ),
    Form("HRM-Text: instruction and response", {"instruction": "2+2?", "response": "4"}, PLAIN),
    Form("Alpaca: the input follows", {"instruction": "Add.", "input": "2+2", "output": "4"}, ("Add.\n\n2+2 -> 4",)),
    Form(
        "Dolly: the context stands before",
        {"instruction": "Who?", "context": "Ann won.", "response": "Ann", "category": "closed_qa"},
        ("Ann won.\n\nWho? -> Ann",),
        unused=("category",),
    ),
    Form(
        "LLaMA-Factory: history holds earlier turns, which are learnt too",
        {"instruction": "2+2?", "input": "", "output": "4", "system": "", "history": [["1+1?", "2"]]},
        HISTORY,
    ),
    Form("history as messages", {"prompt": "2+2?", "response": "4",
         "history": [{"role": "user", "content": "1+1?"}, {"role": "assistant", "content": "2"}]}, HISTORY),
    Form("OpenOrca: system_prompt is the system text",
         {"system_prompt": "Be brief.", "prompt": "2+2?", "response": "4", "id": "t0.1"}, SYSTEM_FIRST, unused=("id",)),
    Form("system and another system_prompt", {"system": "Be brief.", "system_prompt": "Be kind.", "prompt": "2+2?", "response": "4"},
         refused=("`system` and `system_prompt` differ",)),
    Form("columns of your own", {"question": "2+2?", "answer": "4"}, PLAIN,
         spec={"columns": {"prompt": "question", "response": "answer"}}),
    Form("MMLU: choices, and the index of the answer",
         {"question": "2+2?", "subject": "sums", "choices": ["3", "4"], "answer": 1}, ("2+2? -> B",), unused=("subject",),
         spec={"columns": {"prompt": "question", "response": "answer"}}),
    Form("ARC: choices with labels, and the label of the answer",
         {"id": "7", "question": "2+2?", "choices": {"text": ["3", "4"], "label": ["A", "B"]}, "answerKey": "B"}, ("2+2? -> B",),
         unused=("id",), spec={"columns": {"prompt": "question", "response": "answerKey"}}),
    Form("a row of weight 1", {"prompt": "2+2?", "response": "4", "weight": 1}, PLAIN),
    Form("a row of weight 0, the only one", {"prompt": "2+2?", "response": "5", "weight": 0},
         refused=("no example from", "1 of its 1 rows have weight 0")),
    # Messages
    Form("OpenAI: messages", talk(said()), PLAIN),
    Form("OpenAI: role developer", {"messages": [{"role": "developer", "content": "Be brief."}, *talk(said())["messages"]]},
         SYSTEM_FIRST),
    Form("OpenAI: text parts are joined",
         {"messages": [{"role": "user", "content": [{"type": "text", "text": "2+"}, {"type": "text", "text": "2?"}]}, said()]}, PLAIN),
    Form("OpenAI: a picture among the parts",
         {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "a.png"}}]}, said()]},
         refused=("part 1 of the content has the type 'image_url'", "message 1 of `messages`")),
    Form("OpenAI: keys without meaning, and null ones",
         talk(said(id="m1", refusal=None, audio=None, annotations=[], function_call=None)), PLAIN),
    Form("OpenAI: a refusal", talk(said(content=None, refusal="No.")), refused=("unread key: `refusal`", "messages.refusal")),
    Form("OpenAI: the name of a user", {"messages": [{"role": "user", "name": "ann", "content": "2+2?"}, said()]},
         refused=("unread key: `name` in message 1 of `messages`", "--ignore_columns messages.name")),
    Form("OpenAI: the name of a user, ignored", {"messages": [{"role": "user", "name": "ann", "content": "2+2?"}, said()]}, PLAIN,
         spec={"ignore_columns": ["messages.name"]}),
    *(Form(f"an answer with {key}", talk(said(**{key: "two twos"})), (f"2+2? -> {THOUGHT}",)) for key in ("reasoning_content", "reasoning", "thinking")),
    Form("thoughts of an earlier answer", wrong_then_right(thinking="odd", weight=0),
         ("2+2?<|box_start|><think>\nodd\n</think>\n\n5<|box_end|><|im_start|>Sure? -> 4",)),
    Form("two different thoughts", talk(said(thinking="a", reasoning="b")), refused=("two different thoughts",)),
    *(Form(f"an answer with {key} 0", wrong_then_right(**{key: 0}), ONLY_RIGHT) for key in ("weight", "train", "trainable", "loss", "loss_mask", "learn")),
    Form("an answer with train false", wrong_then_right(train=False), ONLY_RIGHT),
    Form("an answer with two weights that contradict", wrong_then_right(weight=1, train=False),
         refused=("contradiction: `weight` 1, `train` false", "message 2 of `messages`")),
    Form("a misspelt key", wrong_then_right(Weight=0),
         refused=("unread key: `Weight` (did you mean `weight`?) in message 2", "--ignore_columns messages.Weight")),
    Form("a prompt that repeats the first message (UltraChat)", talk(said(), prompt="2+2?", prompt_id="a1"), PLAIN,
         unused=("prompt", "prompt_id")),
    Form("problem and solution that repeat the messages (NuminaMath)", talk(said(), problem="2+2?", solution="4", source="x"), PLAIN,
         unused=("problem", "solution", "source")),
    # ShareGPT
    Form("ShareGPT", {"id": "a", "conversations": [ASK, {"from": "gpt", "value": "4"}]}, PLAIN, unused=("id",)),
    Form("SlimOrca: weights of turns",
         {"conversations": [ASK, {"from": "gpt", "value": "5", "weight": 0}, {"from": "human", "value": "Sure?"},
                            {"from": "gpt", "value": "4", "weight": 1}]}, ONLY_RIGHT),
    Form("ShareGPT: another key of a turn", {"conversations": [ASK, {"from": "gpt", "value": "4", "emotion": "joy"}]},
         refused=("unread key: `emotion` in message 2 of `conversations`", "--ignore_columns conversations.emotion")),
    Form("LLaVA: a picture", {"image": "a.png", "conversations": [{"from": "human", "value": "<image>\n2+2?"}, {"from": "gpt", "value": "4"}]},
         refused=("`image`", "only text can be rendered", "--ignore_columns image")),
    # Tools
    Form("OpenAI: tool_calls with arguments as text",
         talk(said(content=None, tool_calls=[{"id": "c1", "type": "function", "function": TEXT_CALL}]),
              {"role": "tool", "tool_call_id": "c1", "content": "4"}, said(content="It is 4.")), CALLED),
    Form("TRL: tool_calls with arguments as an object, and a named tool",
         talk(said(content="", tool_calls=[{"type": "function", "function": CALL}]),
              {"role": "tool", "name": "add", "content": "4"}, said(content="It is 4.")), CALLED),
    Form("OpenAI's older form: function_call, role function, functions",
         talk(said(content=None, function_call=TEXT_CALL), {"role": "function", "name": "add", "content": "4"}, said(content="It is 4."),
              functions=[FUNCTION]), tuple(f"{TOOLS_TEXT}<|im_start|>{text}" for text in CALLED)),
    Form("tools, and a setting of the request", talk(said(), tools=TOOLS, parallel_tool_calls=False),
         (f"{TOOLS_TEXT}<|im_start|>2+2? -> 4",), unused=("parallel_tool_calls",)),
    Form("tools as one JSON text", talk(said(), tools=json.dumps(TOOLS)), (f"{TOOLS_TEXT}<|im_start|>2+2? -> 4",)),
    Form("tools as a list of JSON texts", talk(said(), tools=[json.dumps(TOOLS[0])]), (f"{TOOLS_TEXT}<|im_start|>2+2? -> 4",)),
    Form("functions alone as tools, without JSON Schema", talk(said(), tools=[FUNCTION]),
         ('[{"name": "add", "parameters": {}}]<|im_start|>2+2? -> 4',)),
    Form("LLaMA-Factory: function_call and observation",
         {"conversations": [ASK, {"from": "function_call", "value": json.dumps(TEXT_CALL)}, {"from": "observation", "value": "4"},
                            {"from": "gpt", "value": "It is 4."}]}, CALLED),
    Form("Hermes: tags in the text", hermes(f"<tool_call>\n{json.dumps(CALL)}\n</tool_call>", "<tool_response>\n4\n</tool_response>"), CALLED),
    Form("Hermes: a call as a literal of Python", hermes(f"<tool_call>\n{CALL}\n</tool_call>", "4"), CALLED),
    Form("Qwen: the answer of a tool in a user message",
         talk(said(content=CALL_TEXT), {"role": "user", "content": "<tool_response>4</tool_response>"}, said(content="It is 4.")), CALLED),
    Form("Hermes: tools in the system text, and again in a column",
         {"conversations": [{"from": "system", "value": f"Use <tools>{TOOLS_TEXT}</tools>."}, ASK, {"from": "gpt", "value": "4"}],
          "tools": json.dumps(TOOLS)}, (f"Use <tools>{TOOLS_TEXT}</tools>.<|im_start|>2+2? -> 4",)),
    Form("Glaive: a call in ShareGPT's form", hermes('<functioncall> {"name": "add", "arguments": \'{"a": 2}\'} <|endoftext|>', "4"), CALLED),
    Form("a call in the text of an answer", {"prompt": "2+2?", "response": CALL_TEXT}, (f"2+2? -> {CALL_TEXT}",)),
    Form("a tag in Markdown code", talk(said(content="Write `<tool_call>`.")), ("2+2? -> Write `<tool_call>`.",)),
    Form("a broken call in tags", hermes('<tool_call>{"name": "add", "arguments": {"a": 2}</tool_call>', "4"),
         refused=("rows.jsonl:1: broken tool call: invalid JSON", "message 2 of `conversations`")),
    Form("a call with a key twice", talk(said(content=None, tool_calls=[{"name": "add", "arguments": '{"a": 1, "a": 2}'}])),
         refused=("rows.jsonl:1: broken tool call", "duplicate key: 'a'")),
    Form("text behind a call", hermes(f"{CALL_TEXT} I added.", "4"), refused=("rows.jsonl:1: text behind a tool call: 'I added.'",)),
    # Published data sets by name
    Form("GSM8K", {"question": "2+2?", "answer": "2+2=<<2+2=4>>4\n#### 4"}, ("2+2? -> 2+2=<<2+2=4>>4\n#### 4",), spec={"format": "gsm8k"}),
    Form("Magicoder", {"problem": "2+2?", "solution": "4", "lang": "python", "seed": "x", "index": 1}, PLAIN, unused=("index", "seed"),
         spec={"format": "magicoder"}),
    Form("OpenOrca", {"id": "t0.1", "system_prompt": "Be brief.", "question": "2+2?", "response": "4"}, SYSTEM_FIRST, unused=("id",),
         spec={"format": "openorca"}),
    Form("xLAM", {"id": 1, "query": "2+2?", "answers": json.dumps([CALL]), "tools": json.dumps(TOOLS)},
         (f"{TOOLS_TEXT}<|im_start|>2+2? -> {CALL_TEXT}",), unused=("id",), spec={"format": "xlam"}),
    Form("BFCL", {"id": "simple_0", "question": [[{"role": "user", "content": "2+2?"}]], "function": TOOLS,
                  "ground_truth": [{"add": {"a": [2, 2.0], "b": ["", 0]}}]},
         (f"{TOOLS_TEXT}<|im_start|>2+2? -> {CALL_TEXT}",), spec={"format": "bfcl"}),
    Form("Glaive", {"system": 'SYSTEM: Use them if required -\n{"name": "add", "parameters": {}}',
                    "chat": 'USER: 2+2?\n\n\nASSISTANT: <functioncall> {"name": "add", "arguments": \'{"a": 2}\'} <|endoftext|>\n\n\n'
                            "FUNCTION RESPONSE: 4\n\n\nASSISTANT: It is 4. <|endoftext|>"},
         tuple(f'Use them if required -<|im_start|>[{json.dumps(FUNCTION)}]<|im_start|>{text}' for text in CALLED), spec={"format": "glaive"}),
    Form("GSM8K without its format", {"question": "2+2?", "answer": "#### 4"},
         refused=("""--columns '{"prompt": "question", "response": "answer"}'""", "--format gsm8k")),
    Form("columns in capitals", {"Question": "2+2?", "Answer": "4"}, refused=("""--columns '{"prompt": "Question", "response": "Answer"}'""",)),
    Form("a text alone", {"text": "2+2 is 4."}, refused=("A text alone has no prompt and no answer",)),
    # Several right answers
    Form("NQ: a list", {"question": "2+2?", "answer": ["4", "four"]}, PLAIN, spec={"format": "nq_open"}),
    Form("SQuAD: texts with places", {"id": "a", "title": "Sums", "context": "It is 4.", "question": "2+2?",
                                      "answers": {"text": ["4"], "answer_start": [6]}}, ("It is 4.\n\n2+2? -> 4",), unused=("id",),
         spec={"format": "squad"}),
    Form("TriviaQA: value and aliases", {"question": "2+2?", "question_id": "tc_1", "answer": {"value": "4", "aliases": ["4", "four"]}}, PLAIN,
         unused=("question_id",), spec={"format": "trivia_qa"}),
    # Rows of other trainers
    Form("TRL: preference rows", {"prompt": "2+2?", "chosen": "4", "rejected": "5"}, refused=("`hrm-align dpo`, `hrm-align kto`",)),
    Form("UltraFeedback: preference rows beside messages", talk(said(), chosen=[said()], rejected=[said(content="5")], score_chosen=9.0),
         refused=("`chosen`", "`rejected`", "`hrm-align reward`", "--ignore_columns chosen rejected")),
    Form("KTO: a label", {"prompt": "2+2?", "completion": "5", "label": False},
         refused=("`label`", "`hrm-align kto`", "--ignore_columns label")),
    Form("KTO: a label, ignored", {"prompt": "2+2?", "completion": "4", "label": True}, PLAIN, spec={"ignore_columns": ["label"]}),
    Form("pictures in a column", {"prompt": "2+2?", "response": "4", "images": ["a.png"]}, refused=("`images`", "only text can be rendered")),
    Form("a context beside messages", talk(said(), context="Sums."), refused=("`context`", "--ignore_columns context")),
    Form("unknown columns", {"prompt": "2+2?", "response": "4", "rationale": "because", "persona": "a teacher"},
         refused=("`rationale`", "`persona`", "--ignore_columns persona rationale")),
    Form("metadata", {"prompt": "2+2?", "response": "4", "uuid": "a", "source_url": "b", "num_turns": 1, "rating": 5}, PLAIN,
         unused=("num_turns", "rating", "source_url", "uuid")),
    # Preference rows, which `hrm-align dpo`, `reward` and `kto` read
    pair("pairs of texts", {"prompt": "2+2?", "chosen": "4", "rejected": "5"}),
    pair("pairs of messages", {"prompt": talk()["messages"], "chosen": [said()], "rejected": [said(content="5")]}),
    pair("pairs of conversations, with the prompt in both",
         {"chosen": talk(said())["messages"], "rejected": talk(said(content="5"))["messages"]}),
    pair("UltraFeedback: the prompt again, and scores",
         {"prompt": "2+2?", "prompt_id": "a", "chosen": talk(said())["messages"], "rejected": talk(said(content="5"))["messages"],
          "messages": talk(said())["messages"], "score_chosen": 9.0, "score_rejected": 2.0}, unused=("messages", "prompt_id")),
    pair("Anthropic's HH: dialogues as text", {"chosen": "\n\nHuman: 2+2?\n\nAssistant: 4", "rejected": "\n\nHuman: 2+2?\n\nAssistant: 5"}),
    pair("HH: the dialogue as prompt", {"prompt": "\n\nHuman: 2+2?\n\nAssistant:", "chosen": " 4", "rejected": " 5"},
         ("2+2? ->  4, not  5",)),
    pair("HH: several turns",
         {"chosen": "\n\nHuman: Hi.\n\nAssistant: Hello.\n\nHuman: 2+2?\n\nAssistant: 4",
          "rejected": "\n\nHuman: Hi.\n\nAssistant: Hello.\n\nHuman: 2+2?\n\nAssistant: 5"},
         ("Hi.<|box_start|>Hello.<|box_end|><|im_start|>2+2? -> 4, not 5",)),
    pair("Orca pairs: system and question", {"system": "Be brief.", "question": "2+2?", "chosen": "4", "rejected": "5"},
         ("Be brief.<|im_start|>2+2? -> 4, not 5",)),
    pair("LLaMA-Factory: instruction and input", {"instruction": "Add.", "input": "2+2", "chosen": "4", "rejected": "5"},
         ("Add.\n\n2+2 -> 4, not 5",)),
    pair("LLaMA-Factory: one turn of ShareGPT as answer",
         {"prompt": [ASK], "chosen": {"from": "gpt", "value": "4"}, "rejected": {"from": "gpt", "value": "5"}}),
    pair("pairs with tools", {"prompt": "2+2?", "tools": TOOLS, "chosen": [said(content=None, tool_calls=[CALL])], "rejected": "5"},
         (f"{TOOLS_TEXT}<|im_start|>2+2? -> {CALL_TEXT}, not 5",)),
    pair("HelpSteer3", {"domain": "stem", "language": "en", "context": talk()["messages"], "response1": "5", "response2": "4",
                        "overall_preference": 2, "individual_preference": []}, unused=("individual_preference", "language"),
         spec={"format": "helpsteer3"}),
    pair("HelpSteer2: preferences", {"split": "train", "prompt": "2+2?", "response_1": "4", "response_2": "5", "preference_strength": -1,
                                     "preference_statement": "x"}, unused=("preference_statement", "split"),
         spec={"format": "helpsteer2_preference"}),
    pair("ranked answers: the best against the worst", {"prompt": "2+2?", "responses": ["5", "22", "4"], "scores": [1, 2, 9]}),
    pair("ranked answers: all pairs above min_score_gap", {"prompt": "2+2?", "responses": ["5", "22", "4"], "scores": [1, 2, 9]},
         ("2+2? -> 4, not 5", "2+2? -> 4, not 22"), spec={"min_score_gap": 1}),
    pair("ranked answers: the same answer twice", {"prompt": "2+2?", "responses": ["5", "4", "4"], "scores": [1, 9, 9]},
         spec={"min_score_gap": 1}),
    pair("ranked answers: a tie", {"prompt": "2+2?", "responses": ["5", "4"], "scores": [1, 1]}, (), refused=("a tie: all scores are 1",)),
    pair("histories that differ", {"chosen": [*talk(said())["messages"], {"role": "user", "content": "Sure?"}, said()],
                                   "rejected": [*talk(said(content="5"))["messages"], {"role": "user", "content": "Sure?"}, said()]}, (),
         refused=("diverging histories: message 2 of `chosen` and `rejected` differs",)),
    pair("TRL: texts with a common beginning, and no prompt", {"chosen": "2+2 is 4.", "rejected": "2+2 is 5."}, (),
         refused=("no prompt: add the column `prompt`",)),
    pair("answers, read as pairs", {"prompt": "2+2?", "response": "4"}, (), refused=("are for answers to imitate, for which there is `hrm-align sft`",)),
    Form("KTO: a labelled answer", {"prompt": "2+2?", "completion": "5", "label": False}, ("2+2? -> undesirable: 5",), kind="labels"),
    Form("KTO: a conversation with a label", talk(said(), label=True), ("2+2? -> desirable: 4",), kind="labels"),
    Form("KTO: a pair gives two labelled answers", {"prompt": "2+2?", "chosen": "4", "rejected": "5"},
         ("2+2? -> desirable: 4", "2+2? -> undesirable: 5"), kind="labels"),
    Form("KTO: a label that is no bool", {"prompt": "2+2?", "completion": "4", "label": "good"},
         refused=("`label` must be true or false: got 'good'",), kind="labels"),
]  # fmt: skip


def written_answers(example: Example) -> tuple[str, list[Message]]:
    """A pattern for the answers of an example, and the answers."""
    if example.rejected is not None:
        return "{}, not {}", [example.answer, example.rejected]
    label = {None: "{}", True: "desirable: {}", False: "undesirable: {}"}[example.desirable]
    return label, [example.answer]


def documents(form: Form, folder: Any) -> tuple[list[str], list[str]]:
    """The documents of a form, written as in `Form.kept`, and the names of the unused columns."""
    path = folder / "rows.jsonl"
    path.write_text(json.dumps(form.row) + "\n", encoding="utf-8")
    examples, counts = load_examples([DatasetSpec(str(path), **form.spec)], kind=form.kind)
    tokenizer = load_tokenizer("tiny")
    renderer, written = get_renderer(tokenizer), []
    for example in examples:
        pattern, answers = written_answers(example)
        texts = []
        for answer in answers:
            document = renderer.document(example.messages, answer, example.condition)
            prefix, response = (
                document.input_ids[: document.prefix_length],
                document.input_ids[document.prefix_length :],
            )
            prefix_text = (
                tokenizer.decode(prefix).removeprefix("<|im_start|><|object_ref_start|>").removesuffix("<|im_end|>")
            )
            texts.append(tokenizer.decode(response).removesuffix("<|box_end|>"))
        written.append(f"{prefix_text} -> {pattern.format(*texts)}")
    return written, counts.datasets[0].unused_columns


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_a_form_is_kept_with_its_meaning_or_refused_by_name(tmp_path, form):
    assert bool(form.kept) != bool(form.refused)
    if form.kept:
        assert documents(form, tmp_path) == ([*form.kept], [*form.unused])
        return
    with pytest.raises(UserError) as caught:
        documents(form, tmp_path)
    message = str(caught.value)
    assert all(words in message for words in form.refused), message
    assert "rows.jsonl" in message


def page() -> str:
    """The reference page of the forms."""
    lines = [
        "# Forms of rows",
        "",
        "How a row of each published form is read, from the table that the tests check. A document is written as `prefix -> "
        "response`, without the control tokens that open and close every document; the response is learnt. Rows of the kind `pairs` are "
        "read by `hrm-align dpo` and `reward`, and written as `prefix -> chosen, not rejected`; rows of the kind `labels` are read by "
        "`hrm-align kto`. A refused row ends the command "
        "with an error that names it. How to use them: [data](../guides/data.md#columns-and-keys-that-are-not-read). This page is "
        "generated by `scripts/docs_reference.py` from `tests/data/test_forms.py`.",
        "",
        "| form | row | result |",
        "| --- | --- | --- |",
    ]
    for form in FORMS:
        spec = f"; with {_code(json.dumps(form.spec))}" if form.spec else ""
        spec += f"; {form.kind}" if form.kind != "answers" else ""
        kept = ", then ".join(_code(text) for text in form.kept)
        unused = f"; unused: {', '.join(map(_code, form.unused))}" if form.unused else ""
        outcome = kept + unused if form.kept else f"refused: {' ... '.join(map(_code, form.refused))}"
        lines.append(f"| {form.name}{spec} | {_code(json.dumps(form.row))} | {outcome} |")
    return "\n".join([
        *lines,
        "",
        "## Names",
        "",
        f"Keys of a message that say nothing about its text, and are left out: {_listed(LABELS)}. A `name` is left out of the messages of "
        "tools, whose answers follow their calls.",
        "",
        "A column that no schema reads is metadata, and unused, if its name ends in one of these words, or begins with `num`, `n` or `nb`: "
        f"{_listed(sorted(METADATA))}.",
        "",
    ])  # fmt: skip


def _code(text: str) -> str:
    """Text for a cell in backticks, on one line."""
    text = text.replace("\n", "\\n").replace("|", "\\|")
    return f"`` {text} ``" if "`" in text else f"`{text}`"


def _listed(names: Any) -> str:
    return ", ".join(f"`{name}`" for name in names)


def test_the_python_api_reads_messages_in_the_same_forms():
    tokenizer = load_tokenizer("tiny")
    row = wrong_then_right(thinking="odd", weight=0)["messages"]
    (document,) = render_conversation(tokenizer, row)
    assert tokenizer.decode(document.input_ids).endswith(
        "<think>\nodd\n</think>\n\n5<|box_end|><|im_start|>Sure?<|im_end|>4<|box_end|>"
    )
    with pytest.raises(UserError, match="a message has `mood`, which nothing reads"):
        render_conversation(tokenizer, [*row, said(mood="glad")])
