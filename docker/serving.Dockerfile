# No syntax line on purpose: the engine's own BuildKit front end, so that nothing is pulled.
#
#   base ──┬── installer ── dependencies ── program      (thrown away: compiler, uv, caches)
#          └── final  <── /opt/venv of `program`         (what is pushed)
#
# Built by docker/images.sh, which hands in the host's certificates, the addresses of its package
# indexes and its folder of wheels: as secrets and a named context, so that no layer keeps them.
ARG BASE_IMAGE=debian:bookworm-slim

FROM ${BASE_IMAGE} AS base
# Python; Java for multi-model-server; nginx in front of it. CUDA comes with torch's wheels.
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt/lists,sharing=locked \
    rm -f /etc/apt/apt.conf.d/docker-clean \
    && apt-get -qq update \
    && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends python3 ca-certificates openjdk-17-jre-headless nginx \
    && rm -rf /var/log/apt /var/log/dpkg.log

FROM base AS installer
# multi-model-server and its needs come partly as source.
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
COPY docker/requirements/serving.txt /build/requirements.txt
RUN --mount=type=secret,id=certificates --mount=type=secret,id=settings \
    --mount=type=bind,from=wheels,target=/wheels \
    --mount=type=cache,target=/root/.cache /build/install.sh requirements
# Last of all, so that a change of what is thrown away costs no new download.
COPY docker/trim.sh /build/
RUN /build/trim.sh /opt/venv

FROM dependencies AS program
# Ours comes after everything: its `serve` takes the place of the toolkit's.
COPY pyproject.toml README.md LICENSE /build/src/
COPY code /build/src/code
RUN /build/install.sh program

FROM base AS final
COPY --from=dependencies /opt/venv /opt/venv
COPY --from=program /opt/program /opt/program
# PYTHONUNBUFFERED: CloudWatch sees lines as they are printed. NVIDIA_*: what the container
# runtime mounts of the host's driver; the image brings none.
ENV PATH=/opt/program/bin:/opt/venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    LANG=C.UTF-8 \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
# Root on purpose: SageMaker mounts /opt/ml for root. No init wrapper: `serve` itself is PID 1,
# owns the signals and reaps what the model server leaves.
EXPOSE 8080
CMD ["serve"]
ARG SOURCE= REVISION= VERSION= CREATED=
# accept-bind-to-port: `serve` takes its port from SAGEMAKER_BIND_TO_PORT (H02). multi-models: many
# models in one container (M01).
LABEL com.amazonaws.sagemaker.capabilities.accept-bind-to-port=true \
      com.amazonaws.sagemaker.capabilities.multi-models=true \
      org.opencontainers.image.title="byoc-serving" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.created="${CREATED}"
