"""Confidence of answers: its measures, agreement and votes as graders read answers, and the command line."""

import itertools
import json
import math
import os

import numpy as np
import pytest

from hrm_align.data.examples import Example
from hrm_align.evaluation import calibration
from hrm_align.evaluation.best_of import Answered, Candidate, Sampling
from hrm_align.evaluation.calibration import Calibration
from hrm_align.evaluation.evaluate import evaluate
from hrm_align.evaluation.voting import Voter, label_same, measure_confidence
from hrm_align.models.loading import load_model_and_tokenizer
from hrm_align.rendering import Message, get_renderer
from hrm_align.rollouts.local import generate
from tests.command_line import run
from tests.parity.reference import answer_logprob
from tests.trainers.recipe_runs import write_rows
from tests.trainers.resume.runs import forked

REVERSALS = [
    {"prompt": f"Turn around: {a} {b}", "response": f"{b} {a}", "condition": "noisy"}
    for a, b in (("stone", "red"), ("oak", "blue"), ("fox", "sun"), ("pig", "hat"), ("sea", "hill"), ("rain", "tree"))
]


@pytest.fixture(scope="module")
def tiny():
    return load_model_and_tokenizer("tiny")


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch):
    """The bootstrap gives the intervals only; the test of their coverage sets its own number."""
    monkeypatch.setattr(calibration, "RESAMPLES", 20)


@pytest.fixture
def data(tmp_path):
    return write_rows(tmp_path / "rows.jsonl", REVERSALS)


def command(capsys, *argv):
    code, out, err = run(capsys, *argv, "--json")
    assert code == 0, err
    return json.loads(out)


# Measures ---------------------------------------------------------------------------------------------------------------


def drawn(seed, n, levels=None, gap=0.0):
    """Confidences, with ties if there are `levels`, and answers that are correct with that probability less the gap."""
    rng = np.random.default_rng(seed)
    confidences = rng.beta(2, 1, n) if levels is None else rng.integers(levels, size=n) / (levels - 1)
    return confidences, rng.random(n) < confidences - gap


@pytest.mark.numeric
@pytest.mark.parametrize("levels", [None, 9])
def test_measures_equal_those_of_scikit_learn(levels):
    metrics = pytest.importorskip("sklearn.metrics", reason="comes with the extra `eval`")
    from sklearn.calibration import calibration_curve

    confidences, correct = drawn(0, 300, levels)
    ours = Calibration.of(confidences, correct)
    assert ours.brier.value == pytest.approx(metrics.brier_score_loss(correct, confidences), abs=1e-12)
    assert ours.auroc.value == pytest.approx(metrics.roc_auc_score(correct, confidences), abs=1e-12)
    if levels is None:
        accuracy, mean = calibration_curve(correct, confidences, n_bins=10, strategy="quantile")
        assert [part.n for part in ours.bins] == [30] * 10
        assert [part.accuracy for part in ours.bins] == pytest.approx(accuracy, abs=1e-12)
        assert ours.ece.value == pytest.approx(np.abs(accuracy - mean).mean(), abs=1e-12)


@pytest.mark.numeric
def test_the_calibration_error_of_four_levels_by_hand():
    """Equal confidences share a bin, whatever their order: 0.1 * |0 - 0.2| + 0.3 * |1/3 - 0.5| + 0.6 * |5/6 - 0.9|."""
    confidences = [0.9, 0.5, 0.2, 0.9, 0.5, 0.9, 0.9, 0.5, 0.9, 0.9]
    correct = [True, True, False, True, False, True, True, False, False, True]
    expected = 0.1 * 0.2 + 0.3 * (0.5 - 1 / 3) + 0.6 * (0.9 - 5 / 6)
    for order in (range(10), reversed(range(10)), np.random.default_rng(0).permutation(10)):
        order = list(order)
        result = Calibration.of([confidences[i] for i in order], [correct[i] for i in order])
        assert result.ece.value == pytest.approx(expected, abs=1e-12)
        assert [(part.n, part.low, part.high) for part in result.bins] == [(1, 0.2, 0.2), (3, 0.5, 0.5), (6, 0.9, 0.9)]


@pytest.mark.numeric
def test_the_area_under_the_risk_coverage_curve_is_the_mean_over_all_orders_of_ties():
    confidences, correct = [0.9, 0.5, 0.5, 0.5, 0.1], [True, False, True, False, False]
    areas, risks = [], []
    for order in itertools.permutations([1, 2, 3]):
        wrong = [not correct[i] for i in (0, *order, 4)]
        risks.append([sum(wrong[:k]) / k for k in range(1, 6)])
        areas.append(sum(risks[-1]) / 5)
    ours = Calibration.of(confidences, correct)
    assert ours.aurc.value == pytest.approx(sum(areas) / len(areas), abs=1e-12)
    by_coverage = {point.coverage: point for point in ours.curve}
    assert [by_coverage[k / 5].risk for k in range(1, 6)] == pytest.approx(np.mean(risks, axis=0), abs=1e-12)
    assert [by_coverage[k / 5].threshold for k in range(1, 6)] == sorted(confidences, reverse=True)


def test_the_interval_of_the_calibration_error_covers_the_error_of_the_confidences(monkeypatch):
    """Each confidence is 0.05 too high, which at 300 answers is little more than the estimate has by chance."""
    monkeypatch.setattr(calibration, "RESAMPLES", 60)
    results = [Calibration.of(*drawn(seed, 300, gap=0.05)) for seed in range(20)]
    covered = sum(one.ece.low <= 0.05 <= one.ece.high for one in results)
    assert covered >= 17, "the percentiles of the resamples cover it in 4 of 20"
    calibrated = [Calibration.of(*drawn(seed, 300)) for seed in range(20)]
    below = sum(one.ece.value <= one.ece_by_chance[1] for one in calibrated)
    assert below >= 17, "19 of 20 calibrated confidences stay below the 95th percentile"
    assert sum(one.ece.value <= one.ece_by_chance[1] for one in results) <= 15, "and others do not"


def test_one_class_of_answers_has_no_auroc_and_reports_stay_json():
    report = Calibration.of([0.9, 0.8], [True, True]).to_dict()
    assert report["auroc"] == {"value": None, "interval": [None, None]} and report["aurc"]["value"] == 0
    json.dumps(report, allow_nan=False)


# Same answers and votes -------------------------------------------------------------------------------------------------


def example(reference="", **grading):
    return Example((Message("user", "?"),), Message("assistant", reference), "direct", "f:1", grading=grading)


CALLS = [f'<tool_call>{{"name": "f", "arguments": {{"x": {x}}}}}</tool_call>' for x in (1, 2)]


@pytest.mark.parametrize(
    "match, row, texts, labels",
    [
        ("exact", example("a"), ["a ", "b", "a", None], [0, 1, 0, None]),
        ("numeric", example(), ["so 1,000", "1000.0", "no number", "7"], [0, 0, None, 1]),
        ("math", example(), [r"\boxed{1/2}", r"\boxed{0.5}", r"\boxed{2}"], [0, 0, 1]),
        ("json", example(), ['{"a": 1, "b": 2}', '{"b":2,"a":1}', "{", '{"a": 1}'], [0, 0, None, 1]),
        ("choice", example("B", choices=["Lyon", "Paris"]), ["B", "Paris", "A"], [0, 0, 1]),
        # Right answers that the row lists are not the same answer.
        ("numeric", example("1", references=["2"]), ["1", "2"], [0, 1]),
        ("tool_calls", example(possible=[{"f": {"x": [1, 2]}}]), [*CALLS, CALLS[1]], [0, 1, 1]),
        ("json_fields", example('{"a": 1}'), ['{"a": 1, "b": 2}', '{"a": 1, "b": 3}'], [0, 1]),
        ("code", example(tests="assert f() == 1"), ["def f(): return 1", "def f(): return 2 - 1"], [0, 1]),
    ],
)  # fmt: skip
def test_answers_are_the_same_as_the_grader_reads_them(match, row, texts, labels):
    assert label_same(match, [row], [texts]) == [labels]


def candidate(text, logprob, finish="stop"):
    return Candidate([1], text, finish, [logprob])


def test_the_majority_wins_and_ties_go_to_the_more_probable_answer():
    rows = [example("c")] * 3
    groups = [
        [candidate("so 3", -0.1), candidate("it is 4", -2.0), candidate("4", -1.0), candidate("4", -0.01, "length")],
        [candidate("3", -0.5), candidate("4", -3.0), candidate("3", -0.9), candidate("so 4", -0.2)],
        [candidate("none", -0.3), candidate("none", -0.1), candidate("cut", -0.01, "length"), candidate("8", -9.0)],
    ]
    ordered = Voter("numeric").order(rows, groups)
    assert [(one.text, one.score) for one in ordered[0]] == [("4", 2), ("it is 4", 2), ("so 3", 1), ("4", None)]
    assert [(one.text, one.score) for one in ordered[1]] == [("so 4", 2), ("4", 2), ("3", 2), ("3", 2)]
    assert [(one.text, one.score) for one in ordered[2]] == [("8", 1), ("none", 0), ("none", 0), ("cut", None)]
    assert [one.logprob for one in ordered[2]] == [-9.0, -0.1, -0.3, -0.01]


def test_agreement_counts_the_samples_that_ended_with_the_same_answer():
    cut, samples = candidate("4", -0.1, "length"), [candidate("so 4", -1.0), candidate("4", -0.1, "length")]
    answered = [
        Answered(candidate("4", -0.5), samples),
        Answered(cut, samples),
        Answered(candidate("none", -0.5), samples),
    ]
    measured = measure_confidence("numeric", [example()] * 3, answered)
    assert [one["agreement"] for one in measured] == [0.5, 0, 0]
    assert measured[0]["logprob"] == -0.5 and measured[0]["tokens"] == 1


def test_an_answer_that_is_right_in_part_counts_as_wrong(tiny, monkeypatch):
    model, tokenizer = tiny
    ids = get_renderer(tokenizer).response(Message("assistant", '{"a": 1, "b": 3}'))
    answered = [Answered(Candidate(ids, "", "stop", [-0.1] * len(ids)), [])]
    asked = []
    monkeypatch.setattr(
        "hrm_align.evaluation.evaluate.answer_questions", lambda *given, **_: asked.extend(given[2]) or answered
    )
    rows = [example('{"a": 1, "b": 2}')]
    result = evaluate(model, tokenizer, rows, match="json_fields", calibrate=True, condition="synth,cot")
    assert result.score.rate == 0.5 and result.calibration["probability"].accuracy == 0
    assert [one.condition for one in asked] == ["synth,cot"], "what a reward model reads is what the model was asked"


# The command line -------------------------------------------------------------------------------------------------------


@pytest.mark.numeric
def test_the_confidence_of_an_answer_is_its_probability_under_the_trainers_mask(data, tiny, capsys, tmp_path):
    model, tokenizer = tiny
    save = tmp_path / "answers.jsonl"
    words = ("evaluate", "--model", "tiny", "--data", data, "--calibration", "--n", 4, "--seed", 5, "--save", save)
    picture = tmp_path / "calibration.png"
    report = command(capsys, *words, "--condition", "direct", "--max_new_tokens", 8, "--png", picture)
    assert picture.read_bytes()[:4] == b"\x89PNG"
    answers = [json.loads(line) for line in save.read_text().splitlines()]
    render = get_renderer(tokenizer)
    prompts = [render.prompt([Message("user", row["prompt"])], "direct") for row in REVERSALS]
    greedy = generate(model, prompts, max_new_tokens=8)
    sampled = generate(
        model, [prompt for prompt in prompts for _ in range(4)], max_new_tokens=8, temperature=1.0, seed=5
    )
    for number, (prompt, ids, answer) in enumerate(zip(prompts, greedy, answers, strict=True)):
        confidence = answer["confidence"]
        expected = answer_logprob(model, prompt, ids).item()
        assert confidence["logprob"] == pytest.approx(
            expected, abs=1e-4
        )  # noise 4e-6; a causal prompt moves it by tenths
        assert confidence["probability"] == pytest.approx(math.exp(expected), abs=1e-4)
        assert confidence["token_probability"] == pytest.approx(math.exp(expected / len(ids)), abs=1e-4)
        ended = [one for one in sampled[4 * number : 4 * number + 4] if one[-1] == render.response_end_id]
        same = sum(render.decode_response(one).strip() == answer["generated"].strip() for one in ended)
        assert confidence["agreement"] == (same / 4 if ids[-1] == render.response_end_id else 0)
    for name, one in report["calibration"].items():
        values = [answer["confidence"][name] for answer in answers]
        assert one == json.loads(json.dumps(Calibration.of(values, [a["correct"] for a in answers]).to_dict()))
    assert [*report["calibration"]] == ["probability", "token_probability", "agreement"]
    assert (report["samples"], report["vote"], report["n"]) == (4, False, 6)


def test_self_consistency_takes_the_answer_that_most_samples_give(data, tiny, capsys, tmp_path):
    model, tokenizer = tiny
    save = tmp_path / "answers.jsonl"
    words = ("evaluate", "--model", "tiny", "--data", data, "--n", 8, "--vote", "--seed", 3, "--max_new_tokens", 12)
    report = command(capsys, *words, "--save", save)
    answers = [json.loads(line)["generated"] for line in save.read_text().splitlines()]
    render = get_renderer(tokenizer)
    prompts = [render.prompt([Message("user", row["prompt"])], "noisy") for row in REVERSALS for _ in range(8)]
    sampled = generate(model, prompts, max_new_tokens=12, temperature=1.0, seed=3)
    texts = [render.decode_response(ids) if ids[-1] == render.response_end_id else None for ids in sampled]
    for start, answer in zip(range(0, len(texts), 8), answers, strict=True):
        group = [text.strip() for text in texts[start : start + 8] if text is not None]
        assert group.count(answer) == max(map(group.count, group))
    assert report["correct"] == sum(a == row["response"] for a, row in zip(answers, REVERSALS, strict=True)) > 0
    assert (report["best_of"], report["vote"], report["rank_by"]) == (8, True, None)


def answer_together(data, out=None):
    """Evaluate with greedy answers and with a vote, as each of the processes of a run if `out` is given."""
    from accelerate import PartialState

    from hrm_align.commands.common import read_examples

    PartialState(cpu=True)
    model, tokenizer = load_model_and_tokenizer("tiny")
    settings = {"max_new_tokens": 12, "sampling": Sampling(3, seed=1), "calibrate": True, "share": out is not None}
    rows = read_examples(str(data))
    results = [evaluate(model, tokenizer, rows, **settings, chooser=one) for one in (None, Voter("exact"))]
    reports = [[one.to_dict(), one.samples] for one in results]
    if out is not None:
        (out / os.environ["RANK"]).write_text(json.dumps(reports))
    return reports


@pytest.mark.numeric
def test_two_processes_share_the_samples_and_report_what_one_process_reports(data, tmp_path):
    assert forked(tmp_path / "log", answer_together, data, tmp_path, ranks=2) == [0, 0], (tmp_path / "log").read_text()
    alone = answer_together(data)
    for rank in ("0", "1"):
        for (report, samples), (theirs, their_samples) in zip(
            alone, json.loads((tmp_path / rank).read_text()), strict=True
        ):
            assert [one["generated"] for one in samples] == [one["generated"] for one in their_samples]
            assert report["correct"] == theirs["correct"] and report["n"] == 6
            for name, one in report["calibration"].items():
                assert one["brier"]["value"] == pytest.approx(theirs["calibration"][name]["brier"]["value"], abs=1e-5)


@pytest.mark.numeric
def test_generate_prints_the_confidence_of_its_answer(capsys):
    words = ("generate", "--model", "tiny", "--prompt", "Turn around: stone red", "--confidence")
    answer = command(capsys, *words)
    confidence = answer["confidence"]
    assert len(confidence["token_probabilities"]) == len(answer["token_ids"])
    assert math.prod(confidence["token_probabilities"]) == pytest.approx(confidence["probability"])
    assert "agreement" not in confidence and "candidates" not in answer
    sampled = (*words, "--n", 8, "--temperature", 1, "--seed", 0)
    text, answer = answer["text"], command(capsys, *sampled)
    same = sum(one["text"] == text and one["finish_reason"] == "stop" for one in answer["candidates"])
    assert answer["text"] == text and answer["confidence"]["agreement"] == same / 8 and 0 < same < 8
    code, out, _ = run(capsys, *sampled)
    line = out.splitlines()[1]
    assert code == 0 and line.startswith(f"probability {answer['confidence']['probability']:.3f}, per token")
    assert line.endswith(f"{same} of 8 samples agree")
    voted = command(capsys, *sampled, "--vote")
    assert (
        voted["score"] == max(one["score"] or 0 for one in voted["candidates"]) == 8 * voted["confidence"]["agreement"]
    )


def test_best_of_n_by_a_reward_that_needs_no_reference(capsys, data, tmp_path):
    pattern = "{name: format, pattern: '[a-z]+ [a-z]+'}"
    sampled = ("--n", 8, "--rank_by", pattern, "--seed", 0, "--temperature", 1, "--max_new_tokens", 12)
    answer = command(capsys, "generate", "--model", "tiny", "--prompt", "Turn around: stone red", *sampled)
    scores = [one.get("score") for one in answer["candidates"]]
    assert answer["score"] == max(score for score in scores if score is not None) and scores[0] == answer["score"]
    (tmp_path / "mine.py").write_text(
        "def reward(completions, reference, grading, **_):\n"
        "    assert not any(reference) and not any(grading), 'a ranker must not know the answer'\n"
        "    return [-len(text) for text in completions]\n"
    )
    own = ("--n", 4, "--rank_by", f"{{file: {tmp_path / 'mine.py'}}}", "--max_new_tokens", 12)
    shortest = command(
        capsys, "generate", "--model", "tiny", "--prompt", "Who wrote Hamlet?", *own, "--temperature", 1, "--seed", 0
    )
    lengths = [len(one["text"]) for one in shortest["candidates"] if one["finish_reason"] == "stop"]
    assert lengths == sorted(lengths) and len(set(lengths)) > 1 and len(shortest["text"]) == lengths[0]
    report = command(capsys, "evaluate", "--model", "tiny", "--data", data, *own)
    assert report["n"] == 6 and report["best_of"] == 4 and report["rank_by"]["file"].endswith("mine.py")


@pytest.mark.parametrize(
    "flags, sentence",
    [
        (("--n", "8"), "--n 8 needs a use for the 8 answers: add --vote, --rank_by or --confidence."),
        (("--vote",), "--vote needs several answers to choose from: add --n 8."),
        (("--n", "8", "--vote", "--rank_by", "length"), "--vote and --rank_by choose an answer each"),
        (("--n", "8", "--vote"), "Add --temperature 1"),
        (("--n", "0"), "invalid value for --n: 0"),
        (("--match", "length"), "--match is 'length', which checks the form of an answer"),
        (("--n", "8", "--rank_by", "math", "--temperature", "1"), "--rank_by: the reward math compares an answer with the reference"),
        (("--n", "8", "--rank_by", "code", "--temperature", "1"), "or the tests of its row"),
        (("--n", "8", "--rank_by", "{name: lenght}", "--temperature", "1"), "--rank_by: unknown reward 'lenght': did you mean 'length'?"),
        (("--n", "2", "--rank_by", "json_schema", "--temperature", "1", "--max_new_tokens", "12"), "no schema is given"),
    ],
)  # fmt: skip
def test_options_that_do_not_fit_are_refused_in_a_sentence(capsys, flags, sentence):
    code, _, err = run(capsys, "generate", "--model", "tiny", "--prompt", "x", *flags)
    assert code == 2 and sentence in err and "Traceback" not in err, err


def test_a_picture_without_calibration_is_refused(capsys, data, tmp_path):
    code, _, err = run(capsys, "evaluate", "--model", "tiny", "--data", data, "--png", tmp_path / "x.png")
    assert code == 2 and "--png draws the calibration of one model: add --calibration" in err
