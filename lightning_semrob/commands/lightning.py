"""LightningCLI as the commands evaluate and train use it."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import pytorch_lightning as pl
import yaml
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI

from lightning_semrob.commands.parsing import OneSentence, program_name, with_packaged_configs

__all__ = ["JobCLI"]


class _Parser(OneSentence, LightningArgumentParser):
    """Lightning's parser, a mistake answered with one sentence."""


class JobCLI(LightningCLI):
    """LightningCLI without optimizers and files of its own, with the configurations that the package carries.

    Args:
        command: name of the command.
        model, data: classes whose arguments are flags.
        args: the words; those of the program if None.
        trainer_defaults: of the Trainer.
        run: whether the words name one of Lightning's subcommands.
        parser: arguments of the parser.
    """

    def __init__(
        self,
        command: str,
        model: type[pl.LightningModule],
        data: type[pl.LightningDataModule],
        args: Sequence[str] | None,
        trainer_defaults: Mapping[str, Any],
        run: bool,
        **parser: Any,
    ) -> None:
        with warnings.catch_warnings():
            # Arguments given from Python are meant, whatever the command line of the caller is.
            warnings.filterwarnings("ignore", "LightningCLI's args parameter is intended")
            super().__init__(
                model,
                data,
                save_config_callback=None,
                seed_everything_default=0,
                run=run,
                args=with_packaged_configs(sys.argv[1:] if args is None else args),
                auto_configure_optimizers=False,
                parser_kwargs={"prog": program_name(command), **parser},
                trainer_defaults=dict(trainer_defaults),
            )

    def init_parser(self, **kwargs: Any) -> LightningArgumentParser:
        """Lightning's parser, with our way of answering mistakes."""
        parser = _Parser(**kwargs)
        parser.add_argument("-c", "--config", action="config", help="configuration file, YAML or JSON")
        return parser

    def resolved(self) -> dict[str, Any]:
        """The whole configuration as plain data."""
        found: dict[str, Any] = yaml.safe_load(self.parser.dump(self.config, skip_none=False, skip_validation=True))
        return found
