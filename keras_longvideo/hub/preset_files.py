"""What a preset directory holds, and whether it is fit to be published."""

import json
import pathlib
import re

import h5py

# All that KerasHub's savers write. Other files are the user's own, also those
# whose names are much like these, such as checkpoints.
_PRESET_FILE = re.compile(
    r"(config|metadata|task)\.json"
    r"|(\w+_)?(converter|preprocessor|tokenizer)\.json"
    r"|model\.weights\.(h5|json)"
    r"|model_\d+\.weights\.h5"  # A shard.
    r"|task\.weights\.h5"
    r"|assets/(\w+_)?tokenizer/.+"
)
_TOKENIZER = re.compile(r"((\w+_)?tokenizer)\.json")
# Tokenizers that need no files.
_OF_CHARACTERS = ("ByteTokenizer", "UnicodeCodepointTokenizer")
# Not serialized Keras objects, so without a registered name.
PLAIN_JSON = ("metadata.json", "model.weights.json")


def is_preset_file(path):
    """Whether a path relative to the preset is one that KerasHub writes."""
    return _PRESET_FILE.fullmatch(path) is not None


def list_files(preset_directory):
    """Lists the files to publish: all but the hidden ones, sorted.

    Args:
        preset_directory: str or path.

    Returns:
        List of str. Paths relative to the directory, with forward slashes.
    """
    root = pathlib.Path(preset_directory)
    paths = (p.relative_to(root) for p in root.rglob("*") if p.is_file())
    return sorted(
        path.as_posix()
        for path in paths
        if not any(part.startswith(".") for part in path.parts)
    )


def check_preset(preset_directory):
    """Refuses a directory that is not a whole preset, fit to be published.

    It must hold a `config.json`, all of its weights, a tokenizer's words, and
    no JSON or weight file that is damaged. No weights may carry the state of
    an optimizer: it is of no use to a reader, doubles or triples the download,
    and may tell more about the training than its owner wants to.

    Args:
        preset_directory: str or path.

    Raises:
        FileNotFoundError: If the directory, its `config.json`, some of its
            weights or the files of a tokenizer are missing.
        ValueError: If a file is damaged, or weights carry optimizer state.
    """
    root = pathlib.Path(preset_directory)
    if not root.is_dir():
        raise FileNotFoundError(
            "`preset_directory` must be a directory that `save_to_preset()` "
            f"wrote. Received: preset_directory={str(preset_directory)!r}"
        )
    if not (root / "config.json").is_file():
        raise FileNotFoundError(
            f"`preset_directory` lacks 'config.json': {str(root)!r} is not "
            "what `save_to_preset()` writes."
        )
    files = list_files(root)
    for path in files:
        if "/" not in path and path.endswith(".json") and is_preset_file(path):
            _check_json(root / path)
    _check_weights_present(root)
    if "task.json" in files and "task.weights.h5" not in files:
        raise FileNotFoundError(
            f"`preset_directory` lacks 'task.weights.h5': {str(root)!r} holds "
            "a task, whose weights that are not its backbone's lie there."
        )
    for path in files:
        if match := _TOKENIZER.fullmatch(path):
            _check_assets(root, files, match[1])
    # Checkpoints that lie among the files are published too.
    for path in files:
        if path.endswith(".weights.h5"):
            _check_weights(root / path)


def read_json(path):
    """Reads a JSON object, or says which file does not hold one."""
    try:
        content = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(
            f"`preset_directory` holds a damaged file: '{path}' is not JSON "
            f"({error})."
        ) from error
    if not isinstance(content, dict):
        raise ValueError(
            f"`preset_directory` holds a damaged file: '{path}' is not a JSON "
            "object."
        )
    return content


def _check_json(path):
    content = read_json(path)
    if path.name not in PLAIN_JSON and "registered_name" not in content:
        raise ValueError(
            f"`preset_directory` holds '{path}', which has no "
            '"registered_name" and so is no saved Keras object. Only what '
            "`save_to_preset()` writes can be loaded again."
        )


def _check_weights_present(root):
    if (root / "model.weights.h5").is_file():
        return
    index = root / "model.weights.json"
    if not index.is_file():
        raise FileNotFoundError(
            f"`preset_directory` lacks the weights: {str(root)!r} holds "
            "neither 'model.weights.h5' nor 'model.weights.json' with its "
            "'model_*.weights.h5'."
        )
    # An entry is the name of one shard, or a list of them.
    shards = set()
    for entry in read_json(index).get("weight_map", {}).values():
        shards.update([entry] if isinstance(entry, str) else entry)
    missing = sorted(s for s in shards if not (root / s).is_file())
    if missing or not shards:
        raise FileNotFoundError(
            f"`preset_directory` lacks weights that '{index}' names: "
            f"{missing or 'it names none'}."
        )


def _check_assets(root, files, tokenizer):
    name = read_json(root / f"{tokenizer}.json")["registered_name"]
    if name.split(">")[-1] in _OF_CHARACTERS:
        return
    if not any(path.startswith(f"assets/{tokenizer}/") for path in files):
        raise FileNotFoundError(
            f"`preset_directory` lacks the files of its tokenizer: "
            f"{str(root)!r} has nothing in 'assets/{tokenizer}/'."
        )


def _check_weights(path):
    try:
        with h5py.File(path) as weights:
            has_optimizer = "optimizer" in weights
    except OSError as error:
        raise ValueError(
            f"`preset_directory` holds a damaged file: '{path}' is not a "
            f"whole HDF5 file ({error})."
        ) from error
    if has_optimizer:
        raise ValueError(
            f"'{path}' carries the state of an optimizer, which a published "
            "preset must not. Save it again without: `model.optimizer = "
            "None`, then `model.save_to_preset(...)`."
        )
