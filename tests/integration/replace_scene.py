# SPDX-License-Identifier: Apache-2.0
"""A family of which a version takes the place of what is served (strategy: delete-upfront)."""

from __future__ import annotations

from scene import DIMS
from support import Embedder, wait_until
from support.embedder import Fault
from support.wishes import Wishes

DOCUMENTS = 80
DROP_S = 60  # a collection is deleted when no process can be writing to it any more
FLAG = "--yes-empty-the-live-collection"
WHY = "the disk has no room for both"


class Stage:
    """v1 is served; `wide` is an embedder of other dims, which answers when it is let."""

    def __init__(self, scene, worklog: str = "memory", **family):
        self.scene = scene
        self.wide = Embedder(2 * DIMS)
        more = {"verify": {"lag_for": "0s"}, "strategy": "delete-upfront"} | family
        scene.family(**more)
        rows = [{"_id": n, "text": f"text {n}"} for n in range(DOCUMENTS)]
        scene.database.docs.insert_many(rows)
        config = scene.config(worklog)
        url = self.wide.openai_url
        config["embedders"]["wide"] = scene.embedder_config(url=url, dims=2 * DIMS)
        self.agent = scene.agent(config).start()
        self.agent.wait_for_version("docs", lambda version: version["state"] == "active", 60)
        self.wishes = Wishes(scene.state, scene.name, "docs")

    def __enter__(self) -> Stage:
        return self

    def __exit__(self, *_) -> None:
        self.wide.stop()

    def hold(self) -> None:
        """It takes no documents; queries and probes it does."""
        wanted = lambda texts: any(text.startswith("text ") for text in texts)  # noqa: E731
        self.wide.misbehave(Fault(status=503), when=wanted)

    def state(self, label: str) -> str | None:
        return (self.wishes.version(label) or {"state": None})["state"]

    def filled(self, label: str) -> None:
        def look() -> bool:
            version = self.wishes.version(label)
            return version["state"] == "active" and not version["filling"]

        wait_until(look, 90, f"{label} to be filled", 0.1)

    def query(self) -> dict:
        asked = self.agent.command("query", "docs", "anything", "-o", "json")
        assert asked.code == 0, asked.stderr
        return asked.json()

    def check_over(self) -> None:
        """v2 is served and whole, and nothing of v1 is left."""
        wait_until(lambda: self.state("v1") == "dropped", DROP_S, "v1 to be dropped")
        self.filled("v2")
        self.scene.wait_until_equal(self.agent, label="v2")
        registry, alias = self.wishes.registry(), self.scene.alias()
        assert registry["step"] is None and registry["wishes"] == []
        version = self.wishes.version("v2")
        names = [collection["name"] for collection in self.scene.reader.collections()]
        assert names == [version["collection"]]
        assert (alias["target"], alias["previous"]) == (version["collection"], None)
        assert alias["embed"]["config_fp"] == version["config_fp"]
