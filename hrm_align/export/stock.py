"""Answer rows with an exported folder in stock Transformers (and PEFT, for an adapter), without importing hrm_align.

    python stock.py FOLDER ROWS.jsonl [--base BASE] [--max_new_tokens 256] > answers.jsonl

Needs torch and transformers only; copy this file to any environment that has both. A row is `{"messages": [...], "condition"?,
"expected"?, "answer_ids"?, "in_float32"?}`. Prints one object per row: `prompt_ids`, and `answer_ids` and `text` of the greedy
answer in the saved dtype; `logprobs` of the row's `answer_ids`, computed in float32; and `float32_answer_ids`, a greedy answer in
float32, for rows with `in_float32`. If rows have `expected`, the share of exact matches is printed to standard error.
"""

import argparse
import json
import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer


def on_accelerator(model):
    """Move a model to this machine's accelerator, if there is one."""
    device = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return model if device is None else model.to(device)


def load(folder, base=None):
    """Load the model, in its saved dtype, and the tokenizer, as the quickstart of the card does."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = on_accelerator(AutoModelForCausalLM.from_pretrained(folder if base is None else base, dtype="auto"))
    if base is None:
        return model.eval(), tokenizer
    from peft import PeftModel

    return PeftModel.from_pretrained(model, folder).eval(), tokenizer


def compute_in_float32(model):
    """Make each module cast its weights to float32 while it runs, so that no second copy of the model is held. Not reversible."""

    def widen(module, inputs):
        module.narrow = {name: weight.data for name, weight in module.named_parameters(recurse=False)}
        for weight in module.parameters(recurse=False):
            weight.data = weight.data.float()

    def narrow(module, inputs, output):
        for name, data in module.narrow.items():
            getattr(module, name).data = data
        del module.narrow

    for module in model.modules():
        if isinstance(module, torch.nn.Embedding):  # only the looked-up rows are cast
            module.register_forward_hook(lambda module, inputs, output: output.float())
        elif any(True for _ in module.parameters(recurse=False)):
            module.register_forward_pre_hook(widen)
            module.register_forward_hook(narrow)


@torch.no_grad()
def answers(model, tokenizer, rows, max_new_tokens, batch_size):
    """Generate greedy answers with the chat template and `generate`. Returns (prompt ids, answer ids) for each row, in order."""
    end, answer_ids = model.generation_config.eos_token_id, {}
    prompts = [template(tokenizer, row)["input_ids"] for row in rows]
    order = sorted(range(len(rows)), key=lambda place: len(prompts[place]))
    for start in range(0, len(order), batch_size):
        places = order[start : start + batch_size]
        batch = tokenizer.pad([template(tokenizer, rows[place]) for place in places], return_tensors="pt")
        batch = batch.to(model.device)
        out = model.generate(**batch, max_new_tokens=max_new_tokens, do_sample=False)
        for place, ids in zip(places, out[:, batch["input_ids"].shape[1] :].tolist(), strict=True):
            answer_ids[place] = ids[: ids.index(end) + 1] if end in ids else ids
    return [(prompts[place], answer_ids[place]) for place in range(len(rows))]


def template(tokenizer, row):
    """Encode a row's prompt with the chat template."""
    return tokenizer.apply_chat_template(
        row["messages"], condition=row.get("condition", "direct"), add_generation_prompt=True, return_dict=True
    )


@torch.no_grad()
def logprobs(model, tokenizer, row):
    """Return the log-probability of each token of the row's `answer_ids`, nats, from one forward pass without a KV cache."""
    prompt, answer = template(tokenizer, row), row["answer_ids"]
    ids = torch.tensor([[*prompt["input_ids"], *answer]], device=model.device)  # (1, prompt + answer)
    types = torch.zeros_like(ids)
    prefix_types = prompt.get("token_type_ids", [])  # as `generate` receives them
    types[0, : len(prefix_types)] = torch.tensor(prefix_types, device=model.device)
    logits = model(input_ids=ids, token_type_ids=types, use_cache=False, logits_to_keep=len(answer) + 1).logits[0, :-1]
    scores = logits.float().log_softmax(-1)
    return scores.gather(-1, torch.tensor(answer, device=model.device)[:, None])[:, 0].tolist()


def main():
    """Answer the rows of a file and print one JSON object for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("rows")
    parser.add_argument("--base")
    parser.add_argument("--max_new_tokens", type=int, default=256)
    parser.add_argument("--batch_size", type=int, default=64)
    arguments = parser.parse_args()
    model, tokenizer = load(arguments.folder, arguments.base)
    with open(arguments.rows, encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]

    def answer(batch):
        return answers(model, tokenizer, batch, arguments.max_new_tokens, arguments.batch_size)

    # Greedy answers in the saved dtype.
    end, results = model.generation_config.eos_token_id, []
    for prompt, ids in answer(rows):
        text = tokenizer.decode(ids[:-1] if ids[-1:] == [end] else ids)
        results.append({"prompt_ids": prompt, "answer_ids": ids, "text": text})
    # Greedy answers in float32, for the rows that request them.
    exact = [place for place, row in enumerate(rows) if row.get("in_float32")]
    if model.dtype == torch.float32:
        exact_answers = [(results[place]["prompt_ids"], results[place]["answer_ids"]) for place in exact]
    else:
        compute_in_float32(model)
        exact_answers = answer([rows[place] for place in exact])
    for place, (_, ids) in zip(exact, exact_answers, strict=True):
        results[place]["float32_answer_ids"] = ids
    # Log-probabilities of the answers in the rows, in float32.
    for row, result in zip(rows, results, strict=True):
        if row.get("answer_ids"):
            result["logprobs"] = logprobs(model, tokenizer, row)
        print(json.dumps(result))
    graded = [
        result["text"].strip() == row["expected"].strip()
        for row, result in zip(rows, results, strict=True)
        if "expected" in row
    ]
    if graded:
        share = 100 * sum(graded) / len(graded)
        print(f"exact match {sum(graded)} of {len(graded)} = {share:.1f} %", file=sys.stderr)
    assert "hrm_align" not in sys.modules, "the answers must come from stock Transformers"


if __name__ == "__main__":
    main()
