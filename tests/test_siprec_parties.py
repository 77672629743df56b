import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.settings import SiprecSettings
from monitor.sources.recording_metadata import Participant
from monitor.sources.siprec_parties import Cast, Voice, cast_of

ALICE = Participant("sip:Alice@agents.example.com;user=phone", "Alice A.")
BOB = Participant("tel:+15551234567", "Bob")
CAROL = Participant("", "Carol")
RULES = SiprecSettings(agent=("sip:*@agents.example.com",), customer=("tel:*", "carol"))


def test_patterns_tell_who_is_who_whatever_the_order() -> None:
    cast = cast_of([Voice(0, "1", (BOB,)), Voice(1, "2", (ALICE,))], RULES, {})
    assert cast.parties == {0: "customer", 1: "agent"}
    assert cast.rules == {0: "customer pattern tel:*", 1: "agent pattern sip:*@agents.example.com"}
    assert cast.identities == {"customer": "tel:+15551234567", "agent": "sip:Alice@agents.example.com;user=phone"}
    assert cast.agent == "Alice"


def test_one_pattern_is_enough_for_two() -> None:
    cast = cast_of([Voice(0, "1", (BOB,)), Voice(1, "2", (ALICE,))], SiprecSettings(agent=RULES.agent), {})
    assert (cast.parties, cast.rules[0]) == ({0: "customer", 1: "agent"}, "the party that is left")


def test_a_name_may_match_and_agents_are_told_first() -> None:
    settings = SiprecSettings(agent=("alice*",), customer=("*",))
    cast = cast_of([Voice(0, "", (CAROL,)), Voice(1, "", (ALICE,))], settings, {})
    assert cast.parties == {0: "customer", 1: "agent"}
    assert cast.identities["customer"] == "Carol"


@pytest.mark.parametrize(
    ("labels", "order", "parties"),
    [
        (("96", "97"), "agent,customer", {0: "agent", 1: "customer"}),
        (("97", "96"), "agent,customer", {0: "customer", 1: "agent"}),
        (("10", "9"), "agent,customer", {0: "customer", 1: "agent"}),
        (("b", "a"), "agent,customer", {0: "customer", 1: "agent"}),
        (("", ""), "agent,customer", {0: "agent", 1: "customer"}),
        (("1", "2"), "customer,agent", {0: "customer", 1: "agent"}),
    ],
)
def test_without_a_pattern_the_label_decides(labels: tuple[str, str], order: str, parties: dict[int, str]) -> None:
    cast = cast_of([Voice(n, label) for n, label in enumerate(labels)], SiprecSettings(label_order=order), {})
    assert (cast.parties, cast.rules[0], cast.agent) == (parties, f"label order {order}", None)


def test_two_agents_leave_no_customer() -> None:
    cast = cast_of([Voice(0, "1", (ALICE,)), Voice(1, "2", (ALICE,))], RULES, {})
    assert cast.parties == {0: "agent"}


@pytest.mark.parametrize(
    ("senders", "party"),
    [
        ((), "mixed"),
        ((Participant("sip:x@y"),), "mixed"),
        ((BOB,), "customer"),
        ((ALICE,), "agent"),
        ((ALICE, BOB), "mixed"),
    ],
)
def test_a_lone_stream_needs_a_rule_to_be_anybodys(senders: tuple[Participant, ...], party: str) -> None:
    assert cast_of([Voice(0, "1", senders)], RULES, {}).parties == {0: party}


def test_a_third_stream_is_nobodys() -> None:
    cast = cast_of([Voice(0, "1"), Voice(1, "2"), Voice(2, "3")], SiprecSettings(), {})
    assert cast.parties == {0: "agent", 1: "customer"}


def test_a_mixture_beside_the_parties_own_streams_is_nobodys() -> None:
    cast = cast_of([Voice(0, "0", (ALICE, BOB)), Voice(1, "1", (BOB,)), Voice(2, "2", (ALICE,))], RULES, {})
    assert cast.parties == {1: "customer", 2: "agent"}


def test_what_was_settled_stays_when_a_lower_label_joins() -> None:
    cast = cast_of([Voice(0, "96"), Voice(1, "97"), Voice(2, "1")], SiprecSettings(), {0: "agent", 1: "customer"})
    assert cast.parties == {0: "agent", 1: "customer"}


def test_a_pattern_overrules_what_was_settled() -> None:
    cast = cast_of([Voice(0, "1", (BOB,)), Voice(1, "2")], RULES, {0: "agent", 1: "customer"})
    assert cast.parties == {0: "customer", 1: "agent"}


@pytest.mark.parametrize(
    ("later", "fits"),
    [
        (Cast({0: "agent", 1: "customer"}, agent="alice"), True),
        (Cast({0: "agent", 2: "customer"}), True),
        (Cast({1: "customer"}), True),
        (Cast({0: "customer", 1: "agent"}, agent="alice"), False),
        (Cast({0: "agent", 1: "customer"}, agent="carol"), False),
        (Cast({0: "agent", 1: "mixed"}, agent="alice"), False),
    ],
)
def test_a_call_goes_on_unless_a_party_or_the_agent_changes(later: Cast, fits: bool) -> None:
    assert later.fits(Cast({0: "agent", 1: "customer"}, agent="alice")) is fits


voices = st.builds(
    Voice, st.integers(0, 9), st.text(max_size=3), st.lists(st.sampled_from([ALICE, BOB, CAROL])).map(tuple)
)


@given(st.lists(voices, max_size=6, unique_by=lambda voice: voice.index))
def test_no_party_is_heard_twice_and_every_call_has_one(found: list[Voice]) -> None:
    parties = list(cast_of(found, RULES, {}).parties.values())
    assert len(set(parties)) == len(parties)
    assert bool(parties) is bool(found)
    assert "mixed" not in parties or len(parties) == 1
