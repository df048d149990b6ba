#!/bin/bash
# A SLURM job on two nodes. The job is requeued when it is preempted or reaches its time limit, and resumes from its newest checkpoint.
#
#   sbatch recipes/launch/slurm.sh recipes/sft.py --config recipes/chat/sft.yaml --output_dir /shared/runs/chat
#
#SBATCH --job-name=hrm-align
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=32
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=TERM@120
#SBATCH --output=%x-%j.log
set -uo pipefail

# torchrun forwards SIGTERM and kills its processes 30 s later. The processes therefore save to TMPDIR, the node's own disk, first,
# and copy the checkpoint to output_dir afterwards.
HEAD="$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1):29500"
export HEAD NODES="$SLURM_JOB_NUM_NODES" GPUS="${SLURM_GPUS_ON_NODE:-8}" RUN_ID="$SLURM_JOB_ID" RESTARTS=0
srun recipes/launch/torchrun.sh "$@"
status=$?

output_dir=""
while [ $# -gt 0 ]; do
  if [ "$1" = --output_dir ]; then output_dir="$2"; fi
  shift
done
# A run that has saved after SIGTERM exits with code 75, but launchers return another code. So check for its preempted.json.
if [ $status -ne 0 ] && [ -f "$output_dir/run/preempted.json" ]; then
  scontrol requeue "$SLURM_JOB_ID"
fi
exit $status
