"""The options of a mapping that may be given several times."""

from lbconsul.config.limit_options import LIMIT_OPTIONS
from lbconsul.config.rewriting_options import REWRITING_OPTIONS

LISTS = frozenset(
    option.name for option in (*REWRITING_OPTIONS, *LIMIT_OPTIONS) if option.is_list
)
