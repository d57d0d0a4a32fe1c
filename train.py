"""Train a classifier on rendered views: ``python train.py fit --config configs/train_demo.yaml``."""

if __name__ == "__main__":
    import os
    import signal

    handler = signal.getsignal(signal.SIGINT)
    if handler is signal.default_int_handler:  # while packages are imported, of which some swallow an interruption
        signal.signal(signal.SIGINT, lambda *_: os._exit(130))
    from lightning_semrob.commands.train import main

    signal.signal(signal.SIGINT, handler)
    main()
