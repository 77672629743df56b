"""Who a token lets in: its key decides how it is signed, and everything it must say is said."""

import base64
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from monitor.errors import AccessError, SettingError
from monitor.settings import Settings
from monitor.subscription import ALL_CALLS, Topic
from monitor.tokens import Tokens, write_secret

SECRET = b"0123456789abcdef0123456789abcdef"
TOKENS = Tokens(SECRET, "HS256", "callmood")


def signed(key: Any = SECRET, algorithm: str = "HS256", **changes: Any) -> str:
    claims = {"aud": "callmood", "exp": time.time() + 3_600, "scope": "calls:*", "sub": "kim"} | changes
    return jwt.encode({name: value for name, value in claims.items() if value is not None}, key, algorithm=algorithm)


def unsigned(header: str, claims: str = '{"aud":"callmood","exp":9999999999,"scope":"calls:*"}') -> str:
    return ".".join(base64.urlsafe_b64encode(part.encode()).decode().rstrip("=") for part in (header, claims, ""))


def test_a_token_says_who_may_hear_what_and_until_when() -> None:
    token = TOKENS.make(["agent:4711", "call:M%C3%BCller%20%25", "acknowledge"], 8, "kim")
    grant = TOKENS.grant(token)
    assert (grant.subject, grant.acknowledges, grant.reads_metrics) == ("kim", True, False)
    assert grant.expires_s == pytest.approx(time.time() + 8 * 3600, abs=2)
    heard = [Topic("agent", "4711"), Topic("call", "Müller %")]
    others = [ALL_CALLS, Topic("agent", "471"), Topic("call", "4711"), Topic("agent", "*"), Topic("call", "*")]
    assert [grant.hears(topic) for topic in heard + others] == [True] * 2 + [False] * 5
    assert token not in repr(grant)
    assert all(TOKENS.grant(signed()).hears(topic) for topic in heard + others)


@pytest.mark.parametrize(
    ("token", "why"),
    [
        (signed(exp=time.time() - 1), "the token has expired: get a new one"),
        (signed(exp=None), "the token lacks the claim 'exp'"),
        (signed(aud=None), "the token lacks the claim 'aud'"),
        (signed(aud="other"), "the token is for another audience: see token_audience"),
        (signed(nbf=time.time() + 3_600), "the token is not valid yet: check both clocks"),
        (signed(b"another secret, of 32 bytes or more"), "the token is signed with another key"),
        (signed(b"k" * 64, "HS512"), "the token is signed another way, expected HS256"),
        (unsigned('{"alg":"none","typ":"JWT"}'), "the token is signed another way, expected HS256"),
        (unsigned('{"alg":"None"}'), "the token is signed another way, expected HS256"),
        (unsigned('{"alg":"HS256"}'), "the token is signed with another key"),
        ("", "the token has no form of a JSON Web Token"),
        ("a.b.c", "the token has no form of a JSON Web Token"),
        ("x" * 9_000, "the token has no form of a JSON Web Token"),
    ],
)
def test_a_wrong_token_is_refused_with_a_reason_that_does_not_show_it(token: str, why: str) -> None:
    with pytest.raises(AccessError) as refused:
        TOKENS.grant(token)
    assert (str(refused.value), refused.value.status) == (why, 401)


@given(
    st.one_of(st.text(max_size=80), st.lists(st.text("abcdefgh_-0", max_size=40), min_size=3, max_size=3).map(".".join))
)
def test_any_text_is_a_grant_or_a_refusal(token: str) -> None:
    with pytest.raises(AccessError):
        TOKENS.grant(token)


def test_scopes_of_an_identity_provider_may_be_a_list_and_hold_other_words() -> None:
    assert TOKENS.grant(signed(scope=["openid", "agent:7", 5])).scopes == {"openid", "agent:7"}
    assert TOKENS.grant(signed(scope="openid agent:7")).hears(Topic("agent", "7"))
    assert TOKENS.grant(signed(sub="\ud800x")).subject == "", "a name that cannot be written is none"
    assert not TOKENS.grant(signed(scope=None)).hears(ALL_CALLS)
    assert not TOKENS.grant(signed(scope={"calls:*": 1})).hears(ALL_CALLS)


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
def test_a_public_key_takes_what_its_provider_signed_and_nothing_else(algorithm: str, tmp_path: Path) -> None:
    key: Any = (
        rsa.generate_private_key(65537, 2048) if algorithm == "RS256" else ec.generate_private_key(ec.SECP256R1())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    path = tmp_path / "public.pem"
    path.write_bytes(public)
    tokens = Tokens.load(Settings(token_public_key=str(path)))
    assert tokens is not None
    assert tokens.grant(signed(private, algorithm)).subject == "kim"
    # The known confusion of algorithms: the public key, which everybody has, taken as an HMAC secret.
    forged = jwt.api_jws.PyJWS().encode(b'{"aud":"callmood","exp":9999999999}', b"k" * 32, algorithm="HS256")
    for token in (signed(), forged):
        with pytest.raises(AccessError, match=f"signed another way, expected {algorithm}"):
            tokens.grant(token)
    with pytest.raises(SettingError, match="a private key that callmood does not have: ask your identity provider"):
        tokens.make(["calls:*"], 1)


def test_a_secret_file_is_made_once_for_its_owner_only_and_read_back(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    write_secret(path)
    assert path.stat().st_mode & 0o777 == 0o600
    one, other = (Tokens.load(Settings(token_secret=str(path))) for _ in range(2))
    assert one is not None
    assert other is not None
    assert other.grant(one.make(["calls:*"], 1)).hears(ALL_CALLS)
    with pytest.raises(SettingError, match="cannot make the secret file: File exists"):
        write_secret(path)


def test_a_secret_that_others_may_read_or_that_is_short_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_bytes(SECRET)
    path.chmod(0o640)
    with pytest.raises(SettingError) as refused:
        Tokens.load(Settings(token_secret=str(path)))
    assert str(refused.value) == f"{path}: mode 0640 lets others read it, expected 0600: chmod 600 {path}"
    path.chmod(0o600)
    path.write_bytes(b"short\n")
    with pytest.raises(SettingError) as refused:
        Tokens.load(Settings(token_secret=str(path)))
    cure = "make one by `callmood token --new-secret FILE`"
    assert str(refused.value) == f"{path}: a secret of 5 bytes, expected 32 or more: {cure}"
    with pytest.raises(SettingError, match="cannot read the secret file: No such file"):
        Tokens.load(Settings(token_secret=str(tmp_path / "none")))
    with pytest.raises(SettingError, match="are both set: one key decides"):
        Tokens.load(Settings(token_secret="a", token_public_key="b"))
    assert Tokens.load(Settings()) is None


def test_a_key_that_is_no_public_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    for content, why in [
        (b"nothing", "no public key in PEM, expected -----BEGIN PUBLIC KEY-----"),
        (_public(rsa.generate_private_key(65537, 1024)), "expected an RSA key of 2048 bits or more, or an elliptic"),
        (_public(ec.generate_private_key(ec.SECP384R1())), "expected an RSA key of 2048 bits or more, or an elliptic"),
    ]:
        path.write_bytes(content)
        with pytest.raises(SettingError, match=why):
            Tokens.load(Settings(token_public_key=str(path)))


def _public(key: Any) -> bytes:
    made: bytes = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return made


@pytest.mark.parametrize("scope", ["all", "calls:", "agent:", "call:a b", "agent:a\tb", "agent:*", "call:*", "Metrics"])
def test_a_scope_that_nobody_knows_makes_no_token(scope: str) -> None:
    with pytest.raises(SettingError, match=r"unknown scope .*: expected calls:"):
        TOKENS.make([scope], 1)
