"""What a URL must not show is not shown, alone or in a text; paths and other texts stay as they are."""

import pytest

from common.urls import masked_url, masked_urls


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://user:PASSWORD@host:80/a/0.tar?sig=SECRET#f", "https://host:80/a/0.tar"),
        ("s3://KEY:SECRET@bucket/0.tar", "s3://bucket/0.tar"),
        ("https://[SECRET/0.tar", "https://***"),
        ("https://host/\x1b[2J?k=SECRET", "https://host/\\x1b[2J"),
    ],
)
def test_a_url_is_shown_without_what_is_secret(url, shown):
    assert masked_url(url) == shown


def test_urls_within_a_text_are_masked_and_nothing_else_is():
    text = "ClientResponseError: 403, url='https://u:PW@host/0.tar?sig=SECRET' (s3://K:S@b/{0..9}.tar?x=1)"
    assert (
        masked_urls(text) == "ClientResponseError: 403, url='https://host/0.tar' (s3://b/{0..9}.tar"
        # the bracket may belong to the query
    )
    for plain in ("/data/a?b=1/0.tar", "a@b", "what is 1://2 ?", "C:\\data"):
        assert masked_urls(plain) == plain
