/* SPDX-License-Identifier: Apache-2.0 */
/* Whether the servers that this process uses answer: MongoDB, Kafka, the stores and the embedders of the
 * configuration. Each has a thread and a connection of its own, and is asked for a sign of life once a
 * second; what came of it stands in the process' health within PROBE_SHOWN_MS. Nothing is bought, and
 * nothing is written anywhere. Stores and embedders are asked without their keys: any answer is one, but
 * for a proxy's that it reaches nobody.
 *
 * The process is ready only while MongoDB, Kafka, the stores of its families and the embedders of the
 * versions that the file asks for do answer.
 */
#pragma once

#include "agent/agent.h"

#define PROBE_EVERY_MS 1000
/* So long is waited for an answer. */
#define PROBE_TIMEOUT_MS 2500
#define PROBE_SHOWN_MS 5000

struct probes;

struct probes *probes_start(struct agent *agent);
/* When the agent is stopping. NULL is fine. */
void probes_stop(struct probes *probes);
