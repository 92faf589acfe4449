#!/usr/bin/env bash
# programs.sh NAME…: makes sure that programs from Debian's packages are here.
# As root on Debian or Ubuntu a missing one is installed; otherwise it is named with its package.
# Exit: 0 all are here; 1 not.
set -Eeuo pipefail

say() { echo "programs: $*" >&2; }

package_of() {
    case $1 in
        java) echo openjdk-17-jre-headless ;;
        pg_ctlcluster) echo postgresql ;;
        *) echo "$1" ;;
    esac
}

missing=()
for name in "$@"; do
    command -v "$name" >/dev/null || missing+=("$(package_of "$name")")
done
((${#missing[@]})) || exit 0

if [[ $(id -u) != 0 ]] || ! command -v apt-get >/dev/null; then
    say "not here: install Debian's packages ${missing[*]}"
    exit 1
fi
say "installing Debian's packages ${missing[*]}"
log=$(mktemp)
apt-get -qq update >"$log" 2>&1 || true
RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive \
    apt-get -qq install -y --no-install-recommends "${missing[@]}" >>"$log" 2>&1 </dev/null || {
    say "apt could not install them: $(grep -m1 '^E:' "$log" || tail -n 1 "$log"); log: $log"
    exit 1
}
rm -f "$log"
