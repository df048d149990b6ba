"""What `hrm-align estimate` says, against what autograd keeps of a real forward."""

import pytest
import torch
from transformers import AutoModelForCausalLM, HrmTextConfig

from hrm_align.models.loading import load_model
from hrm_align.models.recurrence import Horizon
from hrm_align.models.reward_loading import load_reward_model
from tests.estimates.told import estimate, kept_by_autograd, main, size_without_weights
from tests.trainers.recipe_runs import write_rows

ROWS, LENGTH = 3, 96
ROWS_KEY = "--per_device_train_batch_size"


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    folder = tmp_path_factory.mktemp("estimate")
    data = write_rows(folder / "rows.jsonl", [{"prompt": "a", "response": "b"}])
    (folder / "recipe.yaml").write_text(
        f"model_name_or_path: tiny\ndatasets: [{data}]\noutput_dir: {folder / 'run'}\nmax_length: {LENGTH}\n"
        f"per_device_train_batch_size: {ROWS}\npacking: true\n"
    )
    return folder / "recipe.yaml"


def kept_by_a_forward(model, bp_steps):
    """Bytes that a real forward keeps for the backward."""
    Horizon(model.train(), bp_steps)
    ids = torch.randint(31, 200, (ROWS, LENGTH))
    ids[:, 20] = 7
    with kept_by_autograd() as kept:
        hidden = model.model(ids, use_cache=False).last_hidden_state
    assert hidden.requires_grad
    return size_without_weights(kept, model)


@pytest.mark.parametrize("bp_steps", [2, 5, 8])
def test_activations_are_what_autograd_keeps(recipe, capsys, bp_steps):
    found = estimate(capsys, recipe, "--bp_steps", bp_steps)
    assert found["tokens"] == ROWS * LENGTH
    assert found["bytes"]["activations"] == pytest.approx(kept_by_a_forward(load_model("tiny"), bp_steps), rel=0.05)


def test_layers_that_are_not_run_are_counted(recipe, tmp_path, capsys):
    """Two of five are run; all the others are like them. Of what they keep, 8 % is the mask in the form that sdpa makes of it."""
    config = HrmTextConfig(hidden_size=64, num_layers_per_stack=5, num_hidden_layers=40, intermediate_size=96,
                           num_attention_heads=2, head_dim=32, vocab_size=512, L_bp_cycles=[0, 3], pad_token_id=5)  # fmt: skip
    config.save_pretrained(tmp_path)
    found = estimate(capsys, recipe, "--model_name_or_path", tmp_path, "--attn_implementation", "sdpa")
    kept = kept_by_a_forward(AutoModelForCausalLM.from_config(config), 5)
    assert found["bytes"]["activations"] == pytest.approx(kept, rel=0.03)


def test_the_published_shape_takes_what_was_counted_for_it(recipe, published, capsys):
    """18.9 GB of weights, gradients and optimizer; 7.85 GFLOP forward and 9.8 backward for a token at horizon 5."""
    found = estimate(capsys, recipe, "--model_name_or_path", published)
    parts = found["bytes"]
    assert parts["weights"] + parts["gradients"] + parts["optimizer"] == pytest.approx(18.9e9, rel=0.01)
    assert found["flops_per_step"] / found["tokens"] == pytest.approx((7.85 + 9.8) * 1e9, rel=0.01)


def test_an_adapter_has_small_gradients_and_says_so_in_words(recipe, capsys):
    whole, adapter = (estimate(capsys, recipe, *flags) for flags in ((), ("--use_peft", "true")))
    assert adapter["trained"] < whole["trained"] / 5
    assert adapter["bytes"]["optimizer"] == pytest.approx(8 * adapter["trained"], rel=1e-3)  # and a step count each
    assert adapter["flops_per_step"] < whole["flops_per_step"]
    assert main(["estimate", "--config", str(recipe), "--use_peft", "true"]) == 0
    assert f"{adapter['trained']:,} trained parameters" in capsys.readouterr().out.replace("\n", " ")


def test_an_adapter_in_float32_on_a_base_in_half_precision_is_counted_as_it_is_held(recipe, capsys):
    """As the recipes of the 1B model hold them."""
    found = estimate(capsys, recipe, "--use_peft", "true", "--dtype", "bfloat16")
    base = sum(weight.numel() for weight in load_model("tiny").parameters())
    assert found["bytes"]["weights"] == 2 * base + 4 * found["trained"]
    assert found["bytes"]["gradients"] == 4 * found["trained"]


@pytest.mark.parametrize(
    ("rows", "words"),
    [(4, "The recipe fits into"), (2, "does not fit into"), (0.5, "Not even one row")],
)  # fmt: skip
def test_it_says_whether_the_run_fits_and_what_would(recipe, capsys, rows, words):
    one, two = (estimate(capsys, recipe, ROWS_KEY, count)["total"] for count in (1, 2))
    memory = (one + (rows - 1) * (two - one)) / 2**30
    main(["estimate", "--config", str(recipe), "--memory", str(memory)])
    assert words in capsys.readouterr().out


def test_the_largest_batch_that_it_names_fits_and_the_next_does_not(recipe, capsys):
    memory = 128 * 2**20
    largest = estimate(capsys, recipe, "--memory", memory / 2**30)["largest_batch"]
    totals = [estimate(capsys, recipe, ROWS_KEY, rows)["total"] for rows in (largest, largest + 1)]
    assert totals[0] <= memory < totals[1]


def test_the_logits_of_a_batch_are_counted_to_the_most_that_the_head_computes_at_a_time(recipe, tmp_path, capsys):
    """Of 65,536 logits half, and of 4,096 tokens: more tokens add the gradient of their hidden state, 32 numbers of 4 bytes."""
    HrmTextConfig(hidden_size=32, num_layers_per_stack=1, num_hidden_layers=8, intermediate_size=64, num_attention_heads=2,
                  head_dim=16, vocab_size=65536, L_bp_cycles=[0, 3], pad_token_id=5).save_pretrained(tmp_path)  # fmt: skip
    flags = ("--model_name_or_path", tmp_path, "--max_length", 2048, "--score_responses_only", "false", ROWS_KEY)
    one, two, four = (estimate(capsys, recipe, *flags, rows)["bytes"]["head"] for rows in (1, 2, 4))
    assert two - one == pytest.approx(2048 * 32768 * 4 * 8.3, rel=0.02)  # logits, and what PyTorch makes of them
    assert four - two == pytest.approx(4096 * 32 * 4, rel=0.6)
    found = estimate(capsys, recipe, *flags, 2, "--memory", 6)
    fits, next_one = (estimate(capsys, recipe, *flags, found["largest_batch"] + more)["total"] for more in (0, 1))
    assert fits <= 6 * 2**30 < next_one


def test_it_says_how_long_a_step_and_the_run_take_at_a_rate(recipe, capsys):
    found = estimate(capsys, recipe, "--tflops", 0.1)
    assert found["seconds_per_step"] == pytest.approx(found["flops_per_step"] / 1e11)
    assert main(["estimate", "--config", str(recipe), "--tflops", "0.001", "--max_steps", "7200"]) == 0
    steps = found["seconds_per_step"] * 100
    assert f"{steps:.3g} s per step, {2 * steps:.3g} h for 7200 steps" in capsys.readouterr().out


def test_processes_that_train_together_hold_their_gradients_twice(recipe, capsys):
    alone, together = (estimate(capsys, recipe, "--processes", count)["bytes"] for count in (1, 2))
    assert (
        together["gradients on their way"] == together["gradients"] == alone["gradients"]
        and together["optimizer"] == alone["optimizer"]
    )


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [("--memory", "-3", "invalid value for --memory: -3"), ("--tflops", "-3", "invalid value for --tflops: -3"), ("--memory", "nan", "invalid value for --memory: nan"),
     ("--memory", "lots", "argument --memory: invalid float value: 'lots' (see hrm-align estimate --help)")],
)  # fmt: skip
def test_what_cannot_be_is_one_sentence(recipe, capsys, option, value, words):
    assert main(["estimate", "--config", str(recipe), option, value]) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"error: {words}") and told.count("\n") == 1


def test_a_reward_model_is_counted_with_both_answers_and_without_an_output_head(tmp_path, capsys):
    (tmp_path / "reward.yaml").write_text(
        f"model_name_or_path: tiny\ndatasets: [pairs.jsonl]\noutput_dir: {tmp_path / 'run'}\nmax_length: {LENGTH}\n"
        f"per_device_train_batch_size: {ROWS}\ncenter_rewards_coefficient: 0.01\n"
    )
    found = estimate(capsys, tmp_path / "reward.yaml")
    model = load_reward_model("tiny")
    assert found["tokens"] == 2 * ROWS * LENGTH and not found["bytes"].get("head")
    assert found["trained"] == sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    assert found["bytes"]["activations"] == pytest.approx(2 * kept_by_a_forward(model, 5), rel=0.05)
