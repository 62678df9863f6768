/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/http/tls.h"

#include <pthread.h>
#include <stdlib.h>

#include "agent/http/secret_file.h"
#include "base/limits.h"
#include "base/log.h"

#define FILE_MAX (256 * KIB)
#define CHAIN_MAX 16
#define CERT_KEY "serve.tls.cert_file"
#define KEY_KEY "serve.tls.key_file"
/* A handshake that began with a pair is over by then, or cut. */
#define RETIRED_MS 60000

struct pair {
    gnutls_pcert_st chain[CHAIN_MAX];
    unsigned chain_length;
    gnutls_privkey_t key;
    struct pair *next; /* retired before this one */
    int64_t retired_ms;
};

/* Of both files. */
struct stamps {
    struct file_stamp cert, key;
};

struct tls {
    const char *cert_file, *key_file;
    pthread_mutex_t lock;
    struct pair *pair;
    struct pair *retired; /* the last first */
    struct stamps read;   /* of what was read last, also where it was refused */
    struct stamps seen;   /* by the last look */
};

static _Thread_local struct tls *of_thread;

static void pair_free(struct pair *pair)
{
    if (!pair)
        return;
    for (unsigned i = 0; i < pair->chain_length; i++)
        gnutls_pcert_deinit(&pair->chain[i]);
    if (pair->key)
        gnutls_privkey_deinit(pair->key);
    free(pair);
}

static bool refuse(struct err *err, const char *key, const char *path, int code)
{
    return err_set(err, ERR_FATAL, ERR_CONFIG, 0, "%s: '%s': %s", key, path, gnutls_strerror(code));
}

/* Do they belong together? */
static bool check_pair(const struct tls *tls, const gnutls_datum_t *cert, const gnutls_datum_t *key,
                       struct err *err)
{
    gnutls_certificate_credentials_t credentials;
    int code = gnutls_certificate_allocate_credentials(&credentials);
    if (code < 0)
        return refuse(err, CERT_KEY, tls->cert_file, code);
    code = gnutls_certificate_set_x509_key_mem(credentials, cert, key, GNUTLS_X509_FMT_PEM);
    gnutls_certificate_free_credentials(credentials);
    if (code == GNUTLS_E_CERTIFICATE_KEY_MISMATCH)
        return err_set(err, ERR_FATAL, ERR_CONFIG, 0, KEY_KEY ": '%s' is not the key of '%s'",
                       tls->key_file, tls->cert_file);
    return code >= 0 || refuse(err, CERT_KEY, tls->cert_file, code);
}

static bool import(const struct tls *tls, const gnutls_datum_t *cert, const gnutls_datum_t *key,
                   struct pair *pair, struct err *err)
{
    unsigned length = CHAIN_MAX;
    int code =
        gnutls_pcert_list_import_x509_raw(pair->chain, &length, cert, GNUTLS_X509_FMT_PEM, 0);
    if (code < 0)
        return refuse(err, CERT_KEY, tls->cert_file, code);
    pair->chain_length = length;
    code = gnutls_privkey_init(&pair->key);
    if (code >= 0)
        code = gnutls_privkey_import_x509_raw(pair->key, key, GNUTLS_X509_FMT_PEM, NULL, 0);
    if (code < 0)
        return refuse(err, KEY_KEY, tls->key_file, code);
    return check_pair(tls, cert, key, err);
}

static gnutls_datum_t datum_of(const struct buf *buf)
{
    return (gnutls_datum_t){.data = (unsigned char *)buf->data, .size = (unsigned)buf->size};
}

static bool load(const struct tls *tls, struct pair **out, struct err *err)
{
    CLEANUP(buf_fini) struct buf cert_text = BUF_INIT(FILE_MAX);
    CLEANUP(buf_fini) struct buf key_text = BUF_INIT(FILE_MAX);
    if (!secret_file_read(CERT_KEY, tls->cert_file, &cert_text, err) ||
        !secret_file_read(KEY_KEY, tls->key_file, &key_text, err))
        return false;
    gnutls_datum_t cert = datum_of(&cert_text), key = datum_of(&key_text);
    struct pair *pair = calloc(1, sizeof *pair);
    bool ok = import(tls, &cert, &key, pair, err);
    if (ok)
        *out = pair;
    else
        pair_free(pair);
    return ok;
}

static struct stamps stamps_of(const struct tls *tls)
{
    return (struct stamps){.cert = file_stamp_of(tls->cert_file),
                           .key = file_stamp_of(tls->key_file)};
}

static bool stamps_equal(const struct stamps *a, const struct stamps *b)
{
    return file_stamp_equal(&a->cert, &b->cert) && file_stamp_equal(&a->key, &b->key);
}

bool tls_open(const char *cert_file, const char *key_file, struct tls **out, struct err *err)
{
    struct tls *tls = calloc(1, sizeof *tls);
    *tls = (struct tls){.cert_file = cert_file, .key_file = key_file};
    tls->read = tls->seen = stamps_of(tls);
    pthread_mutex_init(&tls->lock, NULL);
    bool ok = load(tls, &tls->pair, err);
    if (ok)
        *out = tls;
    else
        tls_free(tls);
    return ok;
}

static void free_retired(struct tls *tls, int64_t now_ms)
{
    struct pair **place = &tls->retired;
    while (*place && now_ms - (*place)->retired_ms < RETIRED_MS)
        place = &(*place)->next;
    struct pair *pair = *place;
    *place = NULL;
    while (pair) {
        struct pair *next = pair->next;
        pair_free(pair);
        pair = next;
    }
}

static void take_pair(struct tls *tls, struct pair *pair, int64_t now_ms)
{
    pthread_mutex_lock(&tls->lock);
    struct pair *old = tls->pair;
    tls->pair = pair;
    pthread_mutex_unlock(&tls->lock);
    old->retired_ms = now_ms;
    old->next = tls->retired;
    tls->retired = old;
}

void tls_refresh(struct tls *tls, int64_t now_ms)
{
    struct err err;
    struct pair *pair = NULL;
    struct stamps stamps = stamps_of(tls);
    free_retired(tls, now_ms);
    /* The two files are replaced one after the other. */
    bool settled = stamps_equal(&stamps, &tls->seen);
    tls->seen = stamps;
    if (!settled || stamps_equal(&stamps, &tls->read))
        return;
    tls->read = stamps;
    if (load(tls, &pair, &err)) {
        take_pair(tls, pair, now_ms);
        log_info("serve.tls.changed", LOG_STR("file", tls->cert_file));
    } else {
        log_warn("serve.tls.refused", LOG_ERR(&err));
    }
}

void tls_free(struct tls *tls)
{
    if (!tls)
        return;
    free_retired(tls, INT64_MAX);
    pair_free(tls->pair);
    pthread_mutex_destroy(&tls->lock);
    free(tls);
}

void tls_use_in_thread(struct tls *tls)
{
    of_thread = tls;
}

/* wide: gnutls' own. NOLINTNEXTLINE(readability-function-size) */
int tls_certificate(gnutls_session_t session, const gnutls_datum_t *names, int name_count,
                    const gnutls_pk_algorithm_t *algorithms, int algorithm_count,
                    gnutls_pcert_st **chain, unsigned *chain_length, gnutls_privkey_t *key)
{
    (void)session;
    (void)names;
    (void)name_count;
    (void)algorithms;
    (void)algorithm_count;
    struct tls *tls = of_thread;
    if (!tls)
        return -1;
    pthread_mutex_lock(&tls->lock);
    struct pair *pair = tls->pair;
    pthread_mutex_unlock(&tls->lock);
    *chain = pair->chain;
    *chain_length = pair->chain_length;
    *key = pair->key;
    return 0;
}
