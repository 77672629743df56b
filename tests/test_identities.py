from monitor.identities import Identities


def test_a_pseudonym_is_stable_under_one_key_and_says_nothing_under_another() -> None:
    one, other = Identities(show=False), Identities(show=False)
    assert one.shown("+15551234567") == one.shown("+15551234567") != one.shown("+15551234568")
    assert one.shown("+15551234567") != other.shown("+15551234567")
    assert Identities(show=False, key=b"k" * 32).shown("4711") == "id-17eff22d8cde"


def test_an_identity_that_may_be_shown_is_shown_as_it_is() -> None:
    assert Identities(show=True).shown("sip:4711@example.com") == "sip:4711@example.com"
