"""Draws, describes, answers, edits, assesses and chats with a model folder.

    python generate.py draw "a green star" -n 9 --seed 1 --out grid.png
    python generate.py draw "a green star" --seed 3 --out star.png
    python generate.py draw "two red circles" --best-of 4
    python generate.py draw "two red circles" --reflect
    python generate.py assess star.png "a green star"
    python generate.py describe star.png
    python generate.py ask star.png "what colour is the star ?"
    python generate.py edit star.png "make the star blue" --out blue.png
    python generate.py chat

A seed fixes a sample, whatever else is drawn beside it: the second image of `--seed 1` is the first of `--seed 2`.

How a model draws (cfg, temperature, top-k, top-p) and how much it writes is kept in its folder, `generation` in
illume.json: options such as `--cfg 2 --top-k 2048` are laid over that, and `generate.py draw -h` lists them.
"""

import argparse
import sys
from collections.abc import Callable, Iterable
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.checks import check_text
from common.errors import Parser, explain, user_errors
from common.paths import typed_path, user_path
from models.device import DEVICES, check_device
from models.generation import TOKEN_LIMIT
from models.sampling_options import add_sampling, given_sampling

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

    from judges.self_judge import SelfJudge
    from models.prompts import Prompts
    from models.unified import Illume

PRETRAINED = Path(__file__).resolve().parent / "pretrained" / "playground"
TRAINED = (  # that draw, see and answer: of equal age the first
    Path("runs/reference/edits/model"),
    Path("runs/reference/stage3/model"),
    Path("runs/playground/stage3/model"),
    Path("runs/playground/self_enhancement/model"),
)
SEES = ("encoder", "language", "text_tokenizer")
DRAWS = ("tokenizer", "detokenizer", "language", "text_tokenizer")
ENDINGS = (".png", ".jpg", ".jpeg", ".webp")
CELL, GAP = 192, 6  # pixels: about the side that an image is shown at, and the white between two
BATCH = 16  # images drawn at once
MOST_TRIES = 4  # drawings that --reflect makes of one image
EXAMPLES = {
    "draw": 'python generate.py draw "a green star" -n 9 --cfg 2 --temperature 1 --top-k 256 --out grid.png',
    "describe": "python generate.py describe star.png --detail",
    "ask": 'python generate.py ask star.png "what colour is the star ?"',
    "assess": 'python generate.py assess star.png "a green star"',
    "edit": 'python generate.py edit star.png "make the star blue" --cfg 1.25 --out blue.png',
    "chat": "python generate.py chat --out drawings",
}
UNTAUGHT = "this model does not assess what it sees (train it with self_enhancement.yaml)"
STRIDE = 1_000_003  # between the seeds of the tries behind one image
CHAT_HELP = "/image PATH  talk about this image from now on     /new   about none     /quit  leave"
WRITES = {
    "ask": "answer",
    "describe": "describe",
    "assess": "assess",
    "chat": "chat",
}  # tasks, and what limits them


def load(options: argparse.Namespace, *parts: str) -> "Illume":
    """The model folder that --model names (or the newest there is) on --device, with these parts in it."""
    check_device(options.device)
    folder = options.model or newest_model()
    from transformers.utils import logging

    from models.unified import Illume

    logging.set_verbosity_error()  # its warnings are for who makes a model, not for who uses it
    model = Illume.from_pretrained(folder)
    missing = [name for name in parts if getattr(model, name) is None]
    if missing:
        raise ValueError(f"{folder} cannot {options.task}: it has no {' and no '.join(missing)}")
    model.generation = model.generation.override(given_generation(options))
    return model.to(options.device)


def given_generation(options: argparse.Namespace) -> dict[str, Any]:
    """What the options lay over the model's own settings."""
    sampling, limit = given_sampling(options), getattr(options, "max_new_tokens", None)
    given: dict[str, Any] = {options.task: sampling.given}
    return given | ({"max_new_tokens": {WRITES[options.task]: limit}} if limit else {})


def newest_model() -> Path:
    """The last model that was trained here, else the one that came with the repository."""
    trained = [path for path in TRAINED if (path / "illume.json").is_file()]
    if trained:
        return max(trained, key=lambda path: (path / "illume.json").stat().st_mtime)
    if (PRETRAINED / "illume.json").is_file():
        return PRETRAINED
    raise FileNotFoundError(
        f"there is no model in {', '.join(map(str, TRAINED))}: run `make demo`, or give --model DIR"
    )


def read_image(path: Path, model: "Illume", whole: bool = True) -> "Tensor":
    """An image file of any size -> (3, H, W) uint8: whole where the model slices it, else the square that it sees.

    One that is to be edited is not `whole`: the model sees its square, as in training.
    """
    from common.images import open_image

    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there" if not path.exists() else f"{path} is not a file")
    try:
        image = open_image(path)
        return model.image_input(image) if whole else model.image_input.square(image)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def grid(images: "Tensor") -> "Image.Image":
    """Images (B, 3, H, W) uint8 in a near-square grid, each enlarged pixel by pixel to about CELL."""
    import numpy as np
    from PIL import Image

    zoom = max(1, round(CELL / images.shape[-1]))
    large = images.permute(0, 2, 3, 1).cpu().numpy().repeat(zoom, 1).repeat(zoom, 2)  # (B, H', W', 3)
    count, height, width, _ = large.shape
    columns = int(np.ceil(np.sqrt(count)))
    rows = -(-count // columns)
    sheet = np.full((rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, 3), 255, np.uint8)
    for i, image in enumerate(large):
        top, left = i // columns * (height + GAP), i % columns * (width + GAP)
        sheet[top : top + height, left : left + width] = image
    return Image.fromarray(sheet)


def save(image: "Image.Image", path: Path) -> None:
    """Writes an image whole or not at all, and says where it is."""
    from PIL import Image

    from common.files import atomic

    with atomic(path) as scratch:
        image.save(scratch, format=Image.registered_extensions()[path.suffix.lower()])
    print(path, flush=True)


def draw(options: argparse.Namespace) -> None:
    """Text to a grid of images, one a seed; if asked, the best of several, or drawn again after its own assessment."""
    import torch

    if options.reflect and options.best_of > 1:
        raise ValueError("--best-of chooses among drawings, --reflect mends one: give one of the two")
    chosen = options.reflect or options.best_of > 1
    model = load(options, *DRAWS, *(SEES if chosen else ()))
    if options.reflect:
        images = [reflect(model, options, options.seed + i) for i in range(options.number)]
    elif chosen:
        images = [best(model, options, options.seed + i) for i in range(options.number)]
    else:
        images = sketches(model, options, [options.seed + i for i in range(options.number)])
    save(grid(torch.stack(list(images))), options.out)
    note(f"drawn with {model.generation.draw}")


def sketches(model: "Illume", options: argparse.Namespace, seeds: list[int]) -> "Tensor":
    """Drawings of the prompt (B, 3, H, W), one a seed."""
    import torch

    groups = [seeds[i : i + BATCH] for i in range(0, len(seeds), BATCH)]
    return torch.cat([model.draw_batch([options.prompt] * len(group), group) for group in groups])


def own_judge(model: "Illume") -> "SelfJudge":
    """The model as a judge of what it draws."""
    from judges.self_judge import SelfJudge

    judge = SelfJudge()
    judge.set_model(model)
    return judge


def own_seeds(seed: int, count: int) -> list[int]:
    """Seeds of the tries behind one image: those of no other image."""
    return [seed + i * STRIDE for i in range(count)]


def best(model: "Illume", options: argparse.Namespace, seed: int) -> "Tensor":
    """Of several drawings the one (3, H, W) that the model itself is most sure of."""
    images = sketches(model, options, own_seeds(seed, options.best_of))
    opinions = own_judge(model).assess_with_confidence([options.prompt] * len(images), images)
    sure = [0.0 if isnan(confidence) else confidence for _, confidence in opinions]
    if not any(sure):
        raise ValueError(f"{UNTAUGHT}: --best-of needs its assessments")
    first = max(range(len(sure)), key=sure.__getitem__)
    say(f"seed {seed}: took try {first + 1} of {len(sure)}, sure by {', '.join(f'{p:.2f}' for p in sure)}")
    return images[first]


def reflect(model: "Illume", options: argparse.Namespace, seed: int) -> "Tensor":
    """Draws, assesses, and draws again while it is not satisfied; says why. Returns the last drawing (3, H, W)."""
    from judges.assessment import Assessment, to_text

    judge, seeds = own_judge(model), own_seeds(seed, MOST_TRIES)
    image = sketches(model, options, seeds[:1])[0]
    for number, again in enumerate([*seeds[1:], None], 1):
        (opinion,) = judge.assess([options.prompt], image[None])
        if not isinstance(opinion, Assessment):
            raise ValueError(f"{UNTAUGHT}: --reflect needs its assessments")
        told = to_text(opinion)
        say(f"seed {seed}, try {number}: {told}")
        if opinion.overall or again is None:
            break
        image = model.redraw_batch(image[None], [options.prompt], [told], [again])[0]
    return image


def say(text: str) -> None:
    """Prints what the model wrote, or that it wrote nothing."""
    print(text or "(no answer)", flush=True)


def note(text: str) -> None:
    """Prints what is no answer, beside those."""
    print(text, file=sys.stderr, flush=True)


def describe(options: argparse.Namespace) -> None:
    """An image to words."""
    model = load(options, *SEES)
    say(model.describe_batch(read_image(options.image, model)[None], detail=options.detail)[0])


def ask(options: argparse.Namespace) -> None:
    """An image and a question to an answer."""
    model = load(options, *SEES)
    say(model.ask_batch(read_image(options.image, model)[None], [options.question])[0])


def assess(options: argparse.Namespace) -> None:
    """An image and a prompt to the model's assessment of how well it shows that."""
    from judges.assessment import Assessment

    model = load(options, *SEES)
    image = read_image(options.image, model)[None]
    ((opinion, confidence),) = own_judge(model).assess_with_confidence([options.prompt], image)
    if not isinstance(opinion, Assessment):
        raise ValueError(f"{UNTAUGHT}: {opinion.reason}")
    say(f"seen      {opinion.rationale}")
    for name, verdict in opinion.verdicts.items():
        say(f"{name:<10}{'yes' if verdict.ok else 'no'}" + (f", {verdict.reason}" if verdict.reason else ""))
    say(f"score     {opinion.score} of 10")
    say(f"overall   {'yes' if opinion.overall else 'no'} (sure of yes by {confidence:.2f})")


def edit(options: argparse.Namespace) -> None:
    """An image and an instruction to the edited image."""
    model = load(options, *SEES, *DRAWS)
    image = read_image(options.image, model, whole=False)[None]  # (1, 3, H, W)
    save(grid(model.edit_batch(image, [options.instruction], [options.seed])), options.out)
    note(f"edited with {model.generation.edit}")


def chat(options: argparse.Namespace) -> None:
    """Lines of text, each answered by itself or about the image in view; drawn images are saved."""
    model = load(options, *SEES, *DRAWS)
    human = sys.stdin.isatty()
    view: list[Tensor] = []
    if human:
        print(CHAT_HELP)
        print(f"try: {'     '.join(examples(model.prompts))}")
    for turn in range(sys.maxsize):
        try:
            line = input("> " if human else "").strip()
        except EOFError:
            return
        if line == "/quit":
            return
        try:
            view = answer(line, view, model, options.out, options.seed + turn)
        except (ValueError, OSError) as error:
            if not human:  # in a pipe nobody is there to type the line again
                raise
            print(f"error: {explain(error)}", file=sys.stderr)


def examples(prompts: "Prompts") -> list[str]:
    """Lines that a model knows from its training."""
    return [
        prompts.fill("draw", "two red circles"),
        prompts.describe,
        prompts.fill("edit", "make the circle blue"),
    ]


def answer(line: str, view: "list[Tensor]", model: "Illume", folder: Path, seed: int) -> "list[Tensor]":
    """Does what one line of a chat asks; returns the image in view, if any."""
    command, rest = (*line.split(None, 1), "", "")[:2]
    if command == "/image":
        return [read_image(typed_path(rest), model)]
    if command == "/new":
        return []
    if command.startswith("/"):
        raise ValueError(f"there is no command {command}; there is /image PATH, /new and /quit")
    if line:
        show(model.stream_chat([*view, check_text(line, "the line")], seed), folder)
    return view


def show(parts: "Iterable[str | Tensor]", folder: Path) -> None:
    """Prints words as they come, and saves images."""
    last: str | Tensor | None = None
    for part in parts:
        if isinstance(part, str):
            print(part, end="", flush=True)
        else:
            if isinstance(last, str):
                print()
            save(grid(part[None]), free_name(folder))
        last = part
    if last is None:
        say("")
    elif isinstance(last, str):
        print()


def free_name(folder: Path) -> Path:
    """The first of drawn-001.png, drawn-002.png, ... that is not there yet."""
    return next(path for i in range(1, sys.maxsize) if not (path := folder / f"drawn-{i:03d}.png").exists())


def number(kind: type, low: float, high: float) -> Callable[[str], float]:
    """An option's type: a number of `kind` from `low` to `high`."""

    def convert(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            what = "a whole number" if kind is int else "a number"
            raise argparse.ArgumentTypeError(f"{text!r} is not {what}") from None
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text} is out of range: from {low} to {high}")
        return value

    return convert


SHOW = "default: %(default)s"


def words(text: str) -> str:
    """An argument's type: text that says something."""
    try:
        return check_text(text, "it")
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def folder(text: str) -> Path:
    """An option's type: a folder that is there."""
    path = user_path(text)
    if not path.is_dir():
        raise argparse.ArgumentTypeError(f"the folder {text} is not there: make it first")
    return path


def image_file(text: str) -> Path:
    """An option's type: where an image can be written."""
    path = user_path(text)
    folder(str(path.parent))
    if path.suffix.lower() not in ENDINGS or path.is_dir():
        raise argparse.ArgumentTypeError(f"{text} is not the name of an image (*{', *'.join(ENDINGS)})")
    return path


def add_task(tasks: Any, run: Callable[[argparse.Namespace], None], *, draws: str = "") -> Parser:
    """A subcommand with the options that all share, those of drawing if it `draws` something, and those of writing."""
    layout = argparse.RawDescriptionHelpFormatter
    name = run.__name__
    about = f"{run.__doc__}\n\n{EXAMPLES[name]}"
    task = tasks.add_parser(
        name, help=run.__doc__, description=about, formatter_class=layout, allow_abbrev=False
    )
    task.set_defaults(run=run)
    task.add_argument(
        "--model",
        type=user_path,
        metavar="DIR",
        help="model folder (default: the newest in runs/, else the one that came along)",
    )
    task.add_argument("--device", choices=DEVICES, default="cpu", help=SHOW)
    if draws:
        sampling = task.add_argument_group(
            "how images are drawn (by default as the model folder's illume.json says)"
        )
        sampling.add_argument(
            "--seed", type=number(int, 0, 2**62), default=0, metavar="N", help=f"of the first image ({SHOW})"
        )
        add_sampling(sampling, draws)
    if name in WRITES:
        task.add_argument(
            "--max-new-tokens",
            type=number(int, 1, TOKEN_LIMIT),
            metavar="N",
            help="the most tokens of a text (default: the model folder's)",
        )
    return task


def build_parser() -> Parser:
    """The command line."""
    layout = argparse.RawDescriptionHelpFormatter
    parser = Parser(prog="generate.py", description=__doc__, formatter_class=layout)
    tasks = parser.add_subparsers(
        dest="task", required=True, metavar="draw | describe | ask | assess | edit | chat"
    )
    task = add_task(tasks, draw, draws="drawings")
    task.add_argument("prompt", type=words, help="what to draw; may have several lines")
    task.add_argument("-n", dest="number", type=number(int, 1, 256), default=1, help=f"images ({SHOW})")
    task.add_argument(
        "--best-of",
        type=number(int, 1, 64),
        default=1,
        metavar="N",
        help="draws N and takes the one it is most sure of",
    )
    task.add_argument(
        "--reflect", action="store_true", help="assesses, and draws again while it is not satisfied"
    )
    task.add_argument("--out", type=image_file, default="grid.png", help=SHOW)
    task = add_task(tasks, describe)
    task.add_argument("image", type=user_path)
    task.add_argument("--detail", action="store_true", help="object by object")
    task = add_task(tasks, ask)
    task.add_argument("image", type=user_path)
    task.add_argument("question", type=words)
    task = add_task(tasks, assess)
    task.add_argument("image", type=user_path)
    task.add_argument("prompt", type=words)
    task = add_task(tasks, edit, draws="the edit")
    task.add_argument("image", type=user_path)
    task.add_argument("instruction", type=words, help="what to change")
    task.add_argument("--out", type=image_file, default="edited.png", help=SHOW)
    task = add_task(tasks, chat, draws="drawings")
    task.add_argument("--out", type=folder, default=".", metavar="DIR", help="where drawn images go")
    return parser


def main(argv: list[str] | None = None) -> None:
    """Runs a command line. A user's error is one line and exit code 2."""
    options = build_parser().parse_args(argv)
    with user_errors("generate.py"):
        options.run(options)


if __name__ == "__main__":
    main()
