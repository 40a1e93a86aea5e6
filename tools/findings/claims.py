"""What the paper claims of each finding, and what is compared for it here."""

from findings.verdicts import Claim

# How claims begin that are not the paper's.
BEYOND = "Not of the paper:"


def _less(run, other):
    """The terms of a difference of two runs."""
    return {run: 1, other: -1}


# Where the paper calls something large without a number, it is taken as 10
# points; as 20 for what video-first is for, where order matters.
CLAIMS = (
    Claim(
        "a",
        "Video-first wins where the order of frames matters.",
        "*temporal*: joint over frame-level, by 20 points or more",
        "temporal",
        _less("short_joint", "short_frame"),
        least=20.0,
    ),
    Claim(
        "a",
        "Where single frames suffice, the two are level.",
        "*spatial*: joint less frame-level, within 3 points",
        "spatial",
        _less("short_joint", "short_frame"),
        least=-3.0,
        most=3.0,
    ),
    Claim(
        "a",
        "Video-first wins on long videos.",
        "*long*, 16 frames each: joint over frame-level",
        "long",
        _less("long_joint_16_frames", "long_frame_16_frames"),
        least=0.0,
    ),
    Claim(
        "b",
        "Masking 75 % costs joint attention about a point.",
        "*spatial*: 75 % masked less unmasked, -2 points or more",
        "spatial",
        _less("short_joint_mask75", "short_joint"),
        least=-2.0,
    ),
    Claim(
        "b",
        "Masking 75 % costs joint attention about a point.",
        "*temporal*: 75 % masked less unmasked, -2 points or more",
        "temporal",
        _less("short_joint_mask75", "short_joint"),
        least=-2.0,
    ),
    Claim(
        "b",
        f"{BEYOND} a last part of the training on all tokens wins back what "
        "masking costs.",
        "*spatial*: 75 % masked, then a quarter of the steps on all, less "
        "unmasked, -2 points or more",
        "spatial",
        _less("short_joint_mask75_unmasked_end", "short_joint"),
        least=-2.0,
    ),
    Claim(
        "b",
        f"{BEYOND} a last part of the training on all tokens wins back what "
        "masking costs.",
        "*temporal*: 75 % masked, then a quarter of the steps on all, less "
        "unmasked, -2 points or more",
        "temporal",
        _less("short_joint_mask75_unmasked_end", "short_joint"),
        least=-2.0,
    ),
    Claim(
        "b",
        f"{BEYOND} training for as many tokens, and a last part on all of "
        "them, win back what masking costs.",
        "*spatial*: 75 % masked for four times the steps, then a quarter of "
        "the steps on all, less unmasked, -2 points or more",
        "spatial",
        _less("short_joint_mask75_longer_unmasked_end", "short_joint"),
        least=-2.0,
    ),
    Claim(
        "b",
        f"{BEYOND} training for as many tokens, and a last part on all of "
        "them, win back what masking costs.",
        "*temporal*: 75 % masked for four times the steps, then a quarter of "
        "the steps on all, less unmasked, -2 points or more",
        "temporal",
        _less("short_joint_mask75_longer_unmasked_end", "short_joint"),
        least=-2.0,
    ),
    Claim(
        "b",
        f"{BEYOND} in about as much time, masking costs little.",
        "*spatial*: 75 % masked for four times the steps, then a quarter of "
        "the steps on all, less unmasked for twice the steps, -2 points or "
        "more",
        "spatial",
        _less("short_joint_mask75_longer_unmasked_end", "short_joint_longer"),
        least=-2.0,
    ),
    Claim(
        "b",
        f"{BEYOND} in about as much time, masking costs little.",
        "*temporal*: 75 % masked for four times the steps, then a quarter of "
        "the steps on all, less unmasked for twice the steps, -2 points or "
        "more",
        "temporal",
        _less("short_joint_mask75_longer_unmasked_end", "short_joint_longer"),
        least=-2.0,
    ),
    Claim(
        "b",
        "Masking costs factorised encoders more than joint ones.",
        "mean of *spatial* and *temporal*: what 75 % costs factorised, less "
        "what it costs joint",
        "short",
        {
            **_less("short_factorized", "short_factorized_mask75"),
            **_less("short_joint_mask75", "short_joint"),
        },
        least=0.0,
    ),
    Claim(
        "b",
        "Masking costs frame-level encoders more than joint ones.",
        "mean of *spatial* and *temporal*: what 75 % costs frame-level, less "
        "what it costs joint",
        "short",
        {
            **_less("short_frame", "short_frame_mask75"),
            **_less("short_joint_mask75", "short_joint"),
        },
        least=0.0,
    ),
    Claim(
        "c",
        "At as many tokens, masking loses less than coarse patches.",
        "mean of *spatial* and *temporal*: 50.0% masked over 4x16x16",
        "short",
        _less("scratch_joint_mask50", "scratch_4x16x16"),
        least=0.0,
    ),
    Claim(
        "c",
        "At as many tokens, masking loses less than coarse patches.",
        "mean of *spatial* and *temporal*: 75.0% masked over 2x32x32",
        "short",
        _less("scratch_joint_mask75", "scratch_2x32x32"),
        least=0.0,
    ),
    Claim(
        "c",
        "At as many tokens, masking loses less than coarse patches.",
        "mean of *spatial* and *temporal*: 87.5% masked over 4x32x32",
        "short",
        _less("scratch_joint_mask87_5", "scratch_4x32x32"),
        least=0.0,
    ),
    Claim(
        "c",
        "At about as many tokens, masking loses less than TubeViT.",
        "mean of *spatial* and *temporal*: 75 % masked over TubeViT, 32 "
        "tokens over 28",
        "short",
        _less("scratch_joint_mask75", "scratch_tubevit"),
        least=0.0,
    ),
    Claim(
        "c",
        "At about as many tokens, masking loses less than TubeViT.",
        "mean of *spatial* and *temporal*: 75 % masked over tubes set for 16 "
        "frames, 32 tokens over 36",
        "short",
        _less("scratch_joint_mask75", "scratch_tubes_16_frames"),
        least=0.0,
    ),
    Claim(
        "d",
        "LongViViT is better than ShortViViT, both on 256 frames.",
        "*long*: LongViViT over ShortViViT as it is, not tuned on long "
        "videos, by 10 points or more",
        "long",
        _less("long_last_layers", "long_joint_untuned"),
        least=10.0,
    ),
    Claim(
        "d",
        f"{BEYOND} LongViViT, on 256 frames, is better than ShortViViT tuned "
        "on 16 of each.",
        "*long*: LongViViT over ShortViViT tuned in all layers, by 10 points "
        "or more",
        "long",
        _less("long_last_layers", "long_joint_16_frames"),
        least=10.0,
    ),
    Claim(
        "d",
        f"{BEYOND} LongViViT, on 256 frames, is better than ShortViViT tuned "
        "on 16 of each.",
        "*long*: LongViViT over ShortViViT tuned in its last layers, too, by "
        "10 points or more",
        "long",
        _less("long_last_layers", "long_last_layers_16_frames"),
        least=10.0,
    ),
    Claim(
        "d",
        f"{BEYOND} LongViViT is better than ImageViT tuned as it is.",
        "*long*, 256 frames each: LongViViT over ImageViT",
        "long",
        _less("long_last_layers", "long_frame"),
        least=0.0,
    ),
    Claim(
        "e",
        "From image to short, adapters are well below tuning all.",
        "*temporal*: all over adapters, by 10 points or more",
        "temporal",
        _less("short_joint", "short_adapters"),
        least=10.0,
    ),
    Claim(
        "e",
        "From image to short, LoRA is well below tuning all.",
        "*temporal*: all over LoRA, by 10 points or more",
        "temporal",
        _less("short_joint", "short_lora"),
        least=10.0,
    ),
    Claim(
        "e",
        "From image to short, tuning attention over time alone is well below "
        "tuning all.",
        "*temporal*, factorised: all over attention over time alone, by 10 "
        "points or more",
        "temporal",
        _less("short_factorized", "short_temporal_only"),
        least=10.0,
    ),
    Claim(
        "e",
        "From image to short, adapters are better than LoRA.",
        "*temporal*: adapters over LoRA",
        "temporal",
        _less("short_adapters", "short_lora"),
        least=0.0,
    ),
    Claim(
        "e",
        f"{BEYOND} from image to short, tuning the last layers alone is well "
        "below tuning all.",
        "*temporal*: all over the last 2 of 4 layers, by 10 points or more",
        "temporal",
        _less("short_joint", "short_last_layers"),
        least=10.0,
    ),
    Claim(
        "e",
        "From short to long, tuning the last layers loses nothing.",
        "*long*: the last 2 of 4 layers less all, -2 points or more",
        "long",
        _less("long_last_layers", "long_joint"),
        least=-2.0,
    ),
    Claim(
        "e",
        "From short to long, adapters lose nothing.",
        "*long*: adapters less all, -2 points or more",
        "long",
        _less("long_adapters", "long_joint"),
        least=-2.0,
    ),
    Claim(
        "e",
        f"{BEYOND} from short to long, LoRA loses nothing.",
        "*long*: LoRA less all, -2 points or more",
        "long",
        _less("long_lora", "long_joint"),
        least=-2.0,
    ),
    Claim(
        "e",
        f"{BEYOND} from short to long, tuning attention over time alone loses "
        "nothing.",
        "*long*: factorised, attention over time alone less all, -2 points or "
        "more",
        "long",
        _less("long_temporal_only", "long_factorized"),
        least=-2.0,
    ),
    Claim(
        "f",
        "Masked language modelling as a second loss does not help.",
        "mean of *spatial* and *temporal*: with it less without, 1 point or "
        "less",
        "short",
        _less("short_masked_words", "short_joint"),
        most=1.0,
    ),
    Claim(
        "f",
        "Captioning as a second loss does not help.",
        "mean of *spatial* and *temporal*: with it less without, 1 point or "
        "less",
        "short",
        _less("short_captions", "short_joint"),
        most=1.0,
    ),
    Claim(
        "g",
        "Without images beside the videos, what single frames show suffers.",
        "*spatial*: with images over without, by 10 points or more",
        "spatial",
        _less("short_joint", "short_without_images"),
        least=10.0,
    ),
    Claim(
        "g",
        "Without videos, what needs time suffers.",
        "*temporal*: with videos over without, by 10 points or more",
        "temporal",
        _less("short_joint", "short_without_videos"),
        least=10.0,
    ),
)
