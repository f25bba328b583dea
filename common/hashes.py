"""Short hashes, by which changes are found."""

import hashlib
import json
from typing import Any


def hash_json(value: Any) -> str:
    """Twelve hex digits of a JSON value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]


def hash_bytes(*contents: bytes) -> str:
    """Sixteen hex digits of contents and of the bounds between them."""
    digest = hashlib.sha256()
    for content in contents:
        digest.update(len(content).to_bytes(8, "big") + content)
    return digest.hexdigest()[:16]
