"""Two runs of one stage on a page: `python -m evals compare runs/a runs/b [--out compare.html]`.

The page has curves of both on one axis, scores side by side, the settings in which they differ, and the same prompts
drawn by both models under the same seeds. Scores are the last value of every metric, and those of a report.json.
"""

from dataclasses import dataclass, field
from math import inf, isfinite
from pathlib import Path

from markupsafe import Markup

from common.errors import Parser, user_errors
from common.pages import fragment, join, section, table, write_page
from common.paths import user_path
from common.settings import differing_keys, format_setting
from evals.reports.curves import average
from evals.reports.plot import Line, chart, draw_lines, inline_svg, new_figure
from evals.reports.run_folder import RunFolder, read_run
from models.device import DEVICES, check_device
from models.generation import SamplingConfig, read_generation
from models.sampling_options import add_sampling, given_sampling

FIRST = ("val/", "train/")  # families of metrics that come first
LAST = ("grad_norm/", "data/", "speed/", "memory/", "self_enhancement/")  # those whose curves are folded away
IGNORED = ("name", "runs_dir")


@dataclass(frozen=True)
class DrawingSettings:
    """What both models draw: how many prompts (0: none), of which seed, on which device, how it is sampled."""

    prompts: int = 12
    seed: int = 0
    device: str = "cpu"
    sampling: SamplingConfig = field(default_factory=SamplingConfig)


Runs = tuple[RunFolder, RunFolder]
Names = tuple[str, str]


def compare(folders: tuple[Path, Path], out: Path, drawing: DrawingSettings, across: bool = False) -> Path:
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
    body = [
        _opening(names, runs),
        _curves(names, runs),
        section("The same prompts", *_drawings(names, runs, drawing)),
        _scores(names, runs),
        _settings(names, runs),
    ]
    return write_page(out, f"{names[0]} and {names[1]}", body)


def _opening(names: Names, runs: Runs) -> Markup:
    return fragment(
        """<h1>Two runs</h1><p class="lead">
{% for name, colour in keys %}<span class="key {{ colour }}">{{ name }}</span> {% endfor %}</p>
<p class="hint">{{ stages | join(' and ') }}</p>""",
        keys=list(zip(names, "ab", strict=True)),
        stages=list(dict.fromkeys(run.stage for run in runs)),
    )


def _metric_order(name: str) -> tuple[int, str]:
    rank = next((i for i, family in enumerate(FIRST) if name.startswith(family)), len(FIRST))
    return (len(FIRST) + 1 if name.startswith(LAST) else rank, name)


def _curves(names: Names, runs: Runs) -> Markup:
    """A chart of every metric that one of them has at more than one step."""
    metrics = {name for run in runs for name, curve in run.curves.items() if len(curve) > 1}
    main, rest = [], []
    for metric in sorted(metrics, key=_metric_order):
        (rest if metric.startswith(LAST) else main).append(_chart(metric, names, runs))
    return fragment(
        """<h2>How they learned</h2><p class="hint">Both on one axis; the number is the last value. Long curves are
averaged.</p><div class="charts">
{{ main }}
</div>{% if rest %}<details><summary>Gradients, data, speed</summary><div class="charts">
{{ rest }}
</div></details>{% endif %}""",
        main=join(main, "\n"),
        rest=join(rest, "\n"),
    )


def _chart(metric: str, names: Names, runs: Runs) -> Markup:
    """One metric of both runs on one axis."""
    curves = {
        c: (n, run.curves[metric])
        for c, n, run in zip("ab", names, runs, strict=True)
        if metric in run.curves
    }
    figure, (axes,) = new_figure()
    draw_lines(axes, [Line(average(curve), colour) for colour, (_, curve) in curves.items()], "step")
    drawing = inline_svg(figure, f"{metric} of {' and '.join(name for name, _ in curves.values())}")
    legend = [(colour, f"{curve[-1][1]:.4g}") for colour, (_, curve) in curves.items()]
    return chart(metric, legend, drawing)


def _drawings(names: Names, runs: Runs, settings: DrawingSettings) -> tuple[str, Markup | None]:
    """A hint and the same prompts drawn by both; or the reason why nothing was drawn."""
    if not settings.prompts:
        return "Nothing was drawn: no prompts were asked for.", None
    for name, run in zip(names, runs, strict=True):
        if run.model is None:
            return f"Nothing was drawn: {name} has no model folder yet.", None
    from evals.reports import same_prompts

    prompts = same_prompts.balanced_prompts(settings.prompts, settings.seed)
    drawn, samplings = [], []
    for name, run in zip(names, runs, strict=True):
        drawings = same_prompts.draw(run.model, prompts, settings.seed, settings.device, settings.sampling)
        if drawings is None:
            return f"Nothing was drawn: the model of {name} cannot draw.", None
        drawn.append(drawings)
        samplings.append(str(read_generation(run.model).draw.override(settings.sampling)))
    right = [sum(bool(one.ok) for one in drawings) for drawings in drawn]
    judged = all(one.ok is not None for drawings in drawn for one in drawings)
    tally = f" Right: {right[0]} and {right[1]} of {len(prompts)}." if judged else ""
    alike = samplings[0] == samplings[1]
    sampling = samplings[0] if alike else f"left {samplings[0]}; right {samplings[1]}"
    hint = f"Left {names[0]}, right {names[1]}, under the same seeds ({sampling}).{tally}"
    return hint, same_prompts.pair_figures(prompts, names, drawn)


def _scores(names: Names, runs: Runs) -> Markup:
    """The last value of every metric; one that is no number (NaN, of a run that diverged) is shown as such."""
    one, other = scores = [run.scores() for run in runs]
    rows = []
    for metric in sorted(one.keys() | other.keys(), key=_metric_order):
        change = f"{other[metric] - one[metric]:+.4g}" if metric in one and metric in other else ""
        rows.append([metric, _number(one.get(metric)), _number(other.get(metric)), change])
    diverged = [name for name, of in zip(names, scores, strict=True) if not all(map(isfinite, of.values()))]
    hint = "".join(f"{name} ended with values that are no numbers: it diverged. " for name in diverged)
    return section("Scores", hint, _table((*names, "change"), rows))


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}" if 1000 <= abs(value) < inf else f"{value:.4g}"


def _settings(names: Names, runs: Runs) -> Markup:
    one, other = (run.settings for run in runs)
    keys = [key for key in differing_keys(one, other) if key not in IGNORED and not key.startswith("track.")]
    if not keys:
        return section("Settings", "They do not differ.")
    rows = [
        [
            Markup("<code>{}</code>").format(_breakable(key)),
            format_setting(one, key),
            format_setting(other, key),
        ]
        for key in keys
    ]
    return section("Settings that differ", "", _table(names, rows))


def _table(headings: tuple[str, ...], rows: list[list[str]]) -> Markup:
    return table(
        [_breakable(heading) for heading in ("", *headings)], [[_breakable(row[0]), *row[1:]] for row in rows]
    )


def _breakable(name: str) -> Markup:
    """A name that a phone may break after its slashes and dots; markup as it is."""
    if isinstance(name, Markup):
        return name
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
        drawing = DrawingSettings(options.prompts, options.seed, options.device, given_sampling(options))
        print(compare(tuple(options.runs), options.out, drawing, options.across_stages))


if __name__ == "__main__":
    main()
