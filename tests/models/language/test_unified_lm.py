"""One loss for packed documents and for each alone, embedding, and the rows of a codebook."""

import pytest
import torch

from models.document import Branches, Draw, See, Text, describe_document, draw_document
from models.language.unified_lm import TASKS, UnifiedLM, in_document, positions_in_image
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
    """In one row: a picture drawn, one described, text alone, one edited."""
    tasks = {
        "generation": draw_document("a red circle", images[0]),
        "understanding": describe_document(images[1], "a blue square"),
        "text": [Text("which"), Text("red", learn=True)],
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
    branches = (
        (Text("which one"), Text("red", learn=True)),
        (Text("and"), Text("a blue circle", learn=True), Text("more"), Text("no", learn=True)),
        (Text("draw"), Draw(images[1])),
    )
    shared = illume.sequencer.segment([See(images[0]), Branches(branches)])
    alone = [illume.sequencer.segment([See(images[0]), *branch]) for branch in branches]
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


def test_positions_restart_in_every_image():
    mask = torch.tensor([[0, 1, 1, 1, 0, 1, 1, 1], [1, 1, 1, 0, 0, 0, 0, 0]]).bool()
    assert positions_in_image(mask, 3).tolist() == [[-1, 0, 1, 2, -1, 0, 1, 2], [0, 1, 2, -1, -1, -1, -1, -1]]


def test_a_position_embedding_needs_one_grid():
    with pytest.raises(ValueError, match="36 features and leave as 49 codes"):
        UnifiedLM(TRUNK, 10, 64, 32, 36, 49, position_embedding=True)


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


def test_vision_rows_train_alone(illume, images):
    illume.language.requires_grad_(False)
    illume.language.vision_head.requires_grad_(True)
    loss = packed_loss(illume, [illume.sequencer.segment(documents(images)[0])], [[0]], 100)
    loss.mean.backward()
    assert illume.language.vision_head.grad.abs().sum() > 0 and illume.language.text_head.grad is None


def test_resizing_the_codebook_replaces_the_codes_rows(illume):
    language = illume.language
    special = language.vision_head[:-64].clone()
    language.resize_codebook(100)
    assert language.vocabulary.codes == 100 and len(language.vision_head) == len(special) + 100
    assert (
        torch.equal(language.vision_head[:-100], special)
        and language.param_groups()["vision"][1] is language.vision_head
    )
    again = UnifiedLM(**language.config)
    again.load_state_dict(language.state_dict())
    assert torch.equal(again.vision_embedding, language.vision_embedding) and again.vocabulary.codes == 100


def test_rows_are_initialized_from_the_codebook(illume):
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


def test_new_rows_have_the_scale_of_the_texts(illume):
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


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_documents_are_kept_apart_whatever_the_default_dtype(dtype):
    documents = torch.tensor([[0, 0, 1, 1, -1]])
    mask = torch.tensor([[False, True, False, False, False]])
    torch.set_default_dtype(dtype)  # as Lightning does in steps of pure halves
    try:
        found = in_document(documents, mask)
    finally:
        torch.set_default_dtype(torch.float32)
    assert found.tolist() == [[True, True, False, False, False]]


def test_embedding_looks_up_both_tables(illume):
    language = illume.language
    ids = torch.arange(language.vocabulary.size)[None]
    table = torch.cat([language.text_embedding, language.vision_embedding])
    embedded = language.embed(ids)
    assert torch.equal(embedded[0], table)
    embedded.sum().backward()
    assert language.text_embedding.grad.eq(1).all() and language.vision_embedding.grad.eq(1).all()
    codes = torch.tensor([0, 63])
    ids = codes[:, None] + language.vocabulary.first_code
    whole = language.embed(ids, positions=torch.full((2, 1), 5))
    for position in (5, torch.tensor([5])):
        assert torch.equal(language.embed_codes(codes, position), whole[:, 0])
