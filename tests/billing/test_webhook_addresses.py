"""Webhooks reach public addresses only, whatever a name stands for, when saved and when sent."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from billing import posting, webhook_addresses
from billing.errors import AddressRefused
from billing.posting import post
from billing.webhook_addresses import addresses_of, check_url, is_public, read_url
from tests.billing.receiver import Receiver, receiving


@pytest.fixture(autouse=True)
def _in_production(settings: Any) -> None:
    settings.WEBHOOK_ALLOW_PRIVATE = False


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.9.9.9", "0.0.0.1", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1",
        "169.254.169.254",
        "169.254.1.1", "100.64.0.1", "100.100.100.200", "192.0.0.192", "198.18.0.1", "224.0.0.1", "240.0.0.1",
        "255.255.255.255", "168.63.129.16", "192.0.2.1",
        "::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "fe80::1", "fe80::1%eth0", "fc00::1",
        "fd00:ec2::254", "ff02::1", "64:ff9b::7f00:1", "64:ff9b:1::1", "2002:7f00:1::", "2001:0:4136:e378::1",
        "2001:db8::1", "fec0::1",
    ],
)  # fmt: skip
def test_addresses_inside_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "172.32.0.1", "2606:4700:4700::1111"])
def test_addresses_of_the_internet_are(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example.com/", "ftp://hooks.example.com/", "//hooks.example.com/", "hooks.example.com", "https://",
        "https:///x", "https://user:secret@hooks.example.com/", "https://hooks.example.com/#x",
        "https://hooks.example.com:0/",
        "https://hooks.example.com:99999/", "https://[::1", "https://hooks.example.com/ä",
        "https://hooks.example.com/a b",
        "https://hooks.example.com/\r\nHost: inside", "https://hooks.example.com/" + "x" * 1000, "https://:443/",
        "file:///etc/passwd", "",
    ],
)  # fmt: skip
def test_a_url_that_cannot_be_is_refused_at_its_field(url: str) -> None:
    with pytest.raises(AddressRefused) as refused:
        check_url(url)
    assert list(refused.value.fields) == ["url"]


@pytest.mark.parametrize(
    "url",
    [
        "https://localhost/", "https://127.0.0.1/", "https://127.1/", "https://2130706433/", "https://0x7f000001/",
        "https://017700000001/", "https://[::1]/", "https://[::ffff:127.0.0.1]/", "https://169.254.169.254/latest/",
        "https://localhost.:8443/",
    ],
)  # fmt: skip
def test_other_ways_to_write_this_machine_are_refused_when_saved_and_when_sent(url: str) -> None:
    with pytest.raises(AddressRefused, match="inside a private network"):
        check_url(url)
    assert "inside a private network" in post(url, b"{}", {}, seconds=1).error


def test_one_inside_address_among_public_ones_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook_addresses, "resolve", lambda host, port: ["8.8.8.8", "10.0.0.1"])
    with pytest.raises(AddressRefused, match=r"10\.0\.0\.1"):
        check_url("https://hooks.example.com/")


def test_a_name_nobody_knows_yet_can_be_saved_and_fails_when_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(host: str, port: int) -> list[str]:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(webhook_addresses, "resolve", unknown)
    check_url("https://hooks.example.com/")
    assert post("https://hooks.example.com/", b"{}", {}, seconds=1).error.startswith("The name is not known")


def test_the_connection_goes_to_the_address_that_was_checked(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that stands for a public address when asked and for this machine afterwards reaches nothing."""
    answers = [["8.8.8.8"], ["127.0.0.1"]]
    monkeypatch.setattr(webhook_addresses, "resolve", lambda host, port: answers.pop(0))
    dialled: list[Any] = []

    def dial(address: Any, timeout: float) -> socket.socket:
        dialled.append(address)
        raise ConnectionRefusedError("unreachable")

    monkeypatch.setattr(posting.socket, "create_connection", dial)
    post("https://rebinding.example.com/", b"{}", {}, seconds=1)
    assert dialled == [("8.8.8.8", 443)]
    assert receiver.requests == []


def test_a_certificate_of_another_name_is_not_accepted(receiver: Receiver, settings: Any) -> None:
    settings.WEBHOOK_ALLOW_PRIVATE = True
    secure = receiver.url.replace("http://", "https://")
    assert "exchange broke" in post(secure, b"{}", {}, seconds=5).error  # it does not even speak TLS
    assert receiver.requests == []


def test_the_host_and_query_are_sent_as_written(receiver: Receiver, settings: Any) -> None:
    settings.WEBHOOK_ALLOW_PRIVATE = True
    url = receiver.url.replace("127.0.0.1", "localhost")
    assert post(url, b"{}", {}, seconds=5).succeeded
    assert receiver.requests[0][0]["host"] == url.split("/")[2]
    assert read_url(url).path == "/hooks?team=billing"
    assert "127.0.0.1" in addresses_of(read_url(url))
