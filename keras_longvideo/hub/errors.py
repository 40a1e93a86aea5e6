"""What can go wrong with the Hub, in the words of this package."""

import contextlib


@contextlib.contextmanager
def hub_errors(handle):
    """Turns the Hub client's errors into built-in ones that name `handle`.

    Raises:
        FileNotFoundError: If the repository or the revision does not exist.
        PermissionError: If the repository is gated, or the token is refused.
        ConnectionError: If the Hub cannot be reached or fails.
    """
    from huggingface_hub import errors

    # The transport's base error, by the name it has whichever transport the
    # client's version is built on.
    from huggingface_hub.errors import HTTPError

    # Subclasses before their bases: a gated repository is also one that is
    # not found, and each HTTP status is also a failed connection.
    try:
        yield
    except errors.GatedRepoError as error:
        raise PermissionError(
            f"`handle={handle!r}` is gated: its owner grants access one by "
            "one. Ask for it on the model's page, then log in with `hf auth "
            "login` or set HF_TOKEN."
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise FileNotFoundError(
            f"`handle={handle!r}` is not on the Hub, or is private. Check the "
            "spelling; if it is private, log in with `hf auth login` or set "
            "HF_TOKEN."
        ) from error
    except errors.RevisionNotFoundError as error:
        raise FileNotFoundError(
            f"`handle={handle!r}` names a revision that the repository does "
            "not have. Use one of its branches, tags or full commit ids."
        ) from error
    except errors.HfHubHTTPError as error:
        if error.response.status_code in (401, 403):
            raise PermissionError(
                f"The Hub refused access to `handle={handle!r}`. Log in with "
                "`hf auth login`, or set HF_TOKEN to a token that may do "
                f"this. The Hub's answer: {error}"
            ) from error
        raise ConnectionError(
            f"The Hub failed on `handle={handle!r}`; try again later. The "
            f"Hub's answer: {error}"
        ) from error
    except (
        HTTPError,
        errors.LocalEntryNotFoundError,
        errors.OfflineModeIsEnabled,
    ) as error:
        raise ConnectionError(
            f"The Hub could not be reached for `handle={handle!r}`. Check the "
            "connection, and that HF_HUB_OFFLINE is not set, then try again. "
            f"The client's error: {error}"
        ) from error
    except RuntimeError as error:
        # The client's wrapper for whatever broke a transfer of a large file.
        raise ConnectionError(
            f"A transfer for `handle={handle!r}` did not finish; try again. "
            f"{error} The cause: {error.__cause__}"
        ) from error
