"""TLS on sockets of our own: streams, contexts and certificates.

Everything stands on pyOpenSSL.  The room knows files, names and sockets, but no
mappings and no upstreams.
"""
