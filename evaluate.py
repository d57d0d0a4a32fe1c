"""Measure the semantic robustness of networks: ``python evaluate.py --help``."""

from lightning_semrob.commands.evaluate import main

if __name__ == "__main__":
    main()
