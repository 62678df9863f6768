/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/http/secret_file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct file_stamp file_stamp_of(const char *path)
{
    struct stat found;
    if (stat(path, &found) != 0)
        return (struct file_stamp){0};
    return (struct file_stamp){.device = found.st_dev,
                               .inode = found.st_ino,
                               .size = found.st_size,
                               .modified_ns = (int64_t)found.st_mtim.tv_sec * 1000000000 +
                                              found.st_mtim.tv_nsec};
}

bool file_stamp_equal(const struct file_stamp *a, const struct file_stamp *b)
{
    return a->device == b->device && a->inode == b->inode && a->size == b->size &&
           a->modified_ns == b->modified_ns;
}

bool secret_file_read(const char *key, const char *path, struct buf *out, struct err *err)
{
    char reason[128], part[4096];
    size_t size;
    buf_clear(out);
    FILE *file = fopen(path, "re");
    if (!file)
        return err_set(err, ERR_FATAL, ERR_CONFIG, 0, "%s: '%s': %s", key, path,
                       strerror_r(errno, reason, sizeof reason));
    while ((size = fread(part, 1, sizeof part, file)) > 0 && !out->overflow)
        buf_append(out, part, size);
    int number = ferror(file) ? errno : 0;
    fclose(file);
    if (number != 0)
        return err_set(err, ERR_FATAL, ERR_CONFIG, 0, "%s: '%s': %s", key, path,
                       strerror_r(number, reason, sizeof reason));
    if (out->overflow)
        return err_set(err, ERR_FATAL, ERR_CONFIG, 0, "%s: '%s' is larger than %zu bytes", key,
                       path, out->max_size);
    return true;
}
