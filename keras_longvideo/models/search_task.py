"""Searching videos by text, with any two encoders that embed both."""

import typing

import numpy as np
from keras import ops

from keras_longvideo.evaluation import retrieval_metrics
from keras_longvideo.models.processes import feeding_own_share
from keras_longvideo.models.task_data import check_length
from keras_longvideo.models.video_batches import Batches
from keras_longvideo.models.video_batches import as_list
from keras_longvideo.models.video_task import VideoTask


class SearchHit(typing.NamedTuple):
    """A video that a search found: its index, its score, and itself."""

    index: int
    score: float
    video: object


class SearchTask(VideoTask):
    """Base of tasks that embed videos and texts in one space.

    A subclass sets `video_encoder` and `text_encoder`, whose outputs have unit
    length, and a `VideoTextPreprocessor`.
    """

    def encode_video(self, videos, batch_size=8, verbose="auto"):
        """Embeds videos.

        Files are read a batch at a time while the batch before is embedded.

        Args:
            videos: a video or a list of videos: paths, or arrays as
                `VideoConverter` takes them.
            batch_size: int. Videos in memory at a time. Defaults to `8`.
            verbose: as in `keras.Model.predict`.

        Returns:
            A float32 array of shape `(videos, dim)`, unit length;
            without the first axis where one video came.

        Raises:
            keras_longvideo.video.VideoError: if a file cannot be read.
        """
        videos, is_one = as_list(videos)
        convert = self._required_preprocessor().video_converter
        batches = Batches(videos, convert, batch_size)
        embeddings = _embed(self.video_encoder, batches, verbose)
        return embeddings[0] if is_one else embeddings

    def encode_text(self, texts, batch_size=32, verbose=0):
        """Embeds texts.

        Args:
            texts: a string or a list of strings.
            batch_size: int. Defaults to `32`.
            verbose: as in `keras.Model.predict`. Defaults to `0`.

        Returns:
            A float32 array of shape `(texts, dim)`, unit length;
            without the first axis where one string came.

        Raises:
            ValueError: if there is none, or one is empty or no string.
        """
        is_one = isinstance(texts, str)
        if not is_one and not len(texts):
            raise ValueError("`texts` must hold at least one string.")
        tokenize = self._required_preprocessor().tokenize
        tokens = tokenize([texts] if is_one else texts)
        tokens = {k: ops.convert_to_numpy(x) for k, x in tokens.items()}
        batches = Batches(
            range(len(tokens["token_ids"])),
            lambda rows: {name: x[rows] for name, x in tokens.items()},
            batch_size,
        )
        embeddings = _embed(self.text_encoder, batches, verbose)
        return embeddings[0] if is_one else embeddings

    def _required_preprocessor(self):
        if self.preprocessor is None:
            raise ValueError(
                "Videos and texts become tensors by way of a `preprocessor`, "
                f"which this {type(self).__name__} does not have: make it with "
                "one, a `VideoTextPreprocessor`, or give tensors to its "
                "`video_encoder` and `text_encoder`."
            )
        return self.preprocessor

    def search(self, query, videos, top_k=5, batch_size=8, verbose="auto"):
        """Finds the videos that a text describes best.

        Args:
            query: a string, or a list of strings.
            videos: list of paths or arrays; or what `encode_video` made of
                them, an array of shape `(videos, dim)`, to search
                the same videos many times.
            top_k: int. Hits to return. Defaults to `5`.
            batch_size: int. Videos in memory at a time. Defaults to `8`.
            verbose: as in `keras.Model.predict`.

        Returns:
            A list of `SearchHit(index, score, video)`, best first, where
            `score` is a cosine and `video` the entry of `videos`; a list of
            such lists for a list of strings.
        """
        if getattr(videos, "ndim", 0) == 2:
            embeddings = np.asarray(videos)
        else:
            videos, _ = as_list(videos)
            embeddings = self.encode_video(videos, batch_size, verbose)
        dim = self.video_encoder.output.shape[-1]
        if embeddings.shape[-1] != dim:
            raise ValueError(
                f"`videos` must be embeddings of length {dim}. "
                f"Received: shape {embeddings.shape}"
            )
        queries = [query] if isinstance(query, str) else query
        scores = self.encode_text(queries) @ embeddings.T
        # Stable, so that of equal scores the earlier video comes first.
        order = np.argsort(-scores, axis=1, kind="stable")[:, :top_k]
        hits = [
            [SearchHit(int(i), float(row[i]), videos[i]) for i in best]
            for row, best in zip(scores, order, strict=True)
        ]
        return hits[0] if isinstance(query, str) else hits

    def evaluate(
        self,
        x=None,
        y=None,
        batch_size=None,
        verbose="auto",
        sample_weight=None,
        steps=None,
        callbacks=None,
        return_dict=True,
        **kwargs,
    ):
        """Measures how well videos and texts find one another.

        Args:
            x: dict of `videos` and `captions` (a string or a list of strings
                for each video), such as `keras_longvideo.data.read_manifest`
                returns; or a `tf.data.Dataset` of pairs, or the tensors of
                some where there is no `preprocessor`: each pair counts as a
                video of its own.
            y: not used.
            batch_size: int. Defaults to `8` for videos and captions.
            verbose: as in `keras.Model.evaluate`.
            sample_weight: not used.
            steps: int. Batches of a dataset; one without end needs it.
                Defaults to `None`, all.
            callbacks: as in `keras.Model.predict`, of the tensors of pairs.
            return_dict: not used: a dict is what it always returns.
            **kwargs: what Keras's own `fit` passes on.

        Returns:
            A dict of Recall@1, @5 and @10 and of the median rank, in both
            directions; see `keras_longvideo.evaluation.retrieval_metrics`.

        Raises:
            ValueError: if captions do not fit the videos, a dataset without
                end comes without `steps`, or an argument has no use.
        """
        if kwargs.pop("_use_cached_eval_dataset", False):
            # `fit` validates: the loss, batch by batch.
            return super().evaluate(
                x,
                y,
                batch_size,
                sample_weight,
                verbose=verbose,
                steps=steps,
                callbacks=callbacks,
                return_dict=return_dict,
                _use_cached_eval_dataset=True,
                **kwargs,
            )
        if kwargs:
            raise TypeError(f"Unknown arguments: {sorted(kwargs)}")
        # Clips that are converted already come in pairs, a caption for each.
        has_captions = isinstance(x, dict) and {"videos", "captions"} <= set(x)
        unused = {"y": y, "sample_weight": sample_weight}
        if has_captions:
            unused.update(steps=steps, callbacks=callbacks)
        unused = {k: v for k, v in unused.items() if v is not None}
        if unused:
            raise ValueError(
                "`evaluate` has no use for these arguments here: "
                f"{sorted(unused)}. Received: {unused}"
            )
        if not has_captions:
            check_length(x, "steps", steps)
            pairs = self.predict(
                x,
                batch_size,
                verbose=verbose,
                steps=steps,
                callbacks=callbacks,
            )
            return retrieval_metrics(
                pairs["video_embeddings"],
                pairs["text_embeddings"],
                np.arange(len(pairs["text_embeddings"])),
            )
        captions = [
            [c] if isinstance(c, str | bytes) else c for c in x["captions"]
        ]
        videos, _ = as_list(x["videos"])
        if len(captions) != len(videos):
            raise ValueError(
                "`x` must have captions for each video. Received: "
                f"{len(videos)} videos, captions for {len(captions)}"
            )
        counts = [len(c) for c in captions]
        return retrieval_metrics(
            self.encode_video(videos, batch_size or 8, verbose),
            self.encode_text([c for several in captions for c in several]),
            np.repeat(np.arange(len(videos)), counts),
        )


def _embed(encoder, batches, verbose):
    with feeding_own_share():
        embeddings = encoder.predict(batches, verbose=verbose)
    return embeddings[: len(batches.examples)]
