"""Short hashes that tell whether something is what it was."""

import hashlib
import json
from typing import Any


def hash_json(said: Any) -> str:
    """Twelve hex digits of anything that JSON can say."""
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:12]


def hash_bytes(*contents: bytes) -> str:
    """Sixteen hex digits of some contents, and of where one ends and the next begins."""
    digest = hashlib.sha256()
    for content in contents:
        digest.update(len(content).to_bytes(8, "big") + content)
    return digest.hexdigest()[:16]
