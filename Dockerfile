# The base is an argument, so that the same file builds on any image with Python 3.11 or later.
ARG BASE=docker.io/library/python:3.11.13-slim-bookworm

# hadolint ignore=DL3006
FROM ${BASE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /build
RUN python3 -m venv /opt/poolkeeper
COPY requirements/production.txt requirements/production.txt
RUN /opt/poolkeeper/bin/pip install --require-hashes --only-binary=:all: -r requirements/production.txt
COPY pyproject.toml README.md LICENSE containers.py ./
COPY service service
RUN true

# hadolint ignore=DL3006
FROM ${BASE}
