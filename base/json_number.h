/* SPDX-License-Identifier: Apache-2.0 */
/* The shortest decimal text that reads back as the same double, in the form of ECMAScript. */
#pragma once

/* 2^53: every integer up to here is exact in a double. */
#define JSON_INTEGER_EXACT_MAX 9007199254740992.0
#define JSON_NUMBER_TEXT_SIZE 48

/* Number::toString of ECMA-262 (6.1.6.1.20), as RFC 8785 asks for; `number` is finite. */
void json_number_format(double number, char out[static JSON_NUMBER_TEXT_SIZE]);
