"""The smallest networks of the real classes, saved to disk as on the hub: three detectors and CLIP."""

from collections.abc import Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    BertConfig,
    CLIPConfig,
    CLIPModel,
    GroundingDinoConfig,
    GroundingDinoForObjectDetection,
    Mask2FormerConfig,
    Mask2FormerForUniversalSegmentation,
    Owlv2Config,
    Owlv2ForObjectDetection,
    PreTrainedTokenizerFast,
    SwinConfig,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.grounding_dino.image_processing_pil_grounding_dino import (
    GroundingDinoImageProcessorPil,
)
from transformers.models.mask2former import modeling_mask2former
from transformers.models.mask2former.image_processing_pil_mask2former import Mask2FormerImageProcessorPil
from transformers.models.owlv2.image_processing_pil_owlv2 import Owlv2ImageProcessorPil

from evals.geneval.vocabulary import COCO, COLOURS, OBJECTS
from tests.perturb import perturb

TEXT = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}


def word_tokenizer(begin: str, end: str, pad: str) -> PreTrainedTokenizerFast:
    """A tokenizer of whole words, those that GenEval needs."""
    words = " ".join((*OBJECTS, *COLOURS, "a photo of object")).split()
    ids = {
        word: i for i, word in enumerate(dict.fromkeys((pad, begin, end, "?", "-", ".", "colored", *words)))
    }
    plain = Tokenizer(models.WordLevel(ids, unk_token="?"))
    plain.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    plain.post_processor = processors.TemplateProcessing(
        single=f"{begin} $A {end}", special_tokens=[(begin, ids[begin]), (end, ids[end])]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=plain, unk_token="?", bos_token=begin, eos_token=end, pad_token=pad
    )


def tiny_swin() -> SwinConfig:
    return SwinConfig(
        image_size=32,
        embed_dim=8,
        depths=[1, 1, 1, 1],
        num_heads=[1, 1, 1, 1],
        window_size=2,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )


def save_mask2former(
    folder: Path, labels: Sequence[str] = COCO, sure_of: str = "cow", trained: bool = False
) -> Path:
    """A Mask2Former that takes every query for one class, whatever it sees; perturbed where it is to be as trained."""
    torch.manual_seed(0)
    config = Mask2FormerConfig(
        backbone_config=tiny_swin(),
        feature_size=32,
        mask_feature_size=32,
        hidden_dim=32,
        encoder_feedforward_dim=16,
        dim_feedforward=16,
        encoder_layers=1,
        decoder_layers=2,
        num_attention_heads=2,
        num_queries=3,
        id2label=dict(enumerate(labels)),
        label2id={label: i for i, label in enumerate(labels)},
    )
    needs = modeling_mask2former.requires_backends
    modeling_mask2former.requires_backends = lambda *_: None  # the loss, which nobody asks for, wants scipy
    try:
        network = Mask2FormerForUniversalSegmentation(config)
        network = perturb(network) if trained else network
    finally:
        modeling_mask2former.requires_backends = needs
    with torch.no_grad():
        network.class_predictor.bias[list(labels).index(sure_of)] = 12
    network.save_pretrained(folder)
    Mask2FormerImageProcessorPil(size={"shortest_edge": 40, "longest_edge": 64}).save_pretrained(folder)
    return folder


def save_owlv2(folder: Path) -> Path:
    torch.manual_seed(0)
    config = Owlv2Config(
        text_config=TEXT | {"vocab_size": 200, "max_position_embeddings": 16},
        vision_config=TEXT | {"image_size": 64, "patch_size": 16},
        projection_dim=16,
    )
    perturb(Owlv2ForObjectDetection(config)).save_pretrained(folder)
    Owlv2ImageProcessorPil(size={"height": 64, "width": 64}).save_pretrained(folder)
    word_tokenizer("<begin>", "<end>", "!").save_pretrained(folder)
    return folder


def save_grounding_dino(folder: Path, max_text_len: int = 256) -> Path:
    torch.manual_seed(0)
    config = GroundingDinoConfig(
        backbone_config=tiny_swin(),
        text_config=BertConfig(vocab_size=200, max_position_embeddings=300, **TEXT).to_dict(),
        d_model=32,
        encoder_layers=1,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        num_queries=7,
        max_text_len=max_text_len,
        num_feature_levels=4,
    )
    perturb(GroundingDinoForObjectDetection(config)).save_pretrained(folder)
    GroundingDinoImageProcessorPil(size={"shortest_edge": 64, "longest_edge": 96}).save_pretrained(folder)
    word_tokenizer("[CLS]", "[SEP]", "[PAD]").save_pretrained(folder)
    return folder


def save_clip(folder: Path, seed: int = 0) -> Path:
    torch.manual_seed(seed)
    config = CLIPConfig(
        text_config=TEXT | {"vocab_size": 200, "max_position_embeddings": 16, "eos_token_id": 2},
        vision_config=TEXT | {"image_size": 32, "patch_size": 8},
        projection_dim=16,
    )
    perturb(CLIPModel(config)).save_pretrained(folder)
    size = {"shortest_edge": 32}
    CLIPImageProcessorPil(size=size, crop_size={"height": 32, "width": 32}).save_pretrained(folder)
    word_tokenizer("<begin>", "<end>", "!").save_pretrained(folder)
    return folder
