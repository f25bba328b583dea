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
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.arguments import existing_file, existing_folder, new_image, prompt_text, whole_number
from common.checks import check_text
from common.errors import Parser, explain, user_errors
from common.paths import typed_path, user_path
from models.device import DEVICES, check_device
from models.generation import TOKEN_LIMIT, read_generation
from models.sampling_options import add_sampling, given_sampling

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

    from models.unified import Illume

PRETRAINED = Path(__file__).resolve().parent / "pretrained" / "playground"
TRAINED = (  # models that draw, see and answer: of equal age the first is taken
    Path("runs/reference/edits/model"),
    Path("runs/reference/stage3/model"),
    Path("runs/playground/stage3/model"),
    Path("runs/playground/self_enhancement/model"),
)
COMPONENTS = ("encoder", "tokenizer", "detokenizer", "language", "text_tokenizer")
EXAMPLES = {
    "draw": 'python generate.py draw "a green star" -n 9 --cfg 2 --temperature 1 --top-k 256 --out grid.png',
    "describe": "python generate.py describe star.png --detail",
    "ask": 'python generate.py ask star.png "what colour is the star ?"',
    "assess": 'python generate.py assess star.png "a green star"',
    "edit": 'python generate.py edit star.png "make the star blue" --cfg 1.25 --out blue.png',
    "chat": "python generate.py chat --out drawings",
}
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
    sampling, limit = given_sampling(options).given, getattr(options, "max_new_tokens", None)
    given: dict[str, Any] = {options.task: sampling} if sampling else {}
    return given | ({"max_new_tokens": {TOKEN_LIMITS[options.task]: limit}} if limit else {})


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


def save(images: "list[Image.Image]", path: Path) -> None:
    """Writes a grid of images, and prints where it is."""
    from common.image_grid import make_grid, save_image

    save_image(make_grid(images), path)
    print(path, flush=True)


def draw(options: argparse.Namespace) -> None:
    """Text to a grid of images, one a seed; if asked, the best of several, or drawn again after its own assessment."""
    if options.reflect and options.best_of > 1:
        raise ValueError("--best-of chooses among drawings, --reflect mends one: give one of the two")
    model, seeds = load(options), range(options.seed, options.seed + options.number)
    from judges.self_refinement import draw_best, redraw_until_satisfied

    if options.reflect:
        images = [redraw_until_satisfied(model, options.prompt, seed, say) for seed in seeds]
    elif options.best_of > 1:
        images = [draw_best(model, options.prompt, seed, options.best_of, say) for seed in seeds]
    else:
        images = model.draw([options.prompt] * options.number, options.seed)
    save(images, options.out)
    print(f"drawn with {model.generation.draw}", file=sys.stderr, flush=True)


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
    from judges.self_refinement import UNTRAINED, make_self_judge, to_batch

    judge, images = make_self_judge(model), to_batch(model, [image])
    ((opinion, confidence),) = judge.assess_with_confidence([options.prompt], images)
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
    save([model.edit(image, options.instruction, options.seed)], options.out)
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
            save([to_pil(part)], next(path for path in names if not path.exists()))
        last = part
    if last is None:
        say("")
    elif isinstance(last, str):
        print()


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
        task.add_argument(argument, type=existing_file if argument == "image" else prompt_text)
    model = "model folder (default: the newest in runs/, else the one that came along)"
    task.add_argument("--model", type=user_path, metavar="DIR", help=model)
    task.add_argument("--device", choices=DEVICES, default="cpu", help=SHOW_DEFAULT)
    if draws:
        group = task.add_argument_group("how images are drawn (by default as the folder's illume.json says)")
        seed, about = whole_number(0, 2**62), f"of the first image ({SHOW_DEFAULT})"
        group.add_argument("--seed", type=seed, default=0, metavar="N", help=about)
        add_sampling(group, draws)
    if name in TOKEN_LIMITS:
        limit, about = whole_number(1, TOKEN_LIMIT), "the most tokens of a text (default: the model folder's)"
        task.add_argument("--max-new-tokens", type=limit, metavar="N", help=about)
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
    task.add_argument("--out", type=existing_folder, default=".", metavar="DIR", help="where drawn images go")
    return parser


def main(argv: list[str] | None = None) -> None:
    """Runs a command line. A user's error is one line and exit code 2."""
    options = build_parser().parse_args(argv)
    with user_errors("generate.py"):
        options.run(options)


if __name__ == "__main__":
    main()
