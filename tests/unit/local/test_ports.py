"""Ports: a busy one is named with its holder."""

from __future__ import annotations

import os
import sys

import pytest

from local.ports import PortUnavailable, check_free, free_ports, listen
from tests.kit.peers import require


def test_free_ports_are_different_and_can_be_listened_on() -> None:
    ports = free_ports(5)
    assert len(set(ports)) == 5
    for port in ports:
        check_free(port)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_port_that_is_busy_on_either_address_is_refused_with_its_number(host: str) -> None:
    held = listen(0, hosts=[host])
    require(bool(held), f"this machine has no {host}")
    port = held[0].getsockname()[1]
    with pytest.raises(PortUnavailable, match=f"port {port} is busy") as raised:
        check_free(port)
    assert raised.value.port == port
    if sys.platform == "linux":
        assert f"(pid {os.getpid()}) listens on it" in str(raised.value)
    held[0].close()
    check_free(port)


def test_listen_on_a_port_that_the_system_chooses_is_the_same_port_on_both_addresses() -> None:
    sockets = listen(0)
    addresses = [opened.getsockname()[:2] for opened in sockets]
    assert addresses[0][0] == "127.0.0.1"
    assert {port for _, port in addresses} == {addresses[0][1]}
    for opened in sockets:
        opened.close()
