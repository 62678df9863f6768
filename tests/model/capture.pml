/* SPDX-License-Identifier: Apache-2.0 */
/* Part of model.pml: the source, the leaders, and what happens to the log. */

inline pick_key(k)
{
    if
    :: k = 0
#if KEYS > 1
    :: k = 1
#endif
    fi
}

/* --- the source's writer --- */

proctype writer()
{
    byte k;
    do
    :: atomic { oplog < EVENTS ->
        pick_key(k);
        event_key[oplog + 1] = k;
        if
        :: source[k] != 0 -> event_doc[oplog + 1] = 0
        :: source[k] != 1 -> event_doc[oplog + 1] = 1
#if CONTENTS > 1
        :: source[k] == 1 -> event_doc[oplog + 1] = 2
#endif
        fi;
        source[k] = event_doc[oplog + 1];
        oplog++;
        k = 0
    }
    :: oplog == EVENTS -> break
    od
}

/* --- capture: one leader after the other --- */

/* Every write of the checkpoint is conditional on the writer's term. */
inline save(its_term, its_gen, its_t0, its_token, its_cursor, its_done)
{
#ifndef BREAK_TERM
    if
    :: its_term == term ->
#endif
        /* a checkpoint is never ahead of what is acknowledged */
        assert(its_gen < last_gen || its_token < 1 || its_t0 >= 1 || arrived[1]);
#if EVENTS > 1
        assert(its_gen < last_gen || its_token < 2 || its_t0 >= 2 || arrived[2]);
#endif
#if EVENTS > 2
        assert(its_gen < last_gen || its_token < 3 || its_t0 >= 3 || arrived[3]);
#endif
        gen = its_gen;
        t0 = its_t0;
        token = its_token;
        cursor = its_cursor;
        done = its_done
#ifndef BREAK_TERM
    :: else
    fi
#endif
}

inline begin_generation()
{
    my_gen = gen + 1;
    my_t0 = oplog;
    my_pos = oplog;
    my_cursor = 0;
    my_done = 0;
    sent_pos = oplog;
    sent_cursor = 0;
    last_gen = my_gen;
    arrived[0] = 0;
    arrived[1] = 0;
#if EVENTS > 1
    arrived[2] = 0;
#endif
#if EVENTS > 2
    arrived[3] = 0;
#endif
    start_offset[0] = high[0];
#if PARTITIONS > 1
    start_offset[1] = high[1];
#endif
    save(my_term, my_gen, my_t0, sent_pos, sent_cursor, my_done)
}

/* Where no leader follows that could overtake it, a record arrives at once. */
inline enqueue(k, v, d)
{
#if defined(LATE) || defined(BREAK_CHECKPOINT)
    if
    :: takeovers == TAKEOVERS && queued == 0 -> append(k, my_gen, v, d); arrived[v] = 1
    :: else ->
        queue_key[queued] = k;
        queue_ver[queued] = v;
        queue_doc[queued] = d;
        queued++
    fi
#else
    append(k, my_gen, v, d);
    arrived[v] = 1
#endif
}

inline note_sent()
{
    if
    :: queued == 0 -> sent_pos = my_pos; sent_cursor = my_cursor
    :: else
    fi
}

/* The oldest record of the queue arrives and is acknowledged. */
inline deliver()
{
    append(queue_key[0], my_gen, queue_ver[0], queue_doc[0]);
    arrived[queue_ver[0]] = 1;
    queued--;
#if QUEUE > 1
    queue_key[0] = queue_key[1];
    queue_ver[0] = queue_ver[1];
    queue_doc[0] = queue_doc[1];
#endif
    queue_key[queued] = 0;
    queue_ver[queued] = 0;
    queue_doc[queued] = 0;
    note_sent()
}

/* States that differ in nothing but what is left of arrays are one. */
inline clear_late()
{
    if
    :: late < 1 -> late_key[0] = 0; late_gen[0] = 0; late_ver[0] = 0; late_doc[0] = 0
    :: else
    fi;
#if QUEUE > 1
    if
    :: late < 2 -> late_key[1] = 0; late_gen[1] = 0; late_ver[1] = 0; late_doc[1] = 0
    :: else
    fi
#endif
}

/* What the replaced leader holds is lost with it, or arrives late. */
inline leave_behind()
{
    if
    :: true -> late = 0
#ifdef LATE
    :: queued > 0 ->
        late = queued;
        late_key[0] = queue_key[0];
        late_gen[0] = my_gen;
        late_ver[0] = queue_ver[0];
        late_doc[0] = queue_doc[0];
#if QUEUE > 1
        late_key[1] = queue_key[1];
        late_gen[1] = my_gen;
        late_ver[1] = queue_ver[1];
        late_doc[1] = queue_doc[1];
#endif
#endif
    fi;
    clear_late();
#ifdef LATE_SAVE
    late_term = my_term;
    late_save_gen = my_gen;
    late_save_t0 = my_t0;
    late_save_token = sent_pos;
    late_save_cursor = sent_cursor;
    late_save_done = my_done;
#endif
    queued = 0;
    queue_key[0] = 0;
    queue_ver[0] = 0;
    queue_doc[0] = 0;
#if QUEUE > 1
    queue_key[1] = 0;
    queue_ver[1] = 0;
    queue_doc[1] = 0;
#endif
}

proctype capture()
{
    byte my_term, my_gen, my_t0, my_pos, my_cursor, sent_pos, sent_cursor;
    bit my_done;
    byte queue_key[QUEUE];
    byte queue_ver[QUEUE];
    byte queue_doc[QUEUE];
    byte queued;
#ifdef BREAK_ROWS
    byte held_doc;
    bit held;
#endif

take_lease:
    atomic {
        term++;
        my_term = term;
        if
        :: gen == 0 -> begin_generation()
        :: gen > 0 && gaps < GAPS -> gaps++; begin_generation()
        :: gen > 0 ->
            my_gen = gen;
            my_t0 = t0;
            my_pos = token;
            my_cursor = cursor;
            my_done = done;
            sent_pos = token;
            sent_cursor = cursor
        fi
    }
    do
    /* stream: the next event; its document is the one of the event, or looked up now */
    :: atomic { my_pos < oplog && queued < QUEUE && MAY_STREAM ->
        my_pos++;
#ifdef LOOKUP
        if
        :: enqueue(event_key[my_pos], my_pos, event_doc[my_pos])
        :: event_doc[my_pos] != 0 && source[event_key[my_pos]] != 0 &&
           source[event_key[my_pos]] != event_doc[my_pos] ->
            enqueue(event_key[my_pos], my_pos, source[event_key[my_pos]])
        :: event_doc[my_pos] != 0 && source[event_key[my_pos]] == 0 ->
            enqueue(event_key[my_pos], my_pos, REREAD)
        fi;
#else
        enqueue(event_key[my_pos], my_pos, event_doc[my_pos]);
#endif
        note_sent()
    }
    /* snapshot: the next row, at the generation's T0 */
#ifdef BREAK_ROWS
    :: atomic { my_cursor < KEYS && !held -> held = 1; held_doc = source[my_cursor] }
    :: atomic { held && queued < QUEUE ->
        if
        :: held_doc != 0 -> enqueue(my_cursor, my_pos, held_doc)
        :: else
        fi;
        held = 0;
        held_doc = 0;
#else
    :: atomic { my_cursor < KEYS && queued < QUEUE ->
        if
        :: source[my_cursor] != 0 -> enqueue(my_cursor, my_t0, source[my_cursor])
        :: else
        fi;
#endif
        my_cursor++;
#ifdef BREAK_TOKEN
        if
        :: my_cursor == KEYS -> my_pos = oplog
        :: else
        fi;
#endif
        note_sent()
    }
    :: d_step { queued > 0 -> deliver() }
    /* the snapshot's end: the offsets are read when all of its rows are acknowledged */
    :: d_step { sent_cursor == KEYS && !my_done && queued == 0 ->
        my_done = 1;
        end_offset[0] = high[0];
#if PARTITIONS > 1
        end_offset[1] = high[1];
#endif
        sent_pos = my_pos;
        save(my_term, my_gen, my_t0, sent_pos, sent_cursor, my_done)
    }
    :: atomic { takeovers < TAKEOVERS ->
        takeovers++;
        /* which checkpoint was the last one is only seen now: the newest, or that of the beginning */
        if
        :: save(my_term, my_gen, my_t0, SAVED_POS, SAVED_CURSOR, my_done)
        :: true
        fi;
        leave_behind();
#ifdef BREAK_ROWS
        held = 0;
        held_doc = 0;
#endif
        goto take_lease
    }
    :: atomic { oplog == EVENTS && my_pos == EVENTS && queued == 0 && my_done && NO_SAVE_IS_LATE ->
        save(my_term, my_gen, my_t0, my_pos, my_cursor, my_done);
        capture_over = 1;
        break
    }
    od
}

#ifdef LATE
/* The replaced leader's producer goes on by itself: its records arrive whenever, or never. */
proctype slow_leader()
{
end_idle:
    do
    :: d_step { late > 0 ->
        append(late_key[0], late_gen[0], late_ver[0], late_doc[0]);
        late--;
#if QUEUE > 1
        late_key[0] = late_key[1];
        late_gen[0] = late_gen[1];
        late_ver[0] = late_ver[1];
        late_doc[0] = late_doc[1];
#endif
        clear_late()
    }
#ifdef LATE_SAVE
    :: d_step { late_term > 0 ->
        save(late_term, late_save_gen, late_save_t0, late_save_token, late_save_cursor,
             late_save_done);
        late_term = 0;
        late_save_gen = 0;
        late_save_t0 = 0;
        late_save_token = 0;
        late_save_cursor = 0;
        late_save_done = 0
    }
#endif
    od
}
#endif

#if COMPACTIONS > 0
inline erase(p, i)
{
    log_key[AT(p, i)] = 0;
    log_gen[AT(p, i)] = 0;
    log_ver[AT(p, i)] = 0;
    log_doc[AT(p, i)] = HOLE
}

#ifdef BREAK_RETENTION
#define MAY_FORGET true
#else
#define MAY_FORGET (i < committed[p])
#endif

/* Below some offset short of the active segment only the last record of each key stays, and a delete
 * that is the last goes as well when its retention is over. */
proctype compaction()
{
    byte p, bound, i, j;
    byte left = COMPACTIONS;
end_idle:
    do
    :: atomic { left > 0 && (high[0] > 1
#if PARTITIONS > 1
        || high[1] > 1
#endif
        ) ->
        p = 0;
#if PARTITIONS > 1
        if
        :: high[0] > 1
        :: high[1] > 1 -> p = 1
        fi;
#endif
        bound = high[p] - 1;
        do
        :: bound > 1 -> bound--
        :: break
        od;
#ifndef AHEAD /* no lane is so late that the log is compacted before it has read it */
        if
        :: bound > committed[p] -> bound = committed[p]
        :: else
        fi;
#endif
        i = 0;
        do
        :: i < bound ->
            j = i + 1;
            do
            :: j < bound && !(log_doc[AT(p, j)] != HOLE && log_key[AT(p, j)] == log_key[AT(p, i)]) ->
                j++
            :: else -> break
            od;
            if
            :: j < bound -> erase(p, i)
#ifdef RETENTION
            /* a delete that every lane has passed, or (BREAK_RETENTION) any */
            :: j >= bound && log_doc[AT(p, i)] == DELETE && MAY_FORGET -> erase(p, i)
#endif
            :: j >= bound
            fi;
            i++
        :: else -> break
        od;
        left--;
        p = 0;
        bound = 0;
        i = 0;
        j = 0
    }
    od
}

#endif
