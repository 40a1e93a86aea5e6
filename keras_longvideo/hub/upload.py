"""Publishing a preset on the Hugging Face Hub."""

import pathlib

from absl import logging

from keras_longvideo.hub.card import model_card
from keras_longvideo.hub.errors import hub_errors
from keras_longvideo.hub.handles import parse_handle
from keras_longvideo.hub.preset_files import check_preset
from keras_longvideo.hub.preset_files import is_preset_file
from keras_longvideo.hub.preset_files import list_files

CARD = "README.md"


def upload_preset(handle, preset_directory, card=None, private=None):
    """Publishes a preset directory and returns the handle of that version.

    The repository is made if there is none yet. All files but the hidden ones
    are published in one commit, so that nobody ever loads half a preset; files
    of an older preset that this one does not have are removed in the same
    commit (they remain in the repository's history). The local directory is
    only read. An upload that fails changes nothing that a reader sees; run it
    again to finish it.

    The model card is, in this order:

    1. `card`, if given;
    2. the directory's own `README.md`, as it stands;
    3. the one that the repository has already: it is kept;
    4. one written by `keras_longvideo.hub.model_card`.

    Args:
        handle: str. `"hf://organization/name"`; the organization may be a
            user.
        preset_directory: str or path. A directory that `save_to_preset()`
            wrote.
        card: str or None. Text of the model card, with its YAML front matter.
            Defaults to `None`, see above.
        private: bool or None. Whether a repository made here is private.
            Does not change one that exists. Defaults to `None`, public unless
            the organization has it otherwise.

    Returns:
        str. `"hf://organization/name@commit"`, which always names the version
        just published.

    Raises:
        FileNotFoundError: If the directory, its `config.json` or weights are
            missing.
        ValueError: If `handle` has another form or names a revision, a file
            of the preset is damaged, weights carry the state of an optimizer,
            or `card` is not text or given for a directory with a
            `README.md`. All of these, and the above, before the Hub is asked
            for anything.
        PermissionError: If the Hub refuses the token.
        ConnectionError: If the Hub cannot be reached or fails.

    Example:

    ```py
    from keras_longvideo.hub import model_card
    from keras_longvideo.hub import upload_preset

    model.save_to_preset("some_model")
    handle = "hf://someone/some_model"
    card = model_card("some_model", handle, license="apache-2.0")
    pinned_handle = upload_preset(handle, "some_model", card=card)
    ```
    """
    # Imported late: the client takes a while to import.
    from huggingface_hub import CommitOperationAdd
    from huggingface_hub import CommitOperationDelete
    from huggingface_hub import HfApi

    repo_id, revision = parse_handle(handle)
    if revision is not None:
        raise ValueError(
            "`handle` must not name a revision to upload to; an upload "
            f"becomes the newest version. Received: handle={handle!r}"
        )
    check_preset(preset_directory)
    root = pathlib.Path(preset_directory)
    local_files = list_files(root)
    if card is not None and not isinstance(card, str):
        raise ValueError(
            "`card` must be the text of a model card. Received: "
            f"card={card!r} of type {type(card).__name__}"
        )
    if card is not None and CARD in local_files:
        raise ValueError(
            f"`card` is given, but `preset_directory` has a '{CARD}' too: "
            f"{str(root / CARD)!r}. Keep one of the two."
        )

    api = HfApi()
    with hub_errors(handle):
        api.create_repo(repo_id, private=private, exist_ok=True)
        remote_files = api.list_repo_files(repo_id)
        additions = [
            CommitOperationAdd(path, str(root / path)) for path in local_files
        ]
        if CARD in remote_files and CARD not in local_files and card is None:
            logging.warning(
                "Kept the model card that %s has already. Pass `card` to "
                "replace it.",
                handle,
            )
        elif CARD not in local_files:
            text = model_card(root, handle) if card is None else card
            additions.append(CommitOperationAdd(CARD, text.encode()))
        # A head or a shard left over from an older preset would be loaded
        # together with this one.
        leftovers = [
            CommitOperationDelete(path)
            for path in remote_files
            if is_preset_file(path) and path not in local_files
        ]
        commit = api.create_commit(
            repo_id,
            additions + leftovers,
            commit_message="Upload preset with keras_longvideo",
        )
    return f"hf://{repo_id}@{commit.oid}"
