"""Mappings whose routes are tags."""

import pytest

from lbconsul import configure
from lbconsul.config.render import in_words
from lbconsul.errors import ConfigError


def test_a_mapping_of_tags() -> None:
    """The service @tags stands for those of tags; it has no service of its own."""
    [mapping] = configure(mappings=["80:@tags,mode=http,tag-prefix=r-"]).mappings
    assert mapping.tags.is_on and mapping.tags.prefix == "r-"
    assert not mapping.service and str(mapping) == "80:@tags"
    assert in_words(mapping) == "80:@tags mode=http tag-prefix=r-"


@pytest.mark.parametrize(
    ("mapping", "why"),
    [
        ("80:@tags", "@tags are routes of requests: give mode=http"),
        ("80:@tags,mode=http,tag=v1", "each route is of one tag's instances"),
        ("80:web,mode=http,tag-prefix=r-", "works only with the service @tags"),
    ],
)
def test_what_cannot_be(mapping: str, why: str) -> None:
    """Options that would have no effect are told of."""
    with pytest.raises(ConfigError, match=why):
        configure(mappings=[mapping])


def test_no_other_routes() -> None:
    """A mapping of tags has no routes of the configuration."""
    with pytest.raises(ConfigError, match="has the tags of services as its routes"):
        configure(mappings=["80:@tags,mode=http"], routes=["80:/a=web"])
