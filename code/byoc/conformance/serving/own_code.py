"""A model's own code: H15."""

from __future__ import annotations

from byoc.conformance.clauses import clause
from byoc.conformance.hosting import Message
from byoc.conformance.image import Image
from byoc.conformance.outcome import Findings
from byoc.conformance.serving.server import mounted, script, serving

_FOUR = """
import helper
def model_fn(model_dir):
    return "model"
def input_fn(body, content_type):
    return body.decode() + " " + content_type
def predict_fn(data, model):
    return [helper.WORD, data, model]
def output_fn(prediction, accept):
    return "|".join(prediction) + "|" + accept, accept
"""
_TRANSFORM = """
def model_fn(model_dir):
    return "model"
def transform_fn(model, body, content_type, accept):
    return model + " of " + body.decode()
"""


@clause("H15")
def own_functions_replace_the_defaults(image: Image) -> str:
    """code/inference.py: model_fn, input_fn, predict_fn, output_fn, or transform_fn.

    How: a model with the four functions and a module beside them, and one with transform_fn.
    Remedy: import code/inference.py from the model, with its folder on the path.
    AWS: SageMaker Inference Toolkit
    """
    findings = Findings()
    folder = script(image, _FOUR)
    (folder / "code/helper.py").write_text("WORD = 'helped'\n", encoding="utf-8")
    with serving(image, mounted(folder)) as server:
        server.wait_ready()
        reply = server.invoke(Message(b"body", "a/b", "c/d"))
        wanted = b"helped|body a/b|model|c/d"
        is_right = reply.body == wanted and reply.headers.get("content-type") == "c/d"
        findings.expect(
            is_right, f"four functions: {reply.status} {reply.body!r}", "four functions"
        )
    with serving(image, mounted(script(image, _TRANSFORM))) as server:
        server.wait_ready()
        reply = server.invoke(Message(b"body", "a/b"))
        is_right = reply.body == b"model of body"
        findings.expect(is_right, f"transform_fn: {reply.status} {reply.body!r}", "transform_fn")
    return findings.seen()
