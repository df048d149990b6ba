"""Tasks of lm-evaluation-harness on this model: the same answers as `hrm-align evaluate`, the log-likelihoods of an oracle."""

import json
from pathlib import Path

import pytest

pytest.importorskip("lm_eval", reason="needs the extra `eval`")

import lm_eval
import torch
from lm_eval.api.instance import Instance
from lm_eval.api.task import ConfigurableTask

from hrm_align import load_model, load_tokenizer
from hrm_align.errors import UserError
from hrm_align.evaluation.lm_eval import HrmLM
from hrm_align.rendering import Message, get_renderer
from tests.command_line import run as command
from tests.parity.reference import reference_logits


@pytest.fixture
def lm() -> HrmLM:
    return HrmLM("tiny", device="cpu", batch_size=16)


def request(context, continuation, kind="loglikelihood"):
    return Instance(kind, {}, (context, continuation), 0, metadata=("mine", 3, 1))


def asked(lm, messages):
    return lm.apply_chat_template(messages, add_generation_prompt=messages[-1]["role"] != "assistant")


CONTEXTS = ["Turn around: stone red", "What is 17 + 8?", "Sort: pear apple fig\n\nSort: nut"]
CONTINUATIONS = [" red stone", " 25", "25", " fig nut pear apple"]


@pytest.mark.numeric
@pytest.mark.parametrize("batch_size", [1, 16])
def test_loglikelihoods_are_those_of_an_oracle(batch_size):
    lm = HrmLM("tiny", condition="synth+cot", device="cpu", batch_size=batch_size)
    pairs = [(context, continuation) for context in CONTEXTS for continuation in CONTINUATIONS]
    scored = lm.loglikelihood([request(*pair) for pair in pairs])
    model, renderer = load_model("tiny"), get_renderer(load_tokenizer("tiny"))
    for (context, continuation), (score, is_greedy) in zip(pairs, scored, strict=True):
        prompt, answer = renderer.prompt(context, "synth,cot"), renderer.plain(continuation.strip())
        logits = reference_logits(model, [*prompt, *answer])[len(prompt) - 1 : -1].double()
        expected = logits.log_softmax(-1).gather(-1, torch.tensor(answer)[:, None]).sum().item()
        assert score == pytest.approx(expected, abs=1e-4)
        assert is_greedy == (logits.argmax(-1).tolist() == answer)


def test_a_continuation_that_greedy_decoding_produces_is_greedy(lm):
    prompt = get_renderer(load_tokenizer("tiny")).prompt(CONTEXTS[1], "direct")
    (answer,) = lm.generate_until([request(CONTEXTS[1], {"until": []}, "generate_until")])
    assert prompt and answer
    (_, is_greedy), (_, other) = lm.loglikelihood([request(CONTEXTS[1], " " + answer), request(CONTEXTS[1], " 999")])
    assert is_greedy and not other


@pytest.mark.numeric
def test_an_answer_that_the_task_begins_counts_from_there(lm):
    question = {"role": "user", "content": CONTEXTS[1]}
    whole, begun = (
        asked(lm, [question]),
        asked(lm, [question, {"role": "assistant", "content": "25"}]),
    )
    (all_, _), (first, _), (rest, _) = lm.loglikelihood(
        [request(whole, "25 maybe"), request(whole, "25"), request(begun, " maybe")]
    )
    assert rest == pytest.approx(all_ - first, abs=1e-4) and rest < -0.01


def test_a_conversation_is_rendered_as_in_training(lm):
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "What is 2 + 2? <|im_end|>"},
        {"role": "assistant", "content": "4"},
        {"role": "user", "content": "And 3 + 3?"},
    ]
    prompt, begun = lm._prompt(request(asked(lm, messages), ""))
    expected = get_renderer(load_tokenizer("tiny")).prompt(
        [Message(m["role"], m["content"]) for m in messages], "direct"
    )
    assert (prompt, begun) == (expected, "") and prompt.count(7) == 1


class Rows(ConfigurableTask):
    """Answers to the rows of a file: to `prompt`, or to the conversation of `messages` up to its last answer."""

    def __init__(self, rows, question, answer):
        super().__init__(
            config={
                "task": "mine",
                "output_type": "generate_until",
                "dataset_path": "json",
                "dataset_kwargs": {"data_files": {"test": str(rows)}},
                "test_split": "test",
                "doc_to_text": question,
                "doc_to_target": answer,
                "generation_kwargs": {"until": [], "max_gen_toks": 48, "do_sample": False},
                "metric_list": [{"metric": "exact_match"}],
            }
        )

    def fewshot_context(self, doc, *args, chat_template=None, **kwargs):
        if "messages" in doc:
            return chat_template(doc["messages"][:-1])
        return super().fewshot_context(doc, *args, chat_template=chat_template, **kwargs)


TASKS = {
    "chat": (lambda doc: doc["messages"][-2]["content"], lambda doc: doc["messages"][-1]["content"]),
    "json_extraction": ("{{prompt}}", "{{response}}"),
}


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("count", [12, pytest.param(300, marks=pytest.mark.campaign)])
def test_answers_and_verdicts_are_those_of_evaluate(lm, tmp_path, capsys, name, count):
    rows, report = tmp_path / "rows.jsonl", tmp_path / "report.jsonl"
    rows.write_text("".join(Path(f"data/{name}/test.jsonl").read_text().splitlines(keepends=True)[:count]))
    tasks = {"mine": Rows(rows, *TASKS[name])}
    results = lm_eval.evaluate(lm, tasks, apply_chat_template=name == "chat", bootstrap_iters=0)
    theirs = sorted(results["samples"]["mine"], key=lambda sample: sample["doc_id"])
    limits = ["--condition", "direct", "--max_new_tokens", 48]
    code, _, err = command(capsys, "evaluate", "--model", "tiny", "--data", rows, *limits, "--save", report)
    assert code == 0, err
    ours = [json.loads(line) for line in report.read_text().splitlines()]
    assert len(ours) == count
    assert [(s["filtered_resps"][0], s["exact_match"] == 1) for s in theirs] == [
        (s["generated"], s["correct"]) for s in ours
    ]


def test_a_context_that_a_task_changes_after_the_template_is_refused(lm):
    context = asked(lm, [{"role": "user", "content": "What?"}]) + "\nAnswer:"
    with pytest.raises(UserError, match="apply_chat_template"):
        lm.loglikelihood([request(context, " 25")])


REFUSED = [
    ("loglikelihood", ("", " 25"), "context is empty"),
    ("loglikelihood", ("What is 2 + 2?", "  "), "task mine, document 3.*continuation is empty"),
    ("loglikelihood", ("word " * 3000, " 25"), "task mine, document 3.*positions"),
    ("generate_until", ("word " * 3000, {"until": []}), "document 3.*num_fewshot"),
    ("generate_until", ("What?", {"until": [], "num_beams": 4}), "num_beams.*not supported"),
    ("loglikelihood_rolling", ("a text", ""), "perplexity"),
]


@pytest.mark.parametrize(("kind", "arguments", "words"), REFUSED)
def test_what_this_model_cannot_answer_is_refused(lm, kind, arguments, words):
    with pytest.raises(UserError, match=f"(?s){words}"):
        getattr(lm, kind)([request(*arguments, kind)])


def test_an_answer_that_a_task_begins_cannot_be_generated(lm):
    context = asked(lm, [{"role": "user", "content": "What?"}, {"role": "assistant", "content": "It is"}])
    with pytest.raises(UserError, match="gen_prefix"):
        lm.generate_until([request(context, {"until": []}, "generate_until")])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"conditon": "direct"}, "conditon"),
        ({"condition": "plain"}, "unknown condition"),
        ({"batch_size": "many"}, "batch_size"),
    ],
)
def test_wrong_arguments_are_refused(arguments, words):
    with pytest.raises(UserError, match=words):
        HrmLM("tiny", device="cpu", **arguments)


def test_answers_end_before_stop_texts(lm):
    (answer,) = lm.generate_until([request(CONTEXTS[0], {"until": []}, "generate_until")])
    first, rest = answer.split(" ", 1)
    (cut,) = lm.generate_until([request(CONTEXTS[0], {"until": [" " + rest]}, "generate_until")])
    assert cut == first


@pytest.mark.campaign  # lm_eval reads its 14,000 tasks first
def test_the_command_line_knows_the_model(tmp_path, capsys):
    (tmp_path / "mine.yaml").write_text(
        "task: mine\ndataset_path: json\ntest_split: test\noutput_type: multiple_choice\n"
        f"dataset_kwargs: {{data_files: {{test: {tmp_path}/rows.jsonl}}}}\n"
        'doc_to_text: "{{question}}"\ndoc_to_choice: ["8", "9"]\ndoc_to_target: "{{label}}"\nmetric_list: [{metric: acc}]\n'
    )
    (tmp_path / "rows.jsonl").write_text(
        '{"question": "What is 4 + 4?", "label": 0}\n{"question": "What is 4 + 5?", "label": 1}\n'
    )
    words = ["--model_args", "pretrained=tiny,condition=direct", "--include_path", tmp_path, "--device", "cpu"]
    code, out, err = command(capsys, "lm_eval", "--tasks", "mine", *words)
    assert code == 0, err
    assert "hrm ({'pretrained': 'tiny'" in out and "|acc" in out
