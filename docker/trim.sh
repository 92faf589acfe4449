#!/usr/bin/env bash
# Runs inside an image's build: trim.sh VENV [--keep-headers]. Takes away what wheels carry and no
# job ever reads: the packages' own tests, and what is there to compile against them (the images
# have no compiler, but for those built with COMPILER=true).
set -Eeuo pipefail

site=$(echo "${1:?usage: trim.sh VENV [--keep-headers]}"/lib/python3*/site-packages)
cd "$site"

size() { du -sm . | cut -f1; }

before=$(size)
find . -type d \( -name tests -o -name test \) -prune -exec rm -rf {} +
# torch/bin: of it only the manager of shared memory is ever started.
find torch/bin -mindepth 1 ! -name torch_shm_manager -delete
if [[ ${2:-} != --keep-headers ]]; then
    rm -rf torch/include
    # Triton's headers stay: it compiles what it launches.
    find . -path ./triton -prune -o -type f \( -name '*.c' -o -name '*.cpp' -o -name '*.h' \
        -o -name '*.hpp' -o -name '*.pyx' -o -name '*.pxd' \) -exec rm -f {} +
fi
rm -rf torch/share/cmake pyarrow/include pyarrow/src
# CUDA's profiling library comes with NVIDIA's wheels; triton brings a second one, of an older
# CUDA, for its own profiler alone (TRITON_CUPTI_LIB_PATH can name another).
rm -rf triton/backends/nvidia/lib/cupti
find . -type f -name '*.a' -delete
# What matplotlib needs for PDF and PostScript's own fonts, and its examples' data.
rm -rf matplotlib/mpl-data/sample_data matplotlib/mpl-data/fonts/pdfcorefonts matplotlib/mpl-data/fonts/afm
echo "trim.sh: $before MB of packages, now $(size) MB"
