"""Secrets are redacted in opinions, errors and logs, whole or in part, also where they are disguised."""

import base64
import json
import logging

import pytest

from judges.judge import JudgeRefused, JudgeUnavailable
from judges.open_ai import OpenAIJudge
from tests.judges.fake_server import GOOD, KEY, ok, pictures


def escaped(text):
    return "".join(f"\\u{ord(letter):04x}" for letter in text)


@pytest.mark.parametrize(
    "rationale",
    [
        f"your key is {KEY}",
        f"it begins with {KEY[:15]}",
        " ".join(KEY),
        KEY.upper(),
        base64.b64encode(KEY.encode()).decode(),
        base64.b64encode(b"Bearer " + KEY.encode()).decode(),
        KEY.encode().hex(),
        "n" * 3970 + KEY,
    ],
    ids=lambda text: text[:20],
)
@pytest.mark.parametrize("spell", [str, escaped], ids=["plain", "escapes"])
def test_a_key_in_an_answer_is_redacted(serve, tmp_path, rationale, spell):
    said = json.dumps({**GOOD, "rationale": "HERE", "count": {"ok": True, "reason": "THERE"}})
    said = said.replace("THERE", spell(rationale[-100:])).replace("HERE", spell(rationale))
    server, judge = serve(ok(said))
    (opinion,) = judge.assess(["a circle"], pictures(1))
    kept = "".join(path.read_text() for path in tmp_path.rglob("*.json")) + opinion.rationale
    assert "***" in opinion.verdicts["count"].reason
    assert not [part for part in holds_of(KEY) if part in kept.replace(" ", "").casefold()]
    assert len(kept) > 100


def holds_of(key, letters=8):
    forms = [key, key.encode().hex(), base64.b64encode(key.encode()).decode().rstrip("=")[:-1]]
    return {f[i : i + letters].casefold() for f in forms for i in range(len(f) - letters + 1)}


@pytest.mark.parametrize("before", [0, 90, 96, 130, 150, 155])
@pytest.mark.parametrize("status", [400, 401, 404, 500])
def test_errors_are_redacted_before_they_are_cut(serve, status, before):
    body = json.dumps({"error": {"message": "y" * before + KEY}}).encode()
    server, judge = serve((status, {}, body), tries=1)
    with pytest.raises((JudgeUnavailable, JudgeRefused)) as error:
        judge.assess(["a circle"] * 2, pictures(2))
    assert not [part for part in holds_of(KEY) if part in str(error.value).casefold()]


def test_refusals_are_redacted_before_they_are_cut(serve, tmp_path):
    server, judge = serve(ok({"role": "assistant", "content": None, "refusal": "n" * 280 + KEY}))
    (opinion,) = judge.assess(["a circle"], pictures(1))
    assert opinion.reason.endswith("n***"[: 300 - 280 + 4]) and KEY[:8] not in opinion.reason


def test_a_key_that_is_a_plain_word_is_not_redacted(serve, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    server, judge = serve(ok(json.dumps({**GOOD, "rationale": "none of them is red"})))
    assert judge.assess(["a circle"], pictures(1))[0].rationale == "none of them is red"


def test_credentials_in_a_url_are_refused_in_settings_and_redacted_in_logs(serve, monkeypatch, caplog):
    with pytest.raises(ValueError, match="OPENAI_BASE_URL") as error:
        OpenAIJudge(base_url="http://me:passw0rd-x@host:1/v1?key=tok-12345678")
    assert "passw0rd" not in str(error.value) and "tok-1" not in str(error.value)
    server, _ = serve((500, {}, b'{"error": {"message": "passw0rd-x and tok-12345678"}}'))
    monkeypatch.setenv("OPENAI_BASE_URL", server.url.replace("//", "//me:passw0rd-x@") + "?k=tok-12345678")
    caplog.set_level(logging.DEBUG)
    judge = OpenAIJudge("m", tries=1)
    with pytest.raises(JudgeUnavailable) as error:
        judge.assess(["a circle"], pictures(1))
    everything = caplog.text + str(error.value) + judge.name
    assert "HTTP Request" in caplog.text and "passw0rd" not in everything and "tok-1" not in everything


def test_a_redirect_is_redacted(serve):
    server, judge = serve((302, {"location": f"/{KEY}/login"}, b""))
    with pytest.raises(JudgeRefused, match="redirects to") as error:
        judge.assess(["a circle"], pictures(1))
    assert KEY[:8] not in str(error.value)


DISGUISES = {
    "reverse": lambda key: key[::-1],
    "dashes": "-".join,
    "entities": lambda key: "".join(f"&#{ord(letter)};" for letter in key),
    "hex entities": lambda key: "".join(f"&#x{ord(letter):x};" for letter in key),
    "escapes": lambda key: "".join(f"\\u{ord(letter):04x}" for letter in key),
    "bytes": lambda key: "".join(f"\\x{ord(letter):02x}" for letter in key),
    "percent": lambda key: "".join(f"%{ord(letter):02X}" for letter in key),
    "wide": lambda key: "".join(chr(ord(letter) + 0xFEE0) for letter in key),
    "base32": lambda key: base64.b32encode(key.encode()).decode(),
    "base32 of more": lambda key: base64.b32encode(b"key " + key.encode()).decode(),
    "base85": lambda key: base64.b85encode(key.encode()).decode(),
    "hex": lambda key: key.encode().hex(":"),
}


@pytest.mark.parametrize("disguise", DISGUISES)
def test_a_disguised_key_is_redacted(serve, disguise):
    text = DISGUISES[disguise](KEY)
    server, judge = serve((400, {}, json.dumps({"error": {"message": f"no {text}"}}).encode()))
    with pytest.raises(JudgeRefused) as error:
        judge.assess(["a circle"] * 2, pictures(2))
    said = str(error.value)
    assert "no " in said and "***" in said
    assert not [text[i : i + 20] for i in range(len(text) - 19) if text[i : i + 20] in said]


def test_a_short_key_redacts_no_figures(serve, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "1")
    server, judge = serve(ok(json.dumps({**GOOD, "rationale": "1 of 10 stars, 1 red"})))
    assert judge.assess(["a circle"], pictures(1))[0].rationale == "1 of 10 stars, 1 red"


def test_a_wrong_url_of_the_environment_is_named_without_its_secrets(monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", "http://me:passw0rd@h:abc/v1?k=tok-12345678")
    with pytest.raises(ValueError, match="^OPENAI_BASE_URL is no URL") as error:
        OpenAIJudge()
    assert "passw0rd" not in str(error.value) and "tok-1" not in str(error.value)
