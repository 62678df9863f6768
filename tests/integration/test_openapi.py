# SPDX-License-Identifier: Apache-2.0
"""The HTTP API is what /v1/openapi.json says: schemathesis tries to find where it is not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from localservers import install

from scene import SEED
from support.api import Api

pytestmark = pytest.mark.timeout(240)

HERE = Path(__file__).parent
EXAMPLES = int(os.environ.get("VECTAIL_TEST_EXAMPLES", "6"))
TOKEN = "secret-of-the-test"


def test_schemathesis_finds_nothing(scene, tmp_path):
    scene.family(verify={"lag_for": "0s"})
    scene.database.docs.insert_many([{"_id": n, "text": f"document {n}"} for n in range(10)])
    config = scene.config("memory")
    config["embedders"]["other"] = scene.embedder_config(query_prefix="query: ")
    url = scene.serving(config)
    token = tmp_path / "token"
    token.write_text(TOKEN)
    config["serve"]["token_file"] = str(token)
    agent = scene.agent(config).start()
    agent.wait_for_version("docs", lambda version: version["state"] == "active", 60, "v1")

    environment = os.environ | {
        "PYTHONPATH": f"{install.component('openapi')}:{HERE}",
        "PYTHONDONTWRITEBYTECODE": "1",
        "SCHEMATHESIS_HOOKS": "openapi_hooks",
    }
    command = [sys.executable, "-m", "schemathesis.cli"]
    command += ["--config-file", str(HERE / "openapi.toml"), "run", f"{url}/v1/openapi.json"]
    command += ["--header", f"Authorization: Bearer {TOKEN}", "--seed", str(SEED), "--no-color"]
    command += ["--max-examples", str(EXAMPLES), "--generation-database", "none"]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=200,
        check=False,
    )
    print(done.stdout[-3000:])
    assert done.returncode == 0, done.stdout
    assert agent.is_running()
    assert Api(url).get("/readyz").status == 200
