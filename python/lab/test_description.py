import dataclasses
from typing import Any, Dict, Set

from brainjar import Client, Event, Experiment, Line, Plan, Run, Status, Step, Supervisor, Why

from .house import PATIENCE, HouseTest

# What the methods of the client ask for.
ROUTES = {
    "get /version": Client.version,
    "get /status": Client.status,
    "get /sensors": Client.sensors,
    "get /history": Client.history,
    "get /events": Client.events,
    "get /logs": Client.logs,
    "get /plan": Client.plan,
    "post /reload": Client.reload,
    "post /release": Client.release_all,
    "get /experiments/{id}": Client.get,
    "get /experiments/{id}/why": Client.why,
    "put /experiments/{id}": Client.submit,
    "patch /experiments/{id}": Client.set,
    "post /experiments/{id}/start": Client.start,
    "post /experiments/{id}/stop": Client.stop,
    "post /experiments/{id}/restart": Client.restart,
    "post /experiments/{id}/hold": Client.hold,
    "post /experiments/{id}/release": Client.release,
    "post /experiments/{id}/freeze": Client.freeze,
    "post /experiments/{id}/thaw": Client.thaw,
    "post /experiments/{id}/kill": Client.kill,
    "post /experiments/{id}/enable": Client.enable,
    "post /experiments/{id}/disable": Client.disable,
    "post /experiments/{id}/auto": Client.auto,
    "post /experiments/{id}/adopt": Client.adopt,
    "post /experiments/{id}/forget": Client.forget,
}


class DescriptionTest(HouseTest):
    """What this package knows is what brainjar says of itself."""

    def setUp(self) -> None:
        super().setUp()
        self.description: Dict[str, Any] = self.client._transport.call("GET", "/openapi.json")

    def test_routes(self) -> None:
        have = {
            f"{method} {path[len('/v1'):]}"
            for path, methods in self.description["paths"].items()
            for method in methods
        }
        self.assertEqual(set(ROUTES) - have, set(), "the client asks for what brainjar does not have")

    def test_fields(self) -> None:
        for kind in (Experiment, Supervisor, Status, Why, Event, Line, Plan, Step):
            schema = self.description["components"]["schemas"][kind.__name__]
            self.assertEqual(names(kind), set(schema["properties"]), kind.__name__)

    def test_columns_of_a_run(self) -> None:
        self.client.start("short")
        self.client.wait("short", PATIENCE)
        (row,) = self.client._transport.call("GET", "/history", {"id": "short", "lines": 1})
        self.assertLessEqual(set(row), names(Run))


def names(kind: Any) -> Set[str]:
    return {f.metadata.get("key", f.name) for f in dataclasses.fields(kind)}
