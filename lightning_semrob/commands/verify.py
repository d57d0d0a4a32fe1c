"""``semrob verify FOLDER``: do the stated regions and the calls of the trust maps hold under fresh samples?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from lightning_semrob.commands.parsing import TRUST_HELP, Parser, quiet
from lightning_semrob.evaluation.finished.verify import RegionCheck, environment_for, verify_folder, verify_maps
from lightning_semrob.networks.labels import labels_by_name
from lightning_semrob.networks.probe import probe_in_words
from lightning_semrob.report.tables import format_table
from lightning_semrob.sharing.strategies import device_of
from lightning_semrob.trust.fresh import MapCheck

#: Exit code where a region that was stated as valid is found invalid, or a map has more wrong calls than it states.
REFUTED = 1


def main(args: Sequence[str]) -> list[RegionCheck]:
    """The command; returns what it prints, or exits with 1 where a region is refuted."""
    parser = Parser(
        "verify",
        "Sample every region that an output folder states as valid again, and called tiles of its trust maps. Exit "
        "codes: 0; 1 where a region is found invalid or a map has more wrong calls than it states; 2 where network or "
        "mesh are not those of the statement.",
    )
    parser.add_argument("folder", type=str, help="output folder of evaluate.py")
    parser.add_argument("--seed", type=int, default=1, help="of the samples, another one than the job's")
    parser.add_argument("--evaluations", type=int, default=1200, help="of f for a region, at most")
    parser.add_argument("--map_evaluations", type=int, default=240, help="of f for a trust map, at most; 0: no maps")
    parser.add_argument("--accelerator", type=str, default="auto", help="cpu, gpu or auto")
    parser.add_argument("--trust", type=bool, default=False, help=TRUST_HELP)
    options = parser.parse_args(list(args))
    quiet()
    device = device_of(options.accelerator)
    environment = environment_for(options.folder, options.seed, device, options.trust)
    about = {"device": device, "trust": options.trust, "environment": environment}
    found = verify_folder(options.folder, options.seed, options.evaluations, **about)
    budget = options.map_evaluations
    maps = verify_maps(options.folder, options.seed, budget, **about) if budget else []
    labels = labels_by_name([item.network for item in found])
    shown = [replace(item, network=labels[item.network]) for item in found]
    lines = [[f"{x:.3f}" if isinstance(x, float) else str(x) for x in item.values()] for item in shown]
    columns = [name.removesuffix("_name") for name in RegionCheck.__annotations__]
    print(format_table(columns, lines, left=3) if lines else "no region is stated as valid")
    refuted = sum(item.verdict == "invalid" for item in found)
    print(
        f"\n{len(found)} regions were stated as valid; {refuted} of them are found invalid by fresh samples, with the "
        "confidence of the statements for all of these verdicts together"
    )
    if maps:
        print(f"\n{_format_maps(maps)}")
    if environment.models.probed:
        print(probe_in_words(environment.models.probed))
    if refuted or any(item.refuted for item in maps):
        raise SystemExit(REFUTED)
    return found


def _format_maps(maps: Sequence[MapCheck]) -> str:
    """A table of the maps, and what was found in a sentence."""
    columns = ["network", "class", "shape", "calls", "sampled again", "contradicted", "states wrong calls", ""]
    labels = labels_by_name([item.network for item in maps])
    lines = [
        [
            labels[item.network],
            *map(str, (item.class_name, item.shape_id, item.called, item.tested, item.contradicted)),
            f"<= {100 * item.alpha:g} %" if item.error == "fdr" else f"none, at {100 * (1 - item.alpha):g} %",
            "refuted" if item.refuted else "",
        ]
        for item in maps
    ]
    tested, wrong, refuted = (
        sum(getattr(item, name) for item in maps) for name in ("tested", "contradicted", "refuted")
    )
    return (
        f"{format_table(columns, lines, left=3)}\n\n{tested} calls of {len(maps)} trust maps were sampled again; "
        f"{wrong} are contradicted (with 95 % confidence for all of them together); {refuted} maps have more wrong "
        "calls than they state"
    )
