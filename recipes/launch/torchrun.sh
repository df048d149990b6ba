#!/bin/bash
# One or several machines with torchrun. The same command on each machine; output_dir must be a folder that all machines share.
#
#   HEAD=10.0.0.1:29500 NODES=2 GPUS=8 recipes/launch/torchrun.sh recipes/sft.py --config recipes/chat/sft.yaml ...
#
# RESTARTS: how often torchrun starts all processes again after one has died. The run then resumes from its newest checkpoint.
set -euo pipefail
: "${HEAD:=127.0.0.1:29500}" "${NODES:=1}" "${GPUS:=1}" "${RESTARTS:=3}" "${RUN_ID:=hrm-align}"
exec torchrun --nnodes "$NODES" --nproc_per_node "$GPUS" --rdzv_backend c10d --rdzv_endpoint "$HEAD" --rdzv_id "$RUN_ID" \
  --max_restarts "$RESTARTS" "$@" --resume_from_checkpoint auto
