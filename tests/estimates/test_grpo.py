"""What `hrm-align estimate` says of rollouts and updates, against real ones."""

import pytest
import torch

from hrm_align.models.loading import load_model_and_tokenizer
from hrm_align.models.reward_loading import load_reward_model_and_tokenizer
from hrm_align.models.rounding import in_float32
from hrm_align.rendering import Message, get_renderer
from hrm_align.rewards.base import create_grader
from hrm_align.rollouts import writers
from hrm_align.trainers.grpo import GRPOTrainer
from tests.estimates.told import estimate, kept_by_autograd, main, peak_of, size_without_weights
from tests.trainers.grpo_runs import SMALL, grpo
from tests.trainers.recipe_runs import write_rows

PROMPTS, GROUP, ANSWER = 4, 4, 24
TEXTS = [f"{a} plus {a}?" for a in (11, 22, 33, 44)]  # as many tokens each


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prompts")
    return write_rows(folder / "rows.jsonl", [{"prompt": text, "response": "1"} for text in TEXTS])


@pytest.fixture(scope="module")
def recipe(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("estimate")
    settings = ("model_name_or_path: tiny", f"datasets: [{data}]", "rewards: [exact]", f"output_dir: {folder / 'run'}",
                f"num_generations: {GROUP}", f"per_device_train_batch_size: {PROMPTS * GROUP}",
                f"max_completion_length: {ANSWER}")  # fmt: skip
    (folder / "recipe.yaml").write_text("\n".join(settings))
    return folder / "recipe.yaml"


@pytest.fixture(scope="module")
def prompt_ids():
    renderer = get_renderer(load_model_and_tokenizer("tiny")[1])
    ids = [renderer.prompt(text, "direct") for text in TEXTS]
    assert len({*map(len, ids)}) == 1
    return ids


@pytest.mark.parametrize("attention", ["per_document", "sdpa"], ids=["shared prompts", "a copy for each answer"])
def test_keys_and_values_are_those_that_a_rollout_holds(recipe, prompt_ids, capsys, attention):
    flags = ("--attn_implementation", attention, "--prompt_tokens", len(prompt_ids[0]))
    told = estimate(capsys, recipe, *flags)["bytes"]["rollout"]["keys and values"]
    model, _ = load_model_and_tokenizer("tiny", attn_implementation=attention)
    with torch.no_grad():
        writer = writers.read(model, [ids for ids in prompt_ids for _ in range(GROUP)])
        for _ in range(ANSWER):
            writer.write(torch.full((PROMPTS * GROUP,), 40))
    held = 0
    for layer in writer._cache.layers:
        for tensors in (layer._roomy, getattr(layer, "prompts", None) or ()):
            held += sum(tensor.untyped_storage().nbytes() for tensor in tensors)
    assert 0.8 * told < held <= told


@pytest.mark.parametrize("shared", ["true", "false"], ids=["shared prompts", "separate rows"])
def test_activations_are_what_an_update_keeps(recipe, data, prompt_ids, tmp_path, capsys, monkeypatch, shared):
    """All answers are as long as they may be: at this temperature they never end."""
    flags = ("--share_prompts", shared)
    told = estimate(capsys, recipe, *flags, "--prompt_tokens", len(prompt_ids[0]))
    trainers, made = [], GRPOTrainer.__init__
    monkeypatch.setattr(GRPOTrainer, "__init__", lambda own, *a, **k: (trainers.append(own), made(own, *a, **k))[1])
    long = ("--temperature", "1000", "--max_completion_length", str(ANSWER), "--max_steps", "1", "--health", "false")
    with kept_by_autograd() as kept:
        grpo(tmp_path / "run", data, *long, *flags, "--parity_every", "0")
    parts = told["bytes"]["update"]
    assert size_without_weights(kept, trainers[0].model) == pytest.approx(parts["activations"], rel=0.15)


def test_the_published_shape_reads_what_was_counted_for_it(recipe, published, capsys):
    """786 kB of keys and values a token, and 8.05 GB of weights for each that is written."""
    one = ("--model_name_or_path", published, "--dtype", "bfloat16", "--num_generations", 2, "--prompt_tokens", 1)
    one += ("--per_device_train_batch_size", 2, "--max_completion_length", 1)
    found = estimate(capsys, recipe, *one)
    assert found["cached_bytes_per_token"] == 2 * 1536 * 2 * 128
    assert found["bytes_read_per_step"] == pytest.approx(8.05e9, rel=0.01)


def test_a_rollout_is_drawn_as_often_as_the_settings_say(recipe, capsys):
    once, half = (
        estimate(capsys, recipe, "--gradient_accumulation_steps", 2, "--num_iterations", count) for count in (1, 2)
    )
    assert once["answers"] == half["answers"] == 2 * PROMPTS * GROUP
    assert half["bytes_read_per_step"] == once["bytes_read_per_step"] / 2
    update = [found["flops_per_step"] - found["rollout_flops_per_step"] for found in (once, half)]
    assert update[1] > update[0], "answers that are learnt from twice are scored before the first update"


def test_a_reference_is_a_second_model_unless_an_adapter_is_trained(recipe, capsys):
    alone, beside, adapter = (
        estimate(capsys, recipe, *flags)["bytes"]["held"]
        for flags in ((), ("--beta", "0.1"), ("--beta", "0.1", "--use_peft", "true"))
    )
    assert alone["reference"] == adapter["reference"] == 0
    assert beside["reference"] == alone["weights"]


@pytest.mark.parametrize(
    ("memory", "words"),
    [("1", "The recipe fits into 1 GiB"), ("0.11", "The update does not fit into 0.11 GiB. Set per_device"), ("0.01", "with any batch size")],
)  # fmt: skip
def test_it_says_whether_the_run_fits_and_what_would(recipe, capsys, memory, words):
    main(["estimate", "--config", str(recipe), "--memory", memory, "--share_prompts", "false"])
    assert words in capsys.readouterr().out


def test_the_rows_that_it_names_fit_beside_the_same_rollout(recipe, capsys):
    def told(rows, *flags):
        """Of the same rollout, learnt from so many answers at a time."""
        times = PROMPTS * GROUP // rows
        split = ("--per_device_train_batch_size", rows, "--steps_per_generation", times)
        separate = ("--gradient_accumulation_steps", times, "--share_prompts", "false")
        return estimate(capsys, recipe, *split, *separate, *flags)

    found = told(4)
    assert told(2)["answers"] == found["answers"] == PROMPTS * GROUP
    assert told(16, "--memory", found["total"] / 2**30)["largest_batch"] == 4
    assert told(2)["total"] < found["total"] < told(8)["total"]


def test_it_says_how_long_answers_take_to_write(recipe, capsys):
    found = estimate(capsys, recipe, "--bandwidth", 0.5)
    assert found["seconds_of_reading_per_step"] == pytest.approx(found["bytes_read_per_step"] / 0.5e12)
    assert main(["estimate", "--config", str(recipe), "--bandwidth", "0.001"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert f"At 0.001 TB/s: {found['seconds_of_reading_per_step'] * 500:.3g} s per step" in said
    assert "a rollout of 16 answers to 4 prompts" in said


def test_what_is_of_rollouts_is_refused_for_a_fine_tuning(data, tmp_path, capsys):
    words = ["--model_name_or_path", "tiny", "--datasets", str(data), "--output_dir", str(tmp_path / "run")]
    assert main(["estimate", *words, "--prompt_tokens", "9"]) == 2
    assert "this is a recipe of `hrm-align sft`" in capsys.readouterr().err
    assert main(["estimate", *words, *SMALL[:2]]) == 0


def test_the_gate_of_half_precision_holds_weights_in_float32_too(recipe, capsys):
    """As many bytes as `in_float32` makes; a run in float32 has no such copies, and none are made without a gate."""
    flags = ("--dtype", "bfloat16", "--use_peft", "true", "--lora_dtype", "bfloat16")
    found = estimate(capsys, recipe, *flags)
    model, _ = load_model_and_tokenizer("tiny", dtype="bfloat16")
    with in_float32(model):
        copies = sum(weight.nbytes for weight in model.parameters())
    weights = found["bytes"]["held"]["weights"]  # the adapter's among them
    assert copies <= found["bytes"]["gate"]["float32 weights"] == 2 * weights
    held = sum(found["bytes"]["held"].values())
    assert found["total"] >= held + sum(found["bytes"]["gate"].values())
    assert estimate(capsys, recipe)["bytes"]["gate"] == {}
    assert estimate(capsys, recipe, *flags, "--parity_every", 0)["bytes"]["gate"] == {}


@pytest.mark.parametrize("batch", [3, 8])
def test_a_reward_model_is_held_beside_the_policy_and_scores_a_batch_at_a_time(
    recipe, prompt_ids, tmp_path, capsys, batch
):
    """On documents of 176 tokens, for which a dense mask is used, as for all up to 256."""
    reward, tokenizer = load_reward_model_and_tokenizer("tiny")
    reward.save_pretrained(tmp_path / "reward")
    tokenizer.save_pretrained(tmp_path / "reward")
    spec = f"[{{name: reward_model, model: {tmp_path / 'reward'}, batch_size: {batch}}}]"
    example = type("Row", (), {"messages": (Message("user", TEXTS[0]),), "condition": "direct"})()
    text = " ".join(["red"] * 80)
    length = len(get_renderer(tokenizer).document(example.messages, text, "direct").input_ids)
    told = estimate(
        capsys,
        recipe,
        "--rewards",
        spec,
        "--prompt_tokens",
        len(prompt_ids[0]),
        "--max_completion_length",
        length - len(prompt_ids[0]),
    )
    assert told["bytes"]["held"]["reward models"] == sum(weight.nbytes for weight in reward.parameters())
    grader = create_grader("reward_model", {"model": str(tmp_path / "reward"), "batch_size": batch})
    grader.prepare()
    peak = peak_of(lambda: grader.grade_examples([text] * 9, [example] * 9))
    assert told["bytes"]["scoring"]["reward models"] == pytest.approx(peak, rel=0.15), length
    assert estimate(capsys, recipe)["bytes"]["held"]["reward models"] == 0
