"""The command ``lbconsul``: runs a gateway, checks a configuration, asks and orders."""
