"""Who waits before the next try, and for how long."""

from __future__ import annotations

from smtp_relay import lockout
from smtp_relay.lockout import FIRST_PAUSE, FREE, LONGEST_PAUSE, MEMORY, Lockout, address_key


def fail(lock: Lockout, times: int, *, address: str = "192.0.2.1", user: str = "ann", now: float = 0.0) -> None:
    for _ in range(times):
        lock.failed(address, user, now)


def test_first_failures_cost_nothing() -> None:
    lock = Lockout()
    fail(lock, FREE)
    assert lock.wait("192.0.2.1", "ann", 0.0) == 0.0


def test_each_failure_more_doubles_the_pause_up_to_the_longest() -> None:
    lock = Lockout()
    fail(lock, FREE)
    pauses = []
    for _ in range(12):
        fail(lock, 1)
        pauses.append(lock.wait("192.0.2.1", "ann", 0.0))
    assert pauses[:3] == [FIRST_PAUSE, 2 * FIRST_PAUSE, 4 * FIRST_PAUSE]
    assert pauses[-1] == LONGEST_PAUSE
    assert lock.wait("192.0.2.1", "ann", LONGEST_PAUSE) == 0.0


def test_address_that_tries_many_users_waits_with_each_of_them() -> None:
    lock = Lockout()
    for number in range(FREE + 1):
        lock.failed("192.0.2.1", f"user{number}", 0.0)
    assert lock.wait("192.0.2.1", "another", 0.0) == FIRST_PAUSE
    assert lock.wait("192.0.2.2", "another", 0.0) == 0.0


def test_user_that_many_addresses_try_waits_elsewhere_and_not_where_it_is_known() -> None:
    lock = Lockout()
    lock.succeeded("198.51.100.7", "Ann")
    for number in range(FREE + 1):
        lock.failed(f"192.0.2.{number}", "ann", 0.0)
    assert lock.wait("203.0.113.5", "ann", 0.0) == FIRST_PAUSE
    assert lock.wait("198.51.100.7", "ANN", 0.0) == 0.0


def test_success_forgets_the_failures_of_the_user_and_not_those_of_the_address() -> None:
    lock = Lockout()
    fail(lock, FREE + 1)
    lock.succeeded("192.0.2.1", "ann")
    assert lock.wait("192.0.2.9", "ann", 0.0) == 0.0
    assert lock.wait("192.0.2.1", "bob", 0.0) == FIRST_PAUSE


def test_user_that_is_known_at_an_address_is_not_locked_out_by_others_there_until_it_fails() -> None:
    lock = Lockout()
    lock.succeeded("192.0.2.1", "scanner")
    for _ in range(FREE + 1):
        lock.failed("192.0.2.1", "printer", 0.0)
    assert lock.wait("192.0.2.1", "printer", 0.0) == FIRST_PAUSE
    assert lock.wait("192.0.2.1", "scanner", 0.0) == 0.0
    lock.failed("192.0.2.1", "scanner", 0.0)
    assert lock.wait("192.0.2.1", "scanner", 0.0) == 2 * FIRST_PAUSE


def test_failures_are_forgotten_after_a_while() -> None:
    lock = Lockout()
    fail(lock, FREE)
    fail(lock, 1, now=MEMORY + 1)
    assert lock.wait("192.0.2.1", "ann", MEMORY + 1) == 0.0


def test_memory_is_bounded() -> None:
    lock = Lockout()
    for number in range(lockout.MOST + 500):
        lock.failed(f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}", f"user{number}", 0.0)
    assert len(lock) == lockout.MOST


def test_addresses_of_one_customer_are_one() -> None:
    assert address_key("2001:db8:1:2:3::4") == address_key("2001:db8:1:2::9") != address_key("2001:db8:1:3::9")
    assert address_key("::ffff:192.0.2.1") == "192.0.2.1"
    assert address_key("fe80::1%eth0") == "fe80::/64"


def test_user_is_one_in_whatever_form_its_name_has() -> None:
    lock = Lockout()
    application, tenant = "0f8fad5b-d9cb-469f-a165-70867728950e", "7e6d4f0e-3f52-4fd7-a3f7-5a3c2f6f1b22"
    for number in range(FREE + 1):
        mark = ".|"[number % 2]
        lock.failed(f"192.0.2.{number}", f"Contoso{mark}{application}{mark}{tenant}", 0.0)
    assert lock.wait("198.51.100.7", f"contoso.{application}.{tenant}".upper(), 0.0) == FIRST_PAUSE
    assert lock.wait("198.51.100.7", f"fabrikam.{application}.{tenant}", 0.0) == 0.0
