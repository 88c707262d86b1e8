#!/bin/bash
# Everything there is to measure on a machine with one GPU, into a folder (by default gpu_results).
# Usage: benchmarks/gpu.sh [FOLDER] [SCALE]
# SCALE is full, or dry for the same commands in small, which runs on any machine in minutes.
set -euo pipefail
cd "$(dirname "$0")/.."
output=${1:-gpu_results}
scale=${2:-full}
mkdir -p "$output"

if [ "$scale" = dry ]; then
    speed=(--workloads=mlp_digits --members=2 --contenders=ensemble_jax,python_loop)
    speed+=(--rounds=1 --seconds=0.1 --sweep=mlp_digits --sweep_members=1,2)
    experiment=(--config=digits --config.num_members=2 '--config.extents=(0,1)')
    steps=2
else
    speed=(--sweep=st_vgg,small_cnn_digits --sweep_plan=auto)
    speed+=(--sweep_contenders=ensemble_jax,python_loop,vmap_of_scan)
    experiment=(--config=small_mammals)
    steps=20
fi

nvidia-smi > "$output/device.txt" 2>&1 || echo "no NVIDIA device" > "$output/device.txt"
# The products' peak and all contenders: at JAX's default precision (TF32), then in bfloat16.
python -m benchmarks.training_speed "${speed[@]}" --output="$output/tf32"
python -m benchmarks.training_speed "${speed[@]}" --contenders=ensemble_jax --sweep= \
    --plan=precision=bfloat16 --output="$output/bfloat16"
# The paper's experiment: 100 st-VGG on small_mammals for 140 epochs, evaluated and recorded.
time python -m experiments.train "${experiment[@]}" --workdir="$output/run"
# Where the time of an epoch goes, for TensorBoard or Perfetto.
python -m benchmarks.profile --steps="$steps" --output="$output/profile"
