"""The smallest models of the real classes that answer questions on images, saved to disk as on the hub."""

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    Blip2Config,
    Blip2ForConditionalGeneration,
    Blip2Processor,
    CLIPVisionConfig,
    CLIPVisionModel,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
)
from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from evals.genai_bench.clip_t5 import SYSTEM
from evals.genai_bench.vqa_score import QUESTION
from tests.evals.geneval.tiny_networks import save_clip
from tests.perturb import perturb

TEMPLATE = (
    "USER: {% for part in messages[0]['content'] %}"
    "{% if part['type'] == 'image' %}<image>\n{% else %}{{ part['text'] }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %} ASSISTANT:{% endif %}"
)
SMALL = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
EYE = SMALL | {"image_size": 32, "patch_size": 8}
WORDS = f"{SYSTEM} USER ASSISTANT {QUESTION} a cow cat two red blue not all left of dog".replace('"', " ")


def word_tokenizer(yes: Sequence[str] = ("Yes",), end: bool = False) -> PreTrainedTokenizerFast:
    """A tokenizer of whole words, with some spellings of "Yes", and perhaps an end behind each text as T5's has."""
    known = ("<pad>", "</s>", "<unk>", "<image>", *yes, *"?.,:'{}\"", *WORDS.replace("{}", " ").split())
    ids = {word: i for i, word in enumerate(dict.fromkeys(known))}
    plain = Tokenizer(models.WordLevel(ids, unk_token="<unk>"))
    plain.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    plain.add_special_tokens(["<image>", "<pad>", "</s>"])
    if end:
        plain.post_processor = processors.TemplateProcessing(
            single="$A </s>", special_tokens=[("</s>", ids["</s>"])]
        )
    special = {"unk_token": "<unk>", "eos_token": "</s>", "pad_token": "<pad>"}
    return PreTrainedTokenizerFast(
        tokenizer_object=plain, model_input_names=["input_ids", "attention_mask"], **special
    )


def save_llava(
    folder: Path, yes: Sequence[str] = ("Yes",), template: str | None = TEMPLATE, seed: int = 0
) -> Path:
    """A decoder-only model, which reads an image's patches among the words."""
    torch.manual_seed(seed)
    words = word_tokenizer(yes)
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(**EYE),
        text_config=LlamaConfig(**SMALL, vocab_size=len(words), max_position_embeddings=256, initializer_range=0.3),
        image_token_index=words.convert_tokens_to_ids("<image>"),
        vision_feature_layer=-1,
    )  # fmt: skip
    perturb(LlavaForConditionalGeneration(config)).save_pretrained(folder)
    images = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    LlavaProcessor(
        images,
        words,
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=template,
    ).save_pretrained(folder)
    return folder


def save_blip2(folder: Path) -> Path:
    """An encoder-decoder, which needs no chat template."""
    torch.manual_seed(0)
    words = word_tokenizer(end=True)
    config = Blip2Config(
        vision_config=EYE,
        qformer_config=SMALL | {"encoder_hidden_size": 16, "vocab_size": 32},
        text_config=tiny_t5(len(words)).to_dict(),
        num_query_tokens=4,
        image_token_index=words.convert_tokens_to_ids("<image>"),
    )
    Blip2ForConditionalGeneration(config).save_pretrained(folder)
    images = BlipImageProcessorPil(size={"height": 32, "width": 32})
    Blip2Processor(images, words, num_query_tokens=4).save_pretrained(folder)
    return folder


def tiny_t5(vocabulary: int) -> T5Config:
    return T5Config(
        vocab_size=vocabulary,
        d_model=16,
        d_kv=8,
        d_ff=16,
        num_layers=2,
        num_heads=2,
        feed_forward_proj="gated-gelu",
        tie_word_embeddings=False,
        initializer_factor=3.0,
        decoder_start_token_id=0,
    )


def save_clip_t5(folder: Path, tokenizer: bool = True, **config: str) -> Path:
    """A CLIP-FlanT5 in the layout of its published folder, beside its CLIP.

    The weights have the names that they have there, which are those of the transformers of its time.
    """
    torch.manual_seed(0)
    clip = save_clip(folder.parent / f"{folder.name}-vision")
    words = word_tokenizer(end=True)
    text, eye = t5_and_eye(clip, len(words))
    weights = dict(text.state_dict())
    weights |= {f"vision_tower.vision_tower.vision_model.{key}": v for key, v in eye.state_dict().items()}
    weights |= {"mm_projector.0.weight": torch.randn(16, 16), "mm_projector.0.bias": torch.randn(16)}
    weights |= {"mm_projector.2.weight": torch.randn(16, 16), "mm_projector.2.bias": torch.randn(16)}
    weights["embed_tokens.weight"] = weights[
        "shared.weight"
    ]  # the published class has it under this name as well
    folder.mkdir()
    torch.save({key: value.clone() for key, value in weights.items()}, folder / "pytorch_model.bin")
    said = tiny_t5(len(words)).to_dict() | {
        "model_type": "clip_t5",
        "architectures": ["CLIPT5ForConditionalGeneration"],
        "tie_word_embeddings": False,
        "mm_vision_tower": str(clip),
        "mm_hidden_size": 16,
        "mm_projector_type": "mlp2x_gelu",
        "mm_vision_select_layer": -2,
        "mm_vision_select_feature": "patch",
    }
    (folder / "config.json").write_text(json.dumps(said | config))
    if tokenizer:
        words.save_pretrained(folder)
    return folder


def t5_and_eye(clip: Path, vocabulary: int) -> tuple[T5ForConditionalGeneration, CLIPVisionModel]:
    """The two networks by themselves; T5's head is not its embedding, as FlanT5's is not."""
    text = perturb(T5ForConditionalGeneration(tiny_t5(vocabulary)).eval())
    text.lm_head.weight = torch.nn.Parameter(torch.randn_like(text.lm_head.weight) / 20)
    return text, CLIPVisionModel.from_pretrained(clip).eval()
