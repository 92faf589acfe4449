#!/usr/bin/env bash
# pip.sh PACKAGE…: `pip install` inside a build, with the machine's indexes and certificates.
set -Eeuo pipefail

if [[ -s /run/secrets/settings ]]; then
    # shellcheck source=/dev/null
    source /run/secrets/settings
fi
if [[ -n ${UV_DEFAULT_INDEX:-} ]]; then export PIP_INDEX_URL=$UV_DEFAULT_INDEX; fi
if [[ -n ${UV_INDEX:-} ]]; then export PIP_EXTRA_INDEX_URL=$UV_INDEX; fi
if [[ -s /run/secrets/certificates ]]; then export PIP_CERT=/run/secrets/certificates; fi
exec pip install --quiet "$@"
