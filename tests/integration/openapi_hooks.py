# SPDX-License-Identifier: Apache-2.0
"""What schemathesis is told about the agent that it runs against (SCHEMATHESIS_HOOKS): where all is as
described, a family and a version that there are are asked for, and nothing is waited for."""

import schemathesis
from schemathesis import GenerationMode

NAMES = {"family": "docs", "label": "v1"}


@schemathesis.hook
def before_call(context, case, kwargs):
    if not case.meta or case.meta.generation.mode != GenerationMode.POSITIVE:
        return
    for name, value in (case.path_parameters or {}).items():
        # one in eight asks for what there is not
        if name in NAMES and sum(map(ord, str(value))) % 8:
            case.path_parameters[name] = NAMES[name]
    if any(parameter.name == "wait" for parameter in case.operation.query):
        case.query = {**(case.query or {}), "wait": "0s"}
    if case.operation.path.endswith("/alias"):
        case.query.setdefault("epoch", 0)  # wait needs it, which the description cannot say
