"""Counts how connections end, and what mappings and upstreams come to.

Pure: nothing here knows how figures are shown.
"""
