#!/bin/bash
# Run a recipe with torchrun on one or several machines. Use the same command on each machine; output_dir must be a shared folder.
#
#   HEAD=10.0.0.1:29500 NODES=2 GPUS=8 recipes/launch/torchrun.sh recipes/sft.py --config recipes/chat/sft.yaml ...
#
# RESTARTS: how many times torchrun restarts all processes after one has died. The run then resumes from its newest checkpoint.
set -euo pipefail
: "${HEAD:=127.0.0.1:29500}" "${NODES:=1}" "${GPUS:=1}" "${RESTARTS:=3}" "${RUN_ID:=hrm-align}"
exec torchrun --nnodes "$NODES" --nproc_per_node "$GPUS" --rdzv_backend c10d --rdzv_endpoint "$HEAD" --rdzv_id "$RUN_ID" \
  --max_restarts "$RESTARTS" "$@" --resume_from_checkpoint auto
