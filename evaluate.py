"""Measure the semantic robustness of networks: ``python evaluate.py --help``."""

if __name__ == "__main__":
    try:
        from lightning_semrob.commands.evaluate import main
    except KeyboardInterrupt:
        raise SystemExit(130) from None  # interrupted while packages were imported
    main()
