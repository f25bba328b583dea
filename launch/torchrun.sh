#!/usr/bin/env bash
# Trains with all devices of this machine, or of several: give every machine the same command, within a few minutes.
#   launch/torchrun.sh --config illume_7b/stage2.yaml --config fsdp.yaml
#   NODES=4 HEAD=node0 launch/torchrun.sh --config illume_7b/stage2.yaml --config fsdp.yaml
# HEAD is one of the machines, by a name that all of them know; PORT must be open there. DEVICES: of each machine (all).
# RESTARTS: how often a run that lost a process begins again by itself, from its last checkpoint (0).
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=${PYTHON:-$root/.venv/bin/python}
nodes=${NODES:-1}
devices=${DEVICES:-$("$python" -c 'import torch; print(max(1, torch.accelerator.device_count()))')}
if [ "$nodes" = 1 ]; then
  meet=(--standalone)
else
  meet=(--rdzv-backend c10d --rdzv-endpoint "${HEAD:?name one of the machines: HEAD=node0}:${PORT:-29500}" --rdzv-id "${RUN:-illume}")
fi
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-8}
exec "$python" -m torch.distributed.run --nnodes "$nodes" --nproc-per-node "$devices" "${meet[@]}" \
  --max-restarts "${RESTARTS:-0}" \
  "$root/train.py" "$@" "--trainer.devices=$devices" "--trainer.num_nodes=$nodes"
