"""One loss for packed and lone documents; cached writing equals a plain forward; guidance; rows and seeds."""

import pytest
import torch
from PIL import Image

from models.attention import attention_mask
from models.document import Branches, Draw, See, Text, describe_document, draw_document
from models.generation import SamplingConfig
from models.language.prefill import Prefill
from models.language.drawing import draw_codes
from models.language.sampling import apply_guidance
from models.language.unified_lm import TASKS, UnifiedLM, positions_in_image
from models.sequence import collate
from tests.models.conftest import TRUNK


def documents(images):
    return [
        draw_document("a red circle", images[0]),
        describe_document(images[1], "a blue square"),
        [See(images[2]), Text("which"), Text("red", learn=True), Text("and"), Text("blue", learn=True)],
    ]


def packed_loss(model, segments, rows, length):
    batch = collate(segments, rows, length, model.language.vocabulary.special("pad"))
    return model.language.loss(batch, *model.encode_images(batch))


def test_packed_loss_and_gradients_equal_those_of_documents_alone(illume, images):
    segments = [illume.sequencer.segment(d) for d in documents(images)]
    together = packed_loss(illume, segments, [[0, 2], [1]], 160)
    (together.text + together.draw).backward()
    ours = illume.language.vision_head.grad.clone(), illume.language.adapter[0].weight.grad.clone()
    illume.zero_grad()
    alone = [packed_loss(illume, [s], [[0]], len(s)) for s in segments]
    total = sum(x.text + x.draw for x in alone)
    total.backward()
    assert torch.allclose(together.text + together.draw, total, rtol=1e-5)
    assert torch.allclose(ours[0], illume.language.vision_head.grad, atol=1e-4)
    assert torch.allclose(ours[1], illume.language.adapter[0].weight.grad, atol=1e-4)
    assert together.draw_tokens == 36 and together.text_tokens == sum(x.text_tokens for x in alone)


def test_losses_by_task_are_those_of_its_documents(illume, images):
    """In one row: a picture drawn, one described, words alone, one edited; whatever else stands there."""
    tasks = {
        "generation": draw_document("a red circle", images[0]),
        "understanding": describe_document(images[1], "a blue square"),
        "words": [Text("which"), Text("red", learn=True)],
        "editing": [See(images[2]), Text("red"), Draw(images[0])],
    }
    segments = [illume.sequencer.segment(document) for document in tasks.values()]
    together = packed_loss(illume, segments, [[0, 1, 2, 3]], 260)
    for name, segment in zip(tasks, segments, strict=True):
        alone = packed_loss(illume, [segment], [[0]], len(segment))
        total, tokens = together.by_task[:, TASKS.index(name)]
        assert tokens == alone.text_tokens + alone.draw_tokens, name
        assert torch.allclose(total, alone.text + alone.draw, rtol=1e-5), name


def test_a_branch_learns_what_it_would_learn_alone(illume, images):
    ways = (
        (Text("which one"), Text("red", learn=True)),
        (Text("and"), Text("a blue circle", learn=True), Text("more"), Text("no", learn=True)),
        (Text("draw"), Draw(images[1])),
    )
    shared = illume.sequencer.segment([See(images[0]), Branches(ways)])
    alone = [illume.sequencer.segment([See(images[0]), *way]) for way in ways]
    assert len(shared) == sum(map(len, alone)) - 2 * shared.branches.count(-1)
    for number, segment in enumerate(alone):
        own = [i for i, branch in enumerate(shared.branches) if branch in (-1, number)]
        assert [shared.ids[i] for i in own] == segment.ids
        assert [shared.positions[i] for i in own] == segment.positions == list(range(len(segment)))
    other = illume.sequencer.segment(draw_document("a red circle", images[2]))
    together = packed_loss(illume, [other, shared], [[0, 1]], 250)
    losses = [packed_loss(illume, [s], [[0]], len(s)) for s in (other, *alone)]
    assert torch.allclose(together.text, sum(x.text for x in losses), rtol=1e-5)
    assert torch.allclose(together.draw, sum(x.draw for x in losses), rtol=1e-5)
    assert together.text_tokens == sum(x.text_tokens for x in losses) and together.draw_tokens == 72


def test_no_document_sees_another():
    documents = torch.tensor([[0, 0, 1, 1, -1]])
    blocks = torch.tensor([[-1, -1, 0, 0, -1]])
    free = attention_mask(documents, blocks, "image")[0]
    assert not free[2:4, :2].any() and not free[:2, 2:].any()
    assert free[2, 3] and not attention_mask(documents, blocks, "causal")[0][2, 3]
    assert free[4].tolist() == [False] * 4 + [True]


def test_cached_writing_agrees_with_a_plain_forward(illume, images):
    segment = illume.sequencer.segment(draw_document("a red circle", images[0]))
    prompt = illume.sequencer.segment(draw_document("a red circle"))
    codes = illume.encode(images[:1])
    batch = collate([segment], [[0]], len(segment), 0)
    with torch.no_grad():
        plain = illume.language.hidden(
            batch, illume.language.with_codes(batch, codes), torch.zeros(0, 36, 32)
        )[0]
        rows = Prefill(illume.language, [prompt], torch.zeros(0, 36, 32))
        cached = [rows.last]
        for place, code in enumerate(codes[0]):
            cached.append(rows.read(illume.language.embed_codes(code[None], place)))
    start = len(prompt) - 1
    assert torch.allclose(torch.cat(cached), plain[start : start + 37], atol=1e-4)


def test_places_count_anew_in_every_image():
    mask = torch.tensor([[0, 1, 1, 1, 0, 1, 1, 1], [1, 1, 1, 0, 0, 0, 0, 0]]).bool()
    assert positions_in_image(mask, 3).tolist() == [[-1, 0, 1, 2, -1, 0, 1, 2], [0, 1, 2, -1, -1, -1, -1, -1]]


def test_places_need_one_grid():
    with pytest.raises(ValueError, match="36 features and leave as 49 codes"):
        UnifiedLM(TRUNK, 10, 64, 32, 36, 49, places=True)


def test_a_drawn_image_stands_in_the_prompt_as_its_codes(illume, images):
    document = [Text("draw"), Draw(images[0]), Text("which one")]
    prompt = illume.segment(document, ask=True)
    batch = collate([prompt], [[0]], len(prompt), 0)
    with torch.no_grad():
        ids = illume.language.with_codes(batch, illume.encode(images[:1]))
        plain = illume.language.hidden(batch, ids, torch.zeros(0, 36, 32))[0, -1]
        cached = Prefill(illume.language, [prompt], torch.zeros(0, 36, 32)).last[0]
    assert prompt.ids == ids[0].tolist() and torch.allclose(plain, cached, atol=1e-4)


def test_a_row_alone_equals_the_row_in_a_batch(illume):
    prompts = ["a red circle", "a blue square and a red circle and a blue circle", "red"]
    batch = illume.draw_batch(prompts, [5, 6, 7])
    for i in range(3):
        difference = (illume.draw_batch(prompts[i : i + 1], [5 + i])[0].int() - batch[i].int()).abs()
        assert difference.max() <= 1


def test_an_edit_or_an_answer_alone_equals_that_in_a_batch(illume, images):
    words = ["make it red", "make the red circle a blue square and describe", "red"]
    edits = illume.edit_batch(images[:3], words, [5, 6, 7])
    answers = illume.ask_batch(images[:3], words)
    for i in range(3):
        alone = illume.edit_batch(images[i : i + 1], words[i : i + 1], [5 + i])[0]
        assert (alone.int() - edits[i].int()).abs().max() <= 1
        assert illume.ask_batch(images[i : i + 1], words[i : i + 1]) == answers[i : i + 1]


def test_the_loss_falls_on_a_few_documents(illume, images):
    segments = [illume.sequencer.segment(d) for d in documents(images)]
    optimizer = torch.optim.AdamW(illume.language.parameters(), lr=3e-3)
    losses = []
    for _ in range(60):
        loss = packed_loss(illume, segments, [[0, 2], [1]], 160).mean
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]


def test_guidance_of_one_equals_none(illume):
    c, u = torch.randn(2, 9), torch.randn(2, 9)
    assert torch.allclose(apply_guidance(c, u, 1.0), c, atol=1e-6)
    logs = [x.log_softmax(-1) for x in (c, u)]
    assert torch.allclose(
        apply_guidance(c, u, 3.0).softmax(-1), apply_guidance(*logs, 3.0).softmax(-1), atol=1e-6
    )
    prompts = [illume.sequencer.segment(draw_document("a red circle"))]
    nulls = [illume.sequencer.segment(draw_document(None))]
    nothing = torch.zeros(0, 36, 32)
    plain = draw_codes(illume.language, prompts, nulls, nothing, nothing, [3])
    almost = draw_codes(illume.language, prompts, nulls, nothing, nothing, [3], SamplingConfig(1.0 + 1e-7))
    strong = draw_codes(illume.language, prompts, nulls, nothing, nothing, [3], SamplingConfig(4.0))
    assert torch.equal(plain, almost) and not torch.equal(plain, strong)


def test_vision_rows_train_alone(illume, images):
    illume.language.requires_grad_(False)
    illume.language.vision_head.requires_grad_(True)
    loss = packed_loss(illume, [illume.sequencer.segment(documents(images)[0])], [[0]], 100)
    loss.mean.backward()
    assert illume.language.vision_head.grad.abs().sum() > 0 and illume.language.text_head.grad is None


def test_a_codebook_of_another_size_gives_other_rows(illume, tmp_path):
    language = illume.language
    special = language.vision_head[:-64].clone()
    language.resize_codebook(100)
    assert language.vocabulary.codes == 100 and len(language.vision_head) == len(special) + 100
    assert (
        torch.equal(language.vision_head[:-100], special)
        and language.param_groups()["vision"][1] is language.vision_head
    )
    language.save_pretrained(str(tmp_path))
    again = UnifiedLM.from_pretrained(str(tmp_path))
    assert torch.equal(again.vision_embedding, language.vision_embedding) and again.vocabulary.codes == 100


def test_rows_begin_as_the_codebook_lies(illume):
    language, codebook = illume.language, illume.tokenizer.codebook
    special = language.vision_head[: -len(codebook)].clone()
    language.init_from_codebook(codebook)
    near = torch.cdist(codebook, codebook).flatten()
    for rows in (language.vision_embedding, language.vision_head):
        laid = rows[-len(codebook) :]
        like = torch.corrcoef(torch.stack([torch.cdist(laid, laid).flatten(), near]))[0, 1]
        assert like > 0.9
    assert torch.equal(language.vision_head[: -len(codebook)], special)
    once = language.vision_head.clone()
    language.init_from_codebook(codebook)
    assert torch.equal(once, language.vision_head)


def test_new_rows_are_of_the_size_of_the_texts(illume):
    language = illume.language
    with torch.no_grad():
        language.text_embedding.mul_(7)
    sizes = [language.text_embedding.std(), language.text_head.std()]
    assert sizes[1] > 2 * sizes[0] > 0.2
    language.init_from_codebook(illume.tokenizer.codebook)
    for _ in range(2):
        for rows, size in zip((language.vision_embedding, language.vision_head), sizes, strict=True):
            assert 0.95 * size < rows[-64:].std() < 1.1 * size
        language.resize_codebook(64)


def test_the_end_of_a_drawn_image_is_learned_and_of_a_seen_one_not(illume, images):
    end = illume.language.vocabulary.special("end_image")
    drawn, seen = draw_document("a red circle", images[0]), describe_document(images[1], "red")
    for document, learned in ((drawn, True), (seen, False)):
        segment = illume.sequencer.segment(document)
        assert [learn for i, learn in zip(segment.ids, segment.learn, strict=True) if i == end] == [learned]


def test_a_prompt_longer_than_the_context_is_refused(illume):
    with pytest.raises(ValueError, match="tokens long, this model's context has room for"):
        illume.draw_batch(["a red circle " * 200], [0])


def test_chat_takes_and_gives_lists_of_parts(illume, images):
    answer = illume.chat(["what is this", images[0]], seed=1, limit=8)
    assert all(isinstance(part, str | Image.Image) for part in answer)
    assert Draw(None) == Draw(None)
