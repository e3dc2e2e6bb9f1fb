# The base is an argument, so that the same file builds on any image that has Python 3.11 or later as `python3`.
ARG BASE=docker.io/library/python:3.14.10-slim-trixie

# DL3006 wants a tag: it is in the default of BASE.
# hadolint ignore=DL3006
FROM ${BASE} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
# Two environments: pip is in the one that stays behind.
RUN python3 -m venv /opt/pip && python3 -m venv --without-pip /opt/poolkeeper
COPY requirements/production.txt /app/requirements.txt
# Where packages come from another index than PyPI: `--secret id=pip.conf,src=...`. The secret is in no layer.
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    /opt/pip/bin/pip --python /opt/poolkeeper/bin/python install \
    --require-hashes --only-binary=:all: --no-compile -r /app/requirements.txt
COPY containers.py /app/
COPY config /app/config
COPY service /app/service
# Whatever the umask of who checked it out, the user below can read, and not write: so bytecode is made here. It is
# unchecked, for a copy may change the times that a check goes by.
RUN rm /app/requirements.txt && chmod -R a+rX /app \
    && /opt/poolkeeper/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/poolkeeper/lib /app

# DL3006: as above.
# hadolint ignore=DL3006
FROM ${BASE}
# A name for the number: asyncpg and others look the user up.
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /app --shell /usr/sbin/nologin poolkeeper
COPY --from=build /opt/poolkeeper /opt/poolkeeper
COPY --from=build /app /app
ENV PATH=/opt/poolkeeper/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 POOLKEEPER_ENV=production
WORKDIR /app
# By number, so that Kubernetes can see that it is not root.
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 CMD \
    ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/health/live', timeout=2)"]
# SIGTERM drains requests for up to 20 s, then the pool closes: give it 30 s (`docker stop --time 30`).
CMD ["uvicorn", "service.main:app", "--host", "0.0.0.0", "--port", "8000", \
     "--timeout-graceful-shutdown", "20", "--reset-contextvars", "--no-server-header", \
     "--http", "service.web.server:BatchedProtocol"]
