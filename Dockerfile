# SupersoniQ in a container: docker build --tag supersoniq .
#
# Both stages stand on the same base, so that the environment made in the first runs in the second,
# which has neither pip's caches nor the sources. Nothing is written at run time but the store.

ARG BASE=docker.io/library/python:3.13-slim-bookworm

FROM ${BASE} AS build
# What of it to install, of the extras in pyproject.toml.
ARG EXTRAS=server,client,redis,cli
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY supersoniq supersoniq
RUN python3 -m venv --without-pip /opt/supersoniq \
    && python3 -m pip --python /opt/supersoniq/bin/python3 install --no-cache-dir ".[${EXTRAS}]"

FROM ${BASE}
LABEL org.opencontainers.image.title="SupersoniQ" \
      org.opencontainers.image.description="A message queue behind HTTP/1.1, 2, 3 and WebSocket" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN groupadd --gid 10001 supersoniq \
    && useradd --no-log-init --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/supersoniq \
       --shell /usr/sbin/nologin supersoniq \
    && install --directory --owner=10001 --group=10001 --mode=0750 /var/lib/supersoniq
COPY --from=build /opt/supersoniq /opt/supersoniq
COPY deploy/container.toml /etc/supersoniq/supersoniq.toml
# The settings that make sense in a container are in that file, not in variables: those come before
# any file, so that one that is mounted in its place would be of no use.
ENV PATH=/opt/supersoniq/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    SUPERSONIQ_CONFIG=/etc/supersoniq/supersoniq.toml
# A number, since Kubernetes cannot see that a name is not root's.
USER 10001:10001
WORKDIR /var/lib/supersoniq
VOLUME /var/lib/supersoniq
EXPOSE 8000/tcp 8000/udp
HEALTHCHECK --interval=30s --timeout=8s --start-period=10s --retries=3 CMD ["supersoniq", "health"]
ENTRYPOINT ["supersoniq"]
CMD ["serve"]
