# lbconsul as an image: a virtual environment on a base that has Python.
#
#   docker build -t lbconsul .
#   docker run -p 80:80 lbconsul myconsul:8500 80:webserver
#
# BASE is any image with Python 3.11 or newer and its venv module.  Who has a
# package index of their own hands over pip's configuration, which stays out
# of the image:  docker build --secret id=pip,src=pip.conf .

ARG BASE=python:3.13-slim

FROM ${BASE} AS build
COPY . /src
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    python3 -m venv /pip \
    && python3 -m venv --without-pip /opt/lbconsul \
    && /pip/bin/pip --python /opt/lbconsul/bin/python install --no-cache-dir /src \
    && find /opt/lbconsul -type d '(' -name test -o -name tests ')' -prune -exec rm -r '{}' +

FROM ${BASE}
LABEL org.opencontainers.image.title="lbconsul" \
      org.opencontainers.image.description="A TCP and HTTP load balancer on Twisted, driven by HashiCorp Consul" \
      org.opencontainers.image.licenses="MIT"
ENV PATH=/opt/lbconsul/bin:$PATH
COPY --from=build /opt/lbconsul /opt/lbconsul
COPY docker/ /opt/lbconsul/bin/
# A first start as root leaves what the user may not write later: Twisted's
# plugin cache, and the bytecode of what is imported, which slim images lack.
#
# The interpreter of low-ports gets cap_net_bind_service=p, as setcap would
# write it.  It is not "ep": with the effective bit, the 1 in the first word,
# it could not be run at all where a container is denied the capability.
#
# The entry point is begun by env, which blocks signals until lbconsul handles them
# (docker/entrypoint), where env can do that: GNU's can, busybox' cannot.
RUN twistd lbconsul --help >/dev/null \
    && lbconsul check 80:webserver >/dev/null \
    && lbconsul man >/dev/null \
    && if env --block-signal=TERM true 2>/dev/null; then \
        sed -i '1s|.*|#!/usr/bin/env -S --block-signal=TERM,INT,HUP,USR1 /bin/sh|' \
            /opt/lbconsul/bin/entrypoint; fi \
    && cp -L /opt/lbconsul/bin/python /opt/lbconsul/bin/python-low-ports \
    && python -c 'import os, struct; os.setxattr("/opt/lbconsul/bin/python-low-ports", "security.capability", struct.pack("<5I", 0x2000000, 1 << 10, 0, 0, 0))'
USER 65532:65532
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s CMD ["low-ports", "healthcheck"]
ENTRYPOINT ["entrypoint"]
