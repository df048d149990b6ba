"""Ask an exported folder by Transformers alone (and PEFT, for an adapter): what everyone else gets. Imports no hrm_align.

    python stock.py FOLDER ROWS.jsonl [--base BASE] [--max_new_tokens 256] > answers.jsonl

Needs torch and transformers, in any environment: copy this file there. A row is `{"messages": [...], "condition"?,
"expected"?, "answer_ids"?}`. Prints one object a row: `prompt_ids`, `answer_ids` and `text` of the greedy answer
and, for a row with `answer_ids`, the `logprobs` of those. Rows with `expected` are counted: the share answered exactly goes to
the error stream.
"""

import argparse
import json
import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer


def load(folder, base=None):
    """The model in the type it was saved in, and the tokenizer, as the quickstart of the card loads them."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    if base is None:
        return AutoModelForCausalLM.from_pretrained(folder, dtype="auto").eval(), tokenizer
    from peft import PeftModel

    whole = AutoModelForCausalLM.from_pretrained(base, dtype="auto")
    return PeftModel.from_pretrained(whole, folder).eval(), tokenizer


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
def logprobs(model, prompt, answer):
    """Log-probabilities of a given answer, in one forward without a cache; nats."""
    ids = torch.tensor([[*prompt, *answer]], device=model.device)
    prefix = torch.zeros_like(ids)
    prefix[:, : len(prompt)] = 1
    logits = model(input_ids=ids, token_type_ids=prefix, use_cache=False).logits[0, len(prompt) - 1 : -1]
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
    device = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    model = model.to(device) if device is not None else model
    with open(arguments.rows, encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    right = graded = 0
    answered = answers(model, tokenizer, rows, arguments.max_new_tokens, arguments.batch_size)
    for row, (prompt, answer) in zip(rows, answered, strict=True):
        text = tokenizer.decode(answer[:-1] if answer[-1:] == [model.generation_config.eos_token_id] else answer)
        told = {"prompt_ids": prompt, "answer_ids": answer, "text": text}
        if row.get("answer_ids"):
            told["logprobs"] = logprobs(model, prompt, row["answer_ids"])
        if "expected" in row:
            graded, right = graded + 1, right + (text.strip() == row["expected"].strip())
        print(json.dumps(told))
    if graded:
        print(f"exact match {right} of {graded} = {100 * right / graded:.1f} %", file=sys.stderr)
    assert "hrm_align" not in sys.modules, "this must be what others get"


if __name__ == "__main__":
    main()
