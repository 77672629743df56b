"""What an address asks for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.errors import RequestError
from monitor.subscription import ALL_CALLS, Subscription, Topic, parse_subscription


@pytest.mark.parametrize(
    ("target", "wanted"),
    [
        ("/v1/calls", Subscription(ALL_CALLS)),
        ("/v1/calls?", Subscription(ALL_CALLS)),
        ("/v1/calls?min_interval_s=2.5", Subscription(ALL_CALLS, min_interval_s=2.5)),
        ("/v1/calls?after=Ab_-9", Subscription(ALL_CALLS, "Ab_-9")),
        ("/v1/calls/M%C3%BCller%20%2F%3F", Subscription(Topic("call", "Müller /?"))),
        ("/v1/calls/a?after=e:17&min_interval_s=0", Subscription(Topic("call", "a"), "e", 17)),
        ("/v1/agents/4711?after=e", Subscription(Topic("agent", "4711"), "e")),
    ],
)
def test_an_address_names_a_topic_and_where_to_go_on(target: str, wanted: Subscription) -> None:
    assert parse_subscription(target) == wanted


@pytest.mark.parametrize(
    ("target", "status", "text"),
    [
        ("/v1/agents", 404, "nothing at '/v1/agents': subscribe to /v1/calls, /v1/calls/CALL or /v1/agents/AGENT"),
        ("/v1/calls/%FF", 400, "'%FF' is no percent-encoded UTF-8: encode the name anew"),
        ("/v1/calls?after=e:1", 400, "after='e:1' is no resume point: expected EPOCH, then a resume message"),
        ("/v1/calls/a?after=e", 400, "after='e' is no resume point: expected EPOCH:SEQ"),
        ("/v1/calls/a?after=e:-1", 400, "after='e:-1' is no resume point: expected EPOCH:SEQ"),
        ("/v1/calls/a?after=:1", 400, "after=':1' is no resume point: expected EPOCH:SEQ"),
        ("/v1/calls?min_interval_s=61", 400, "min_interval_s='61': expected seconds within 0..60"),
        ("/v1/calls?min_interval_s=nan", 400, "min_interval_s='nan': expected seconds within 0..60"),
        ("/v1/calls?min_interval_s=", 400, "min_interval_s='': expected seconds within 0..60"),
        ("/v1/calls?since=1", 400, "unknown parameter 'since': after and min_interval_s are known"),
        ("/v1/calls?after=e&after=f", 400, "a parameter stands twice: name each once"),
        ("/v1/calls?token=eyJ", 400, "tokens never go into the address: send Authorization: Bearer TOKEN"),
        ("/v1/calls?access_token=eyJ", 400, "tokens never go into the address: send Authorization: Bearer TOKEN"),
        ("/v1/calls?" + "a=1&" * 20, 400, "too many parameters: after and min_interval_s are known"),
    ],
)
def test_an_address_that_means_nothing_says_what_was_expected(target: str, status: int, text: str) -> None:
    with pytest.raises(RequestError) as refused:
        parse_subscription(target)
    assert (str(refused.value), refused.value.status) == (text, status)


@given(
    st.one_of(
        st.text(max_size=60),
        st.text(max_size=30).map("/v1/calls".__add__),
        st.text(max_size=30).map("/v1/calls?after=".__add__),
    )
)
def test_any_target_is_a_subscription_or_one_printable_line(target: str) -> None:
    text = ""
    try:
        parse_subscription(target)
    except RequestError as refused:
        text = str(refused)
    assert text.isascii()
    assert text.isprintable()
    assert len(text) < 300
