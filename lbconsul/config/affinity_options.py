"""The options of a mapping that bring a client to the same instance again."""

from lbconsul.config import affinity_values
from lbconsul.config.option import Option

#: Options for TCP as well as HTTP.
HASH_OPTIONS = (
    Option(
        "hash-by",
        affinity_values.hash_by,
        "what policy=hash, or a policy of your own, chooses an instance by: source, or"
        " with mode=http also uri, header:NAME or cookie:NAME; if not given, source for"
        " policy=hash",
        field="affinity.hash_by",
    ),
    Option(
        "hash-balance-factor",
        affinity_values.balance_factor,
        "with policy=hash, give no instance more than this many percent of its share of"
        " the open connections: 101 to 1000, or off [125]",
        field="affinity.hash_balance_factor",
    ),
)
