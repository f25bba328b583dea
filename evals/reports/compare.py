"""Two runs of one stage on a page: `python -m evals.reports.compare runs/a runs/b [--out compare.html]`.

Curves of both on one axis, scores side by side, the settings in which they differ, and the same prompts drawn by both
models under the same seeds. Scores are the last of every metric, and those of a report.json in the run's folder.
"""

from collections.abc import Mapping, Sequence
from math import inf, isfinite
from pathlib import Path
from typing import Any

from markupsafe import Markup

from common.errors import Parser, user_errors
from common.pages import fragment, join, section, table, write_page
from common.paths import user_path
from common.settings import differing_keys, format_setting
from evals.reports.curves import Curve, average, figure, plot
from evals.reports.run_folder import RunFolder, read_run
from models.device import DEVICES, check_device
from models.generation import SamplingConfig, read_generation
from models.sampling_options import add_sampling, given_sampling

FIRST = ("val/", "train/")  # whose curves come first; those of LAST are folded away
LAST = ("grad_norm/", "data/", "speed/", "memory/", "self_enhancement/")
IGNORED = ("name", "runs_dir")


def compare(
    folders: tuple[Path, Path],
    out: Path,
    prompts: int = 12,
    seed: int = 0,
    device: str = "cpu",
    across: bool = False,
    sampling: Mapping[str, Any] | None = None,
) -> Path:
    """Writes the page.

    Args:
        folders: of the two runs.
        out: the page.
        prompts: drawn by both; 0: none.
        seed: of prompts and drawings.
        device: that draws.
        across: whether the runs may be of different stages.
        sampling: cfg, temperature, top_k, top_p of both, laid over each model folder's own; None: each its own.

    Returns:
        The page's path.

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
    runs = (one, other)
    names = _names(runs)
    body = [_opening(names, runs), _curves(names, runs), _scores(names, runs), _settings(names, runs)]
    body.insert(2, _drawings(names, runs, prompts, seed, device, sampling or {}))
    return write_page(out, f"{names[0]} and {names[1]}", body)


def _names(runs: tuple[RunFolder, RunFolder]) -> tuple[str, str]:
    """Their names; where these are equal, their folders."""
    one, other = runs
    return (one.name, other.name) if one.name != other.name else (str(one.folder), str(other.folder))


def _opening(names: tuple[str, str], runs: tuple[RunFolder, RunFolder]) -> Markup:
    return fragment(
        """<h1>Two runs</h1><p class="lead">
{% for name, colour in keys %}<span class="key {{ colour }}">{{ name }}</span> {% endfor %}</p>
<p class="hint">{{ stages | join(' and ') }}</p>""",
        keys=list(zip(names, "ab", strict=True)),
        stages=list(dict.fromkeys(run.stage for run in runs)),
    )


def _order(name: str) -> tuple[int, str]:
    rank = next((i for i, family in enumerate(FIRST) if name.startswith(family)), len(FIRST))
    return (len(FIRST) + 1 if name.startswith(LAST) else rank, name)


def _curves(names: tuple[str, str], runs: tuple[RunFolder, RunFolder]) -> Markup:
    """A chart of every metric that one of them has at more than one step."""
    found = sorted({name for run in runs for name, curve in run.curves.items() if len(curve) > 1}, key=_order)
    charts = {name: _chart(name, names, [run.curves.get(name, []) for run in runs]) for name in found}
    return fragment(
        """<h2>How they learned</h2><p class="hint">Both on one axis; the number is the last value. Long curves are
averaged.</p><div class="charts">
{{ main }}
</div>{% if rest %}<details><summary>Gradients, data, speed</summary><div class="charts">
{{ rest }}
</div></details>{% endif %}""",
        main=join([chart for name, chart in charts.items() if not name.startswith(LAST)], "\n"),
        rest=join([chart for name, chart in charts.items() if name.startswith(LAST)], "\n"),
    )


def _chart(title: str, names: tuple[str, str], curves: Sequence[Curve]) -> Markup:
    """One metric of both runs on one axis."""
    rows = [(name, colour, curve) for name, colour, curve in zip(names, "ab", curves, strict=True) if curve]
    keys = [(colour, f"{curve[-1][1]:.4g}") for _, colour, curve in rows]
    legend = fragment(
        """{% for colour, last in keys %}<span class="key {{ colour }}">{{ last }}</span>{{ ' ' if not loop.last }}
{%- endfor %}""",
        keys=keys,
    )
    last = max(step for *_, curve in rows for step, _ in curve)
    drawing = plot([(f"val {colour}", average(curve)) for _, colour, curve in rows], f"step {last + 1:,.0f}")
    return figure(title, f"{title} of {' and '.join(name for name, *_ in rows)}", legend, drawing)


def _drawings(
    names: tuple[str, str],
    runs: tuple[RunFolder, RunFolder],
    count: int,
    seed: int,
    device: str,
    sampling: Mapping[str, Any],
) -> Markup:
    """The same prompts by both, or the line that says why there are none."""
    if not count:
        return section("The same prompts", "Nothing was drawn: no prompts were asked for.")
    for name, run in zip(names, runs, strict=True):
        if run.model is None:
            return section("The same prompts", f"Nothing was drawn: {name} has no model folder yet.")
    from evals.reports import same_prompts

    prompts = same_prompts.prompts_of(count, seed)
    drawn = [same_prompts.draw(run.model, prompts, seed, device, sampling) for run in runs]
    for name, pictures in zip(names, drawn, strict=True):
        if pictures is None:
            return section("The same prompts", f"Nothing was drawn: the model of {name} cannot draw.")
    right = [sum(bool(one.ok) for one in pictures) for pictures in drawn]
    judged = all(one.ok is not None for pictures in drawn for one in pictures)
    tally = f" Right: {right[0]} and {right[1]} of {len(prompts)}." if judged else ""
    used = [str(read_generation(run.model).draw.override(SamplingConfig(**sampling))) for run in runs]
    told = used[0] if used[0] == used[1] else f"left {used[0]}; right {used[1]}"
    hint = f"Left {names[0]}, right {names[1]}, under the same seeds ({told}).{tally}"
    return section("The same prompts", hint, same_prompts.pairs(prompts, names, tuple(drawn)))


def _scores(names: tuple[str, str], runs: tuple[RunFolder, RunFolder]) -> Markup:
    """The last value of every metric; one that is no number (NaN, of a run that diverged) is shown as such."""
    one, other = (run.scores() for run in runs)
    rows = []
    for name in sorted(one.keys() | other.keys(), key=_order):
        both = name in one and name in other
        gap = f"{other[name] - one[name]:+.4g}" if both else ""
        cells = (name, _number(one.get(name)), _number(other.get(name)), gap)
        rows.append([_breakable(cell) for cell in cells])
    return section("Scores", _diverged(names, (one, other)), _table((*names, "change"), rows))


def _diverged(names: tuple[str, str], scores: tuple[Mapping[str, float], Mapping[str, float]]) -> str:
    """Which of the runs ended in values that are no numbers."""
    found = [name for name, of in zip(names, scores, strict=True) if not all(map(isfinite, of.values()))]
    return "".join(f"{name} ended with values that are no numbers: it diverged. " for name in found)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}" if 1000 <= abs(value) < inf else f"{value:.4g}"


def _settings(names: tuple[str, str], runs: tuple[RunFolder, RunFolder]) -> Markup:
    one, other = (run.settings for run in runs)
    keys = [key for key in differing_keys(one, other) if key not in IGNORED and not key.startswith("track.")]
    if not keys:
        return section("Settings", "They do not differ.")
    rows = [
        [fragment("<code>{{ key }}</code>", key=_breakable(key)), *(format_setting(of, key) for of in (one, other))]
        for key in keys
    ]
    return section("Settings that differ", "", _table(names, rows))


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Markup:
    return table([_breakable(heading) for heading in ("", *headings)], rows)


def _breakable(name: str) -> Markup:
    """A name that a phone may break after its slashes and dots."""
    return Markup.escape(name).replace("/", Markup("/<wbr>")).replace(".", Markup(".<wbr>"))


def main(arguments: list[str] | None = None) -> None:
    """The command line. A user's error is one line and exit code 2."""
    parser = Parser(
        prog="python -m evals.reports.compare", description=__doc__.splitlines()[0], allow_abbrev=False
    )
    parser.add_argument(
        "runs", nargs=2, type=user_path, metavar="RUN", help="the folders of two runs of one stage"
    )
    parser.add_argument(
        "--out", type=user_path, default="compare.html", metavar="FILE", help="default: %(default)s"
    )
    parser.add_argument(
        "--prompts", type=int, default=12, metavar="N", help="that both draw (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of prompts and drawings (default: %(default)s)")
    parser.add_argument("--device", choices=DEVICES, default="cpu", help="default: %(default)s")
    parser.add_argument("--across-stages", action="store_true", help="compares runs of different stages too")
    add_sampling(parser, "both models' drawings")
    options = parser.parse_args(arguments)
    with user_errors("compare"):
        if options.prompts < 0:
            raise ValueError(f"--prompts {options.prompts} is not a whole number from 0")
        if options.out.is_dir():
            raise ValueError(f"--out {options.out} is a folder: name a file in it")
        check_device(options.device)
        settings = options.prompts, options.seed, options.device, options.across_stages
        print(compare(tuple(options.runs), options.out, *settings, given_sampling(options).given))


if __name__ == "__main__":
    main()
