"""Counts terminations, and the traffic of mappings and upstreams.

Pure: nothing here knows how statistics are shown.
"""
