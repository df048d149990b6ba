"""Checkpoints in the format of the official HRM-Text training code, and their conversion to Transformers' format.

    reader     reads a training folder without executing anything in it, and turns its YAML files into a Transformers config
    convert    converts the weights and the tokenizer, after checking that the tokenizer has HRM-Text's control tokens

Based on the public repository sapientinc/HRM-Text, read November 2026: `pretrain.py` (what is saved), `models/lm_head.py`,
`models/baselines/hrm_nocarry_bp_warmup.py`, `models/layers.py` (names and shapes), `models/transformer.py` (settings),
`models/adam_atan2.py` (the EMA), `simple_inference_engine.py` and `conversion/convert_to_hf.py` (what the official loader
and exporter require). A training folder consists of

    all_config.yaml       `arch` (the model's settings), `data`, and the optimizer's settings
    train_metadata.yaml   `vocab_size`, `max_seq_len`, `tokenizer_info` (a path, three tags, `condition_mapping`)
    fsdp2_epoch_N/        torch.distributed.checkpoint of {"model": state dict, "optim": optimizer state dict}
    carry_epoch_N.R.pt    empty (None) for this architecture; not read

    model.<name>                        raw weights in the master dtype; `model.zL_init`, a buffer, is bfloat16
    optim.state.<name>.param_ema        the EMA of each parameter, if `ema` was set; a buffer has none

    embed_tokens.embedding_weight  lm_head.weight  model.zL_init  model.{H,L}_level.core.layers.I.{attn.gqkv_proj,
    attn.o_proj, mlp.gate_up_proj, mlp.down_proj}.weight          the names; fused as Transformers' save_pretrained writes

Not tested on a checkpoint of an official run, because none is public. The tests save a checkpoint with the published names through
torch's own FSDP2 and DCP, and load the output of scripts/convert_to_official.py in the same way as the official loader.
"""
