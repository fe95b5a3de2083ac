"""The texts of a build context: Dockerfile, .dockerignore, and the note beside them."""

from __future__ import annotations

import json
from collections.abc import Mapping

from mainstay.container.packaged import PORT, Packaged

USER = 10001
"""Of the process in the container: a number, so that a cluster can see that it is not root."""
HASHED = "requirements.txt"
UNHASHED = "requirements-unhashed.txt"
IGNORE = """\
# The build sees these alone.
*
!Dockerfile
!requirements.txt
!requirements-unhashed.txt
!wheels
!packaged
"""
_DOCKERFILE = """\
# {name}, written by `mainstay package` of Mainstay {mainstay}. docs/container.md tells how to build and run it:
#
#   docker build -t {image} .
#   docker run --read-only --cap-drop all --security-opt no-new-privileges \\
#     -p {port}:{port} -v {model}-state:/state -e MAINSTAY_API_KEYS="app:predict:$KEY" {image}
#
# Podman keeps the health check only with `podman build --format docker`.
ARG BASE=python:{python}-slim

FROM ${{BASE}} AS build
# More for pip: another index, or "--no-index --find-links=/wheels" for packages that were brought along.
ARG PIP_OPTIONS=""
COPY requirements*.txt /context/
COPY wheels /context/wheels/
RUN python3 -m venv /pip \\
 && python3 -m venv --without-pip /opt/mainstay \\
 && install() {{ /pip/bin/python -m pip --disable-pip-version-check --python /opt/mainstay/bin/python install \\
      --no-cache-dir --no-compile --no-deps --progress-bar off "$@"; }} \\
{installs} \\
 && install --no-index /context/wheels/*.whl \\
 && find /opt/mainstay -depth -type d \\( -name tests -o -name include -o -name __pycache__ \\) -exec rm -rf {{}} + \\
 && rm -f /opt/mainstay/lib/python*/site-packages/pyarrow/*_flight*
COPY packaged /packaged
# Loads the version and answers a row: an image that cannot is not built. Python leaves the bytecode of what it loads.
RUN /opt/mainstay/bin/python -m mainstay.container.run --check /packaged

FROM ${{BASE}}
LABEL {labels}
COPY --from=build /opt/mainstay /opt/mainstay
COPY packaged /packaged
RUN mkdir -m 0700 /state && chown {user}:{user} /state
ENV PYTHONDONTWRITEBYTECODE=1
USER {user}:{user}
# All that is ever written: the journal, the salt of hashed keys, what runs now. Name the volume: with `--rm` one
# without a name is deleted with the container.
VOLUME ["/state"]
EXPOSE {port}
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \\
  CMD ["/opt/mainstay/bin/python", "-m", "mainstay.container.health", "/state"]
ENTRYPOINT ["/opt/mainstay/bin/python", "-m", "mainstay.container.run", "/packaged", "/state"]
"""


def dockerfile(packaged: Packaged, *, hashed: bool, unhashed: bool) -> str:
    """Return the Dockerfile; `hashed` and `unhashed`: whether there are packages of that kind."""
    installs = []
    if hashed:
        installs.append(f" && install --require-hashes ${{PIP_OPTIONS}} -r /context/{HASHED}")
    if unhashed:
        installs.append(f" && install ${{PIP_OPTIONS}} -r /context/{UNHASHED}")
    return _DOCKERFILE.format(
        name=packaged.name,
        image=image_name(packaged),
        model=packaged.model,
        mainstay=packaged.mainstay,
        python=packaged.python,
        port=PORT,
        user=USER,
        installs=" \\\n".join(installs),
        labels=" \\\n      ".join(f"{key}={_quoted(value)}" for key, value in labels(packaged).items()),
    )


def image_name(packaged: Packaged) -> str:
    """Return a name for the image: registries want small letters, and none of `_` and `-` at the end."""
    return f"{packaged.model.lower().strip('_-')}:{packaged.version}"


def labels(packaged: Packaged) -> Mapping[str, str]:
    """Return what the image says of itself."""
    own = {"model": packaged.model, "version": str(packaged.version), "digest": packaged.digest}
    told = own | {"release": packaged.mainstay} | dict(packaged.lineage)
    standard = {
        "title": packaged.model,
        "version": str(packaged.version),
        "revision": packaged.lineage.get("commit", ""),
    }
    return {f"org.opencontainers.image.{key}": value for key, value in standard.items() if value} | {
        f"mainstay.{key}": value for key, value in told.items() if value
    }


def _quoted(value: str) -> str:
    """Return a word that the Dockerfile's parser reads back as `value`."""
    printable = "".join(letter if letter.isprintable() else " " for letter in value)
    return json.dumps(printable, ensure_ascii=False).replace("$", "\\$")
