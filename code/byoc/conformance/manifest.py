"""What is pushed: I01."""

from __future__ import annotations

from byoc.conformance import registry
from byoc.conformance.clauses import clause
from byoc.conformance.engine import EngineError
from byoc.conformance.image import Image
from byoc.conformance.outcome import Failed, NotTried
from byoc.launch.registry import Manifest, RegistryError, manifest_fault, read_manifest


@clause("I01")
def one_docker_manifest(image: Image) -> str:
    """What is pushed is one single-platform manifest in Docker's v2 schema 2.

    How: where the image's name begins with a registry that has it, the manifest is read there;
    else the image is pushed to a throw-away registry on this machine (Debian's docker-registry)
    and read back; where there is none, judged by whether the engine keeps what was built.
    Remedy: build with `docker buildx build --provenance=false --load` on the engine's own builder
    and push with `docker push`; or build with `--output type=image,oci-mediatypes=false,push=true`.
    AWS: Custom Inference Code with Hosting Services; CreateModel, PrimaryContainer.Image
    """
    pushed = _where_it_lies(image)
    if pushed is not None:
        host, manifest = pushed
        return _judged(manifest, f"in {host}")
    try:
        with (
            registry.running(image.engine.folder("registry")) as host,
            image.engine.pushed(image.name, host) as (repository, tag),
        ):
            found = read_manifest(host, repository, tag)
            if found is None:
                raise NotTried(f"the engine pushes to {host}, but not to this machine")
            return _judged(found, "pushed to a throw-away registry")
    except (registry.NoRegistryError, EngineError, RegistryError) as error:
        return _by_the_engine(image, str(error))


def _where_it_lies(image: Image) -> tuple[str, Manifest] | None:
    """The registry in its name, and what that has; None where it has none, or cannot be asked."""
    host, _, rest = image.given_name.partition("/")
    if not rest or not ("." in host or ":" in host or host == "localhost"):
        return None
    repository, colon, tag = rest.partition("@" if "@" in rest else ":")
    try:
        found = read_manifest(host, repository, tag if colon else "latest")
    except RegistryError:
        return None
    return (host, found) if found is not None else None


def _judged(manifest: Manifest, where: str) -> str:
    fault = manifest_fault(manifest)
    if fault is not None:
        raise Failed(f"{where}: {fault}")
    layers = len(manifest.body.get("layers") or [])
    return f"{where}: Docker's schema 2, one platform, {layers} layers"


def _by_the_engine(image: Image, why: str) -> str:
    if image.engine.keeps_manifests():
        raise NotTried(
            f"the engine pushes what was built, and there is no registry to look at it: {why}"
        )
    return f"the engine's image store pushes Docker's schema 2 alone (not pushed: {why})"
