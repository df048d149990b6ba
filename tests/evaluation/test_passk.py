"""`hrm-align headroom`: the measured pass rates are correct, and a recipe can use the saved file."""

import json
import math

import pytest

from hrm_align.rollouts.groups import pass_at_k, zero_variance_groups
from tests.command_line import run
from tests.trainers.grpo_runs import grpo, prompts
from tests.trainers.recipe_runs import write_rows

OPTIONS = ("--model", "tiny", "--rewards", "exact", "--max_new_tokens", "8", "--temperature", "1.5")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return prompts(tmp_path_factory.mktemp("prompts"))


@pytest.mark.numeric
def test_pass_at_k_is_the_chance_of_a_draw_without_replacement():
    """5 of 8 right: one of two is right unless both come from the other 3."""
    assert pass_at_k(5, 8, 2) == pytest.approx(1 - math.comb(3, 2) / math.comb(8, 2))
    assert (pass_at_k(0, 8, 8), pass_at_k(1, 8, 8), pass_at_k(3, 8, 1)) == (0, 1, 3 / 8)


def test_a_group_is_silent_if_all_graded_answers_are_paid_alike():
    rewards = [1, 1, 1, 0, None, None, None, 1, 0.5, 0.5]
    assert zero_variance_groups(rewards, 2) == [0, 2, 3, 4]


@pytest.mark.numeric
def test_it_tells_pass_rates_and_a_recipe_keeps_to_the_band(data, tmp_path, capsys):
    code, out, err = run(capsys, "headroom", "--data", data, *OPTIONS, "--save", tmp_path / "rates.jsonl", "--json")
    assert code == 0, err
    report, rows = json.loads(out), [json.loads(line) for line in (tmp_path / "rates.jsonl").read_text().splitlines()]
    assert report["prompts"] == len(rows) == 18 and sum(report["bands"].values()) == 18
    assert report["pass@1"] == pytest.approx(sum(row["pass_rate"] for row in rows) / 18)
    assert report["without_signal"] == pytest.approx(sum(row["pass_rate"] in (0, 1) for row in rows) / 18)
    assert report["pass@1"] < report["pass@8"]
    inside = [row for row in rows if 0.1 <= row["pass_rate"] <= 0.9]
    assert 2 < len(inside) < 18
    band = ("--headroom", str(tmp_path / "rates.jsonl"), "--min_pass_rate", "0.1", "--max_pass_rate", "0.9")
    grpo(tmp_path / "run", data, *band, "--curriculum", "true", "--max_steps", "1", "--log_samples", "16")
    account = json.loads((tmp_path / "run/run/data.json").read_text())
    assert account["headroom"] == {"measured": 18, "unmeasured": 0, "in_band": len(inside)}
    asked = {json.loads(line)["source"] for line in (tmp_path / "run/samples.jsonl").read_text().splitlines()}
    easiest = sorted(inside, key=lambda row: -row["pass_rate"])[:4]
    assert asked == {row["source"] for row in easiest}


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--rewards", "exakt"), "did you mean 'exact'"),
        (("--rewards", "{file: nowhere.py, function: tone}"), "invalid value for the file of a reward: 'nowhere.py'"),
        (("--rewards", "{name: exact"), "argument --rewards: '{name: exact' is not a valid mapping"),
        (("--temperature", "0"), "Use a number above 0"),
        (("--samples", "0"), "--samples: 0"),
        (("--save", "nowhere/x.jsonl"), "there is no folder nowhere"),
        (("--max_new_tokens", "4096"), "prompts are longer than"),
    ],
)
def test_what_cannot_be_measured_is_one_sentence(flags, said, data, capsys):
    code, _, err = run(capsys, "headroom", "--data", data, *OPTIONS, *flags)
    assert code == 2 and said in err and err.count("error: ") == 1


@pytest.mark.parametrize("limit", [("--top_k", "1"), ("--top_p", "1e-6")])
def test_only_the_most_probable_token_is_left_to_sample_from(capsys, tmp_path, limit):
    """At a temperature at which answers without the limit are noise."""
    words = ("generate", "--model", "tiny", "--prompt", "Add 2 and 3.", "--max_new_tokens", 5, "--json")
    hot = (*words, "--temperature", "9", "--seed", "0")
    (greedy, hottest, limited) = (
        json.loads(run(capsys, *argv)[1])["token_ids"] for argv in (words, hot, (*hot, *limit))
    )
    assert limited == greedy != hottest
    voted = json.loads(run(capsys, *hot, *limit, "--n", "3", "--vote")[1])
    assert [candidate["token_ids"] for candidate in voted["candidates"]] == [greedy] * 3
    data = write_rows(tmp_path / "data.jsonl", [{"prompt": "Add 2 and 3.", "response": "5"}])
    calibration = ("evaluate", "--model", "tiny", "--data", data, "--n", "3", "--calibration", "--temperature", "9")
    code, out, err = run(capsys, *calibration, "--max_new_tokens", 5, "--json", *limit)
    assert code == 0 and json.loads(out)["calibration"]["agreement"]["confidence"] == 1, err
    headroom = (
        "headroom",
        "--model",
        "tiny",
        "--data",
        data,
        "--rewards",
        "exact",
        "--samples",
        "4",
        "--temperature",
        "9",
    )
    code, out, err = run(capsys, *headroom, "--max_new_tokens", 5, "--json", *limit)
    assert code == 0 and json.loads(out)["pass@1"] in (0, 1), err
