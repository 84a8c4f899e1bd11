# lbconsul as an image: a virtual environment on a base that has Python.
#
#   docker build -t lbconsul .
#   docker run -p 80:80 lbconsul myconsul:8500 80:webserver
#
# BASE is any image with Python 3.11 or newer and its venv module.  Who has a
# package index of their own hands over pip's configuration, which stays out
# of the image:  docker build --secret id=pip,src=pip.conf .
#
# The packages are those of docker/requirements.txt, by their hashes, and so is what
# builds the wheel; scripts/pin-image writes both files.

ARG BASE=python:3.13-slim

FROM ${BASE} AS build
COPY . /src
# Without bytecode: the next stage makes that of the modules which are imported.
# Of commands only lbconsul and twistd stay, and no library's tests.
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    python3 -m venv /pip \
    && python3 -m venv --without-pip /opt/lbconsul \
    && /pip/bin/pip install --no-cache-dir --only-binary :all: --require-hashes \
        --requirement /src/docker/build-requirements.txt \
    && /pip/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheel /src \
    && /pip/bin/pip --python /opt/lbconsul/bin/python install --no-cache-dir --no-compile \
        --only-binary :all: --require-hashes --requirement /src/docker/requirements.txt \
    && /pip/bin/pip --python /opt/lbconsul/bin/python install --no-cache-dir --no-compile \
        --no-deps --no-index /wheel/*.whl \
    && find /opt/lbconsul -type d '(' -name test -o -name tests ')' -prune -exec rm -r '{}' + \
    && find /opt/lbconsul/bin ! -type d ! -name 'python*' ! -name lbconsul ! -name twistd \
        -exec rm '{}' +

FROM ${BASE}
LABEL org.opencontainers.image.title="lbconsul" \
      org.opencontainers.image.description="A TCP and HTTP load balancer on Twisted, driven by HashiCorp Consul" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.url="https://github.com/lbconsul/lbconsul" \
      org.opencontainers.image.source="https://github.com/lbconsul/lbconsul" \
      org.opencontainers.image.documentation="https://github.com/lbconsul/lbconsul/tree/main/docs" \
      org.opencontainers.image.licenses="MIT"
ENV PATH=/opt/lbconsul/bin:$PATH
COPY --from=build /opt/lbconsul /opt/lbconsul
COPY docker/entrypoint docker/healthcheck docker/low-ports /opt/lbconsul/bin/
# A first start as root leaves what the user may not write later: Twisted's
# plugin cache, and the bytecode of what is imported, of Python's own modules too,
# which slim images lack.  What needs a package that is not here, such as lbconsul
# top, is not imported.  Twisted looks at all of its reactors.
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
    && python -c "$(printf '%s\n' \
        'import importlib, pkgutil, lbconsul' \
        'for each in pkgutil.walk_packages(lbconsul.__path__, "lbconsul."):' \
        '    try: "__main__" in each.name or importlib.import_module(each.name)' \
        '    except ImportError: pass')" \
    && python -m compileall -q /opt/lbconsul/lib/python3*/site-packages/twisted/internet \
    && if env --block-signal=TERM true 2>/dev/null; then \
        sed -i '1s|.*|#!/usr/bin/env -S --block-signal=TERM,INT,HUP,USR1 /bin/sh|' \
            /opt/lbconsul/bin/entrypoint; fi \
    && cp -L /opt/lbconsul/bin/python /opt/lbconsul/bin/python-low-ports \
    && python -c 'import os, struct; os.setxattr("/opt/lbconsul/bin/python-low-ports", "security.capability", struct.pack("<5I", 0x2000000, 1 << 10, 0, 0, 0))'
USER 65532:65532
# Status, metrics and the page, once LBCONSUL_ADMIN has them listen beyond the container.
EXPOSE 9200
HEALTHCHECK --interval=10s --timeout=5s --start-period=5s CMD ["low-ports", "healthcheck"]
ENTRYPOINT ["entrypoint"]
