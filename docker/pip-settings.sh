#!/usr/bin/env bash
# Sourced. Gives uv what pip's configuration of this machine says, since uv does not read it:
# indexes, folders of wheels, certificates. A file:// index or folder that is not there is left out.

pip_setting() { # pip_setting NAME: its values, one a line, from every level of pip's configuration
    python3 -m pip config list 2>/dev/null | sed -n "s/^[^=]*\.$1='\(.*\)'$/\1/p" | tr ' ' '\n' | sort -u | sed '/^$/d'
}

join_lines() { paste -sd "$1" -; }

export_pip_settings() {
    local index extra links
    index=$(pip_setting index-url | head -n 1)
    extra=$(pip_setting extra-index-url | join_lines ' ')
    links=$(pip_setting find-links | join_lines ,)
    [[ -z $index ]] || export UV_DEFAULT_INDEX=${UV_DEFAULT_INDEX:-$index}
    [[ -z $extra ]] || export UV_INDEX=${UV_INDEX:-$extra}
    [[ -z $links ]] || export UV_FIND_LINKS=${UV_FIND_LINKS:-$links}
    # The same file may be offered by several of them: take whichever holds the locked hash.
    export UV_INDEX_STRATEGY=unsafe-best-match
}
