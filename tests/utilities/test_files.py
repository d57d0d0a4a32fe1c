"""CSV files that a spreadsheet opens run no formula."""

from __future__ import annotations

import csv
from pathlib import Path

import pyarrow as pa

from lightning_semrob.utilities.files import write_csv


def test_texts_are_no_formulas_and_numbers_stay_numbers(tmp_path: Path) -> None:
    texts = ["=HYPERLINK(1)", "+1", "-1", "@sum", "\tx", "\r=1", "a=b", "", None]
    table = pa.table({"text": pa.array(texts, pa.string()), "number": pa.array([-1.5] * len(texts))})
    write_csv(tmp_path / "new" / "table.csv", table)
    with (tmp_path / "new" / "table.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["text"] for row in rows] == [f"'{text}" for text in texts[:6]] + ["a=b", "", ""]
    assert {row["number"] for row in rows} == {"-1.5"}
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["table.csv"]
