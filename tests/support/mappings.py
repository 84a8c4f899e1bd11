"""Mappings with options, named as users name them."""

from typing import Any

from lbconsul.config.mapping_options import MAPPING_OPTIONS, with_options
from lbconsul.config.model import Mapping


def altered(mapping: Mapping, **values: Any) -> Mapping:
    """The mapping with these values of its options: ``drain_timeout=5.0``."""
    named = {name.replace("_", "-"): value for name, value in values.items()}
    assert named.keys() <= MAPPING_OPTIONS.keys()
    return with_options(mapping, named)
