#!/bin/bash
# One job a class, joined afterwards: sbatch examples/slurm_array.sh, then
#   semrob merge outputs/array/* --output outputs/joined
#SBATCH --job-name=semrob-array
#SBATCH --array=0-3
#SBATCH --gres=gpu:1
#SBATCH --time=01:00:00

shapes=(teapot park_bench cup vase)
srun python evaluate.py --data.shapes="[${shapes[$SLURM_ARRAY_TASK_ID]}:0-9]" \
  --output="outputs/array/$SLURM_ARRAY_TASK_ID"
