/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the document of an item's value where that can be done fast. Any thread. */
#pragma once

#include <bson/bson.h>
#include <stddef.h>

/* Extended JSON to BSON, just as bson_new_from_json() would read it; for bson_destroy(). NULL: something
 * rare stands in it, or something that is wrong, which says nothing yet. */
bson_t *item_read(const char *json, size_t size);
