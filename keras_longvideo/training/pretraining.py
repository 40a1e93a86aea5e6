"""Runs a stage of pre-training."""

import contextlib
import json
import pathlib
import warnings

import keras

from keras_longvideo.data.files import write_atomically
from keras_longvideo.data.locks import locked
from keras_longvideo.training.checkpoints import Checkpoints
from keras_longvideo.training.checkpoints import is_begun
from keras_longvideo.training.curves import draw_curves
from keras_longvideo.training.optimizer import make_optimizer
from keras_longvideo.training.recorder import Recorder
from keras_longvideo.training.recorder import log_columns
from keras_longvideo.training.run_log import RunLog
from keras_longvideo.training.run_log import read_log
from keras_longvideo.training.sources import check_paths
from keras_longvideo.training.sources import fingerprints
from keras_longvideo.training.sources import held_out_clips
from keras_longvideo.training.sources import training_batches
from keras_longvideo.training.starting import make_retriever
from keras_longvideo.training.video_text_pretrainer import VideoTextPretrainer


def pretrain(stage, output, progress=True):
    """Trains a retriever as a stage says, and saves it as a preset.

    Called again with the same folder, it goes on from the last checkpoint,
    with the batches and random numbers that an uninterrupted run would have
    had; a run that is finished returns its results at once. It may be killed
    at any moment.

    It seeds Keras, NumPy and Python with `stage.seed`. One process trains.

    Args:
        stage: `Stage`.
        output: path of the run's folder, made where it is not there:

            - `stage.json`: what was asked for
            - `data.json`: hashes of manifests, and of names and sizes of
              shards, by which it is told that they have changed
            - `log.csv`, and the same for TensorBoard: `loss`, the mean since
              the row before, and of auxiliary losses each apart; of the row's
              step `temperature`, `gradient_norm` before clipping and
              `learning_rate`; `examples_per_second`, of training alone;
              `seconds` since the start; and Recall and median rank on each
              held-out set where they were measured
            - `checkpoints/`: the last two, with all that a run needs
            - `preset/`: the `VideoTextRetriever`, with its preprocessor
            - `curves.png`, where matplotlib is installed
            - `results.json`, written last
            - `lock`, which keeps other processes out
        progress: bool. Whether to show a progress bar. Defaults to `True`.

    Returns:
        A dict of the last row of the log: `steps`, `seconds`, `loss` and, for
        each held-out set, such as `"spatial/text_to_video/recall@1"`.

    Raises:
        FileNotFoundError: if a set of the stage is missing.
        keras_longvideo.training.NonFiniteError: if a loss or a gradient is
            not finite. It is found at the end of an interval of the log, and
            names the step and the last good checkpoint.
        ValueError: if the folder holds the run of another stage, or of data
            that have changed since, or another process is training in it; if
            the stage's arguments do not fit its preset; or under a policy of
            float16, whose gradients overflow as a matter of course: take
            bfloat16.

    Example:

    ```python
    from keras_longvideo import data
    from keras_longvideo import training

    train = data.render_videos(
        "train", "spatial", num_videos=8, num_frames=4, progress=False
    )
    held_out = data.render_videos(
        "held_out", "spatial", 4, num_frames=4, held_out=True, progress=False
    )
    stage = training.Stage(
        preset="short_vivit_tiny",
        train=(training.Source(train, batch_size=4, num_frames=4),),
        held_out={"spatial": held_out},
        steps=2,
        learning_rate=1e-3,
        backbone={"num_frames": 4, "num_layers": 1},
    )
    results = training.pretrain(stage, "run", progress=False)
    results["spatial/text_to_video/recall@1"]
    ```
    """
    output = pathlib.Path(output)
    is_done = _is_done(output)
    if not is_done:
        check_paths(stage)
    output.mkdir(parents=True, exist_ok=True)
    with _alone(output):
        _claim(output, stage)
        if not is_done:
            _keep_data(output, stage)
            _pretrain(stage, output, progress)
    return json.loads((output / "results.json").read_text("utf-8"))


def _is_done(output):
    """Whether there are results, and the preset that they are of."""
    # The last file of a preset to come.
    preset = output / "preset" / "config.json"
    return preset.exists() and (output / "results.json").exists()


def _pretrain(stage, output, progress):
    keras.utils.set_random_seed(stage.seed)
    retriever = make_retriever(stage, output / "vocabulary.txt")
    model = _compiled(stage, retriever)
    checkpoints = Checkpoints(output / "checkpoints", model)
    step, seconds = checkpoints.restore()
    log = RunLog(output, log_columns(stage), step)
    if step < stage.steps:
        recorder = Recorder(
            stage,
            retriever,
            _held_out(stage, retriever, output),
            log,
            checkpoints,
            step,
            seconds,
            progress,
        )
        _fit(stage, retriever, model, recorder, step)
    log.close()
    # As `fit` leaves them; of a run that was killed after it, too.
    model.optimizer.finalize_variable_values(model.trainable_variables)
    if retriever.backbone.lora_rank is not None:
        retriever.backbone.merge_lora()
    retriever.save_to_preset(output / "preset")
    draw_curves(output)
    row = read_log(output / "log.csv")[-1]
    row = {"steps": row.pop("step"), **row}
    write_atomically(output / "results.json", json.dumps(row, indent=2) + "\n")


@contextlib.contextmanager
def _alone(output):
    """Keeps other processes out of a run's folder."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locked(output / "lock", wait=False))
        except BlockingIOError as error:
            raise ValueError(
                "`output` is the folder of a run that another process is "
                "training: wait for it, or take another folder. "
                f"Received: output={str(output)!r}"
            ) from error
        yield


def _claim(output, stage):
    """Marks a folder as that of a stage, unless it is another one's."""
    path = output / "stage.json"
    if not is_begun(output / "checkpoints") and not _is_done(output):
        # Of a start that failed there may be words of captions that have
        # changed since.
        (output / "vocabulary.txt").unlink(missing_ok=True)
        # And results, which would count once there is a preset.
        (output / "results.json").unlink(missing_ok=True)
        write_atomically(path, stage.to_json() + "\n")
        return
    wanted = json.loads(stage.to_json())
    found = json.loads(path.read_text("utf-8")) if path.exists() else {}
    names = sorted({*found, *wanted})
    differing = [n for n in names if found.get(n) != wanted.get(n)]
    if differing:
        raise ValueError(
            f"`output` holds the run of another stage: {differing} were "
            f"{[found.get(n) for n in differing]} and are "
            f"{[wanted.get(n) for n in differing]}. Take another folder. "
            f"Received: output={str(output)!r}"
        )


def _keep_data(output, stage):
    """Refuses to go on with data that would make other batches."""
    path, wanted = output / "data.json", fingerprints(stage)
    if not is_begun(output / "checkpoints") or not path.exists():
        write_atomically(path, json.dumps(wanted, indent=2) + "\n")
    found = json.loads(path.read_text("utf-8"))
    changed = sorted(name for name in wanted if wanted[name] != found[name])
    if changed:
        raise ValueError(
            f"{changed} changed since the run in `output` began, so it would "
            "not go on with the batches that it had: bring back what was "
            "there, or take another folder. "
            f"Received: output={str(output)!r}"
        )


def _compiled(stage, retriever):
    """The model to fit: the retriever, or one around it."""
    arguments = {}
    # TensorFlow traces one program for all batches, see `mix_datasets`.
    shapes = {(s.batch_size, s.num_frames) for s in stage.train}
    if keras.backend.backend() == "tensorflow" and len(shapes) > 1:
        arguments["run_eagerly"] = True
    model = retriever
    if stage.auxiliary:
        model = VideoTextPretrainer(retriever, **stage.auxiliary)
    elif stage.microbatch_size is not None:
        arguments["microbatch_size"] = stage.microbatch_size
    optimizer = make_optimizer(stage, model)
    model.compile(optimizer, **arguments)
    if model.optimizer is not optimizer:
        # Keras scales losses then, by factors that it finds by overflows.
        raise ValueError(
            "`pretrain` does not train in float16. Set another policy, such "
            "as 'mixed_bfloat16'. Received: "
            f"{keras.config.dtype_policy().name!r}"
        )
    return model


def _held_out(stage, retriever, output):
    converter = retriever.preprocessor.video_converter
    return {
        name: held_out_clips(path, converter, output)
        for name, path in stage.held_out.items()
    }


def _fit(stage, retriever, model, recorder, step):
    """Trains from a step to the last one, in a single call of `fit`."""
    image_size = retriever.preprocessor.video_converter.image_size
    remaining = stage.steps - step
    batches = training_batches(stage, image_size, step).take(remaining)
    if model is not retriever:
        # A retriever does it itself. Few calls at once: each holds a batch,
        # and words take little time.
        batches = batches.map(retriever.preprocessor, 2)
        batches = batches.prefetch(2)
    with warnings.catch_warnings():
        # From videos the path of images learns nothing, and the other way.
        warnings.filterwarnings("ignore", "Gradients do not exist")
        # The last epoch may be shorter than the others.
        warnings.filterwarnings("ignore", "Your input ran out of data")
        model.fit(
            batches,
            epochs=-(-remaining // stage.interval),
            steps_per_epoch=min(stage.interval, remaining),
            callbacks=[recorder],
            shuffle=False,
            verbose=0,
        )
