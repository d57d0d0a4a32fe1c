"""``python -m lightning_semrob COMMAND ...`` is ``semrob COMMAND ...``."""

from lightning_semrob.commands.console import main

if __name__ == "__main__":
    main()
