"""The front: nginx owns the port, tells the truth on /ping and hides the model server.

All of its files lie in the state's folder: a read-only root file system is enough.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable

from byoc.serving import openapi
from byoc.serving.settings import Settings
from byoc.serving.state import State

PROGRAM = "nginx"
DEBIAN_PACKAGE = "nginx"
DRAIN_SECONDS = 25
"""How long requests in flight may take after SIGTERM; SageMaker kills after 30 s."""

_ERRORS = {
    400: "not a valid HTTP request",
    404: "not found: {paths}",
    405: "method not allowed: {paths}",
    408: "the request did not arrive in time",
    411: "the request has no Content-Length",
    413: "the body is larger than {limit} bytes",
    414: "the request line is too long",
    431: "the headers are too long",
    500: "the model could not answer this request",
    501: "this Transfer-Encoding is not supported",
    502: "the worker that had this request ended: try again",
    503: "no worker can take this request now: try again",
    504: "no reply within {timeout} s",
    505: "this version of HTTP is not supported",
}
_PATHS = "GET /ping or POST /invocations"
_MULTI_MODEL_PATHS = "GET /ping, /models, or POST /models/NAME/invoke"
RETRY_SECONDS = 1
"""What a caller that gets 503 should wait."""
_INTERCEPTED = [status for status in _ERRORS if status not in (400, 500)]
"""The model server's replies that the front puts its own words in place of."""

_TEMPLATE = """\
{user}pid {folder}/nginx.pid;
error_log stderr {log_level};
daemon off;
worker_processes 1;
worker_shutdown_timeout {drain}s;
events {{
    worker_connections 4096;
}}
http {{
    log_format requests escape=json '{{"time":"$time_iso8601","request_id":"$request_id",'
        '"inference_id":"$http_x_amzn_sagemaker_inference_id","method":"$verb",'
        '"path":"$asked","status":$status,"bytes_in":$request_length,"bytes_out":$bytes_sent,'
        '"total":"$request_time","queue":"$upstream_http_x_byoc_queue",'
        '"compute":"$upstream_http_x_byoc_compute","batch":"$upstream_http_x_byoc_batch",'
        '"inputs":"$upstream_http_x_byoc_inputs"}}';
    # As they were sent, without the query: errors and rewrites change $uri and $request_method.
    map $request_uri $asked {{
        "~^(?<path>[^?]*)" $path;
    }}
    map $request $verb {{
        "~^(?<word>[A-Z]+) " $word;
    }}
    map $asked $allowed {{
        ~^/invocations$ POST;
        ~/invoke$ POST;
        ~^/models$ "GET, POST";
        ~^/models/ "GET, DELETE";
        default "GET, HEAD";
    }}
    access_log {log} requests;
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
    upstream control {{
        server unix:{control} max_fails=0;
    }}
{maps}
    server {{
        # How many requests are in flight, for the supervisor alone.
        listen unix:{front};
        access_log off;
        location / {{
            stub_status;
        }}
    }}
    server {{
        listen {port} backlog=1024;
        add_header X-Request-Id $request_id always;
{bodies}
{error_pages}
        location = /ping {{
            access_log off;
            error_page 405 /-405;
            error_page 503 /-not-ready;
            if ($request_method !~ ^(GET|HEAD)$) {{
                return 405;
            }}
            if (!-f {ready}) {{
                return 503;
            }}
            return 200 '{{"status": "ready"}}';
        }}
        location = /execution-parameters {{
            if ($request_method !~ ^(GET|HEAD)$) {{
                return 405;
            }}
            return 200 '{execution}';
        }}
        location = /openapi.json {{
            if ($request_method !~ ^(GET|HEAD)$) {{
                return 405;
            }}
            alias {folder}/openapi.json;
        }}
        location = /metrics {{
            access_log off;
            if ($request_method !~ ^(GET|HEAD)$) {{
                return 405;
            }}
            proxy_pass http://control;
        }}
{invocations}
        location / {{
            return 404;
        }}
    }}
}}
"""

_INVOCATIONS = """\
        location = /invocations {{
            if ($request_method != POST) {{
                return 405;
            }}
            # The model server takes model names and inputs from the query: it gets none.
            set $args "";
            proxy_pass http://model_server;
{proxy}
        }}
"""

_MODELS = """\
        location = /models {{
            proxy_pass http://control;
            proxy_read_timeout {loading}s;
        }}
        location /models/ {{
            if ($is_invoke) {{
                rewrite ^ /-invoke last;
            }}
            proxy_pass http://control;
            proxy_read_timeout {loading}s;
        }}
        location = /-model {{
            # Which model of the server a name means: 403 where none.
            internal;
            access_log off;
            proxy_pass http://control/-model$request_uri;
            proxy_pass_request_body off;
            proxy_set_header Content-Length "";
        }}
        location = /-invoke {{
            internal;
            if ($request_method != POST) {{
                return 405;
            }}
            auth_request /-model;
            auth_request_set $model $upstream_http_x_byoc_model;
            error_page 403 =404 /-not-loaded;
            proxy_pass http://model_server/models/$model/invoke;
{proxy}
        }}
"""

# By the name as it was sent: a slash in it is percent-encoded.
_MAPS = """\
    map $request_uri $is_invoke {
        default "";
        "~^/models/[^/?]+/invoke(\\?|$)" 1;
    }
"""

_PROXY = """\
            if ($http_content_encoding !~* ^(identity)?$) {{
                return 415 '{{"error": "Content-Encoding is not supported: send it plain"}}';
            }}
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Expect "";
            proxy_set_header X-Byoc-Warm-Up "";
            proxy_set_header X-Byoc-Received $msec;
            proxy_set_header X-Byoc-Request-Id $request_id;
            proxy_set_header X-Byoc-Content-Type $http_content_type;
            proxy_set_header Content-Type application/octet-stream;
            proxy_hide_header x-request-id;
            proxy_hide_header X-Byoc-Queue;
            proxy_hide_header X-Byoc-Compute;
            proxy_hide_header X-Byoc-Batch;
            proxy_hide_header X-Byoc-Inputs;
            proxy_hide_header Pragma;
            proxy_hide_header Expires;
            proxy_hide_header Cache-Control;
            proxy_read_timeout {timeout}s;
            # A model's script may give back a header that came in: those have up to 8k.
            proxy_buffer_size 16k;
            proxy_buffers 8 16k;
            proxy_next_upstream off;
            # The model server's own errors name its classes. 400, 406 and 415 are ours: kept.
            proxy_intercept_errors on;
{intercepted}
            # Not the worker's memory: the model server's own, for what waits.
            error_page 507 =503 /-503;
            error_page 500 = /-failed;"""


def render(settings: Settings, state: State) -> str:
    """The configuration, as text."""
    proxy = _PROXY.format(timeout=settings.timeout, intercepted=_error_pages(_INTERCEPTED, 12))
    multi = settings.is_multi_model
    values = {"proxy": proxy, "loading": settings.startup_timeout + 30}
    execution = settings.execution
    return _TEMPLATE.format(
        # Workers of a root master would become another user, whom the state's folder is shut to.
        user="user root;\n" if os.geteuid() == 0 else "",
        folder=state.folder,
        log=state.request_log,
        ready=state.ready,
        socket=state.inference_socket,
        control=state.control_socket,
        front=state.front_socket,
        port=settings.port,
        limit=settings.body_limit,
        drain=DRAIN_SECONDS,
        log_level="info" if settings.log_level <= 10 else "error",
        bodies=_bodies(settings),
        error_pages=_error_pages(_ERRORS, indent=8),
        maps=_MAPS if multi else "",
        execution=json.dumps(execution.as_json() if execution else {}),
        invocations=(_MODELS if multi else _INVOCATIONS).format(**values),
    )


def command(settings: Settings, state: State) -> list[str]:
    """Writes the configuration into the state's folder; how to start nginx with it."""
    path = state.folder / "nginx.conf"
    path.write_text(render(settings, state), encoding="utf-8")
    (state.folder / "openapi.json").write_text(openapi.text(settings), encoding="utf-8")
    return [PROGRAM, "-c", str(path), "-p", f"{state.folder}/"]


def _bodies(settings: Settings) -> str:
    """For each status a short JSON body in place of nginx's or the model server's page.

    By a path, not a named location: those do not work where the request line cannot be read.
    nginx's own 494 (headers too long) becomes 431, which has the name.
    """
    paths = _MULTI_MODEL_PATHS if settings.is_multi_model else _PATHS
    values = {"limit": settings.body_limit, "timeout": settings.timeout, "paths": paths}
    bodies = {status: {"error": text.format(**values)} for status, text in _ERRORS.items()}
    lines = [_location(f"/-{status}", status, body) for status, body in bodies.items()]
    not_ready = {"error": "no model can answer yet, or any more"}
    lines.append(_location("/-not-ready", 503, not_ready, "access_log off; "))
    # A 500 without a worker's words is the model server's, whose worker has died.
    died = f"if ($upstream_http_x_byoc_compute = '') {{ {_return(502, bodies[502])} }} "
    lines.append(_location("/-failed", 500, bodies[500], died))
    if settings.is_multi_model:
        lines.append(_location("/-not-loaded", 404, {"error": "no model of this name is loaded"}))
    return "\n".join(lines)


def _location(name: str, status: int, body: dict[str, str], more: str = "") -> str:
    headers = {405: "Allow $allowed", 503: f"Retry-After {RETRY_SECONDS}"}
    if status in headers:  # a location with headers of its own has none of the server's
        more += f"add_header X-Request-Id $request_id always; add_header {headers[status]} always; "
    return f"        location = {name} {{ internal; {more}{_return(status, body)} }}"


def _return(status: int, body: dict[str, str]) -> str:
    told = body | ({"request_id": "$request_id"} if status >= 500 else {})
    return f"return {status} '{json.dumps(told)}';"


def _error_pages(statuses: Iterable[int], indent: int) -> str:
    pages = [f"{' ' * indent}error_page {status} /-{status};" for status in statuses]
    return "\n".join([*pages, f"{' ' * indent}error_page 494 = /-431;"])
