"""Ask an exported folder by Transformers alone (and PEFT, for an adapter): what everyone else gets. Imports no hrm_align.

    python stock.py FOLDER ROWS.jsonl [--base BASE] [--max_new_tokens 256] > answers.jsonl

Needs torch and transformers, in any environment: copy this file there. A row is `{"messages": [...], "condition"?,
"expected"?, "answer_ids"?, "in_float32"?}`. Prints one object a row: `prompt_ids`, `answer_ids` and `text` of the greedy
answer in the type that the weights are saved in; and computed in float32 `logprobs` of a row's own `answer_ids`, and for a row
that asks for it `in_float32` a greedy answer, `float32_answer_ids`. Rows with `expected` are counted: the share answered
exactly goes to the error stream.
"""

import argparse
import json
import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer


def on_accelerator(model):
    """The model, moved to this machine's accelerator if there is one."""
    device = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return model if device is None else model.to(device)


def load(folder, base=None):
    """The model, in the type it was saved in, and the tokenizer, as the quickstart of the card loads them."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = on_accelerator(AutoModelForCausalLM.from_pretrained(folder if base is None else base, dtype="auto"))
    if base is None:
        return model.eval(), tokenizer
    from peft import PeftModel

    return PeftModel.from_pretrained(model, folder).eval(), tokenizer


def compute_in_float32(model):
    """Make each module cast its own weights when it runs: no second copy of the model is held. For good."""

    def widen(module, inputs):
        module.narrow = {name: weight.data for name, weight in module.named_parameters(recurse=False)}
        for weight in module.parameters(recurse=False):
            weight.data = weight.data.float()

    def narrow(module, inputs, output):
        for name, data in module.narrow.items():
            getattr(module, name).data = data
        del module.narrow

    for module in model.modules():
        if isinstance(module, torch.nn.Embedding):  # whose rows alone are cast
            module.register_forward_hook(lambda module, inputs, output: output.float())
        elif any(True for _ in module.parameters(recurse=False)):
            module.register_forward_pre_hook(widen)
            module.register_forward_hook(narrow)


@torch.no_grad()
def answers(model, tokenizer, rows, max_new_tokens, batch_size):
    """Greedy answers through the chat template and `generate`: the ids of prompt and answer, in the order of the rows."""
    end, found = model.generation_config.eos_token_id, {}
    prompts = [template(tokenizer, row)["input_ids"] for row in rows]
    order = sorted(range(len(rows)), key=lambda place: len(prompts[place]))
    for start in range(0, len(order), batch_size):
        places = order[start : start + batch_size]
        batch = tokenizer.pad([template(tokenizer, rows[place]) for place in places], return_tensors="pt")
        batch = batch.to(model.device)
        out = model.generate(**batch, max_new_tokens=max_new_tokens, do_sample=False)
        for place, ids in zip(places, out[:, batch["input_ids"].shape[1] :].tolist(), strict=True):
            found[place] = ids[: ids.index(end) + 1] if end in ids else ids
    return [(prompts[place], found[place]) for place in range(len(rows))]


def template(tokenizer, row):
    """A prompt, encoded by the chat template as any user would."""
    return tokenizer.apply_chat_template(
        row["messages"], condition=row.get("condition", "direct"), add_generation_prompt=True, return_dict=True
    )


@torch.no_grad()
def logprobs(model, tokenizer, row):
    """Log-probabilities of a given answer, in one forward without a cache; nats."""
    prompt, answer = template(tokenizer, row), row["answer_ids"]
    ids = torch.tensor([[*prompt["input_ids"], *answer]], device=model.device)
    types = torch.zeros_like(ids)
    given = prompt.get("token_type_ids", [])  # as `generate` would get them
    types[0, : len(given)] = torch.tensor(given, device=model.device)
    logits = model(input_ids=ids, token_type_ids=types, use_cache=False, logits_to_keep=len(answer) + 1).logits[0, :-1]
    scores = logits.float().log_softmax(-1)
    return scores.gather(-1, torch.tensor(answer, device=model.device)[:, None])[:, 0].tolist()


def main():
    """Answer the rows of a file."""
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

    def answer(asked):
        return answers(model, tokenizer, asked, arguments.max_new_tokens, arguments.batch_size)

    end, found = model.generation_config.eos_token_id, []
    for prompt, ids in answer(rows):
        text = tokenizer.decode(ids[:-1] if ids[-1:] == [end] else ids)
        found.append({"prompt_ids": prompt, "answer_ids": ids, "text": text})
    exact = [place for place, row in enumerate(rows) if row.get("in_float32")]
    if model.dtype == torch.float32:
        exact_answers = [(found[place]["prompt_ids"], found[place]["answer_ids"]) for place in exact]
    else:
        compute_in_float32(model)
        exact_answers = answer([rows[place] for place in exact])
    for place, (_, ids) in zip(exact, exact_answers, strict=True):
        found[place]["float32_answer_ids"] = ids
    for row, told in zip(rows, found, strict=True):
        if row.get("answer_ids"):
            told["logprobs"] = logprobs(model, tokenizer, row)
        print(json.dumps(told))
    graded = [
        told["text"].strip() == row["expected"].strip()
        for row, told in zip(rows, found, strict=True)
        if "expected" in row
    ]
    if graded:
        share = 100 * sum(graded) / len(graded)
        print(f"exact match {sum(graded)} of {len(graded)} = {share:.1f} %", file=sys.stderr)
    assert "hrm_align" not in sys.modules, "this must be what others get"


if __name__ == "__main__":
    main()
