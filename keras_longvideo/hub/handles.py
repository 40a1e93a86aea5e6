"""Names of presets on the Hugging Face Hub."""

import re
from typing import NamedTuple

HANDLE = re.compile(r"hf://([^/@\s]+/[^/@\s]+)(?:@([^@\s]+))?")


class HubHandle(NamedTuple):
    """The parts of a handle; `revision` is None where it names none."""

    repo_id: str
    revision: str | None


def parse_handle(handle):
    """Splits `hf://organization/name` or `hf://organization/name@revision`.

    Args:
        handle: str. The handle.

    Returns:
        `HubHandle`, the tuple `(repo_id, revision)`.

    Raises:
        ValueError: If the handle has another form, or a name the Hub does not
            allow.

    Example:

    ```python
    from keras_longvideo.hub.handles import parse_handle

    print(parse_handle("hf://someone/some_model@v1").repo_id)
    ```
    """
    # Imported late: the client takes a while to import.
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    match = HANDLE.fullmatch(handle) if isinstance(handle, str) else None
    if match is None:
        raise ValueError(
            "`handle` must have the form 'hf://organization/name' or "
            "'hf://organization/name@revision', where the revision is a "
            f"branch, a tag or a commit. Received: handle={handle!r}"
        )
    parts = HubHandle(*match.groups())
    try:
        validate_repo_id(parts.repo_id)
    except HFValidationError as error:
        raise ValueError(
            f"`handle` must name a repository that the Hub allows. {error} "
            f"Received: handle={handle!r}"
        ) from error
    return parts
