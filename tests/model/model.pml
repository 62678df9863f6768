/* SPDX-License-Identifier: Apache-2.0 */
/* The way of a document from the source through the work log into one lane's store, with all that may
 * go wrong on it: see README.md here. Sizes and faults come by -D from check.py; a flag that begins
 * with BREAK_ takes one rule of the protocol away.
 *
 * A position in the stream (ver, token, T0) is the number of an event, 0 being before the first. The
 * content of a document is 1 or 2; 0 means that there is none.
 */
#ifndef KEYS
#define KEYS 1
#endif
#ifndef EVENTS
#define EVENTS 3
#endif
#ifndef CONTENTS /* that a document may have: 1 is enough where none is an update */
#define CONTENTS 2
#endif
#ifndef PARTITIONS
#define PARTITIONS 1
#endif
#ifndef GAPS /* how often the stream's history may be lost */
#define GAPS 0
#endif
#ifndef TAKEOVERS /* how often the leader may be replaced: it dies, or is only slow */
#define TAKEOVERS 0
#endif
#ifndef CRASHES /* of the worker */
#define CRASHES 0
#endif
#ifndef COMPACTIONS
#define COMPACTIONS 0
#endif
#ifndef QUEUE /* records that the producer may hold unacknowledged */
#define QUEUE 1
#endif
#ifndef LOG /* room of a partition; running out of it is an error of the model */
#define LOG 14
#endif

#define DELETE 0 /* as content; 1 and 2 are upserts */
#define REREAD 3
#define HOLE 4 /* the record was compacted away */

#ifdef BREAK_CHECKPOINT /* what was read is taken for acknowledged */
#define SAVED_POS my_pos
#define SAVED_CURSOR my_cursor
#else
#define SAVED_POS sent_pos
#define SAVED_CURSOR sent_cursor
#endif

#ifdef BREAK_TOKEN /* the token is taken behind the snapshot */
#define MAY_STREAM (my_cursor == KEYS)
#else
#define MAY_STREAM true
#endif

#define PARTITION(key) ((key) % PARTITIONS)
#define AT(p, i) ((p) * LOG + (i))
#define OLDER(g1, v1, g2, v2) ((g1) < (g2) || ((g1) == (g2) && (v1) < (v2)))

/* --- the source --- */
byte source[KEYS];
byte event_key[EVENTS + 1];
byte event_doc[EVENTS + 1];
byte oplog; /* events so far */

/* --- the checkpoint: what is durable of capture --- */
byte term;
byte gen;
byte t0;
byte token;
byte cursor; /* rows of the snapshot that are acknowledged */
bit done;    /* the snapshot's end offsets are known */
byte start_offset[PARTITIONS];
byte end_offset[PARTITIONS];
byte last_gen;           /* the newest generation that was ever begun */
bit arrived[EVENTS + 1]; /* its events that are acknowledged */

/* --- the work log --- */
byte log_key[PARTITIONS * LOG];
byte log_gen[PARTITIONS * LOG];
byte log_ver[PARTITIONS * LOG];
byte log_doc[PARTITIONS * LOG];
byte high[PARTITIONS];

/* --- the lane: ledger, store, offsets --- */
byte row_gen[KEYS]; /* 0: no row */
byte row_ver[KEYS];
byte row_doc[KEYS];
byte row_offset[KEYS];
bit intent[KEYS];
byte store[KEYS];
byte committed[PARTITIONS];
byte lane_gen;
byte read_to[PARTITIONS];
bit in_hand; /* a re-read was looked up and is not applied yet */
byte seeded_gen; /* the generation whose start offsets the lane's group began at */
byte swept_gen;  /* the sweep of this generation is done */

/* --- a leader that was replaced while it held records --- */
byte late_key[QUEUE];
byte late_gen[QUEUE];
byte late_ver[QUEUE];
byte late_doc[QUEUE];
byte late;
#ifdef LATE_SAVE
byte late_term; /* 0: nobody is late with a checkpoint */
byte late_save_gen;
byte late_save_t0;
byte late_save_token;
byte late_save_cursor;
bit late_save_done;
#endif

byte gaps;
byte takeovers;
byte crashes;
bit capture_over;
bit sweep_in_hand;

#ifdef LATE_SAVE
#define NO_SAVE_IS_LATE (late_term == 0)
#else
#define NO_SAVE_IS_LATE true
#endif
#ifdef BREAK_SWEEP
#define NOTHING_TO_SWEEP true
#else
#define NOTHING_TO_SWEEP (!sweep_in_hand && swept_gen >= gen)
#endif
#define IS_QUIET                                                                                   \
    (capture_over && late == 0 && NO_SAVE_IS_LATE && !in_hand && !UNREAD && !UNCOMMITTED &&        \
     NOTHING_TO_SWEEP)

inline append(k, g, v, d)
{
    assert(high[PARTITION(k)] < LOG);
    log_key[AT(PARTITION(k), high[PARTITION(k)])] = k;
    log_gen[AT(PARTITION(k), high[PARTITION(k)])] = g;
    log_ver[AT(PARTITION(k), high[PARTITION(k)])] = v;
    log_doc[AT(PARTITION(k), high[PARTITION(k)])] = d;
    high[PARTITION(k)]++
}


#include "capture.pml"
#include "lane.pml"

/* --- at the end --- */

/* A lane that is made now, and reads the log as it stands from the start of the generation. The
 * re-reads that it asks for would come last, and find what the source has. */
inline replay()
{
    p = 0;
    do
    :: p < PARTITIONS ->
        i = start_offset[p];
        do
        :: i < high[p] ->
            k = log_key[AT(p, i)];
            g = log_gen[AT(p, i)];
            v = log_ver[AT(p, i)];
            d = log_doc[AT(p, i)];
            if
            :: d == HOLE
#ifndef BREAK_GUARD
            :: d != HOLE && OLDER(g, v, new_gen[k], new_ver[k]) ->
#ifndef BREAK_LAST_WORD
                new_asks[k] = 1
#else
                skip
#endif
#ifndef BREAK_FENCE
            :: d != HOLE && !OLDER(g, v, new_gen[k], new_ver[k]) && g < gen
#endif
#endif
            :: else ->
                if
                :: d == REREAD -> d = source[k]
                :: else
                fi;
                new_gen[k] = g;
                new_ver[k] = v;
                new_doc[k] = d;
#ifdef BREAK_TOMBSTONE
                if
                :: d == 0 -> new_gen[k] = 0; new_ver[k] = 0
                :: else
                fi
#endif
            fi;
            i++
        :: else -> break
        od;
        p++
    :: else -> break
    od
}

proctype oracle()
{
    byte p, i, k, g, v, d;
    byte new_gen[KEYS];
    byte new_ver[KEYS];
    byte new_doc[KEYS];
    bit new_asks[KEYS];
    d_step { IS_QUIET ->
        assert(token == EVENTS);
        assert(store[0] == source[0]);
#if KEYS > 1
        assert(store[1] == source[1]);
#endif
        replay();
        assert(new_asks[0] || new_doc[0] == source[0]);
#if KEYS > 1
        assert(new_asks[1] || new_doc[1] == source[1]);
#endif
    }
}

init
{
    atomic {
        if
        :: source[0] = 0
        :: source[0] = 1
        fi;
#if KEYS > 1
        if
        :: source[1] = 0
        :: source[1] = 1
        fi;
#endif
        run writer();
        run capture();
#ifdef LATE
        run slow_leader();
#endif
#if COMPACTIONS > 0
        run compaction();
#endif
        run worker();
#if GAPS > 0 && !defined(BREAK_SWEEP)
        run sweep();
#endif
        run oracle()
    }
}
