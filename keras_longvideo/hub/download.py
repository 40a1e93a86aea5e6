"""Fetching a preset from the Hugging Face Hub."""

from keras_longvideo.hub.errors import hub_errors
from keras_longvideo.hub.handles import parse_handle

# The same weights once more, in formats that no preset is read from.
UNREAD_WEIGHTS = ("pytorch_model*.bin*", "tf_model*.h5*", "flax_model*")


def download_preset(handle):
    """Downloads a preset and returns the local directory that holds it.

    Files already in the client's cache are not fetched again. Weights that
    lie there in another framework's format, too, are left out. Where the Hub
    cannot be reached, a complete copy in the cache is used as it is.

    Args:
        handle: str. `"hf://organization/name"` for the newest version, or
            `"hf://organization/name@revision"` for the one at a branch, a tag
            or a commit id. A commit id always names the same files.

    Returns:
        str. Path of the directory. It belongs to the cache, so do not write
        into it.

    Raises:
        ValueError: If `handle` has another form.
        FileNotFoundError: If the repository or the revision does not exist,
            or is private.
        PermissionError: If the repository is gated, or the token is refused.
        ConnectionError: If the Hub cannot be reached or fails, and the cache
            holds no complete copy.

    Example:

    ```py
    from keras_longvideo.hub import download_preset

    directory = download_preset("hf://someone/some_model@v1")
    ```
    """
    # Imported late: the client takes a while to import.
    from huggingface_hub import snapshot_download

    repo_id, revision = parse_handle(handle)
    with hub_errors(handle):
        return snapshot_download(
            repo_id, revision=revision, ignore_patterns=UNREAD_WEIGHTS
        )
