/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

static int64_t real_us(clockid_t id)
{
    struct timespec now;
    if (clock_gettime(id, &now) != 0)
        abort();
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static int64_t real_mono_us(void)
{
    /* goes on while the machine sleeps: a lease does, too */
    return real_us(CLOCK_BOOTTIME);
}

static int64_t real_wall_ms(void)
{
    return real_us(CLOCK_REALTIME) / 1000;
}

static void real_sleep_ms(int64_t ms)
{
    struct timespec rest = {.tv_sec = ms / 1000, .tv_nsec = (ms % 1000) * 1000000};
    while (clock_nanosleep(CLOCK_MONOTONIC, 0, &rest, &rest) == EINTR)
        ;
}

static void real_wait(pthread_cond_t *condition, pthread_mutex_t *lock, int64_t ms)
{
    struct timespec until = clock_deadline(ms);
    pthread_cond_timedwait(condition, lock, &until);
}

/* The kernel is asked for so many numbers at a time: a worker needs two for each document. */
#define RANDOM_POOL 32

static void random_fill(void *out, size_t size)
{
    ssize_t got = 0;
    do
        got = getrandom(out, size, 0);
    while (got < 0 && errno == EINTR);
    if (got != (ssize_t)size) /* of up to 256 bytes all come */
        abort();
}

static uint64_t real_random(void)
{
    static _Thread_local struct {
        uint64_t numbers[RANDOM_POOL];
        size_t left;
    } pool;
    if (pool.left == 0) {
        random_fill(pool.numbers, sizeof pool.numbers);
        pool.left = RANDOM_POOL;
    }
    return pool.numbers[--pool.left];
}

static const struct clock_ops real_ops = {
    .mono_us = real_mono_us,
    .wall_ms = real_wall_ms,
    .sleep_ms = real_sleep_ms,
    .wait = real_wait,
    .random = real_random,
};

static struct clock_ops ops = {
    .mono_us = real_mono_us,
    .wall_ms = real_wall_ms,
    .sleep_ms = real_sleep_ms,
    .wait = real_wait,
    .random = real_random,
};

void clock_use(const struct clock_ops *used)
{
    ops = real_ops;
    if (!used)
        return;
    if (used->mono_us)
        ops.mono_us = used->mono_us;
    if (used->wall_ms)
        ops.wall_ms = used->wall_ms;
    if (used->sleep_ms)
        ops.sleep_ms = used->sleep_ms;
    if (used->wait)
        ops.wait = used->wait;
    if (used->random)
        ops.random = used->random;
}

int64_t clock_mono_ms(void)
{
    return ops.mono_us() / 1000;
}

int64_t clock_mono_us(void)
{
    return ops.mono_us();
}

int64_t clock_wall_ms(void)
{
    return ops.wall_ms();
}

void clock_sleep_ms(int64_t ms)
{
    if (ms > 0)
        ops.sleep_ms(ms);
}

/* Outside the years 1000 to 9999 the text would have another shape. */
static const int64_t wall_ms_min = -30610224000000;
static const int64_t wall_ms_max = 253402300799999;

void clock_format(int64_t wall_ms, char out[static 32])
{
    if (wall_ms < wall_ms_min)
        wall_ms = wall_ms_min;
    if (wall_ms > wall_ms_max)
        wall_ms = wall_ms_max;
    /* Rounded down, so that the milliseconds are positive before 1970 too. */
    int ms = (int)((wall_ms % 1000 + 1000) % 1000);
    time_t seconds = (time_t)((wall_ms - ms) / 1000);
    struct tm tm;
    if (!gmtime_r(&seconds, &tm))
        abort();
    size_t length = strftime(out, 32, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(out + length, 32 - length, ".%03dZ", ms);
}

/* `count` digits, as a number; -1: something else stands there. */
static int take_digits(const char **text, int count)
{
    int number = 0;
    for (int i = 0; i < count; i++) {
        char digit = (*text)[i];
        if (digit < '0' || digit > '9')
            return -1;
        number = number * 10 + (digit - '0');
    }
    *text += count;
    return number;
}

static bool take_char(const char **text, const char *any_of)
{
    if (!**text || !strchr(any_of, **text))
        return false;
    (*text)++;
    return true;
}

/* Digits beyond milliseconds say nothing. */
static bool take_fraction(const char **text, int *ms)
{
    *ms = 0;
    if (!take_char(text, "."))
        return true;
    int digits = 0;
    for (int unit = 100; **text >= '0' && **text <= '9'; unit /= 10, digits++, (*text)++)
        *ms += unit * (**text - '0');
    return digits > 0;
}

static bool take_offset(const char **text, int *minutes)
{
    *minutes = 0;
    if (take_char(text, "Zz"))
        return true;
    int sign = **text == '-' ? -1 : 1;
    if (!take_char(text, "+-"))
        return false;
    int hours = take_digits(text, 2);
    int rest = take_char(text, ":") ? take_digits(text, 2) : -1;
    *minutes = sign * (hours * 60 + rest);
    return hours >= 0 && hours < 24 && rest >= 0 && rest < 60;
}

bool clock_parse(const char *text, int64_t *wall_ms)
{
    struct tm tm = {0};
    int ms, minutes;
    tm.tm_year = take_digits(&text, 4) - 1900;
    tm.tm_mon = take_char(&text, "-") ? take_digits(&text, 2) - 1 : -1;
    tm.tm_mday = take_char(&text, "-") ? take_digits(&text, 2) : 0;
    tm.tm_hour = take_char(&text, "Tt ") ? take_digits(&text, 2) : -1;
    tm.tm_min = take_char(&text, ":") ? take_digits(&text, 2) : -1;
    tm.tm_sec = take_char(&text, ":") ? take_digits(&text, 2) : -1;
    if (tm.tm_year < -1900 || tm.tm_mon < 0 || tm.tm_mon > 11 || tm.tm_mday < 1 || tm.tm_hour < 0 ||
        tm.tm_hour > 23 || tm.tm_min < 0 || tm.tm_min > 59 || tm.tm_sec < 0 || tm.tm_sec > 59)
        return false;
    if (!take_fraction(&text, &ms) || !take_offset(&text, &minutes) || *text)
        return false;
    int day = tm.tm_mday;
    int64_t seconds = (int64_t)timegm(&tm);
    if (tm.tm_mday != day)
        return false; /* the month has no such day */
    *wall_ms = (seconds - (int64_t)minutes * 60) * 1000 + ms;
    return true;
}

uint64_t random_u64(void)
{
    return ops.random();
}

void random_hex(char *out, size_t bytes)
{
    static const char digits[] = "0123456789abcdef";
    uint64_t pool = 0;
    for (size_t i = 0; i < bytes; i++) {
        if (i % sizeof pool == 0)
            pool = random_u64();
        out[2 * i] = digits[pool >> 4 & 0xf];
        out[2 * i + 1] = digits[pool & 0xf];
        pool >>= 8;
    }
    out[2 * bytes] = '\0';
}

int64_t backoff_ms(unsigned attempt, int64_t base_ms, int64_t max_ms)
{
    assert(base_ms >= 0 && max_ms >= 0);
    int64_t whole = base_ms < max_ms ? base_ms : max_ms;
    for (unsigned i = 0; i < attempt && whole > 0 && whole < max_ms; i++)
        whole = whole > max_ms / 2 ? max_ms : whole * 2;
    int64_t half = whole / 2;
    return half + (int64_t)(random_u64() % (uint64_t)(whole - half + 1));
}

struct timespec clock_deadline(int64_t ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    int64_t ns = until.tv_nsec + (ms % 1000) * 1000000;
    until.tv_sec += ms / 1000 + ns / 1000000000;
    until.tv_nsec = ns % 1000000000;
    return until;
}

void clock_cond_init(pthread_cond_t *condition)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(condition, &attributes);
    pthread_condattr_destroy(&attributes);
}

void clock_wait(pthread_cond_t *condition, pthread_mutex_t *lock, int64_t ms)
{
    ops.wait(condition, lock, ms > 0 ? ms : 0);
}
