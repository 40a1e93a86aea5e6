"""From videos and captions to the inputs of a retriever."""

import keras
import numpy as np
from keras_hub.layers import StartEndPacker

from keras_longvideo.models.video_preprocessor import VideoPreprocessor

# What SigLIP takes out of texts: punctuation and line breaks.
PUNCTUATION = r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~]"""
STANDARDIZATIONS = (None, "lower", "lower_and_strip_punctuation")


@keras.saving.register_keras_serializable(package="keras_longvideo")
class VideoTextPreprocessor(VideoPreprocessor):
    """Turns videos and their captions into the inputs of a retriever.

    Args:
        video_converter: `keras_longvideo.models.VideoConverter`.
        tokenizer: `keras_hub.tokenizers.BertTokenizer`, `CLIPTokenizer`,
            `SigLIPTokenizer` or another KerasHub tokenizer with an end and a
            padding token, and a start token or none.
        sequence_length: int. Tokens that a caption is padded or cut to,
            its start and end tokens included. Defaults to `32`.
        standardize: what becomes of captions before the tokenizer sees them:
            `None`, nothing; `"lower"`, ASCII letters become small, as CLIP; or
            `"lower_and_strip_punctuation"`, which also takes out ASCII
            punctuation and superfluous space, as SigLIP. Defaults to `None`.
        **kwargs: other arguments of `keras_hub.models.Preprocessor`.

    Call arguments:
        x: dict with videos under `videos` or `pixel_values`, as
            `VideoPreprocessor` takes them, and a caption for each under
            `captions`.
        y: passed through.
        sample_weight: passed through.

    Returns:
        A dict of `pixel_values`, `frame_mask`, and of `token_ids` and
        `padding_mask` of shape `(batch, sequence_length)`.

    Raises:
        ValueError: if a caption is empty.

    Example:

    ```python
    import keras_hub
    import numpy as np
    from keras_longvideo.models import VideoConverter
    from keras_longvideo.models import VideoTextPreprocessor

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "red", "ball"]
    preprocess = VideoTextPreprocessor(
        VideoConverter(num_frames=4, image_size=(32, 32)),
        keras_hub.tokenizers.BertTokenizer(words, lowercase=True),
        sequence_length=6,
    )
    clip = np.zeros((1, 4, 32, 32, 3), "uint8")
    x = preprocess({"videos": clip, "captions": ["A red ball"]})
    x["token_ids"]  # [[2, 5, 6, 7, 3, 0]]
    ```
    """

    def __init__(
        self,
        video_converter,
        tokenizer,
        sequence_length=32,
        standardize=None,
        **kwargs,
    ):
        if standardize not in STANDARDIZATIONS:
            raise ValueError(
                f"`standardize` must be one of {STANDARDIZATIONS}. "
                f"Received: standardize={standardize!r}"
            )
        super().__init__(video_converter, **kwargs)
        self.tokenizer = tokenizer
        self.sequence_length = sequence_length
        self.standardize = standardize

    def build(self, input_shape):
        # Not in `__init__`: a preset's tokenizer gets its vocabulary later.
        self.packer = StartEndPacker(
            sequence_length=self.sequence_length,
            start_value=getattr(self.tokenizer, "start_token_id", None),
            end_value=self.tokenizer.end_token_id,
            pad_value=self.tokenizer.pad_token_id,
            return_padding_mask=True,
        )
        self.built = True

    def call(self, x, y=None, sample_weight=None):
        if not isinstance(x, dict) or "captions" not in x:
            received = sorted(x) if isinstance(x, dict) else type(x).__name__
            raise ValueError(
                "`x` must be a dict with the keys 'videos' (or "
                f"'pixel_values') and 'captions'. Received: {received}"
            )
        videos, tokens = self._convert_videos(x), self.tokenize(x["captions"])
        if isinstance(videos["pixel_values"], np.ndarray):
            # A layer takes all arrays or all tensors.
            tokens = {
                k: keras.ops.convert_to_numpy(t) for k, t in tokens.items()
            }
        x = {**videos, **tokens}
        return keras.utils.pack_x_y_sample_weight(x, y, sample_weight)

    def tokenize(self, captions):
        """Turns captions into token ids.

        Args:
            captions: list, array or tf.Tensor of strings.

        Returns:
            A dict of `token_ids` and `padding_mask`, of shape
            `(batch, sequence_length)`.
        """
        if not self.built:
            self.build(None)
        captions = check_captions(captions)
        if not isinstance(captions, list) and hasattr(
            self.tokenizer, "set_proto"
        ):
            import tensorflow as tf

            # A graph reads SentencePiece's model from a TensorFlow resource,
            # which is gone since a seed has been set: make it anew.
            with tf.init_scope():
                self.tokenizer.set_proto(self.tokenizer.proto)
        if self.standardize is not None:
            captions = _standardized(captions, self.standardize)
        token_ids, padding_mask = self.packer(
            self.tokenizer(captions), sequence_length=self.sequence_length
        )
        return {"token_ids": token_ids, "padding_mask": padding_mask}

    def get_config(self):
        config = super().get_config()
        config.update(
            {
                "sequence_length": self.sequence_length,
                "standardize": self.standardize,
            }
        )
        return config


def _standardized(captions, standardize):
    # TensorFlow's strings, in graphs and outside: Python knows other letters.
    import tensorflow as tf

    with tf.device("cpu"):
        captions = tf.strings.lower(captions)
        if standardize == "lower_and_strip_punctuation":
            captions = tf.strings.regex_replace(captions, PUNCTUATION, "")
            captions = tf.strings.regex_replace(captions, r"\s+", " ")
            captions = tf.strings.strip(captions)
    return captions


def check_captions(captions):
    """Refuses captions that are no strings, or empty.

    Args:
        captions: list, array or tf.Tensor of strings.

    Returns:
        A list of strings; for a tensor of a tf.data graph, such a tensor.

    Raises:
        ValueError: if a caption is none; names its index. Inside a tf.data
            graph, a `tf.errors.InvalidArgumentError` while iterating.
    """
    message = "`captions` must not be empty strings."
    if isinstance(captions, str):
        raise ValueError(
            "`captions` must be a list of strings. Received a single string: "
            f"{captions!r}"
        )
    if not isinstance(captions, (list, tuple, np.ndarray)):
        import tensorflow as tf

        if tf.is_symbolic_tensor(captions):
            lengths = tf.strings.length(tf.strings.strip(captions))
            lengths = tf.reshape(lengths, [-1])
            found = [f"{message} In a batch, at index", tf.argmin(lengths)]
            is_fine = tf.reduce_all(lengths > 0)
            check = tf.debugging.Assert(is_fine, [*found, captions])
            with tf.control_dependencies([check]):
                return tf.identity(captions)
        captions = keras.ops.convert_to_numpy(captions)
    captions = [
        x.decode("utf-8") if isinstance(x, bytes) else x for x in captions
    ]
    for i, caption in enumerate(captions):
        if not isinstance(caption, str):
            raise ValueError(
                "`captions` must be strings. Received: "
                f"captions[{i}]={caption!r}"
            )
        if not caption.strip():
            raise ValueError(f"{message} Received: captions[{i}] is empty.")
    return captions
