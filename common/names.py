"""Names that become folders: a run's, an arm's of an ablation."""

MAX_BYTES = 255  # of one folder's name, on the usual file systems


def check_run_name(name: str, key: str = "name") -> None:
    """Makes sure that a name stays below the folder that it is put in, and prints as it stands.

    Args:
        name: one folder, or several with "/" between them, as illume_7b/stage1.
        key: the setting that gives it, for the error.

    Raises:
        ValueError: it is empty, leads elsewhere, or has letters that no terminal should be sent.
    """
    parts = name.split("/")
    if not all(parts) or set(parts) & {".", ".."} or name.startswith("~") or "\\" in name:
        raise ValueError(
            f"{key} is {name!r}, and must lead to a folder of its own below the others: letters, digits and signs, or "
            "several such with '/' between them"
        )
    if not name.isprintable():
        raise ValueError(f"{key} is {name!r}, which has letters that cannot be printed: leave them out")
    if any(len(part.encode("utf-8", "surrogatepass")) > MAX_BYTES for part in parts):
        raise ValueError(f"{key} is longer than a folder's name may be: {name[:40]!r}...")
