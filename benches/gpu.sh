#!/usr/bin/env bash
# Measures stacked training on a GPU in one command: benches/gpu.sh [cuda:N]
#
# Needs a libtorch 2.11 built for CUDA (set LIBTORCH to it) and nvidia-smi. Prints the card, the line
# of the bench (stacked against the serial loop on the same card) and how busy the card was.
set -euo pipefail
cd "$(dirname "$0")/.."

device=${1:-cuda:0}
index=${device#cuda:}
command -v nvidia-smi >/dev/null || { echo "nvidia-smi is not there: is this a machine with a GPU?" >&2; exit 2; }
nvidia-smi -i "$index" --query-gpu=name,driver_version,memory.total --format=csv,noheader

cargo bench --bench stack --no-run
log=$(mktemp)
nvidia-smi -i "$index" --query-gpu=utilization.gpu,memory.used --format=csv,noheader,nounits -lms 100 >"$log" &
watcher=$!
trap 'kill "$watcher" 2>/dev/null; rm -f "$log"' EXIT
SHOAL_DEVICE=$device cargo bench --bench stack
awk -F', *' '{ if ($1 > most) most = $1; if ($2 > memory) memory = $2; if ($1 > 0) { sum += $1; n++ } }
    END { printf "busy: %d %% at most, %d %% on average while in use; %d MiB at most\n", most, n ? sum / n : 0, memory }' "$log"
