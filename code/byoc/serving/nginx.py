"""The front: nginx owns the port, tells the truth on /ping and hides the model server.

All of its files lie in the state's folder: a read-only root file system is enough.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable

from byoc.serving.settings import Settings
from byoc.serving.state import State

PROGRAM = "nginx"
DEBIAN_PACKAGE = "nginx"
DRAIN_SECONDS = 25
"""How long requests in flight may take after SIGTERM; SageMaker kills after 30 s."""

_ERRORS = {
    400: "not a valid HTTP request",
    404: "not found: GET /ping or POST /invocations",
    405: "method not allowed: GET /ping or POST /invocations",
    413: "the body is larger than {limit} bytes",
    500: "the model could not answer this request",
    502: "the worker that had this request ended: try again",
    503: "no worker can take this request now: try again",
    504: "no reply within {timeout} s",
    507: "the worker that had this request ran out of memory",
}

_TEMPLATE = """\
{user}pid {folder}/nginx.pid;
error_log stderr {log_level};
daemon off;
worker_processes 1;
worker_shutdown_timeout {drain}s;
events {{
    worker_connections 1024;
}}
http {{
    access_log off;
    server_tokens off;
    default_type application/json;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    client_max_body_size {limit};
    client_body_buffer_size 1m;
    client_header_timeout 60s;
    client_body_timeout 60s;
    keepalive_timeout 75s;
    reset_timedout_connection on;
    upstream model_server {{
        server unix:{socket} max_fails=0;
        keepalive 32;
    }}
    server {{
        listen {port} backlog=1024;
{bodies}
{error_pages}
        location = /ping {{
            if ($request_method !~ ^(GET|HEAD)$) {{
                return 405;
            }}
            if (!-f {ready}) {{
                return 503;
            }}
            return 200 '{{"status": "ready"}}';
        }}
        location = /invocations {{
            if ($request_method != POST) {{
                return 405;
            }}
            # The model server takes model names and inputs from the query: it gets none.
            set $args "";
            proxy_pass http://model_server;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Expect "";
            proxy_set_header X-Byoc-Warm-Up "";
            proxy_set_header X-Byoc-Content-Type $http_content_type;
            proxy_set_header Content-Type application/octet-stream;
            proxy_hide_header x-request-id;
            proxy_hide_header Pragma;
            proxy_hide_header Expires;
            proxy_hide_header Cache-Control;
            proxy_read_timeout {timeout}s;
            proxy_next_upstream off;
            # The model server's own errors name its classes. 400, 406 and 415 are ours: kept.
            proxy_intercept_errors on;
{intercepted}
        }}
        location / {{
            return 404;
        }}
    }}
}}
"""


def render(settings: Settings, state: State) -> str:
    """The configuration, as text."""
    return _TEMPLATE.format(
        # Workers of a root master would become another user, whom the state's folder is shut to.
        user="user root;\n" if os.geteuid() == 0 else "",
        folder=state.folder,
        ready=state.ready,
        socket=state.inference_socket,
        port=settings.port,
        limit=settings.body_limit,
        timeout=settings.timeout,
        drain=DRAIN_SECONDS,
        log_level="info" if settings.log_level <= 10 else "error",
        bodies=_bodies(settings),
        error_pages=_error_pages(_ERRORS, indent=8),
        intercepted=_error_pages([status for status in _ERRORS if status != 400], indent=12),
    )


def command(settings: Settings, state: State) -> list[str]:
    """Writes the configuration into the state's folder; how to start nginx with it."""
    path = state.folder / "nginx.conf"
    path.write_text(render(settings, state), encoding="utf-8")
    return [PROGRAM, "-c", str(path), "-p", f"{state.folder}/"]


def _bodies(settings: Settings) -> str:
    """For each status a short JSON body in place of nginx's or the model server's page."""
    values = {"limit": settings.body_limit, "timeout": settings.timeout}
    lines = []
    for status, text in _ERRORS.items():
        body = json.dumps({"error": text.format(**values)})
        lines.append(f"        location @{status} {{ return {status} '{body}'; }}")
    return "\n".join(lines)


def _error_pages(statuses: Iterable[int], indent: int) -> str:
    return "\n".join(f"{' ' * indent}error_page {status} @{status};" for status in statuses)
