"""Tests of `lbconsul.tls`."""
