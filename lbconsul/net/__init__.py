"""Sockets: nothing here knows an upstream, a mapping or the admin side."""
