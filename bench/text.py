"""What is compressed: 64 KiB of JSON, as an API answers."""

import json
import random

#: Bytes.
SIZE = 64 << 10

_WORDS = [
    "amber",
    "basalt",
    "cedar",
    "dune",
    "ember",
    "fjord",
    "grove",
    "harbor",
    "inlet",
    "juniper",
]


def text() -> bytes:
    """Rows of a table; the same each time."""
    chance = random.Random(1)
    rows = [
        {
            "id": number,
            "name": f"{chance.choice(_WORDS)}-{chance.randrange(1000)}",
            "price": round(chance.random() * 100, 2),
            "tags": chance.sample(_WORDS, 3),
            "url": f"https://example.com/items/{number}?v={chance.randrange(10**9)}",
        }
        for number in range(SIZE // 100)
    ]
    return json.dumps(rows).encode()[:SIZE]
