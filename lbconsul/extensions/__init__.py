"""Policies and hooks of an operator's own: found, called, and kept from doing harm."""
