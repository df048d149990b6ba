"""Answer rows with a GGUF file through llama.cpp's library, without importing hrm_align.

    python llama_cpp_answers.py MODEL.gguf ROWS.jsonl [--causal] [--max_new_tokens 256] > answers.jsonl

Needs llama-cpp-python (0.3.36 was tested) and nothing else; copy this file to any environment that has it. A row is
`{"prompt_ids"?: [...], "text"?: "..."}`. Prints one object per row: `answer_ids` of the greedy answer, and `text_ids`, which
llama.cpp's tokenizer makes of the text; control tokens in a text are text.

The prompt is decoded as one batch with causal attention off, so that its tokens attend to each other in both directions. Each token
of the answer is a batch of its own. `--causal` leaves causal attention on, as llama-server and all other programs do by default.
"""

import argparse
import ctypes
import json
import os
import sys

import llama_cpp


class Model:
    """A GGUF file in memory, with a context for one sequence.

    Args:
        path: the file.
        positions: longest prompt and answer together, in tokens.
        threads: number of threads.
        cache: type of the KV cache, `f32` or `f16`.
        flash: whether to use flash attention, which is off in the test of an export.
    """

    def __init__(self, path, positions, threads, cache="f16", flash=False):
        loading = llama_cpp.llama_model_default_params()
        # The same kernels everywhere: those for repacked weights use instructions (AMX) that some virtual machines announce and lack.
        loading.use_extra_bufts = False
        self._model = llama_cpp.llama_model_load_from_file(os.fsencode(path), loading)
        if not self._model:
            sys.exit(f"llama.cpp cannot load {path}")
        self._vocab = llama_cpp.llama_model_get_vocab(self._model)
        self.vocab_size = llama_cpp.llama_vocab_n_tokens(self._vocab)
        self.end = llama_cpp.llama_vocab_eos(self._vocab)
        settings = llama_cpp.llama_context_default_params()
        # One batch must hold a whole prompt: with causal attention off, llama.cpp aborts on a longer one.
        settings.n_ctx = settings.n_batch = settings.n_ubatch = positions
        settings.n_seq_max = 1
        settings.n_threads = settings.n_threads_batch = threads
        settings.flash_attn_type = (
            llama_cpp.LLAMA_FLASH_ATTN_TYPE_ENABLED if flash else llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED
        )
        settings.type_k = settings.type_v = {"f32": llama_cpp.GGML_TYPE_F32, "f16": llama_cpp.GGML_TYPE_F16}[cache]
        self._context = llama_cpp.llama_init_from_model(self._model, settings)
        if not self._context:
            sys.exit(f"llama.cpp cannot make a context of {positions} tokens for {path}")

    def tokenize(self, text):
        """Return the token ids of a text, in which control tokens are text."""
        encoded = text.encode()
        ids = (llama_cpp.llama_token * (len(encoded) + 8))()
        count = llama_cpp.llama_tokenize(self._vocab, encoded, len(encoded), ids, len(ids), False, False)
        return list(ids[:count])

    def answer(self, prompt_ids, max_new_tokens, causal):
        """Return the token ids of the greedy answer, with the end token if there is one."""
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self._context), True)
        llama_cpp.llama_set_causal_attn(self._context, causal)
        token = self._greedy(prompt_ids)
        llama_cpp.llama_set_causal_attn(self._context, True)
        answer = [token]
        while token != self.end and len(answer) < max_new_tokens:
            token = self._greedy([token])
            answer.append(token)
        return answer

    def _greedy(self, ids):
        """Decode tokens and return the most likely next one."""
        tokens = (llama_cpp.llama_token * len(ids))(*ids)  # the batch points into it
        code = llama_cpp.llama_decode(self._context, llama_cpp.llama_batch_get_one(tokens, len(ids)))
        if code:
            sys.exit(f"llama.cpp cannot decode {len(ids)} tokens (code {code})")
        logits = llama_cpp.llama_get_logits_ith(self._context, -1)[: self.vocab_size]
        return logits.index(max(logits))


@llama_cpp.llama_log_callback
def log_errors(level, text, user_data):
    """Print llama.cpp's errors to standard error, and nothing else of what it logs."""
    if level == 4:
        print(text.decode("utf-8", "replace"), end="", file=sys.stderr)


def main():
    """Answer the rows of a file and print one JSON object for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("rows")
    parser.add_argument("--causal", action="store_true")
    parser.add_argument("--flash", action="store_true")
    parser.add_argument("--cache", choices=["f32", "f16"], default="f16")
    parser.add_argument("--max_new_tokens", type=int, default=256)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    llama_cpp.llama_log_set(log_errors, ctypes.c_void_p(0))
    with open(arguments.rows, encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    longest = max([len(row.get("prompt_ids", [])) for row in rows], default=0)
    positions = longest + arguments.max_new_tokens
    model = Model(arguments.model, positions, arguments.threads, arguments.cache, arguments.flash)
    for row in rows:
        result = {}
        if "prompt_ids" in row:
            result["answer_ids"] = model.answer(row["prompt_ids"], arguments.max_new_tokens, arguments.causal)
        if "text" in row:
            result["text_ids"] = model.tokenize(row["text"])
        print(json.dumps(result))
    assert "hrm_align" not in sys.modules, "the answers must come from llama.cpp"


if __name__ == "__main__":
    main()
