# No syntax line on purpose: the engine's own BuildKit front end, so that nothing is pulled.
#
#   base ──┬── installer ── dependencies ── program      (thrown away: compiler, uv, caches)
#          └── final  <── /opt/venv of `program`         (what is pushed)
#
# Built by docker/images.sh, which hands in the host's certificates, the addresses of its package
# indexes and its folder of wheels: as secrets and a named context, so that no layer keeps them.
ARG BASE_IMAGE=debian:bookworm-slim

FROM ${BASE_IMAGE} AS base
# Python, and nothing else that training would need from Debian: CUDA comes with torch's wheels.
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt/lists,sharing=locked \
    rm -f /etc/apt/apt.conf.d/docker-clean \
    && apt-get -qq update \
    && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends python3 ca-certificates \
    && rm -rf /var/log/apt /var/log/dpkg.log

FROM base AS installer
# sagemaker-training comes as source with a part in C.
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt/lists,sharing=locked \
    DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends gcc libc6-dev python3-dev python3-venv
COPY docker/requirements/uv.txt docker/install.sh /build/
RUN --mount=type=secret,id=certificates --mount=type=secret,id=settings \
    --mount=type=cache,target=/root/.cache /build/install.sh uv

FROM installer AS dependencies
# torch first: it is the largest by far and changes least.
ARG ACCELERATOR=cpu
ARG TORCH_VERSION=
ARG TORCH_INDEX_URL=
COPY docker/requirements/torch-${ACCELERATOR}.txt /build/torch.txt
RUN --mount=type=secret,id=certificates --mount=type=secret,id=settings \
    --mount=type=bind,from=wheels,target=/wheels \
    --mount=type=cache,target=/root/.cache /build/install.sh torch
COPY docker/requirements/training.txt /build/requirements.txt
RUN --mount=type=secret,id=certificates --mount=type=secret,id=settings \
    --mount=type=bind,from=wheels,target=/wheels \
    --mount=type=cache,target=/root/.cache /build/install.sh requirements
# smdebug pins a protobuf that nothing else here could live with: last, and without its needs.
COPY docker/requirements/smdebug.txt docker/patch_smdebug.py /build/
RUN --mount=type=secret,id=certificates --mount=type=secret,id=settings \
    --mount=type=bind,from=wheels,target=/wheels \
    --mount=type=cache,target=/root/.cache /build/install.sh smdebug
# Last of all, so that a change of what is thrown away costs no new download.
COPY docker/trim.sh /build/
ARG COMPILER=
RUN /build/trim.sh /opt/venv ${COMPILER:+--keep-headers}

FROM dependencies AS program
# Ours comes after everything: its `train` takes the place of the toolkit's.
COPY pyproject.toml README.md LICENSE /build/src/
COPY code /build/src/code
RUN /build/install.sh program

FROM base AS final
# Only where COMPILER is set: what torch.compile needs while a job runs (hyperparameter compile).
ARG COMPILER=
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt/lists,sharing=locked \
    [ -z "$COMPILER" ] || DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends g++ python3-dev
COPY --from=dependencies /opt/venv /opt/venv
COPY --from=program /opt/program /opt/program
# PYTHONUNBUFFERED: CloudWatch sees lines as they are printed. NVIDIA_*: what the container
# runtime mounts of the host's driver; the image brings none (T17).
ENV PATH=/opt/program/bin:/opt/venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    LANG=C.UTF-8 \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
# Root on purpose: SageMaker mounts /opt/ml for root. No init wrapper: `train` itself is PID 1
# and owns the signals. A command and no entry point: local mode passes none, and that trains too.
CMD ["train"]
ARG SOURCE= REVISION= VERSION= CREATED=
LABEL org.opencontainers.image.title="byoc-training" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.created="${CREATED}"
