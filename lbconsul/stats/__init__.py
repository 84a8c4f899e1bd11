"""COUNTS: how sessions end, and what mappings and upstreams come to."""
