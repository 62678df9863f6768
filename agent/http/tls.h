/* SPDX-License-Identifier: Apache-2.0 */
/* The certificate and key of serve.tls, which may change while the process runs: connections that
 * begin after that get the new ones, the others go on with theirs. Any thread. */
#pragma once

#include <gnutls/abstract.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"

/* TLS 1.2 and 1.3. */
#define TLS_PRIORITIES "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:%SERVER_PRECEDENCE"

struct tls;

/* The paths are borrowed. *err (FATAL, CONFIG) names the file that is not what it should be. */
bool tls_open(const char *cert_file, const char *key_file, struct tls **out, struct err *err)
    MUST_USE;
/* Reads the files again when they changed; the old pair goes on where the new one is not good. */
void tls_refresh(struct tls *tls, int64_t now_ms);
void tls_free(struct tls *tls); /* NULL is fine */

/* libmicrohttpd's callback for the certificate has no context of its own. It runs on the thread of one
 * server, so the thread says whose certificate it is. */
void tls_use_in_thread(struct tls *tls);
gnutls_certificate_retrieve_function2 tls_certificate;
