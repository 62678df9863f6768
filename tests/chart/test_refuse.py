# SPDX-License-Identifier: Apache-2.0
"""Wrong values are refused with a message that names the key; and every key that may be given is known."""

from __future__ import annotations

import json

import pytest
import yaml
from charts import BASE, CHART, HERE, template

pytestmark = pytest.mark.timeout(300)

CASES = yaml.safe_load((HERE / "wrong.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["words"][0])
def test_it_is_refused_by_name(case, tmp_path):
    file = tmp_path / "wrong.yaml"
    file.write_text(yaml.safe_dump(case["values"] | case.get("also", {})), encoding="utf-8")
    done = template("-f", BASE, "-f", file)
    assert done.returncode != 0, done.stdout
    message = done.stderr.partition("Error: ")[2]
    assert all(word in message for word in case["words"]), message
    assert "never" not in case or case["never"] not in done.stderr


def test_there_are_many_of_them():
    assert len(CASES) >= 20


def keys_of_values(value: object, path: str = "") -> set[str]:
    if not isinstance(value, dict) or not value:
        return {path}
    return set().union(*(keys_of_values(one, f"{path}.{key}") for key, one in value.items()))


def keys_of_schema(schema: dict, path: str = "") -> set[str]:
    """But of `config`, which vectail looks at itself."""
    if "properties" not in schema or path == ".config":
        return {path}
    assert schema["additionalProperties"] is False, f"{path}: an unknown key would pass"
    parts = (keys_of_schema(one, f"{path}.{key}") for key, one in schema["properties"].items())
    return set().union(*parts)


def test_schema_and_values_have_the_same_keys():
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    known = keys_of_schema(schema)
    for key in keys_of_values(values):
        # a default may go deeper than the schema does: resources, labels, what Kubernetes defines
        assert any(key == one or key.startswith(f"{one}.") for one in known), key
    given = keys_of_values(values)
    for key in known:
        assert any(key == one or one.startswith(f"{key}.") for one in given), f"{key} has no default"
