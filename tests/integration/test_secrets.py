# SPDX-License-Identifier: Apache-2.0
"""No secret is said, whoever repeats it: servers that refuse, addresses that lead nowhere, the configuration.

That it was not said is looked at after every test: `no_secret_is_said` of conftest.py.
"""

from __future__ import annotations

from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import Request, urlopen

import pytest

from localservers.process import free_port
from support import secrets, wait_until
from support.echo import Echo

pytestmark = pytest.mark.timeout(120)

PASSWORD = "pa:ss/w@rd-3f9a"
COMMANDS = [
    ["config"],
    ["config", "-o", "json"],
    ["check"],
    ["check", "--connect"],
    ["check", "--connect", "-o", "json"],
    ["status"],
    ["status", "-o", "json"],
    ["alias", "docs"],
    ["query", "docs", "a text"],
    ["plan", "docs", "--embed", "double"],
    ["verify", "docs", "v1"],
    ["audit", "docs"],
]


def with_login(address: str, path: str = "") -> str:
    return f"http://agent:{quote(PASSWORD, safe='')}@{address}{path}"


def say_everything(agent, *words: str) -> None:
    """All commands; one of them has repeated each of these words, so there was something to hide."""
    printed = ""
    for command in COMMANDS:
        done = agent.command(*command)
        printed += done.stdout + done.stderr
    for word in words:
        assert word in printed, printed


def read(url: str, token: str | None = None) -> str:
    """Whatever is answered."""
    request = Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
    try:
        with urlopen(request, timeout=5) as reply:
            text = reply.read().decode()
    except HTTPError as error:
        text = f"{error.headers}\n{error.read().decode()}"
    secrets.said(f"GET {url}", text)
    return text


def served(scene, tmp_path) -> tuple[dict, str]:
    scene.family()
    scene.database.docs.insert_one({"_id": 1, "text": "a text"})
    config = scene.config("memory")
    config["log"] = {"level": "debug"}
    url = scene.serving(config)
    token_file = tmp_path / "token"
    token_file.write_text("the-token-of-the-api\n", encoding="utf-8")
    config["serve"]["token_file"] = str(token_file)
    return config, url


@pytest.mark.parametrize("status", [401, 400, 503])
def test_what_a_refusing_store_repeats_is_masked(status, scene, tmp_path):
    config, url = served(scene, tmp_path)
    with Echo(status) as echo:
        headers = {"X-Gateway": "gateway-secret-1", "X-Plain": "another-secret-2"}
        config["stores"]["main"] |= {
            "url": with_login(echo.address),
            "token": "the-token-of-the-store",
            "headers": headers,
        }
        if status == 400:  # then the URL's login is what is sent
            del config["stores"]["main"]["token"]
        agent = scene.agent(config).start()
        wait_until(lambda: "I will not take" in agent.log_tail(200), 30, "the store to be asked")
        say_everything(agent, "I will not take", "***")
        for path in ("/readyz", "/metrics", "/v1/status", "/v1/families/docs"):
            read(url + path, "the-token-of-the-api")
        agent.stop()
        assert echo.asked


@pytest.mark.parametrize("status", [401, 400, 503])
def test_what_a_refusing_provider_repeats_is_masked(status, scene, tmp_path):
    config, url = served(scene, tmp_path)
    with Echo(status) as echo:
        config["embedders"]["double"] |= {
            "url": with_login(echo.address, "/v1"),
            "api_key": "sk-the-key-of-the-provider",
            "extra": {"gateway": {"token": "the-token-in-extra"}},
        }
        if status == 400:
            del config["embedders"]["double"]["api_key"]
        agent = scene.agent(config).start()
        wait_until(lambda: "I will not take" in agent.log_tail(200), 30, "the provider to be asked")
        say_everything(agent, "I will not take", "***")
        for path in ("/readyz", "/metrics", "/v1/status"):
            read(url + path, "the-token-of-the-api")
        agent.stop()
        assert echo.asked


def test_addresses_that_lead_nowhere_are_named_without_their_passwords(scene, tmp_path):
    config, url = served(scene, tmp_path)
    nowhere = f"127.0.0.1:{free_port()}"
    login = f"agent:{quote(PASSWORD, safe='')}@{nowhere}"
    config["mongodb"]["uri"] = f"mongodb://{login}/?replicaSet=rs0&serverSelectionTimeoutMS=500"
    config["worklog"] = {
        "driver": "kafka",
        "brokers": nowhere,
        "properties": {
            "security.protocol": "SASL_PLAINTEXT",
            "sasl.mechanism": "PLAIN",
            "sasl.username": "agent",
            "sasl.password": "the-password-at-kafka",
        },
    }
    config["stores"]["main"]["url"] = with_login(nowhere)
    config["embedders"]["double"] |= {"url": with_login(nowhere, "/v1"), "api_key": "sk-another-key"}
    agent = scene.agent(config).start()
    agent.wait_for_event("health.waiting", 30)
    say_everything(agent, nowhere, "***")
    assert "***" in agent.command("config").stdout
    read(f"{url}/readyz")
    agent.stop()


def test_a_wrong_token_is_not_repeated(scene, tmp_path):
    config, url = served(scene, tmp_path)
    agent = scene.agent(config).start()
    agent.wait_for_version("docs", lambda version: version["state"] == "active", 60)
    secrets.keep("a-token-that-is-wrong", "a-token-in-the-query")
    for token in (None, "a-token-that-is-wrong", "the-token-of-the-apiX"):
        assert "401" in read(f"{url}/v1/status?token=a-token-in-the-query", token)
    assert '"families"' in read(f"{url}/v1/status", "the-token-of-the-api")
    agent.stop()


def test_a_wrong_configuration_is_described_without_its_values(scene, tmp_path):
    config, _ = served(scene, tmp_path)
    secrets.keep("secret-in-a-list", "secret-in-a-map", "secret-of-a-typo", "secret-in-a-header")
    secrets.keep("w@rd-3f9a", "sk-not-closed")
    config["stores"]["main"] |= {"token": ["secret-in-a-list"], "tokn": "secret-of-a-typo"}
    config["stores"]["main"]["headers"] = {"X-Gateway": ["secret-in-a-header"]}
    config["embedders"]["double"]["api_key"] = {"a": "secret-in-a-map"}
    config["mongodb"]["uri"] = "mongodb://agent:pa:ss/w@rd-3f9a@127.0.0.1/"
    config["embedders"]["other"] = scene.embedder_config(api_key="${sk-not-closed")
    agent = scene.agent(config)
    for command in (["config"], ["check"], ["status"], ["run", "--once"]):
        done = agent.command(*command)
        assert done.code == 2, done.stderr
    lines = done.stderr.splitlines()
    print(done.stderr)
    for key in ("mongodb.uri", "main.token", "main.tokn", "headers.X-Gateway", "double.api_key"):
        assert any(key in line for line in lines), key
