"""Counters in the text format of Prometheus, version 0.0.4."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

PREFIX = "postrider_smtp_"

# Name, kind and help, in the order in which they are shown.
METRICS = (
    ("connections_total", "counter", "Connections that were accepted, by port."),
    ("connections_refused_total", "counter", "Connections that were refused, by reason."),
    ("connections", "gauge", "Connections that are open, by whether they have logged in."),
    ("logins_total", "counter", "Log-ins, by mechanism."),
    ("auth_failures_total", "counter", "Log-ins that failed, by mechanism and reason."),
    ("messages_accepted_total", "counter", "Messages that were accepted."),
    ("refused_total", "counter", "Refusals, by command and enhanced status code."),
    ("bytes_total", "counter", "Octets of messages that were accepted."),
    ("accept_seconds_total", "counter", "Seconds from the final dot to its reply, of all messages together."),
    ("inbound_total", "counter", "Mail that came back, for each address of ours, by kind and by what became of it."),
    ("certificate_expires", "gauge", "When the certificate in use expires, in seconds since the epoch."),
    ("certificate_problem", "gauge", "1 while the certificate files can't be used and the one before is."),
)


class Counters:
    """Counts by name and labels. A name that is not in METRICS raises KeyError."""

    def __init__(self) -> None:
        self._values: dict[str, dict[tuple[tuple[str, str], ...], float]] = {name: defaultdict(float) for name, _, _ in METRICS}

    def add(self, name: str, number: float = 1.0, /, **labels: str) -> None:
        """Count something. Labels come from a small fixed set of words each, or memory would grow with them."""
        self._values[name][tuple(sorted(labels.items()))] += number

    def value(self, name: str, /, **labels: str) -> float:
        """What was counted; without labels, over all of them."""
        values = self._values[name]
        return values.get(tuple(sorted(labels.items())), 0.0) if labels else sum(values.values())

    def text(self, gauges: Mapping[tuple[str, tuple[tuple[str, str], ...]], float]) -> str:
        """Everything, with what only the server knows now: values by name and labels."""
        lines: list[str] = []
        for name, kind, described in METRICS:
            values = dict(self._values[name])
            values |= {labels: value for (of, labels), value in gauges.items() if of == name}
            lines += [f"# HELP {PREFIX}{name} {described}", f"# TYPE {PREFIX}{name} {kind}"]
            lines += [f"{PREFIX}{name}{_labels(labels)} {value:.15g}" for labels, value in sorted(values.items())]
        return "\n".join(lines) + "\n"


def _labels(labels: tuple[tuple[str, str], ...]) -> str:
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels) + "}" if labels else ""


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
