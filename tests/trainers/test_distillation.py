"""On-policy distillation through its recipe: what a run logs and leaves, its teachers, how a step is split, what it resumes and refuses.

tests/parity/test_distillation.py compares losses and gradients with plain torch.
"""

import json
import shutil
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

import hrm_align.rollouts.groups as groups
from hrm_align import render_prompt
from hrm_align.config.arguments import LoraArguments
from hrm_align.errors import RunError
from hrm_align.models.loading import load_model_and_tokenizer, resolve
from hrm_align.models.lora import add_adapter
from hrm_align.models.prefix_mask import causal_prompt
from hrm_align.rollouts.local import sample
from hrm_align.trainers.distillation import DistillationTrainer
from hrm_align.trainers.teachers import top_divergence
from recipes.distill import main
from tests.command_line import run
from tests.launching import launch
from tests.trainers.recipe_runs import ROOT, distance, last_of_each, metrics, weights, write_rows
from tests.trainers.resume.runs import tensors

SMALL = ("--teacher_condition", "direct", "--condition", "noisy", "--max_completion_length", "8", "--per_device_train_batch_size", "8",
         "--learning_rate", "1e-3", "--max_steps", "2", "--save_strategy", "no", "--parity_every", "2", "--disable_tqdm", "true")  # fmt: skip
ADAPTER = ("--use_peft", "true", "--lora_r", "4", "--lora_dropout", "0.1")
TIMED = ("step_time", "runtime", "per_second", "seconds/", "total_flos")


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """Questions without answers; an epoch has two steps of eight and leaves two rows out."""
    made = [{"prompt": f"{a} plus {b}?"} for a in range(11, 17) for b in (5, 8, 23)]
    return write_rows(tmp_path_factory.mktemp("rows") / "rows.jsonl", made)


@pytest.fixture(scope="module")
def copied(tmp_path_factory):
    """The tiny base under another name."""
    return shutil.copytree(resolve("tiny"), tmp_path_factory.mktemp("copy") / "teacher")


def flags_of(output_dir, data, *flags):
    given = ["--model_name_or_path", "tiny", "--datasets", str(data), "--output_dir", str(output_dir)]
    return last_of_each([*given, *SMALL, *flags])


def distill(output_dir, data, *flags):
    main(flags_of(output_dir, data, *flags))


def without_context(*words):
    """Flags of a run whose teacher reads what the student reads."""
    place = words.index("--teacher_condition")
    return [*words[:place], *words[place + 2 :]]


def logged(output_dir):
    """What equal runs log alike, by step: everything but the clock."""
    records = [r for r in metrics(output_dir) if "loss" in r]
    return {r["step"]: {k: v for k, v in r.items() if not any(part in k for part in TIMED)} for r in records}


@pytest.mark.numeric
def test_a_run_logs_its_divergence_and_leaves_a_checkpoint_for_stock_transformers(rows, tmp_path):
    held_out = write_rows(
        tmp_path / "held_out.jsonl", [{"prompt": f"{n} plus 9?", "response": str(n + 9)} for n in range(30, 35)]
    )
    evaluated = ("--eval_datasets", str(held_out), "--eval_strategy", "steps", "--eval_steps", "1", "--generation_eval_samples", "4")  # fmt: skip
    distill(tmp_path / "run", rows, *evaluated, "--per_device_eval_batch_size", "2")
    first = logged(tmp_path / "run")[1]
    assert first["loss"] == pytest.approx(first["kl"], abs=1e-6) and min(first["loss"], first["entropy"]) > 1e-3
    names = {"completions/mean_length", "completions/clipped_ratio", "seconds/rollout"}
    assert names <= metrics(tmp_path / "run")[0].keys()
    assert first["parity/sampler_max"] < 1e-4 and first["parity/mask_max"] < 1e-4, "the sampler and the drawn mask"
    evaluations = [r for r in metrics(tmp_path / "run") if "eval_loss" in r]
    assert len(evaluations) == 2 and all(r["eval_loss"] > 1e-3 for r in evaluations)
    assert all(r["eval_loss"] == pytest.approx(r["eval_kl"], abs=1e-6) for r in evaluations), (
        "means over tokens, not batches"
    )
    assert [r["eval_n"] for r in metrics(tmp_path / "run") if "eval_n" in r] == [4, 4]
    AutoModelForCausalLM.from_pretrained(tmp_path / "run")
    counts = json.loads((tmp_path / "run/run/data.json").read_text())
    assert counts["prompts"]["kept"] == counts["teacher_prompts"]["kept"] == 18
    assert counts["epoch"] == {"unit": "prompts", "rows": 18, "used": 16, "left_out": 2}


@pytest.mark.numeric
def test_a_teacher_that_is_the_student_has_nothing_to_teach(rows, copied, tmp_path, capsys):
    words = without_context(*flags_of(tmp_path / "run", rows, "--beta", "0.5", "--max_steps", "1"))
    main([*words, "--teacher_model_name_or_path", str(copied)])
    record = logged(tmp_path / "run")[1]
    assert abs(record["loss"]) < 1e-6 and abs(record["kl"]) < 1e-6 and record["grad_norm"] < 1e-5, record
    for teacher in ((), ("--teacher_model_name_or_path", "tiny")):
        code, _, err = run(capsys, "distill", *words, *teacher)
        assert code == 2 and "reads the same prompt, so the loss would be 0" in err, err
    code, _, err = run(capsys, "distill", *flags_of(tmp_path / "same", rows, "--teacher_condition", "noisy"))
    assert code == 2 and "reads the same prompts, so the loss would be 0" in err, "each row has that condition"


@pytest.mark.numeric
def test_a_teacher_may_be_an_adapter(rows, tmp_path):
    """Of the head, where it is easily left out, on the tiny base, which is the student at first; read from its folder."""
    adapter = add_adapter(*load_model_and_tokenizer("tiny"), "tiny", LoraArguments(True, lora_target_modules=["head"]))
    torch.manual_seed(0)
    for name, weight in adapter.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.2)
    adapter.save_pretrained(tmp_path / "teacher")
    words = without_context(*flags_of(tmp_path / "run", rows, *ADAPTER, "--max_steps", "1"))
    main([*words, "--teacher_model_name_or_path", str(tmp_path / "teacher")])
    assert logged(tmp_path / "run")[1]["loss"] > 1e-2, "the adapter has an effect"


def test_a_teacher_reads_its_system_text_and_examples_and_the_student_does_not(tmp_path, monkeypatch):
    """By hand: the second question is an example itself and gets the next one; the last leaves no room for the teacher's prompt."""
    rows = write_rows(tmp_path / "rows.jsonl", [{"prompt": text} for text in ("1 plus 1?", "2 plus 2?", "a " * 500)])
    solved = write_rows(
        tmp_path / "solved.jsonl", [{"prompt": f"{n} plus {n}?", "response": str(2 * n)} for n in (2, 3, 4)]
    )
    (tmp_path / "system.txt").write_text("Be brief. " * 15)
    read, ask = [], DistillationTrainer._ask_teacher
    monkeypatch.setattr(
        DistillationTrainer, "_ask_teacher", lambda *args: read.append((args[1], ask(*args))) or read[-1][1]
    )
    distill(tmp_path / "run", rows, "--teacher_system_file", str(tmp_path / "system.txt"), "--teacher_examples", str(solved),
            "--teacher_shots", "2", "--max_steps", "1", "--per_device_train_batch_size", "2", "--max_dropped_fraction", "0.5")  # fmt: skip
    ((students, teachers),) = read
    tokenizer = load_model_and_tokenizer("tiny")[1]

    def texts(ids, mask):
        return {tokenizer.decode(row[present.bool()]) for row, present in zip(ids, mask, strict=True)}

    assert texts(students["prompt_ids"], students["prompt_mask"]) == {
        tokenizer.decode(render_prompt(tokenizer, text, condition="noisy")) for text in ("1 plus 1?", "2 plus 2?")
    }
    system = {"role": "system", "content": ("Be brief. " * 15).strip()}
    shots = {"1 plus 1?": "2 plus 2?\n4\n\n3 plus 3?\n6", "2 plus 2?": "3 plus 3?\n6\n\n4 plus 4?\n8"}
    messages = [[system, {"role": "user", "content": f"{shot}\n\n{text}"}] for text, shot in shots.items()]
    expected = {tokenizer.decode(render_prompt(tokenizer, both, condition="direct")) for both in messages}
    assert texts(teachers["teacher_prompt_ids"], teachers["teacher_prompt_mask"]) == expected
    counts = json.loads((tmp_path / "run/run/data.json").read_text())
    assert (counts["prompts"]["kept"], counts["teacher_prompts"]["kept"]) == (3, 2)


@pytest.mark.numeric
def test_a_step_does_not_depend_on_how_its_prompts_are_split(rows, tmp_path):
    """SGD, so that the weights are the gradient."""
    for name, split in (("whole", (8, 1)), ("split", (2, 4))):
        size, parts = map(str, split)
        flags = ("--optim", "sgd", "--learning_rate", "0.1", "--beta", "0.3")
        distill(
            tmp_path / name, rows, *flags, "--per_device_train_batch_size", size, "--gradient_accumulation_steps", parts
        )
    whole, parted = logged(tmp_path / "whole"), logged(tmp_path / "split")
    for step, record in whole.items():
        for name in (
            "loss",
            "kl",
            "entropy",
            "grad_norm",
            "completions/mean_length",
            "health/residual_rms_h",
            "num_tokens",
        ):
            assert parted[step][name] == pytest.approx(record[name], rel=1e-4, abs=1e-6), (step, name)
    assert distance(weights(tmp_path / "whole"), weights(tmp_path / "split"), weights(Path(resolve("tiny")))) < 1e-3


def test_a_sampler_of_another_model_stops_the_run(rows, tmp_path, monkeypatch):
    def causal_prefill(engine, *args, **kwargs):
        with causal_prompt(engine.model):
            return sample(engine, *args, **kwargs)

    monkeypatch.setattr(groups, "sample", causal_prefill)
    with pytest.raises(RunError, match="sampler and trainer"):
        distill(tmp_path / "run", rows)
    assert not (tmp_path / "run/metrics.jsonl").exists(), "before the first update"


def test_a_dry_run_takes_one_step(rows, tmp_path, capsys):
    code, out, err = run(capsys, "distill", *flags_of(tmp_path / "run", rows, "--dry_run", "true"))
    assert code == 0 and "one step: loss" in out and not (tmp_path / "run").exists(), err


# Resuming ------------------------------------------------------------------------------------------------------------


def assert_resumes_to_the_bit(folder, start, steps="3"):
    """`start(folder, *flags)` runs the recipe whole, and again from a checkpoint inside its first epoch, of two steps."""
    saved = ("--save_strategy", "steps", "--save_steps", "1", "--max_steps", steps)
    start(folder / "whole", *saved)
    start(folder / "resumed", *saved, "--resume_from_checkpoint", str(folder / "whole/checkpoint-1"))
    expected = {step: record for step, record in logged(folder / "whole").items() if step > 1}
    assert logged(folder / "resumed") == expected != {}
    ours, theirs = tensors(folder / "resumed"), tensors(folder / "whole")
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize(
    ("kind", "parts", "steps"),
    [
        pytest.param(ADAPTER, "2", "2", id="adapter, accumulated"),
        *(
            pytest.param(kind, parts, "3", marks=pytest.mark.campaign, id=f"{name}, {parts} parts, two epochs")
            for name, kind in (("full", ()), ("adapter", ADAPTER))
            for parts in ("1", "2")
        ),
    ],
)
def test_a_resumed_run_ends_in_the_same_bits(kind, parts, steps, rows, tmp_path):
    split = ("--gradient_accumulation_steps", parts, "--per_device_train_batch_size", "8" if parts == "1" else "4")
    assert_resumes_to_the_bit(tmp_path, lambda folder, *flags: distill(folder, rows, *kind, *split, *flags), steps)


@pytest.mark.campaign
@pytest.mark.numeric
@pytest.mark.parametrize("parts", ["1", "2"])
@pytest.mark.parametrize("kind", [(), ADAPTER], ids=["full", "adapter"])
def test_a_resumed_run_of_two_processes_ends_in_the_same_bits(kind, parts, rows, tmp_path):
    split = ("--gradient_accumulation_steps", parts, "--per_device_train_batch_size", "4" if parts == "1" else "2")

    def start(folder, *flags):
        config = ROOT / "recipes/accelerate/two_processes_cpu.yaml"
        launch(config, "recipes/distill.py", flags_of(folder, rows, *kind, *split, *flags))

    assert_resumes_to_the_bit(tmp_path, start)
    if not kind:
        distill(tmp_path / "alone", rows, "--max_steps", "3")
        for step, record in logged(tmp_path / "alone").items():
            assert logged(tmp_path / "whole")[step]["loss"] == pytest.approx(record["loss"], rel=1e-3), (
                "as in one process"
            )


# Refusals ------------------------------------------------------------------------------------------------------------


def test_a_teacher_with_other_tokens_is_refused(rows, copied, tmp_path, capsys):
    words = flags_of(tmp_path / "run", rows)
    folders = {"renamed": shutil.copytree(copied, tmp_path / "renamed"), "larger": tmp_path / "larger"}
    read = json.loads((folders["renamed"] / "tokenizer.json").read_text())
    one, other = list(read["model"]["vocab"])[-2:]
    read["model"]["vocab"] |= {one: read["model"]["vocab"][other], other: read["model"]["vocab"][one]}
    (folders["renamed"] / "tokenizer.json").write_text(json.dumps(read))
    model, tokenizer = load_model_and_tokenizer("tiny")
    model.resize_token_embeddings(520)
    model.save_pretrained(folders["larger"])
    tokenizer.save_pretrained(folders["larger"])
    for name, what in {"renamed": "there and", "larger": "it predicts 520 tokens, and the student 512"}.items():
        code, _, err = run(capsys, "distill", *words, "--teacher_model_name_or_path", str(folders[name]))
        assert code == 2 and "does not have the student's tokens (" in err and what in err, err


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (("--teacher_examples", "rows.jsonl"), "teacher_examples"),
        (("--teacher_condition", "sloppy"), "teacher_condition: unknown condition 'sloppy'"),
        (("--teacher_system_file", "missing.txt"), "cannot read --teacher_system_file missing.txt"),
        (("--beta", "1.5"), "beta"),
        (("--use_vllm", "true"), "hrm_align's own sampler"),
        (("--use_peft", "true", "--init_lora_weights", "pissa"), "changes the base, which is the teacher"),
        (("--max_completion_length", "2048"), "max_completion_length"),
    ],
)
def test_a_mistake_is_named_with_its_remedy(flags, sentence, rows, tmp_path, capsys):
    code, _, err = run(capsys, "distill", *flags_of(tmp_path / "run", rows, *flags))
    assert code == 2 and sentence in err, err


# Teachers that are asked ---------------------------------------------------------------------------------------------


@pytest.mark.numeric
def test_the_tokens_that_a_teacher_leaves_out_are_one_outcome():
    """By hand: of four tokens the teacher gives two, 1/2 and 1/4; the student has 1/4 each."""
    student = torch.zeros(1, 4, requires_grad=True)
    ids, teacher = torch.tensor([[2, 0, 1]]), torch.tensor([[0.5, 0.25, 0.0]]).log()  # the third entry fills up
    (forward,) = top_divergence(student, ids, teacher, 0)
    assert forward.item() == pytest.approx(0.5 * torch.tensor(2.0).log().item() + 0.25 * torch.tensor(0.5).log().item())
    forward.backward()
    assert student.grad[0].tolist() == pytest.approx([0, 0.125, -0.25, 0.125])
    whole = torch.tensor([[0.5, 0.25, 0.125, 0.125]]).log()
    (reverse,) = top_divergence(student, torch.arange(4)[None], whole, 1)
    assert reverse.item() == pytest.approx((0.25 * (0.25 / whole.exp()).log()).sum().item())
