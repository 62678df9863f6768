# SPDX-License-Identifier: Apache-2.0
"""Servers that take nobody in without TLS and a password, as a company runs them; for tests."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

from .certificates import Authority
from .common import secret
from .kinds import KAFKA_PROPERTIES, Kafka, Mongodb, run_probe

ADMINISTRATOR = "root"


class SecureMongodb(Mongodb):
    """One mongod with requireTLS and access control; its address is the administrator's."""

    name = "mongodb-secure"

    @property
    def authority(self) -> Authority:
        return Authority(self.directory / "certificates")

    def address_of(self, ports: dict[str, int]) -> str:
        return self._uri(ports, ADMINISTRATOR, self._password)

    def address_for(self, user: str, password: str, ca_file: Path | None = None) -> str:
        return self._uri(self.ports, user, password, ca_file)

    def hosts(self) -> str:
        return ",".join(self._hosts(self.ports))

    def _uri(self, ports, user: str, password: str, ca_file: Path | None = None) -> str:
        login = f"{quote(user, safe='')}:{quote(password, safe='')}"
        tls = f"tls=true&tlsCAFile={quote(str(ca_file or self.authority.file), safe='')}"
        hosts = ",".join(self._hosts(ports))
        return f"mongodb://{login}@{hosts}/?replicaSet=rs0&authSource=admin&{tls}"

    @property
    def _password(self) -> str:
        return secret(self.directory / "administrator")

    def command(self, role: str) -> tuple[list[str], dict[str, str]]:
        argv, env = super().command(role)
        key = self.directory / "keyfile"
        secret(key)
        argv += ["--auth", "--keyFile", str(key)]
        argv += ["--tlsMode", "requireTLS", "--tlsAllowConnectionsWithoutCertificates"]
        argv += ["--tlsCAFile", str(self.authority.file)]
        argv += ["--tlsCertificateKeyFile", str(self.authority.issue("mongod").both)]
        return argv, env

    def finish(self) -> None:
        hosts = self._hosts(self.ports)
        run_probe("secure", str(self.authority.file), ADMINISTRATOR, self._password, *hosts)


SECURE_PROPERTIES = """\
sasl.enabled.mechanisms=SCRAM-SHA-512,PLAIN
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=\
org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.sasl_ssl.plain.sasl.jaas.config=\
org.apache.kafka.common.security.plain.PlainLoginModule required user_{user}="{password}";
ssl.keystore.type=PEM
ssl.keystore.location={pem}
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
"""


class SecureKafka(Kafka):
    """A broker whose clients come by SASL_SSL, SCRAM-SHA-512 or PLAIN, and may what ACLs allow.

    The broker's own listener is plain, and whoever comes by it may do everything: this machine
    administers the broker there.
    """

    name = "kafka-secure"
    user = "vectail"

    def port_names(self) -> tuple[str, ...]:
        return (*super().port_names(), "internal")

    @property
    def authority(self) -> Authority:
        return Authority(self.directory / "certificates")

    @property
    def administration(self) -> str:
        return f"127.0.0.1:{self.ports['internal']}"

    @property
    def password(self) -> str:
        return secret(self.directory / "password")

    def format_arguments(self) -> list[str]:
        return ["--add-scram", f"SCRAM-SHA-512=[name={self.user},password={self.password}]"]

    def finish(self) -> None:
        run_probe("kafka", self.administration)

    def _properties(self) -> str:
        plain = f"PLAINTEXT://127.0.0.1:{self.ports['internal']}"
        secure = f"SASL_SSL://127.0.0.1:{self.ports['broker']}"
        properties = KAFKA_PROPERTIES.format(
            broker=self.ports["broker"],
            controller=self.ports["controller"],
            data=self.directory / "data",
        )
        theirs = f"PLAINTEXT://127.0.0.1:{self.ports['broker']}"
        properties = properties.replace(theirs, f"{secure},{plain}")
        protocols = "PLAINTEXT:PLAINTEXT,"
        properties = properties.replace(protocols, f"{protocols}SASL_SSL:SASL_SSL,")
        pem = self.authority.issue("broker").both
        return properties + SECURE_PROPERTIES.format(
            pem=pem, user=self.user, password=self.password
        )


SECURE_KINDS = {kind.name: kind for kind in (SecureMongodb, SecureKafka)}
