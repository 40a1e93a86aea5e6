"""The model card of a packaged preset, from what its run left."""

import json
import pathlib

from keras_longvideo.evaluation import chance_recall
from keras_longvideo.hub import model_card

LICENSE = "apache-2.0"

DATA = """\
Pictures or videos of coloured shapes with their captions, as
`keras_longvideo.data.render_videos` renders them; no real footage, and nothing
was downloaded.

{sources}
"""

COMMAND = """\
```sh
{command}
```

Where the recipe's `preset` is a folder, it is what an earlier stage left: train
that first, by the command on its own card.
"""

SCORES = """\
How often the right one comes first, in held-out sets that show combinations of
colours, shapes and events that training never did. With weights in float16, as
they are here, and in float32, as they were trained:

{table}

At its end, the run itself had measured:

{results}

The embeddings in float16 and float32 are nearly one: the least cosine of a
video's is {video_cosine:.6f}, of a text's {text_cosine:.6f}. `golden.npz` has
two clips and two captions with the embeddings that every backend makes of them.
"""

LIMITS = """\
- It knows rendered shapes of {image_size} pixels, and has never seen real
  footage. What it says of such is of no use before it is tuned on some; see
  `examples/fine_tune_on_your_videos.py`.
- Its vocabulary is of {vocabulary_size} word pieces, those of the rendered
  captions. Other words fall to letters, and those with a letter that it lacks
  to `[UNK]`.
- It has {parameters:.1f} million parameters, and is for tests, for tutorials
  and for comparing encoders with one another. Its scores say nothing of larger
  ones.
"""


def make_card(directory, name, run, command, retriever, report):
    """Makes the model card of a packaged preset.

    Args:
        directory: path of the preset.
        name: string. Name of the preset.
        run: path of the run, with its `stage.json` and `results.json`.
        command: string. What trains it.
        retriever: `VideoTextRetriever`, the preset loaded.
        report: dict of `cosines` and `scores`, as `package_preset` returns
            them.

    Returns:
        The card's text.
    """
    stage, results = (
        json.loads(pathlib.Path(run, name).read_text("utf-8"))
        for name in ("stage.json", "results.json")
    )
    converter = retriever.preprocessor.video_converter
    sources = stage.pop("train")
    sections = {
        "Data": DATA.format(sources=_table(map(_source, sources))),
        "Recipe": _table(
            {"option": f"`{key}`", "value": _value(value)}
            for key, value in stage.items()
        ),
        "Command": COMMAND.format(command=command.strip()),
        "Scores": SCORES.format(
            table=_table(_score_rows(report["scores"])),
            results=_table(
                {"measure": key, "value": f"{value:.6g}"}
                for key, value in results.items()
            ),
            video_cosine=report["cosines"]["video_embeddings"],
            text_cosine=report["cosines"]["text_embeddings"],
        ),
        "Limits": LIMITS.format(
            image_size="x".join(map(str, converter.image_size)),
            vocabulary_size=retriever.preprocessor.tokenizer.vocabulary_size(),
            parameters=retriever.count_params() / 1e6,
        ),
    }
    return model_card(directory, name, license=LICENSE, sections=sections)


def _source(source):
    """A row on one data set, with what it was rendered from where it is."""
    row = {key: _value(value) for key, value in source.items()}
    rendered = pathlib.Path(source["path"]).parent / "card.json"
    if rendered.is_file():
        card = json.loads(rendered.read_text("utf-8"))
        row |= {key: _value(card[key]) for key in ("num_videos", "seed")}
    return row


def _value(value):
    return f"`{json.dumps(_relative(value))}`"


def _relative(value):
    """A value without folders that a reader does not have."""
    if isinstance(value, dict):
        return {key: _relative(x) for key, x in value.items()}
    if isinstance(value, str) and value.startswith("/"):
        return "/".join(pathlib.PurePosixPath(value).parts[-3:])
    return value


def _score_rows(scores):
    for name, score in scores.items():
        yield {
            "held-out set": f"{name}, {score['videos']} videos",
            **{
                f"{label}, {dtype}": f"{score[dtype][metric]:.1%}"
                for label, metric in (
                    ("text to video", "text_to_video/recall@1"),
                    ("video to text", "video_to_text/recall@1"),
                )
                for dtype in ("float16", "float32")
            },
            "chance": f"{chance_recall(score['videos'], 1):.1%}",
        }


def _table(rows):
    rows = list(rows)
    columns = list(dict.fromkeys(key for row in rows for key in row))
    lines = [columns, ["---"] * len(columns)]
    lines += [[row.get(column, "") for column in columns] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
