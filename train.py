"""Train a classifier on rendered views: ``python train.py fit --config configs/train_demo.yaml``."""

from lightning_semrob.commands.train import main

if __name__ == "__main__":
    main()
