"""What the operator wants: values, the grammar they are written in, and sources.

Pure: nothing here opens a file, a socket or the environment by itself.
"""
