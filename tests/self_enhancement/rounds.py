"""A model and a judge without networks, and rounds made with them."""

import torch

from datamodules.shard import Shard
from datamodules.templates import TEMPLATES, TemplateRequest
from judges.assessment import DIMENSIONS, Assessment, Verdict
from judges.judge import Judge, JudgeUnavailable, Unjudged
from self_enhancement.round import Round


class Drawer:
    """Draws flat images whose level is the seed's."""

    def __init__(self):
        self.seeds = []

    def draw_batch(self, prompts, seeds, sampling=None):
        self.seeds += seeds
        level = torch.tensor([seed % 251 for seed in seeds], dtype=torch.uint8)
        return level[:, None, None, None].expand(-1, 3, 8, 8).contiguous()


class LevelJudge(Judge):
    """Likes even levels, has no opinion of multiples of ten, and goes away after `calls` images."""

    name = "level"

    def __init__(self, most=10**6):
        super().__init__()
        self.most, self.asked = most, []

    def assess(self, prompts, images):
        if len(self.asked) + len(images) > self.most:
            raise JudgeUnavailable("the judge is gone")
        levels = images[:, 0, 0, 0].tolist()
        self.asked += levels
        return [Unjudged("ten") if level % 10 == 0 else opinion(level) for level in levels]


def opinion(level):
    ok = level % 2 == 0
    verdicts = {d.name: Verdict(ok=ok, reason="" if ok else "odd") for d in DIMENSIONS}
    return Assessment(rationale=f"level {level}", verdicts=verdicts, score=level % 5 + 5 * ok, overall=ok)


class Silent(LevelJudge):
    def assess(self, prompts, images):
        return [Unjudged("no") for _ in prompts]


def done(folder, settings, model=None, judge=None):
    one = Round(folder, settings)
    one.start("weights", "level")
    one.draw(model or Drawer())
    one.judge(judge or LevelJudge())
    return one, one.write()


def documents(one):
    for path in one.shards:
        shard = Shard(path)
        for number in range(len(shard)):
            sample = shard.read(number)
            yield TEMPLATES["document"](TemplateRequest(sample, 48)), sample


def content(folder):
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()
    }
