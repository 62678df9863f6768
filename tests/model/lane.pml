/* SPDX-License-Identifier: Apache-2.0 */
/* Part of model.pml: the worker of one lane, and the sweep. */

/* --- the lane's worker: batches of one record --- */

#if PARTITIONS > 1
#define UNREAD (read_to[0] < high[0] || read_to[1] < high[1])
#define UNCOMMITTED (committed[0] < read_to[0] || committed[1] < read_to[1])
#define LAST_PARTITION_PASSED (committed[1] >= end_offset[1])
#else
#define UNREAD (read_to[0] < high[0])
#define UNCOMMITTED (committed[0] < read_to[0])
#define LAST_PARTITION_PASSED true
#endif

inline commit()
{
    committed[0] = read_to[0];
#if PARTITIONS > 1
    committed[1] = read_to[1]
#endif
}

inline restart_worker()
{
    crashes++;
    lane_gen = gen; /* as a lane that starts reads it from the checkpoint */
    read_to[0] = committed[0];
#if PARTITIONS > 1
    read_to[1] = committed[1];
#endif
}

inline write_row(k, g, v, d, at)
{
    assert(!OLDER(g, v, row_gen[k], row_ver[k])); /* it never falls */
    row_gen[k] = g;
    row_ver[k] = v;
    row_doc[k] = d;
    row_offset[k] = at;
#ifdef BREAK_TOMBSTONE
    if
    :: d == 0 -> row_gen[k] = 0; row_ver[k] = 0; row_offset[k] = 0
    :: else
    fi
#endif
}

/* The effects of record i of partition p, in the order that counts; a crash may come behind each. */
inline take_effect()
{
    if
#ifndef BREAK_GUARD
    :: fenced || OLDER(g, v, row_gen[k], row_ver[k]) ->
#ifndef BREAK_LAST_WORD
        /* the log's last word on the key must not be an old state */
        if
        :: OLDER(g, v, row_gen[k], row_ver[k]) && i + 1 > row_offset[k] ->
            append(k, row_gen[k], row_ver[k], REREAD)
        :: else
        fi
#else
        skip
#endif
    :: !fenced && !OLDER(g, v, row_gen[k], row_ver[k]) ->
#else
    :: true ->
#endif
        if
        :: !intent[k] && row_doc[k] == d && row_gen[k] == g && row_ver[k] == v -> skip
        :: !intent[k] && row_doc[k] == d && !(row_gen[k] == g && row_ver[k] == v) ->
            write_row(k, g, v, d, i + 1)
        :: intent[k] || row_doc[k] != d ->
#ifndef BREAK_INTENT
            intent[k] = 1;
            if
            :: crashes < CRASHES -> restart_worker(); goto next
            :: true
            fi;
#endif
            store[k] = d;
            if
            :: crashes < CRASHES -> restart_worker(); goto next
            :: true
            fi;
            intent[k] = 0;
            write_row(k, g, v, d, i + 1)
        fi
    fi
}

proctype worker()
{
    byte p, i, k, g, v, d;
    bit fenced;
next:
    atomic { in_hand = 0; p = 0; i = 0; k = 0; g = 0; v = 0; d = 0; fenced = 0 }
end_idle:
    do
#ifndef BREAK_RESEED
    /* with a new generation the lane's group begins at its first record */
    :: d_step { seeded_gen < gen ->
        lane_gen = gen;
        if /* a lane that has nothing yet has nothing to sweep */
        :: seeded_gen == 0 -> swept_gen = gen
        :: else
        fi;
        seeded_gen = gen;
        committed[0] = start_offset[0];
        read_to[0] = start_offset[0];
#if PARTITIONS > 1
        committed[1] = start_offset[1];
        read_to[1] = start_offset[1];
#endif
    }
#else
    :: d_step { seeded_gen < gen ->
        if
        :: seeded_gen == 0 -> swept_gen = gen; lane_gen = gen
        :: else
        fi;
        seeded_gen = gen
    }
#endif
    :: atomic { seeded_gen > 0 && UNREAD ->
        if
        :: read_to[0] < high[0] -> p = 0
#if PARTITIONS > 1
        :: read_to[1] < high[1] -> p = 1
#endif
        fi;
        i = read_to[p];
        k = log_key[AT(p, i)];
        g = log_gen[AT(p, i)];
        v = log_ver[AT(p, i)];
        d = log_doc[AT(p, i)];
        if
        :: d == HOLE -> goto passed
        :: else
        fi;
#ifdef BREAK_OFFSET
        committed[p] = i + 1;
        if
        :: crashes < CRASHES -> restart_worker(); goto next
        :: true
        fi;
#endif
#ifndef BREAK_FENCE
        if
        :: g > lane_gen -> lane_gen = g
        :: else -> fenced = g < lane_gen
        fi;
#endif
        if
        :: d == REREAD && !fenced -> d = source[k]; in_hand = 1; goto looked_up
        :: else -> goto effect
        fi
    }
#ifdef LAZY
    :: atomic { !UNREAD && UNCOMMITTED -> commit() }
    :: atomic { crashes < CRASHES && UNCOMMITTED -> restart_worker(); goto next }
#endif
    od;
looked_up:
    true; /* not one step: what was read may be old when it is applied */
effect:
    atomic {
        take_effect();
passed:
        read_to[p] = i + 1;
        if /* offsets are stored now, or (LAZY) with a later record */
        :: commit()
        :: crashes < CRASHES -> restart_worker()
#ifdef LAZY
        :: crashes < CRASHES
#endif
        fi;
        goto next
    }
}

/* --- the sweep after a gap: once for each generation, when the lane has all of its rows --- */

#if GAPS > 0 && !defined(BREAK_SWEEP)
#ifdef BREAK_SWEEP_INTENTS
#define IS_BEHIND(k) (row_gen[k] < gen && row_doc[k] != 0)
#else
/* a write that was begun and given up counts as well: the store may hold it */
#define IS_BEHIND(k) (row_gen[k] < gen && (row_doc[k] != 0 || intent[k]))
#endif

/* What was listed is read again at the generation's T0, whatever has happened to it since. */
inline sweep_key(k)
{
#ifdef BREAK_SWEEP_BLIND
    store[k] = 0;
    row_doc[k] = 0;
    intent[k] = 0
#else
    append(k, g, v, REREAD)
#endif
}

proctype sweep()
{
    byte g, v;
    bit listed[KEYS];
end_idle:
    do
    :: atomic { swept_gen < gen && seeded_gen == gen && done && committed[0] >= end_offset[0] &&
                LAST_PARTITION_PASSED ->
        g = gen;
        v = t0;
        listed[0] = IS_BEHIND(0);
#if KEYS > 1
        listed[1] = IS_BEHIND(1);
#endif
        sweep_in_hand = 1
    };
    if
    :: sweep_in_hand /* the lane goes on meanwhile */
    fi;
    d_step {
        if
        :: listed[0] -> sweep_key(0); listed[0] = 0
        :: else
        fi;
#if KEYS > 1
        if
        :: listed[1] -> sweep_key(1); listed[1] = 0
        :: else
        fi;
#endif
        swept_gen = g;
        sweep_in_hand = 0;
        g = 0;
        v = 0
    }
    od
}
#endif
