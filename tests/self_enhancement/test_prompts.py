"""The prompts of a round."""

import json
from pathlib import Path

from self_enhancement.round import Round
from self_enhancement.settings import RoundSettings


def test_prompts_come_from_every_readable_shard(tmp_path, pairs, caplog):
    (tmp_path / "few").mkdir()
    (shard,) = Path(pairs).glob("*.tar")
    (tmp_path / "few/a.tar").write_bytes(shard.read_bytes())
    (tmp_path / "few/b.tar").write_bytes(b"no tar at all" * 100)
    (tmp_path / "few/c.tar").write_bytes(shard.read_bytes())
    for number in range(1, 5):
        one = Round(tmp_path / str(number), RoundSettings((str(tmp_path / "few"),), count=150), number)
        one.start("weights", "level")  # 120 in each of two
        places = [row[1:] for row in json.loads((one.folder / "round.json").read_text())["chosen"]]
        assert len({tuple(place) for place in places}) == 150
    assert "no prompts from" in caplog.text
