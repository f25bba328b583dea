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
from itertools import count
from math import ceil, isnan, sqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.checks import check_text
from common.errors import Parser, explain, user_errors
from common.paths import typed_path, user_path
from models.device import DEVICES, check_device
from models.generation import TOKEN_LIMIT, read_generation
from models.sampling_options import add_sampling, given_sampling

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

    from judges.self_judge import SelfJudge
    from models.unified import Illume

PRETRAINED = Path(__file__).resolve().parent / "pretrained" / "playground"
TRAINED = (  # models that draw, see and answer: of equal age the first is taken
    Path("runs/reference/edits/model"),
    Path("runs/reference/stage3/model"),
    Path("runs/playground/stage3/model"),
    Path("runs/playground/self_enhancement/model"),
)
COMPONENTS = ("encoder", "tokenizer", "detokenizer", "language", "text_tokenizer")
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
CELL, GAP = 192, 6  # pixels: about the side that an image is shown at, and the white between two
MAX_TRIES = 4  # drawings that --reflect makes of one image
SEED_STRIDE = 1_000_003  # between the seeds of the tries behind one image
EXAMPLES = {
    "draw": 'python generate.py draw "a green star" -n 9 --cfg 2 --temperature 1 --top-k 256 --out grid.png',
    "describe": "python generate.py describe star.png --detail",
    "ask": 'python generate.py ask star.png "what colour is the star ?"',
    "assess": 'python generate.py assess star.png "a green star"',
    "edit": 'python generate.py edit star.png "make the star blue" --cfg 1.25 --out blue.png',
    "chat": "python generate.py chat --out drawings",
}
UNTRAINED = "this model does not assess what it sees (train it with self_enhancement.yaml)"
CHAT_HELP = "/image PATH  talk about this image from now on     /new   about none     /quit  leave"
TOKEN_LIMITS = {"ask": "answer", "describe": "describe", "assess": "assess", "chat": "chat"}  # by task


def load(options: argparse.Namespace) -> "Illume":
    """The model folder that --model names (or the newest there is) on --device, with the options' settings."""
    folder = options.model or newest_model()
    generation = read_generation(folder).override(given_generation(options))  # fails before torch is imported
    check_device(options.device)
    from transformers.utils import logging

    from models.unified import Illume

    logging.set_verbosity_error()  # its warnings are for who makes a model, not for who uses it
    model = Illume.from_pretrained(folder)
    model.generation = generation
    return model.to(options.device)


def given_generation(options: argparse.Namespace) -> dict[str, Any]:
    """What the options lay over the model's own settings."""
    given: dict[str, Any] = {}
    if sampling := given_sampling(options).given:
        given[options.task] = sampling
    if limit := getattr(options, "max_new_tokens", None):
        given["max_new_tokens"] = {TOKEN_LIMITS[options.task]: limit}
    return given


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


def read_image(path: Path) -> "Image.Image":
    """An image file, opened before torch is imported."""
    from common.images import open_image

    return open_image(path, str(path))


def grid(images: "list[Image.Image]") -> "Image.Image":
    """Images of one size in a near-square grid, each enlarged pixel by pixel to about CELL."""
    from PIL import Image

    zoom = max(1, round(CELL / images[0].width))
    width, height = (side * zoom + GAP for side in images[0].size)
    columns = ceil(sqrt(len(images)))
    rows = ceil(len(images) / columns)
    sheet = Image.new("RGB", (columns * width - GAP, rows * height - GAP), "white")
    for i, image in enumerate(images):
        large = image.resize((width - GAP, height - GAP), Image.Resampling.NEAREST)
        sheet.paste(large, (i % columns * width, i // columns * height))
    return sheet


def save(image: "Image.Image", path: Path) -> None:
    """Writes an image whole or not at all, and prints where it is."""
    from PIL import Image

    from common.files import atomic

    with atomic(path) as scratch:
        image.save(scratch, format=Image.registered_extensions()[path.suffix.lower()])
    print(path, flush=True)


def draw(options: argparse.Namespace) -> None:
    """Text to a grid of images, one a seed; if asked, the best of several, or drawn again after its own assessment."""
    if options.reflect and options.best_of > 1:
        raise ValueError("--best-of chooses among drawings, --reflect mends one: give one of the two")
    model, seeds = load(options), range(options.seed, options.seed + options.number)
    if options.reflect:
        images = [reflect(model, options.prompt, seed) for seed in seeds]
    elif options.best_of > 1:
        images = [best(model, options.prompt, seed, options.best_of) for seed in seeds]
    else:
        images = model.draw([options.prompt] * options.number, options.seed)
    save(grid(images), options.out)
    print(f"drawn with {model.generation.draw}", file=sys.stderr, flush=True)


def self_judge(model: "Illume") -> "SelfJudge":
    """The model as a judge of what it draws."""
    from judges.self_judge import SelfJudge

    judge = SelfJudge()
    judge.set_model(model)
    return judge


def to_batch(model: "Illume", images: "list[Image.Image]") -> "Tensor":
    """Images of one size as the model sees them: (B, 3, H, W) uint8."""
    import torch

    return torch.stack(model.prepare_images(images))


def try_seeds(seed: int, number: int) -> list[int]:
    """Seeds of the tries behind one image: those of no other image."""
    return [seed + i * SEED_STRIDE for i in range(number)]


def best(model: "Illume", prompt: str, seed: int, number: int) -> "Image.Image":
    """Of several drawings the one that the model itself is most sure of."""
    images, prompts = model.draw([prompt] * number, try_seeds(seed, number)), [prompt] * number
    opinions = self_judge(model).assess_with_confidence(prompts, to_batch(model, images))
    sure = [0.0 if isnan(confidence) else confidence for _, confidence in opinions]
    if not any(sure):
        raise ValueError(f"{UNTRAINED}: --best-of needs its assessments")
    first = max(range(number), key=sure.__getitem__)
    say(f"seed {seed}: took try {first + 1} of {number}, sure by {', '.join(f'{p:.2f}' for p in sure)}")
    return images[first]


def reflect(model: "Illume", prompt: str, seed: int) -> "Image.Image":
    """Draws, assesses, and draws again while the model is not satisfied; prints why. Returns the last drawing."""
    from judges.assessment import Assessment, to_text
    from models.image_input import to_pil

    judge, seeds = self_judge(model), try_seeds(seed, MAX_TRIES)
    images = model.draw_batch([prompt], seeds[:1])
    for number in range(1, MAX_TRIES + 1):
        (opinion,) = judge.assess([prompt], images)
        if not isinstance(opinion, Assessment):
            raise ValueError(f"{UNTRAINED}: --reflect needs its assessments")
        text = to_text(opinion)
        say(f"seed {seed}, try {number}: {text}")
        if opinion.overall or number == MAX_TRIES:
            break
        images = model.redraw_batch(images, [prompt], [text], [seeds[number]])
    return to_pil(images[0])


def say(text: str) -> None:
    """Prints what the model wrote, or that it wrote nothing."""
    print(text or "(no answer)", flush=True)


def describe(options: argparse.Namespace) -> None:
    """An image to text."""
    image = read_image(options.image)
    say(load(options).describe(image, options.detail))


def ask(options: argparse.Namespace) -> None:
    """An image and a question to an answer."""
    image = read_image(options.image)
    say(load(options).ask(image, options.question))


def assess(options: argparse.Namespace) -> None:
    """An image and a prompt to the model's assessment of how well it shows that."""
    image, model = read_image(options.image), load(options)
    from judges.assessment import Assessment

    ((opinion, confidence),) = self_judge(model).assess_with_confidence(
        [options.prompt], to_batch(model, [image])
    )
    if not isinstance(opinion, Assessment):
        raise ValueError(f"{UNTRAINED}: {opinion.reason}")
    say(f"seen      {opinion.rationale}")
    for name, verdict in opinion.verdicts.items():
        say(f"{name:<10}{'yes' if verdict.ok else 'no'}" + (f", {verdict.reason}" if verdict.reason else ""))
    say(f"score     {opinion.score} of 10")
    say(f"overall   {'yes' if opinion.overall else 'no'} (sure of yes by {confidence:.2f})")


def edit(options: argparse.Namespace) -> None:
    """An image and an instruction to the edited image."""
    image, model = read_image(options.image), load(options)
    save(grid([model.edit(image, options.instruction, options.seed)]), options.out)
    print(f"edited with {model.generation.edit}", file=sys.stderr, flush=True)


def chat(options: argparse.Namespace) -> None:
    """Lines of text, each answered by itself or about the image in view; drawn images are saved."""
    model, interactive = load(options), sys.stdin.isatty()
    model.require(*COMPONENTS, does="a chat")
    view: list[Tensor] = []
    if interactive:
        prompts = model.prompts
        known = (
            prompts.fill("draw", "two red circles"),
            prompts.describe,
            prompts.fill("edit", "make the circle blue"),
        )
        print(f"{CHAT_HELP}\ntry: {'     '.join(known)}")
    for turn in count():
        try:
            line = input("> " if interactive else "").strip()
        except EOFError:
            return
        if line == "/quit":
            return
        try:
            view = answer(line, view, model, options.out, options.seed + turn)
        except (ValueError, OSError) as error:
            if not interactive:  # in a pipe nobody is there to type the line again
                raise
            print(f"error: {explain(error)}", file=sys.stderr)


def answer(line: str, view: "list[Tensor]", model: "Illume", folder: Path, seed: int) -> "list[Tensor]":
    """Does what one line of a chat asks; returns the image in view, if any."""
    command, rest = (*line.split(None, 1), "", "")[:2]
    if command == "/image":
        return model.prepare_images([typed_path(rest)])
    if command == "/new":
        return []
    if command.startswith("/"):
        raise ValueError(f"there is no command {command}; there is /image PATH, /new and /quit")
    if line:
        show(model.stream_chat([*view, check_text(line, "the line")], seed), folder)
    return view


def show(parts: "Iterable[str | Tensor]", folder: Path) -> None:
    """Prints text as it comes, and saves images."""
    from models.image_input import to_pil

    last: str | Tensor | None = None
    for part in parts:
        if isinstance(part, str):
            print(part, end="", flush=True)
        else:
            if isinstance(last, str):
                print()
            names = (folder / f"drawn-{number:03d}.png" for number in count(1))
            save(grid([to_pil(part)]), next(path for path in names if not path.exists()))
        last = part
    if last is None:
        say("")
    elif isinstance(last, str):
        print()


def whole_number(low: int, high: int) -> Callable[[str], int]:
    """An option's type: a whole number from `low` to `high`."""

    def convert(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text} is out of range: from {low} to {high}")
        return value

    return convert


def text(value: str) -> str:
    """An argument's type: text that is not empty."""
    try:
        return check_text(value, "it")
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def image_file(value: str) -> Path:
    """An argument's type: a file that is there."""
    path = user_path(value)
    if not path.is_file():
        raise argparse.ArgumentTypeError(f"{path} is not {'a file' if path.exists() else 'there'}")
    return path


def folder(value: str) -> Path:
    """An option's type: a folder that is there."""
    path = user_path(value)
    if not path.is_dir():
        raise argparse.ArgumentTypeError(f"the folder {value} is not there: make it first")
    return path


def new_image(value: str) -> Path:
    """An option's type: where an image can be written."""
    path = user_path(value)
    folder(str(path.parent))
    if path.suffix.lower() not in SUFFIXES or path.is_dir():
        raise argparse.ArgumentTypeError(f"{value} is not the name of an image (*{', *'.join(SUFFIXES)})")
    return path


SHOW_DEFAULT = "default: %(default)s"


def add_task(
    tasks: Any, run: Callable[[argparse.Namespace], None], *arguments: str, draws: str = ""
) -> Parser:
    """A subcommand with the options that all share, those of drawing if it `draws` something, and those of writing."""
    name = run.__name__
    task = tasks.add_parser(
        name,
        help=run.__doc__,
        description=f"{run.__doc__}\n\n{EXAMPLES[name]}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    task.set_defaults(run=run)
    for argument in arguments:
        task.add_argument(argument, type=image_file if argument == "image" else text)
    task.add_argument(
        "--model",
        type=user_path,
        metavar="DIR",
        help="model folder (default: the newest in runs/, else the one that came along)",
    )
    task.add_argument("--device", choices=DEVICES, default="cpu", help=SHOW_DEFAULT)
    if draws:
        group = task.add_argument_group(
            "how images are drawn (by default as the model folder's illume.json says)"
        )
        seed = whole_number(0, 2**62)
        group.add_argument(
            "--seed", type=seed, default=0, metavar="N", help=f"of the first image ({SHOW_DEFAULT})"
        )
        add_sampling(group, draws)
    if name in TOKEN_LIMITS:
        task.add_argument(
            "--max-new-tokens",
            type=whole_number(1, TOKEN_LIMIT),
            metavar="N",
            help="the most tokens of a text (default: the model folder's)",
        )
    return task


def build_parser() -> Parser:
    """The command line."""
    layout = argparse.RawDescriptionHelpFormatter
    parser = Parser(prog="generate.py", description=__doc__, formatter_class=layout)
    tasks = parser.add_subparsers(dest="task", required=True, metavar=" | ".join(EXAMPLES))
    task = add_task(tasks, draw, "prompt", draws="drawings")
    task.add_argument(
        "-n", dest="number", type=whole_number(1, 256), default=1, help=f"images ({SHOW_DEFAULT})"
    )
    choose = "draws N and takes the one it is most sure of"
    task.add_argument("--best-of", type=whole_number(1, 64), default=1, metavar="N", help=choose)
    task.add_argument(
        "--reflect", action="store_true", help="assesses, and draws again while it is not satisfied"
    )
    task.add_argument("--out", type=new_image, default="grid.png", help=SHOW_DEFAULT)
    add_task(tasks, describe, "image").add_argument("--detail", action="store_true", help="object by object")
    add_task(tasks, ask, "image", "question")
    add_task(tasks, assess, "image", "prompt")
    task = add_task(tasks, edit, "image", "instruction", draws="the edit")
    task.add_argument("--out", type=new_image, default="edited.png", help=SHOW_DEFAULT)
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
