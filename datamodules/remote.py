"""Places far away: what is one, and whether this installation has a file system for it."""

from common.urls import masked_urls


class Unreachable(OSError):
    """A remote shard could not be had, after all tries."""


def is_remote(place: str) -> bool:
    """Whether a place is a URL (http, s3, gs, ...) and not a path."""
    return "://" in place


def check_system(url: str) -> None:
    """Makes sure that there is a file system for a URL, before shards are waited for.

    Raises:
        ValueError: there is none, or its package is not installed.
    """
    import fsspec

    try:
        fsspec.get_filesystem_class(url.partition("://")[0].lower())
    except (ValueError, ImportError) as error:
        raise ValueError(f"{masked_urls(url)}: no file system for it: {error}") from error
