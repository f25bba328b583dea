"""The drawing loop computes what the plain one does: bare trunks, shared prompts, and rows with settings of their own."""

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import AutoConfig, AutoModel

from models.document import See, Text, draw_document, edit_document
from models.generation import SamplingConfig
from models.language import decoding, drawing
from models.language.prefill import Prefill
from models.language.drawing import draw_codes
from models.language.fused_decoder import FusedDecoder, can_fuse
from models.language.unified_lm import UnifiedLM
from models.unified import Illume
from tests.models.conftest import TRUNK
from tests.perturb import perturb

FAMILIES = {
    "llama": TRUNK,
    "grouped": TRUNK | {"num_attention_heads": 4, "num_key_value_heads": 2},
    "biased": TRUNK | {"attention_bias": True, "mlp_bias": True},
    "llama3": TRUNK
    | {
        "rope_parameters": {
            "rope_type": "llama3",
            "rope_theta": 10000.0,
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 64,
        }
    },
    "mistral": TRUNK | {"model_type": "mistral", "sliding_window": None},
    "qwen2": TRUNK | {"model_type": "qwen2"},
    "qwen3": TRUNK | {"model_type": "qwen3", "head_dim": 32},
}
PROMPTS = ["a red circle", "a blue square and a red circle and a blue circle", "red", "a red circle"]


def prepared(illume, prompts=PROMPTS):
    segments = [illume.segment(draw_document(p)) for p in prompts]
    null = illume.segment(draw_document(None))
    nothing = torch.zeros(0, 36, 32)
    return illume.language, segments, [null] * len(prompts), nothing, nothing


def with_trunk(illume, recipe):
    torch.manual_seed(3)
    language = UnifiedLM(recipe, len(illume.text_tokenizer), 64, 32, 36, 36, places=True).eval()
    with torch.no_grad():
        language.vision_head.mul_(20)
        perturb(language.trunk)
    illume.language = language
    illume.__dict__.pop("sequencer", None)
    return illume


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("joined", [True, False])
def test_a_bare_trunk_computes_what_the_whole_one_does(illume, family, joined, monkeypatch):
    illume = with_trunk(illume, FAMILIES[family])
    assert can_fuse(illume.language.trunk)
    monkeypatch.setattr("models.language.fused_decoder.SMALL", 2**28 if joined else 0)
    steps = []
    step = FusedDecoder.step
    monkeypatch.setattr(FusedDecoder, "step", lambda self, x: steps.append(step(self, x)) or steps[-1])
    fast = draw_codes(*prepared(illume), [1, 2, 3, 4], SamplingConfig(2.0))
    bare, steps[:] = list(steps), []
    plain = draw_codes(*prepared(illume), [1, 2, 3, 4], SamplingConfig(2.0), bare=False)
    assert torch.equal(fast, plain) and len(bare) == 35 and not steps and len(fast.unique()) > 15


def test_hidden_states_of_a_bare_trunk_agree_with_the_whole_one(illume):
    illume = with_trunk(illume, FAMILIES["qwen3"])
    language, segments, *_ = prepared(illume)
    with torch.no_grad():
        a, b = (Prefill(language, segments, torch.zeros(0, 36, 32)) for _ in range(2))
        read = b.reader(12)
        assert read.__self__ is not b  # it is not the whole trunk's
        for place in range(12):
            embedded = language.embed_codes(torch.tensor([place, 3, 5, 7]), place)
            assert torch.allclose(a.read(embedded), read(embedded), atol=2e-5)


class Adapted(nn.Linear):
    """Not what it seems, as peft's layers are."""


def test_trunks_that_do_more_are_left_whole(illume):
    def trunk(**changes):
        settings = {k: v for k, v in (TRUNK | changes).items() if k != "model_type"}
        kind = changes.get("model_type", "llama")
        return AutoModel.from_config(AutoConfig.for_model(kind, vocab_size=8, **settings))

    assert can_fuse(trunk())
    assert not can_fuse(trunk(hidden_act="gelu"))
    assert not can_fuse(trunk(model_type="mistral", sliding_window=8))
    assert not can_fuse(
        trunk(model_type="qwen2", use_sliding_window=True, sliding_window=8, max_window_layers=1)
    )
    assert not can_fuse(trunk(model_type="phi3", pad_token_id=0))
    assert not can_fuse(trunk(rope_parameters={"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}))
    adapted = trunk()
    adapted.layers[1].mlp.down_proj = Adapted(64, 32, bias=False)
    assert not can_fuse(adapted)


def test_a_trunk_of_another_kind_draws_as_well(illume):
    illume = with_trunk(illume, TRUNK | {"hidden_act": "gelu"})
    fast, plain = (
        draw_codes(*prepared(illume), [1, 2, 3, 4], SamplingConfig(2.0), bare=b) for b in (True, False)
    )
    assert torch.equal(fast, plain)


def test_each_distinct_prompt_is_read_once(illume, monkeypatch):
    read = []

    class Counting(drawing.Prefill):
        def __init__(self, model, prompts, features):
            read.append(len(prompts))
            super().__init__(model, prompts, features)

    monkeypatch.setattr(drawing, "Prefill", Counting)
    illume.draw_batch(["red", "blue", "red", "red"], [1, 2, 3, 4])
    assert read == [3]  # two prompts, and one null of all
    illume.draw_batch(["red"] * 4, [1, 2, 3, 4], SamplingConfig(cfg=1.0))
    assert read == [3, 1]


def test_prompts_that_show_images_are_each_their_own(illume, images):
    segments = [illume.segment(edit_document(image, "make it red")) for image in images[:3]]
    assert drawing._distinct(segments) == ([0, 1, 2], [0, 1, 2])
    assert drawing._distinct([segments[0]] * 3) == ([0], [0, 0, 0])


def test_rows_keep_their_own_guidance(illume):
    language, segments, nulls, *nothing = prepared(illume)
    scales = [SamplingConfig(cfg) for cfg in (1.0, 3.0, 1.0, 2.0)]
    together = draw_codes(language, segments, nulls, *nothing, [5, 6, 7, 8], scales)
    for i in range(4):
        alone = draw_codes(language, segments[i : i + 1], nulls[:1], *nothing, [5 + i], scales[i])
        assert torch.equal(alone[0], together[i])
    plain = draw_codes(language, segments, nulls, *nothing, [5, 6, 7, 8])
    assert (plain != together).any(1).tolist() == [False, True, False, True]


def test_guidance_may_change_from_token_to_token(illume):
    arguments = (*prepared(illume), [5, 6, 7, 8])
    steady = draw_codes(*arguments, SamplingConfig(3.0))
    assert torch.equal(draw_codes(*arguments, schedule=torch.full((4, 36), 3.0)), steady)
    late = torch.full((4, 36), 3.0)
    late[:, 20:] = 1.0
    found = draw_codes(*arguments, schedule=late)
    assert torch.equal(found[:, :20], steady[:, :20]) and not torch.equal(found, steady)


@pytest.mark.parametrize("wrong", [torch.ones(2), torch.ones(4, 35), torch.ones(3, 36)])
def test_guidance_of_another_shape_is_refused(illume, wrong):
    with pytest.raises(ValueError, match="schedule of cfg has the shape"):
        draw_codes(*prepared(illume), [5, 6, 7, 8], schedule=wrong)
    with pytest.raises(ValueError, match="out of range"):
        draw_codes(*prepared(illume), [5, 6, 7, 8], schedule=torch.full((4, 36), 101.0))
    with pytest.raises(ValueError, match="2 sampling settings: give one, or one for each of 4 rows"):
        draw_codes(*prepared(illume), [5, 6, 7, 8], [SamplingConfig()] * 2)


def test_noise_belongs_to_the_row_in_any_batch_and_order(illume):
    language, segments, nulls, *nothing = prepared(illume)
    order = [3, 1, 0, 2]
    forward = draw_codes(language, segments, nulls, *nothing, [5, 6, 7, 8], SamplingConfig(2.0))
    turned = draw_codes(
        language, [segments[i] for i in order], nulls, *nothing, [5 + i for i in order], SamplingConfig(2.0)
    )
    assert torch.equal(forward[order], turned)


class Waits(TorchDispatchMode):
    """Counts how often the host asks a tensor for a number, which on a GPU makes it wait."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        self.count += "_local_scalar_dense" in str(function) or "nonzero" in str(function)
        return function(*arguments, **(options or {}))


def test_the_host_does_not_wait_inside_the_loop(illume, monkeypatch):
    arguments = (
        *prepared(illume),
        [1, 2, 3, 4],
        [
            SamplingConfig(1.0, 0.0, 0, 0.9),
            SamplingConfig(2.0, 1.0, 4, 0.9),
            SamplingConfig(3.0, 0.5, 0, 0.9),
            SamplingConfig(1.0, 1.0, 2, 0.9),
        ],
    )
    waited = []
    for tokens in (4, 36):
        monkeypatch.setattr(illume.language, "draw_tokens", tokens)
        with Waits() as waits:
            draw_codes(*arguments)
        waited.append(waits.count)
    assert waited[0] == waited[1]


def test_questions_about_one_image_read_it_once(illume, images, monkeypatch):
    asked = [
        (0, "which"),
        (1, "a red circle and a blue square"),
        (0, "is it red"),
        (0, "a circle"),
        (1, "which"),
    ]
    seen = list(images)
    together = [[See(seen[i]), Text(words)] for i, words in asked]
    looked = []
    see = Illume.see
    monkeypatch.setattr(Illume, "see", lambda self, x: looked.append(len(x)) or see(self, x))
    read = []
    begin = decoding.Prefill._begin
    monkeypatch.setattr(
        decoding.Prefill, "_begin", lambda self, p, f: read.append(len(p)) or begin(self, p, f)
    )
    answers = illume.understand(together, limit=12)
    assert looked == [2] and read == [2]
    apart = [illume.understand([[See(images[i].clone()), Text(words)]], limit=12)[0] for i, words in asked]
    assert answers == apart and len(set(apart)) > 1
    assert looked == [2] + [1] * 5 and read == [2] + [1] * 5


def test_an_image_alone_or_two_of_them_are_read_as_they_stand(illume, images):
    image = images[0]
    for documents in ([[See(image)]] * 2, [[See(image), See(image), Text("which")]] * 2):
        segments = [illume.segment(d, ask=True) for d in documents]
        first, second = illume.understand(documents, limit=5)
        assert first == second == illume.understand(documents[:1], limit=5)[0]
        assert (decoding.share(segments) is None) == (len(documents[0]) == 3)


def test_words_come_as_they_are_written(illume, images):
    turn = ["what is this", images[0]]
    pieces = list(illume.stream_chat(turn, seed=1, limit=12))
    texts = [p for p in pieces if isinstance(p, str)]
    assert len(texts) > 2 and "".join(texts) == "".join(
        p for p in illume.chat(turn, seed=1, limit=12) if isinstance(p, str)
    )
    (whole,) = illume.understand([[Text(turn[0]), See(images[0])]], limit=12)
    assert "".join(texts).startswith(whole)


def test_embedding_looks_up_both_tables(illume):
    language = illume.language
    ids = torch.arange(language.vocabulary.size)[None]
    table = torch.cat([language.text_embedding, language.vision_embedding])
    embedded = language.embed(ids)
    assert torch.equal(embedded[0], table)
    embedded.sum().backward()
    assert language.text_embedding.grad.eq(1).all() and language.vision_embedding.grad.eq(1).all()
    codes = torch.tensor([0, 63])
    with_place = language.embed_codes(codes, 5)
    whole = language.embed(codes[:, None] + language.vocabulary.first_code, places=torch.full((2, 1), 5))
    assert torch.equal(with_place, whole[:, 0])
