from collections.abc import Callable

import pytest

from monitor.errors import ProtocolError
from monitor.sources import sip
from monitor.sources.sip import Request
from monitor.sources.sip_transactions import LIFETIME_S, Peer, Transaction, Transactions, new_branch
from tests.sip_texts import request

UDP, TCP = Peer("127.0.0.1", 5061), Peer("127.0.0.1", 40_000, connection=1)


class Table:
    """Transactions, with everything that was sent and given up."""

    def __init__(self) -> None:
        self.sent: list[tuple[Peer, bytes]] = []
        self.unheard: list[Transaction] = []
        self.transactions = Transactions(lambda peer, data: self.sent.append((peer, data)), self.unheard.append)

    def take(self, data: bytes, peer: Peer = UDP) -> Transaction | None:
        return self.transactions.take(parsed(data), peer)

    def times_sent(self, until_s: float) -> list[float]:
        """When something is sent, by a clock that goes in steps of 0.1 s."""
        times = []
        for tenth in range(1, round(until_s * 10) + 1):
            before = len(self.sent)
            self.transactions.tick(tenth / 10)
            times += [tenth / 10] * (len(self.sent) - before)
        return times


def parsed(data: bytes) -> Request:
    message = sip.parse(data)
    assert isinstance(message, Request)
    return message


@pytest.fixture
def table() -> Table:
    return Table()


def answered(table: Table, status: int, method: str = "INVITE", peer: Peer = UDP) -> Transaction:
    transaction = table.take(request(method), peer)
    assert transaction is not None
    table.transactions.respond(transaction, status, b"answer", 0.0)
    return transaction


def test_a_request_that_comes_again_is_answered_again_and_is_not_new(table: Table) -> None:
    answered(table, 200, "OPTIONS")
    assert table.take(request("OPTIONS")) is None
    assert table.sent == [(UDP, b"answer"), (UDP, b"answer")]


def test_it_is_new_again_when_all_is_forgotten(table: Table) -> None:
    answered(table, 200, "OPTIONS")
    table.transactions.tick(LIFETIME_S)
    assert table.take(request("OPTIONS")) is not None


@pytest.mark.parametrize("other", [Peer("127.0.0.2", 5061), UDP])
def test_the_same_branch_from_elsewhere_or_of_another_method_is_another_request(table: Table, other: Peer) -> None:
    answered(table, 200, "OPTIONS")
    branch = "z9hG4bK-call-1@client-1-OPTIONS"
    assert table.take(request("OPTIONS" if other != UDP else "BYE", branch=branch), other) is not None


def test_clients_without_branches_are_told_apart_by_call_and_number(table: Table) -> None:
    def old(cseq: int) -> bytes:
        return request("OPTIONS", cseq=cseq, branch="1")

    assert [table.take(old(cseq)) is not None for cseq in (1, 2, 1)] == [True, True, False]


@pytest.mark.parametrize(("status", "peer"), [(200, UDP), (200, TCP), (486, UDP)])
def test_a_final_answer_to_an_invite_is_sent_until_it_is_given_up(table: Table, status: int, peer: Peer) -> None:
    transaction = answered(table, status, peer=peer)
    assert table.times_sent(LIFETIME_S) == [0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    assert table.unheard == [transaction]


def test_a_refusal_over_tcp_is_sent_once(table: Table) -> None:
    answered(table, 486, peer=TCP)
    assert table.times_sent(LIFETIME_S) == []


def test_the_ack_of_a_refusal_ends_its_repetition(table: Table) -> None:
    answered(table, 486)
    assert table.take(request("ACK", branch="z9hG4bK-call-1@client-1-INVITE")) is None
    assert (table.times_sent(LIFETIME_S), table.unheard) == ([], [])


def test_the_ack_of_an_acceptance_is_the_dialogs_matter(table: Table) -> None:
    transaction = answered(table, 200)
    assert table.take(request("ACK", branch="z9hG4bK-call-1@client-1-INVITE")) is None
    assert table.times_sent(1.0) == [0.5]
    transaction.settled = True
    assert (table.times_sent(LIFETIME_S), table.unheard) == ([], [])


def test_only_the_first_final_answer_counts(table: Table) -> None:
    transaction = answered(table, 100)
    table.transactions.respond(transaction, 487, b"cancelled", 0.0)
    table.transactions.respond(transaction, 200, b"too late", 0.0)
    assert [data for _, data in table.sent] == [b"answer", b"cancelled"]


def test_a_cancel_finds_its_invite(table: Table) -> None:
    invite = table.take(request("INVITE"))
    cancel = parsed(request("CANCEL", branch="z9hG4bK-call-1@client-1-INVITE"))
    assert table.transactions.invite_of(cancel, UDP) is invite
    assert table.transactions.invite_of(parsed(request("CANCEL")), UDP) is None


@pytest.mark.parametrize(
    ("peer", "times"), [(UDP, [0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]), (TCP, [])]
)
def test_a_request_of_ours_is_sent_over_udp_until_it_is_answered_or_given_up(
    table: Table, peer: Peer, times: list[float]
) -> None:
    table.transactions.ask(b"BYE", new_branch(), peer, 0.0)
    assert (table.transactions.asking, table.times_sent(LIFETIME_S), table.transactions.asking) == (1, times, 0)


def test_its_answer_ends_that(table: Table) -> None:
    table.transactions.ask(b"BYE", "z9hG4bK1", UDP, 0.0)
    for status, asking in ((100, 1), (200, 0), (200, 0)):
        text = f"SIP/2.0 {status} X\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1;rport=9\r\n\r\n"
        answer = sip.parse(text.encode())
        assert isinstance(answer, sip.Response)
        table.transactions.answered(answer)
        assert table.transactions.asking == asking
    assert table.times_sent(LIFETIME_S) == []


@pytest.mark.parametrize(
    ("peer", "via", "port"),
    [(UDP, ";rport", 5061), (Peer("127.0.0.1", 999), "", 5061), (Peer("127.0.0.1", 999), ";rport", 999)],
)
def test_answers_go_to_where_the_client_wants_them_but_to_no_other_host(
    table: Table, peer: Peer, via: str, port: int
) -> None:
    answered_via: Callable[[bytes], bytes] = lambda data: data.replace(b";branch", via.encode() + b";branch")  # noqa: E731
    transaction = table.take(answered_via(request("OPTIONS")).replace(b"UDP 127.0.0.1", b"UDP 192.0.2.1"), peer)
    assert transaction is not None
    assert (transaction.peer, transaction.came_from) == (Peer("127.0.0.1", port), (peer.host, peer.port))


def test_what_cannot_be_answered_is_an_error(table: Table) -> None:
    with pytest.raises(ProtocolError, match="without a Via"):
        table.take(request().replace(b"Via:", b"Vie:"))


def test_too_many_at_once_are_dropped_and_counted(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitor.sources.sip_transactions._MOST", 2)
    taken = [table.take(request("OPTIONS", cseq=cseq)) for cseq in range(1, 5)]
    assert [one is not None for one in taken] == [True, True, False, False]
    assert table.transactions.dropped == 2
