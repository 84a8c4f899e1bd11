"""HTTP/1.1 without I/O: heads, bodies and the fields that a proxy adds.

Everything works on bytes that were received, and is strict: what two servers could
understand differently is refused, never repaired.
"""
