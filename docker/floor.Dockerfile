# What no image with torch can be smaller than: the base, Python, torch and what torch needs.
# Only tests build it (docker/images.sh floor), to measure the other two against.
#
#   base ──┬── installer ── dependencies      (the same steps as training.Dockerfile's, from cache)
#          └── final  <── /opt/venv
ARG BASE_IMAGE=debian:bookworm-slim

FROM ${BASE_IMAGE} AS base
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt/lists,sharing=locked \
    rm -f /etc/apt/apt.conf.d/docker-clean \
    && apt-get -qq update \
    && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends python3 ca-certificates \
    && rm -rf /var/log/apt /var/log/dpkg.log

FROM base AS installer
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt/lists,sharing=locked \
    DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends gcc libc6-dev python3-dev python3-venv
COPY docker/requirements/uv.txt docker/install.sh /build/
RUN --mount=type=secret,id=certificates --mount=type=secret,id=settings \
    --mount=type=cache,target=/root/.cache /build/install.sh uv

FROM installer AS dependencies
ARG ACCELERATOR=cpu
ARG TORCH_VERSION=
ARG TORCH_INDEX_URL=
COPY docker/requirements/torch-${ACCELERATOR}.txt /build/torch.txt
RUN --mount=type=secret,id=certificates --mount=type=secret,id=settings \
    --mount=type=bind,from=wheels,target=/wheels \
    --mount=type=cache,target=/root/.cache /build/install.sh torch
# What torch needs, in the versions of the lock: the installer adds whatever is not there yet.
COPY docker/requirements/training.txt /build/constraints.txt
RUN --mount=type=secret,id=certificates --mount=type=secret,id=settings \
    --mount=type=bind,from=wheels,target=/wheels \
    --mount=type=cache,target=/root/.cache \
    TORCH_VERSION="${TORCH_VERSION:-$(sed -n 's/^torch==\([^ ]*\).*/\1/p' /build/torch.txt)}" \
    UV_CONSTRAINT=/build/constraints.txt /build/install.sh torch

FROM base AS final
COPY --from=dependencies /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
CMD ["python3"]
