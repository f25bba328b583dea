"""Short hashes."""

from common.hashes import hash_bytes


def test_a_hash_depends_on_where_one_content_ends() -> None:
    assert hash_bytes(b"ab", b"c") != hash_bytes(b"a", b"bc") and hash_bytes(b"ab", b"c") == hash_bytes(
        b"ab", b"c"
    )
