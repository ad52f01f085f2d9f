"""Writes Envoy's configuration: `python -m gateway.edge.render --out DIR`."""

import argparse
import hashlib
import json
import sys
from pathlib import Path

from gateway.edge.bootstrap import bootstrap
from gateway.edge.clusters import cluster, endpoints, resource_path, upstreams
from gateway.edge.files import Json, write_json
from gateway.edge.listeners import edge_listener
from gateway.edge.routes import route_configuration
from gateway.edge.settings import EdgeSettings
from services.runtime.settings import load_settings

BOOTSTRAP = "envoy.json"
"""The file that Envoy is started with."""


def render(settings: EdgeSettings, directory: Path) -> dict[str, str]:
    """Write every file under `directory`, an existing or new folder; endpoints first and listeners last, so that nothing refers to what is not there.

    Returns the version of each resource file by its name (`lds.json`, ...), as Envoy's `version_text` will show it.
    """
    directory = directory.absolute()
    directory.mkdir(parents=True, exist_ok=True)
    behind = upstreams(settings)
    resources: dict[str, list[Json]] = {f"eds-{each.name}.json": [endpoints(each, settings)] for each in behind}
    resources["cds.json"] = [cluster(each, settings, directory) for each in behind]
    resources["rds.json"] = [route_configuration(settings)]
    resources["lds.json"] = [edge_listener(settings, directory)]
    versions = {name: _write_resources(resource_path(directory, name), each) for name, each in resources.items()}
    write_json(directory / BOOTSTRAP, bootstrap(settings, directory))
    return versions


def _write_resources(path: Path, resources: list[Json]) -> str:
    version = hashlib.sha256(json.dumps(resources, sort_keys=True).encode()).hexdigest()[:16]
    path.parent.mkdir(exist_ok=True)
    write_json(path, {"version_info": version, "resources": resources})
    return version


def main(arguments: list[str] | None = None) -> int:
    """Render into `--out` with the settings of the environment. Returns 0; a wrong setting exits with 2."""
    parser = argparse.ArgumentParser(prog="python -m gateway.edge.render", description="Writes Envoy's configuration as files.")
    parser.add_argument("--out", type=Path, required=True, help="the folder; Envoy is started with its envoy.json")
    options = parser.parse_args(arguments)
    render(load_settings(EdgeSettings), options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
