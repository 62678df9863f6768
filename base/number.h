/* SPDX-License-Identifier: Apache-2.0 */
/* The shortest decimal text that reads back as the same double, in the form of ECMAScript. */
#pragma once

/* 2^53: every integer up to here is exact in a double. */
#define NUMBER_EXACT_MAX 9007199254740992.0
#define NUMBER_TEXT_SIZE 48

/* Number::toString of ECMA-262 (6.1.6.1.20), as RFC 8785 asks for; `number` is finite. */
void number_format(double number, char out[static NUMBER_TEXT_SIZE]);
