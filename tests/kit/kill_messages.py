"""The messages of the kill run: each follows from the seed and its number, so that none has to be remembered."""

from __future__ import annotations

import json
import random
import uuid
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Message:
    """One to send. The beginning of a local part says what the receiver does with it (see `kill_receiver`)."""

    number: int
    operation_id: str
    recipients: tuple[str, ...]

    def body(self, sender: str) -> bytes:
        """The request body."""
        request = {
            "senderAddress": sender,
            "content": {"subject": "A message of the kill run", "plainText": f"Operation {self.operation_id}.\n" * 5},
            "recipients": {"to": [{"address": recipient} for recipient in self.recipients]},
        }
        return json.dumps(request).encode()


def message(seed: int, number: int, *, greylisting: bool = True, several: bool = False) -> Message:
    """The message of that number: most have one recipient that is taken, some take a longer way.

    Greylisted (which is tried again some seconds later), refused, split over domains, and several recipients of one domain with
    different ends. `several`: any mixture of these, of one to four recipients.
    """
    chance = random.Random(f"{seed}:{number}")
    operation_id = str(uuid.UUID(int=chance.getrandbits(128), version=4))
    taken, refused = f"r{number}", f"no{number}"
    greylisted = f"grey{number}" if greylisting else f"other{number}"
    if several:
        third = chance.choices([f"s{number}@c.test", f"{refused}@c.test", f"{greylisted}@c.test"], [0.6, 0.3, 0.1])
        others = [f"{taken}@b.test", f"t{number}@a.test", *third]
        return Message(number, operation_id, (f"{taken}@a.test", *chance.sample(others, chance.randrange(4))))
    way = chance.random()
    if way < 0.85:
        recipients = [f"{taken}@a.test"]
    elif way < 0.87:
        recipients = [f"{greylisted}@a.test"]
    elif way < 0.90:
        recipients = [f"{refused}@a.test"]
    elif way < 0.98:
        recipients = [f"{taken}@a.test", f"{taken}@b.test"]
        recipients += chance.choice([[], [f"{greylisted}@c.test"], [f"{refused}@c.test"]])
    else:
        recipients = [f"{taken}@a.test", f"{refused}@a.test", f"{greylisted}@a.test"]
    return Message(number, operation_id, tuple(recipients))


def number_of(recipient: str) -> int:
    """The number of the message that a recipient is of."""
    return int("".join(filter(str.isdecimal, recipient.partition("@")[0])))


def wanted_status(recipient: str) -> str:
    """The final status that a recipient must come to."""
    return "Bounced" if recipient.startswith("no") else "Delivered"
