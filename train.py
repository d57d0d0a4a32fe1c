"""Train a classifier on rendered views: ``python train.py fit --config configs/train_demo.yaml``."""

if __name__ == "__main__":
    try:
        from lightning_semrob.commands.train import main
    except KeyboardInterrupt:
        raise SystemExit(130) from None  # interrupted while packages were imported
    main()
