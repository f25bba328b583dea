"""Texts that a text tokenizer is trained on: of every kind of sample, and damaged shards by name."""

from omegaconf import OmegaConf

from judges.assessment import to_text
from judges.scene import assess_reading
from lightning_modules.component_configs import TextTokenizerConfig
from lightning_modules.predecessor import Predecessors
from models.prompts import Prompts
from worlds.playground.judge import Reading
from worlds.playground.prompts import evaluation_prompts
from worlds.playground.questions import evaluation_questions
from worlds.playground.shards import ShardSet, write_shards

SETTING = "model.text_tokenizer.shards"


def test_every_playground_word_is_one_piece(tmp_path):
    """Those of the prompts, of questions in branches, and of assessments too: letter by letter they would fill rows."""
    names = ("text", "edits", "stories", "pairs")
    list(write_shards([ShardSet(name, "train", 400, 0) for name in names], tmp_path, workers=1))
    recipe = OmegaConf.load("configs/playground/language.yaml").model.init_args.text_tokenizer
    shards = recipe.shards.replace("runs/playground/data", str(tmp_path))
    config = TextTokenizerConfig(shards, recipe.size, recipe.more)
    tokenizer = Predecessors().train_text_tokenizer(config, Prompts())
    nothing, prompts = Reading(()), evaluation_prompts(20)
    said = [to_text(assess_reading(nothing, p.spec)) for p in prompts]
    said += [p.text for p in prompts] + [q.text for _, q in evaluation_questions(200)]
    said += [prompt.replace("{caption}", "").replace("{instruction}", "") for prompt in Prompts().texts]
    words = {word for text in said for word in text.split()}
    assert len(words) > 70 and not {word for word in words if len(tokenizer.tokenize(word)) > 1}
