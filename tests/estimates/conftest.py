import pytest
from transformers import HrmTextConfig


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A folder with the config of the 1B model, and nothing else."""
    folder = tmp_path_factory.mktemp("published")
    HrmTextConfig(
        hidden_size=1536, num_layers_per_stack=16, num_hidden_layers=128, intermediate_size=4096, num_attention_heads=12,
        head_dim=128, vocab_size=65536, L_bp_cycles=[0, 3], max_position_embeddings=4096, pad_token_id=5,
    ).save_pretrained(folder)  # fmt: skip
    return folder
