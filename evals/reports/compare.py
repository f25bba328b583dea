"""Two runs of one stage on a page: `python -m evals compare runs/a runs/b [--out compare.html]`.

The page has curves of both on one axis, scores side by side, the settings in which they differ, and the same prompts
drawn by both models under the same seeds. Scores are the last value of every metric, and those of a report.json.
"""

from collections.abc import Mapping
from math import inf, isfinite
from pathlib import Path
from typing import Any

from markupsafe import Markup

from common.errors import Parser, user_errors
from common.pages import render, table, write_page
from common.paths import user_path
from common.settings import differing_keys, format_setting
from evals.reports.curves import average
from evals.reports.plot import Line, chart, draw_lines, inline_svg, new_figure
from evals.reports.run_folder import RunFolder, read_run
from evals.reports.same_prompts import SamePrompts, draw_same_prompts
from models.device import DEVICES, check_device
from models.sampling_options import add_sampling, given_sampling

FIRST = ("val/", "train/")  # families of metrics that come first
LAST = ("grad_norm/", "data/", "speed/", "memory/", "self_enhancement/")  # those whose curves are folded away
IGNORED = ("name", "runs_dir")


Runs, Names = tuple[RunFolder, RunFolder], tuple[str, str]


def compare(folders: tuple[Path, Path], out: Path, drawing: SamePrompts, across: bool = False) -> Path:
    """Writes the page; returns its path.

    Args:
        folders: of the two runs.
        out: the page.
        drawing: what both draw.
        across: whether the runs may be of different stages.

    Raises:
        FileNotFoundError: a folder is no run's.
        ValueError: the runs are of different stages, or the same one, or a file in them cannot be read.
    """
    one, other = (read_run(folder) for folder in folders)
    if one.folder.resolve() == other.folder.resolve():
        raise ValueError(f"{one.folder} and {other.folder} are the same run")
    if one.stage != other.stage and not across:
        raise ValueError(
            f"these are runs of different stages: {one.folder} trains {one.stage}, {other.folder} {other.stage}; "
            "their losses do not mean the same (--across-stages compares them all the same)"
        )
    runs = one, other
    names = (one.name, other.name) if one.name != other.name else (str(one.folder), str(other.folder))
    metrics = {name for run in runs for name, curve in run.curves.items() if len(curve) > 1}
    charts = {metric: _chart(metric, names, runs) for metric in sorted(metrics, key=_metric_order)}
    scores = [run.scores() for run in runs]
    body = render(
        Path(__file__).with_name("compare.html"),
        names=names,
        stages=list(dict.fromkeys(run.stage for run in runs)),
        charts=[chart for metric, chart in charts.items() if not metric.startswith(LAST)],
        folded=[chart for metric, chart in charts.items() if metric.startswith(LAST)],
        drawn=draw_same_prompts(names, runs, drawing),
        diverged=[
            name for name, of in zip(names, scores, strict=True) if not all(map(isfinite, of.values()))
        ],
        scores=_scores(names, *scores),
        settings=_settings(names, one.settings, other.settings),
    )
    return write_page(out, f"{names[0]} and {names[1]}", [body])


def _metric_order(name: str) -> tuple[int, str]:
    rank = next((i for i, family in enumerate(FIRST) if name.startswith(family)), len(FIRST))
    return (len(FIRST) + 1 if name.startswith(LAST) else rank, name)


def _chart(metric: str, names: Names, runs: Runs) -> Markup:
    """One metric of both runs on one axis."""
    pairs = zip("ab", names, runs, strict=True)
    curves = {colour: (name, run.curves[metric]) for colour, name, run in pairs if metric in run.curves}
    figure, (axes,) = new_figure()
    draw_lines(axes, [Line(average(curve), colour) for colour, (_, curve) in curves.items()], "step")
    drawing = inline_svg(figure, f"{metric} of {' and '.join(name for name, _ in curves.values())}")
    legend = [(colour, f"{curve[-1][1]:.4g}") for colour, (_, curve) in curves.items()]
    return chart(metric, legend, drawing)


def _scores(names: Names, one: Mapping[str, float], other: Mapping[str, float]) -> Markup:
    """The last value of every metric; one that is no number (NaN, of a run that diverged) is shown as such."""
    rows = []
    for metric in sorted(one.keys() | other.keys(), key=_metric_order):
        change = f"{other[metric] - one[metric]:+.4g}" if metric in one and metric in other else ""
        rows.append([_breakable(metric), _number(one.get(metric)), _number(other.get(metric)), change])
    return table(list(map(_breakable, ("", *names, "change"))), rows)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}" if 1000 <= abs(value) < inf else f"{value:.4g}"


def _settings(names: Names, one: Mapping[str, Any], other: Mapping[str, Any]) -> Markup | None:
    """The settings that differ; None where they do not."""
    keys = [key for key in differing_keys(one, other) if key not in IGNORED and not key.startswith("track.")]
    code = Markup("<code>{}</code>")
    rows = [
        [code.format(_breakable(key)), format_setting(one, key), format_setting(other, key)] for key in keys
    ]
    return table(list(map(_breakable, ("", *names))), rows) if rows else None


def _breakable(name: str) -> Markup:
    """A name that a phone may break after its slashes and dots."""
    return Markup.escape(name).replace("/", Markup("/<wbr>")).replace(".", Markup(".<wbr>"))


def main(arguments: list[str] | None = None) -> None:
    """The command line. A user's error is one line and exit code 2."""
    default = "default: %(default)s"
    parser = Parser(prog="python -m evals compare", description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument(
        "runs", nargs=2, type=user_path, metavar="RUN", help="the folders of two runs of one stage"
    )
    parser.add_argument("--out", type=user_path, default="compare.html", metavar="FILE", help=default)
    parser.add_argument("--prompts", type=int, default=12, metavar="N", help=f"that both draw ({default})")
    parser.add_argument("--seed", type=int, default=0, help=f"of prompts and drawings ({default})")
    parser.add_argument("--device", choices=DEVICES, default="cpu", help=default)
    parser.add_argument("--across-stages", action="store_true", help="compares runs of different stages too")
    add_sampling(parser, "both models' drawings")
    options = parser.parse_args(arguments)
    with user_errors("compare"):
        if options.prompts < 0:
            raise ValueError(f"--prompts {options.prompts} is not a whole number from 0")
        if options.out.is_dir():
            raise ValueError(f"--out {options.out} is a folder: name a file in it")
        check_device(options.device)
        drawing = SamePrompts(options.prompts, options.seed, options.device, given_sampling(options))
        print(compare(tuple(options.runs), options.out, drawing, options.across_stages))


if __name__ == "__main__":
    main()
