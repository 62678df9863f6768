/* SPDX-License-Identifier: Apache-2.0 */
/* A small file that is read again when it changes: a token, a certificate, a key. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"

/* What tells one state of a file from another, also behind the symbolic links of a mounted secret. */
struct file_stamp {
    dev_t device;
    ino_t inode;
    off_t size;
    int64_t modified_ns;
};

/* All zero when there is no such file. */
struct file_stamp file_stamp_of(const char *path);
bool file_stamp_equal(const struct file_stamp *a, const struct file_stamp *b);
/* Clears and fills *out. *err (FATAL, CONFIG) names `key`, the configuration's, and the path. */
bool secret_file_read(const char *key, const char *path, struct buf *out, struct err *err) MUST_USE;
