"""The official form of an HRM-Text checkpoint, what its training writes, and its conversion to Transformers'.

    reader     the training folder on disk, read without executing anything in it; its YAML files as a Transformers config
    convert    the weights; its tokenizer, proved to be that of HRM-Text's layout

Based on the public repository sapientinc/HRM-Text, read November 2026: `pretrain.py` (what is saved), `models/lm_head.py`,
`models/baselines/hrm_nocarry_bp_warmup.py`, `models/layers.py` (names and shapes), `models/transformer.py` (settings),
`models/adam_atan2.py` (the EMA), `simple_inference_engine.py` and `conversion/convert_to_hf.py` (what the official loader
and exporter ask for). A training folder is

    all_config.yaml       `arch` (the model's settings), `data`, and the optimizer's settings
    train_metadata.yaml   `vocab_size`, `max_seq_len`, `tokenizer_info` (a path, three tags, `condition_mapping`)
    fsdp2_epoch_N/        torch.distributed.checkpoint of {"model": state dict, "optim": optimizer state dict}
    carry_epoch_N.R.pt    nothing (None) for this architecture; not read

    model.<name>                        raw weights in the master dtype; `model.zL_init`, a buffer, is bfloat16
    optim.state.<name>.param_ema        the EMA of each parameter, if `ema` was set; a buffer has none

    embed_tokens.embedding_weight  lm_head.weight  model.zL_init  model.{H,L}_level.core.layers.I.{attn.gqkv_proj,
    attn.o_proj, mlp.gate_up_proj, mlp.down_proj}.weight          the names; fused as Transformers' save_pretrained writes

Not verified: a checkpoint written by an official run (none is public). The tests save one with the published names
through torch's own FSDP2 and DCP, and load what scripts/convert_to_official.py writes in the way of the official loader.
"""
