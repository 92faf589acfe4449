#!/usr/bin/env bash
# Makes sure that a Docker engine answers, with compose v2 and buildx.
#
# An engine that answers is never touched. Without one, as root on Debian or Ubuntu, it is
# installed from Debian's packages and started as a plain background process (containers and
# sandboxes have no init system). BYOC_DOCKER_SETUP=never forbids both.
#
# Exit: 0 an engine answers; 3 none does and none can be set up here (one line says why).
set -Eeuo pipefail

readonly LOG=/var/log/byoc-dockerd.log PIDFILE=/var/run/docker.pid
readonly NEWER=trixie
readonly PACKAGES=(docker.io docker-cli docker-compose docker-buildx containerd iptables)

say() { echo "engine: $*" >&2; }

give_up() {
    say "$*"
    exit 3
}

answers() { timeout 20 docker info >/dev/null 2>&1; }
has_plugins() { docker compose version >/dev/null 2>&1 && docker buildx version >/dev/null 2>&1; }

installed() { command -v dockerd >/dev/null && command -v docker >/dev/null && has_plugins; }

require_permission() {
    [[ ${BYOC_DOCKER_SETUP:-} != never ]] || give_up "$1, and BYOC_DOCKER_SETUP=never forbids to set one up"
    [[ $(id -u) == 0 ]] || give_up "$1: install Docker (engine, compose v2, buildx) and join the group 'docker', or run this as root"
}

apt_quiet() { DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 "$@" >>"$LOG" 2>&1 </dev/null; }

# The mirror that this machine already uses, from either form of apt's sources.
apt_mirror() {
    local found
    found=$(cat /etc/apt/sources.list.d/debian.sources 2>/dev/null | awk '$1 == "URIs:" { print $2; exit }')
    [[ -n $found ]] || found=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null |
        awk '$1 == "deb" { for (i = 2; i <= NF; i++) if ($i ~ /^https?:.*debian\/?$/) { print $i; exit } }')
    echo "$found"
}

add_newer_source() {
    local mirror
    mirror=$(apt_mirror)
    [[ -n $mirror ]] || return 1
    cat >/etc/apt/sources.list.d/byoc-$NEWER.sources <<EOF
Types: deb
URIs: $mirror
Suites: $NEWER
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
EOF
    # Priority 100: nothing comes from there unless it is asked for by name.
    printf 'Package: *\nPin: release n=%s\nPin-Priority: 100\n' "$NEWER" >/etc/apt/preferences.d/byoc-$NEWER
}

# bookworm's engine has neither compose v2 nor buildx, and a machine may be a mixture of releases:
# what counts is what apt has to offer.
offers() { apt-cache policy "$1" 2>/dev/null | grep -q '^ *Candidate: [^(]'; }

install_engine() {
    local id release=()
    # shellcheck source=/dev/null
    id=$(. /etc/os-release && echo "${ID:-} ${ID_LIKE:-}")
    [[ $id == *debian* ]] || give_up "no Docker engine here, and only Debian's and Ubuntu's packages are known: install Docker by hand"
    apt_quiet update || true # one unreachable third-party source must not stop the rest
    if ! offers docker-buildx || ! offers docker-cli; then
        say "this release has no buildx: taking the engine, and the C library it needs, from Debian's $NEWER"
        add_newer_source || give_up "cannot find this machine's Debian mirror in apt's configuration"
        apt_quiet update || true
        release=(-t "$NEWER")
    fi
    say "installing Debian's packages ${PACKAGES[*]} (about a minute; log: $LOG)"
    apt_quiet install -y --no-install-recommends "${release[@]}" "${PACKAGES[@]}" || install_failed
}

install_failed() { give_up "apt could not install the engine: $(grep '^E:' "$LOG" | tail -n 1 | grep . || tail -n 1 "$LOG")"; }

# What a killed engine leaves behind: a pid file that names no engine, its containerd, its bridge.
clear_leftovers() {
    if [[ -f $PIDFILE ]]; then
        say "removing the stale pid file $PIDFILE"
        rm -f "$PIDFILE"
    fi
    ! other_engine || return 0 # with a socket and files of its own: its bridge is not ours to remove
    if pgrep -f '^containerd --config /var/run/docker/' >/dev/null; then
        say "stopping the containerd that a killed engine left"
        pkill -f '^containerd --config /var/run/docker/' || true
        rm -f /var/run/docker/containerd/containerd.pid
    fi
    if ip link show docker0 >/dev/null 2>&1; then
        ip link delete docker0 2>/dev/null || true
    fi
}

other_engine() {
    local pid
    for pid in $(pgrep -x dockerd); do
        if [[ $(readlink "/proc/$pid/exe" 2>/dev/null) == */dockerd ]]; then return 0; fi
    done
    return 1
}

# A killed process that nobody has reaped still has its name, but no program any more.
running() { [[ -f $PIDFILE && $(readlink "/proc/$(cat "$PIDFILE")/exe" 2>/dev/null) == */dockerd ]]; }

last_error() { grep -a 'failed to start\|level=error\|level=fatal' "$LOG" | tail -n 1; }

start_engine() {
    local started=$SECONDS pid=''
    if running; then # a busy engine is not a dead one
        say "waiting for the dockerd that is running (process $(cat "$PIDFILE"))"
    else
        clear_leftovers
        say "starting dockerd (log: $LOG)"
        setsid nohup dockerd >>"$LOG" 2>&1 </dev/null &
        pid=$!
    fi
    until answers; do
        ((SECONDS - started < 90)) || give_up "dockerd does not answer after 90 s: $(last_error)"
        [[ -z $pid ]] || kill -0 "$pid" 2>/dev/null || give_up "dockerd ended: $(last_error)"
        read -rt 0.5 <> <(:) || true
    done
}

main() {
    if answers; then
        has_plugins || {
            require_permission "the engine answers, but the client lacks compose v2 or buildx"
            install_engine
        }
    else
        require_permission "no Docker engine answers"
        installed || install_engine
        answers || start_engine
    fi
    has_plugins || give_up "compose v2 or buildx is missing from the docker client: install docker-compose and docker-buildx"
    say "Docker $(docker info --format '{{.ServerVersion}}'), compose $(docker compose version --short), $(docker buildx version | cut -d' ' -f2)"
}

main "$@"
