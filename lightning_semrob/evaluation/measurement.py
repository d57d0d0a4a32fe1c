"""The base class of what a job measures; each kind of measurement keeps its own parts in the output folder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lightning_semrob.evaluation.environment import SemanticEnvironment
from lightning_semrob.evaluation.folder import RunFolder
from lightning_semrob.sharing.rounds import RoundModule

#: One result of a measurement: its number among those of a row (of the finders, say), and the row of the task table.
Place = tuple[int, int]


class Measurement(RoundModule):
    """A kind of measurement. A Trainer drives it over the task table, and it resumes from what it kept in the folder.

    The finders are one kind (:class:`~lightning_semrob.evaluation.suite.FinderSuite`). While it works,
    :class:`~lightning_semrob.evaluation.callbacks.ResultsWriter` keeps what has ended.
    """

    @property
    def environment(self) -> SemanticEnvironment:
        """The datamodule of the Trainer."""
        environment: SemanticEnvironment = self.trainer.datamodule  # type: ignore[attr-defined]
        return environment

    def prepare(self, environment: SemanticEnvironment) -> None:
        """Make the tables of tasks, once; every mistake in the settings is raised here, before any work."""
        raise NotImplementedError

    def finished(self, rows: Sequence[int]) -> Mapping[Place, bool]:
        """The results of some rows that can be kept, and whether they are complete."""
        raise NotImplementedError

    def keep(self, folder: RunFolder, places: Iterable[Place], name: str) -> None:
        """Write results of a (network, shape) group to the part ``name`` of the folder; it replaces an earlier part."""
        raise NotImplementedError

    def restore(self, environment: SemanticEnvironment, records: Sequence[Any]) -> int:
        """Take over the records of an earlier start, after :meth:`prepare`; returns how many."""
        raise NotImplementedError
