#!/bin/bash
# Two machines with four GPUs each: sbatch examples/slurm.sh
# Finished runs are in the output folder at any moment, so the same script goes on where a stopped job was; --requeue and
# --signal let Lightning ask for that by itself shortly before the time limit or a pre-emption.
#SBATCH --job-name=semrob
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=4
#SBATCH --gres=gpu:4
#SBATCH --cpus-per-task=8
#SBATCH --time=04:00:00
#SBATCH --requeue
#SBATCH --signal=SIGUSR1@120

srun python evaluate.py --config configs/embedded.yaml --trainer.num_nodes=2 --trainer.devices=4 \
  --trainer.default_root_dir=outputs/slurm/checkpoints --output=outputs/slurm
