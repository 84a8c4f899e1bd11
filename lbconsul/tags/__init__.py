"""Routes from the tags of services in Consul, as fabio has them.  Pure.

fabio is at https://github.com/fabiolb/fabio, its tags are described at
https://fabiolb.net/quickstart/.  The room knows neither Consul nor the gateway: it is
given instances with their tags, and says which routes they make.
"""
