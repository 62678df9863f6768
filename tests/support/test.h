/* SPDX-License-Identifier: Apache-2.0 */
/* cmocka, with the headers that it wants included before it. */
#pragma once

/* the order is cmocka's */
/* clang-format off */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
/* clang-format on */
