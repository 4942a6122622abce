"""The clock: what an NTP server's packet says, and what a difference means."""

from __future__ import annotations

import struct

import pytest

from local.doctor.clock import clock_finding, how_to_set
from local.doctor.sntp import NoTime, offset, request, split_time_server
from local.doctor_options import _time_server

ERA_1970 = 2_208_988_800
NOW = 1_790_000_000.25


def answer(asked: bytes, their_time: float, *, first: int = 0x24, stratum: int = 2, code: bytes = b"GPS\0") -> bytes:
    """What a server says whose clock shows `their_time` all the while (RFC 4330 section 4)."""
    words = (int(their_time) + ERA_1970) % 2**32, int(their_time % 1 * 2**32)
    head = struct.pack("!BBbbII4sII", first, stratum, 6, -20, 0, 0, code, *words)
    return head + asked[40:48] + struct.pack("!IIII", *words, *words)


@pytest.mark.parametrize("ahead", [0.0, 600.0, -600.0, 0.125])
def test_offset_is_how_far_we_are_ahead_of_the_middle_of_the_way(ahead: float) -> None:
    asked = request(NOW)
    assert offset(answer(asked, NOW + 1 - ahead), asked, NOW, NOW + 2) == pytest.approx(ahead, abs=1e-3)


def test_offset_after_2036_is_of_the_next_era() -> None:
    at = 2_090_000_000.5  # March 2036; the first era ends on 7 February 2036
    asked = request(at)
    assert offset(answer(asked, at - 90), asked, at, at) == pytest.approx(90, abs=1e-3)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"first": 0x23}, "not to our question"),
        ({"first": 0xE4}, "not set"),
        ({"stratum": 16}, "not set"),
        ({"stratum": 0, "code": b"RATE"}, r"does not want to be asked \(RATE\)"),
    ],
)
def test_answer_that_has_no_time_is_refused(changes: dict[str, int], words: str) -> None:
    asked = request(NOW)
    with pytest.raises(NoTime, match=words):
        offset(answer(asked, NOW, **changes), asked, NOW, NOW)  # type: ignore[arg-type]


def test_answer_to_another_question_is_refused() -> None:
    with pytest.raises(NoTime, match="not to our question"):
        offset(answer(request(NOW - 5), NOW), request(NOW), NOW, NOW)
    with pytest.raises(NoTime, match="too short"):
        offset(b"\x24" * 47, request(NOW), NOW, NOW)


@pytest.mark.parametrize(
    ("ahead", "state", "words"),
    [
        (0.4, "ok", "less than 5 s"),
        (-4.9, "ok", "less than 5 s"),
        (5.0, "notice", "5.0 s ahead of"),
        (-59.0, "notice", "59 s behind"),
        (60.0, "wrong", "60 s ahead of"),
        (-600.0, "wrong", "10 min behind"),
    ],
)
def test_clock_that_is_off_is_told_with_its_direction(ahead: float, state: str, words: str) -> None:
    finding = clock_finding("against storage", ahead, "a server")
    assert finding.state == state
    assert words in finding.found
    assert state == "ok" or how_to_set() in finding.remedy


@pytest.mark.parametrize(
    ("system", "release", "words"),
    [
        ("linux", "6.1.0", "timedatectl set-ntp true"),
        ("linux", "5.15.153.1-microsoft-standard-WSL2", "wsl --shutdown"),
        ("darwin", "23.0.0", "sntp"),
        ("win32", "10", "w32tm /resync"),
    ],
)
def test_clock_remedy_is_that_of_the_platform(system: str, release: str, words: str) -> None:
    assert words in how_to_set(system, release)


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("time.windows.com", "time.windows.com", 123),
        ("127.0.0.1:1123", "127.0.0.1", 1123),
        ("::1", "::1", 123),
        ("[::1]:1123", "::1", 1123),
    ],
)
def test_time_server_is_a_host_and_perhaps_a_port(text: str, host: str, port: int) -> None:
    assert split_time_server(text) == (host, port)
    assert _time_server(text) == text


@pytest.mark.parametrize("text", ["host:", "host:0", "host:65536", "host:ntp", ":123"])
def test_time_server_that_is_written_wrong_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        split_time_server(text)


def test_time_server_may_be_none() -> None:
    assert _time_server("") == ""
