# SPDX-License-Identifier: Apache-2.0
"""Real servers (MongoDB, Kafka, Chroma, ...) for development, tests and the demo.

install.py   fetches pinned releases into .servers/, once
process.py   starts programs and stops them by pid, never by name
server.py    what all servers have in common
kinds.py     how each server is started and when it counts as usable; kube.py: Kubernetes
secure.py    the same with TLS, passwords and access control, for tests; certificates.py makes theirs
cli.py       the command scripts/servers
Only the standard library is needed here; probe.py runs in the tests' own Python.
"""
