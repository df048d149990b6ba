"""A GGUF file holds the exported model, bit for bit or rounded, and an export with one says what llama.cpp does with it.

llama.cpp itself is built and asked by scripts/campaigns/gguf_parity.py. Here its place takes stock Transformers: the file is read back
with the names that llama.cpp's source gives, and its answers are those of the model that comes out.
"""

import json
import re
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import HrmTextConfig, HrmTextForCausalLM, PreTrainedTokenizerFast

from hrm_align import load_tokenizer
from hrm_align.export import folder as folders
from hrm_align.export import gguf as writing
from hrm_align.export import gguf_proof
from hrm_align.export.gguf import pre_tokenizer, write_gguf
from hrm_align.models.loading import resolve
from hrm_align.models.reward_model import HrmTextForSequenceClassification
from hrm_align.rendering import get_renderer
from tests.command_line import run
from tests.deep_models import LAYERS_A_STACK, TRAINED
from tests.export.runs import ASKED, untrained_like_the_published
from tests.planted_faults import copy_of_tiny, edit

gguf = pytest.importorskip("gguf", reason="needs the extra `gguf`: pip install 'hrm_align[gguf]'")

OUTER = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output.weight": "lm_head.weight",
    "hrm.z_l_init": "model.z_L_init",
}
INNER = {"attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj", "attn_gate": "self_attn.gate_proj",
         "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"}  # fmt: skip


def name_in_transformers(name: str, layers: int) -> str:
    """The low stack comes first in a GGUF file."""
    if name in OUTER:
        return OUTER[name]
    block, part = re.fullmatch(r"blk\.(\d+)\.(\w+)\.weight", name).groups()
    stack, layer = divmod(int(block), layers)
    return f"model.{'LH'[stack]}_module.layers.{layer}.{INNER[part]}.weight"


def values(reader, key: str):
    return reader.fields[key].contents()


def tensors(reader, layers: int) -> dict[str, torch.Tensor]:
    return {
        name_in_transformers(tensor.name, layers): torch.from_numpy(
            gguf.dequantize(tensor.data, tensor.tensor_type).astype(np.float32).reshape(tensor.shape.tolist()[::-1])
        )
        for tensor in reader.tensors
    }


def written(folder, tmp_path, file_type="f32", facts=None):
    path = tmp_path / f"model-{file_type}.gguf"
    write_gguf(folder, path, file_type, facts or {})
    return gguf.GGUFReader(path)


def tiny(tmp_path):
    return copy_of_tiny(tmp_path / "tiny")


def test_every_tensor_is_the_models_bit_for_bit(tmp_path):
    stored = HrmTextForCausalLM.from_pretrained(TRAINED).state_dict()
    found = tensors(written(TRAINED, tmp_path), LAYERS_A_STACK)
    assert found.keys() == stored.keys() and all(torch.equal(found[name], stored[name]) for name in stored)


def test_the_metadata_are_what_llama_cpp_reads(tmp_path):
    facts = writing.describe("mine", "mit", "someone/base")
    reader = written(TRAINED, tmp_path, facts=facts)
    config = HrmTextConfig.from_pretrained(TRAINED)
    expected = {
        "general.architecture": "hrm_text", "general.name": "mine", "general.license": "mit", "general.file_type": 0,
        "general.base_model.0.repo_url": "https://huggingface.co/someone/base", "general.base_model.count": 1,
        "hrm_text.block_count": 128, "hrm_text.hrm.layers_per_stack": 16, "hrm_text.hrm.h_cycles": 2, "hrm_text.hrm.l_cycles": 3,
        "hrm_text.context_length": 1024, "hrm_text.embedding_length": 64, "hrm_text.feed_forward_length": 160,
        "hrm_text.attention.head_count": 2, "hrm_text.attention.head_count_kv": 2, "hrm_text.rope.dimension_count": 32,
        "hrm_text.rope.freq_base": 10000.0, "hrm_text.vocab_size": 512, "hrm_text.hrm.prefix_lm": True,
        "hrm_text.attention.key_length": 32, "hrm_text.attention.value_length": 32,
        "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "smollm", "tokenizer.ggml.bos_token_id": 6,
        "tokenizer.ggml.eos_token_id": 11, "tokenizer.ggml.eot_token_id": 11, "tokenizer.ggml.padding_token_id": 5,
        "tokenizer.ggml.add_bos_token": False, "tokenizer.ggml.add_eos_token": False, "tokenizer.ggml.add_space_prefix": False,
    }  # fmt: skip
    assert {key: values(reader, key) for key in expected} == expected
    assert values(reader, "hrm_text.embedding_scale") == np.float32(config.embedding_scale)
    assert values(reader, "hrm_text.attention.layer_norm_rms_epsilon") == np.float32(config.rms_norm_eps)
    assert values(reader, "tokenizer.chat_template") == load_tokenizer(str(TRAINED)).chat_template


def test_the_vocabulary_is_the_tokenizers(tmp_path):
    source = tiny(tmp_path)
    edit("config.json", vocab_size=514)(source)
    model = HrmTextForCausalLM.from_pretrained(source, ignore_mismatched_sizes=True)
    model.save_pretrained(source)
    reader, state = written(source, tmp_path), json.loads((source / "tokenizer.json").read_text())
    tokens, kinds = values(reader, "tokenizer.ggml.tokens"), values(reader, "tokenizer.ggml.token_type")
    assert tokens[:512] == sorted(state["model"]["vocab"], key=state["model"]["vocab"].get)
    assert tokens[512:] == ["[PAD512]", "[PAD513]"]
    assert kinds == [3] * 31 + [1] * 481 + [5] * 2, "control, normal and unused tokens"
    assert values(reader, "tokenizer.ggml.merges") == [" ".join(pair) for pair in state["model"]["merges"]]


@pytest.mark.numeric
@pytest.mark.parametrize(
    "file_type, label, kinds, error",
    [
        ("bf16", 32, {"BF16", "F32"}, 2**-8),
        ("f16", 1, {"F16", "F32"}, 2**-11),
        # The scale of a block is in half precision.
        ("q8_0", 7, {"Q8_0", "F32"}, 0.5 / 127 + 2**-11),
        ("q4_0", 2, {"Q4_0", "Q8_0", "F32"}, 1 / 8 + 2**-11),  # the opposite sign of the largest ends at 7/8
    ],
)
def test_the_other_types_round_each_block(tmp_path, file_type, label, kinds, error):
    reader = written(tiny(tmp_path), tmp_path, file_type)
    assert {tensor.tensor_type.name for tensor in reader.tensors} == kinds
    assert values(reader, "general.file_type") == label
    outer = {tensor.name: tensor.tensor_type.name for tensor in reader.tensors if tensor.name in OUTER}
    expected = "Q8_0" if file_type == "q4_0" else file_type.upper()
    assert outer == {"token_embd.weight": expected, "output.weight": expected, "hrm.z_l_init": "F32"}
    stored = HrmTextForCausalLM.from_pretrained(resolve("tiny")).state_dict()
    for name, found in tensors(reader, 1).items():
        blocks, rounded = stored[name].reshape(-1, 32), found.reshape(-1, 32)
        largest = blocks.abs().amax(-1, keepdim=True)
        assert ((blocks - rounded).abs() <= error * largest + 1e-5).all(), name


class Llama:
    """In the place of the other process: a file read back into stock Transformers, and the tokenizer of the model.

    `answers` and `ids` can plant a fault in what comes out.
    """

    def __init__(self, answers=lambda ids: ids, ids=lambda ids: ids):
        self.change, self.change_ids, self.asked = answers, ids, []

    def run(self, command, **_):
        if "-c" in command:
            return SimpleNamespace(returncode=0, stdout="0.3.36\n", stderr="")
        self.asked.append(command)
        reader = gguf.GGUFReader(command[3])
        tokenizer = load_tokenizer("tiny")
        model = HrmTextForCausalLM(HrmTextConfig.from_pretrained(resolve("tiny"))).eval()
        model.load_state_dict(tensors(reader, 1))
        with open(command[4]) as file:
            rows = [json.loads(line) for line in file]
        lines = [json.dumps(self.row(model, tokenizer, row, command)) for row in rows]
        return SimpleNamespace(returncode=0, stdout="\n".join(lines), stderr="")

    def row(self, model, tokenizer, row, command):
        if "text" in row:
            return {"text_ids": self.change_ids(get_renderer(tokenizer).plain(row["text"]))}
        if "--causal" in command:
            return {"answer_ids": [11]}  # the seam refuses a causal prompt
        prompt = torch.tensor([row["prompt_ids"]])
        types = torch.ones_like(prompt)
        length = int(command[command.index("--max_new_tokens") + 1])
        out = model.generate(
            prompt, token_type_ids=types, max_new_tokens=length, do_sample=False, eos_token_id=11, pad_token_id=5
        )
        return {"answer_ids": self.change(out[0, prompt.shape[1] :].tolist())}


def answered_by(monkeypatch, llama: Llama) -> Llama:
    monkeypatch.setattr(gguf_proof, "subprocess", SimpleNamespace(run=llama.run))
    return llama


def export(capsys, tmp_path, *flags):
    where = ("--to", tmp_path / "mine", *ASKED, "--limit", 6)
    return run(capsys, "export", resolve("tiny"), *where, *flags)


PYTHON = ("--gguf_python", "python")


def test_an_export_with_two_files_is_proven(tmp_path, capsys, monkeypatch):
    llama = answered_by(monkeypatch, Llama())
    code, out, err = export(capsys, tmp_path, "--gguf", "f32", "q8_0", *PYTHON, "--json")
    assert code == 0, err
    exact, rounded = json.loads(out)["gguf"]
    assert exact["name"] == "mine-F32.gguf" and rounded["name"] == "mine-Q8_0.gguf"
    assert (tmp_path / "mine" / "mine-F32.gguf").stat().st_size == exact["size"] > rounded["size"]
    proof = exact["proof"]
    assert proof["rows"] == proof["same"] == 6 and proof["other_texts"] == 0 and proof["texts"] > 25
    assert proof["engine"] == "llama-cpp-python 0.3.36"
    caches = [command[command.index("--cache") + 1] for command in llama.asked]
    assert (
        caches == ["f32", "f32", "f16", "f16"]
        and ["--causal" in command for command in llama.asked] == [False, True] * 2
    )
    record = json.loads((tmp_path / "mine/export.json").read_text())
    assert record["gguf"] == [exact, rounded] and {"mine-F32.gguf", "mine-Q8_0.gguf"} < record["sha256"].keys()
    card = (tmp_path / "mine/README.md").read_text()
    assert f"| `mine-F32.gguf` | {exact['size']:,} bytes | 6 of 6 | 0 of 6 |" in card
    assert "read the prompt causally by default, `llama-server` too" in card and 'Llama("mine-F32.gguf", ' in card
    assert "size = 1024" in card and "NFC" not in card
    code, out, err = run(capsys, "export", tmp_path / "mine", "--push", "alice/mine", "--dry_run")
    assert code == 0 and "mine-Q8_0.gguf" in out, err


def test_without_llama_cpp_the_export_says_that_nothing_was_tested(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(gguf_proof, "find_engine", lambda python: None)
    monkeypatch.setattr("hrm_align.export.pipeline.find_engine", lambda python: None)
    code, out, err = export(capsys, tmp_path, "--gguf")
    assert code == 0 and "mine-Q8_0.gguf: not tested, because llama.cpp is not installed" in out, err
    card = (tmp_path / "mine/README.md").read_text()
    assert "| not measured | not measured |" in card and "These files were not tested" in card


@pytest.mark.parametrize(
    "llama, parts, said",
    [
        (Llama(), {"attn.gqkv_proj.weight": ("attn_gate", "attn_k", "attn_q", "attn_v")}, "0 of"),
        (Llama(answers=lambda ids: ids[:-1]), {}, "6 of 6 greedy answers differ, and 0 of"),
        (Llama(ids=lambda ids: ids[:3]), {}, "0 of 6 greedy answers differ, and"),
    ],
)  # fmt: skip
def test_a_file_that_does_not_answer_as_the_run_does_leaves_no_folder(
    tmp_path, capsys, monkeypatch, llama, parts, said
):
    monkeypatch.setattr(writing, "_PARTS", writing._PARTS | parts)
    answered_by(monkeypatch, llama)
    code, _, err = export(capsys, tmp_path, "--gguf", "f32", *PYTHON)
    assert code == 1 and "llama.cpp does not reproduce the run with mine-F32.gguf" in err and said in err, err
    assert not (tmp_path / "mine").exists()


def test_a_type_that_changes_answers_is_a_warning(tmp_path, capsys, monkeypatch, caplog):
    answers = iter([False] * 5 + [True])
    answered_by(monkeypatch, Llama(answers=lambda ids: ids[:-1] if next(answers) else ids))
    code, _, err = export(capsys, tmp_path, "--gguf", "f16", *PYTHON)
    assert code == 0, err
    assert "mine-F16.gguf gives 5 of 6 answers as the run does" in caplog.text


def test_a_pre_tokenizer_has_llama_cpps_name_or_none():
    assert pre_tokenizer(json.loads(untrained_like_the_published().to_str())) == "qwen2"
    state = json.loads(load_tokenizer("tiny").backend_tokenizer.to_str())
    assert pre_tokenizer(state) == "smollm"
    assert pre_tokenizer(state | {"pre_tokenizer": state["pre_tokenizer"]["pretokenizers"][1]}) == "gpt-2"
    assert writing.is_nfc(PreTrainedTokenizerFast(tokenizer_object=untrained_like_the_published()))
    assert not writing.is_nfc(load_tokenizer("tiny"))


def test_what_cannot_be_written_is_one_sentence(tmp_path, capsys, monkeypatch):
    def refused(*argv):
        code, _, err = run(capsys, "export", *argv)
        assert code == 2 and err.count("error: ") == 1 and "Traceback" not in err, err
        return err

    new = ("--to", tmp_path / "mine", *ASKED, "--gguf")
    base = tiny(tmp_path)
    assert "invalid value for --gguf: 'q3_k'. Use one or several of f32, " in refused(base, *new, "q8_0", "q3_k")
    assert "--gguf is missing" in refused(base, *new[:-1], *PYTHON)
    assert "cannot be run" in refused(base, *new, "--gguf_python", tmp_path / "none")
    assert "cannot import llama_cpp" in refused(base, *new, "--gguf_python", "/bin/false")
    HrmTextForSequenceClassification(HrmTextConfig.from_pretrained(base)).save_pretrained(tmp_path / "reward")
    shutil.copyfile(base / "tokenizer.json", tmp_path / "reward/tokenizer.json")
    assert "is a reward model, which scores answers" in refused(tmp_path / "reward", *new)
    edit("config.json", hidden_act="gelu")(base)
    assert "with hidden_act 'silu' only" in refused(base, *new)
    edit("config.json", hidden_act="silu")(base)
    state = json.loads((base / "tokenizer.json").read_text())
    state["pre_tokenizer"]["pretokenizers"][0]["individual_digits"] = False
    edit("tokenizer.json", pre_tokenizer=state["pre_tokenizer"])(base)
    assert "no pre-tokenizer that is known to split texts as this tokenizer does" in refused(base, *new)
    monkeypatch.setattr(writing.importlib.util, "find_spec", lambda name: None)
    assert "pip install 'hrm_align[gguf]'" in refused(base, *new)
    assert not (tmp_path / "mine").exists()


def test_secrets_in_the_metadata_are_found_and_weights_are_not_read(tmp_path):
    clean, leaking = tmp_path / "clean", tmp_path / "leaking"
    for folder, name in ((clean, "mine"), (leaking, "hf_" + "a" * 20)):
        folder.mkdir()
        write_gguf(TRAINED, folder / "model.gguf", "f32", {"general.name": name})
    assert [*folders.findings(clean)] == []
    assert [finding.kind for finding in folders.findings(leaking)] == ["a token of the Hub"]
