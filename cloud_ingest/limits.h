#ifndef CLOUD_LIMITS_H
#define CLOUD_LIMITS_H

/* Every limit of the ingest in one place. What a single device can ask for is bounded, so that it
 * cannot hurt the others; beyond a limit the answer is retry/limit unless it says otherwise. */

/* per device */
#define LIMIT_STREAMS          1000       /* stream names; a new one beyond is refused */
#define LIMIT_EPOCHS           64         /* outbox databases named within EPOCH_IDLE_DAYS */
#define LIMIT_EPOCH_IDLE_DAYS  30         /* an epoch no hello named for so long does not count */
#define LIMIT_CLAIMS           16000      /* streams of all epochs whose figures are kept */
#define LIMIT_INTERVALS        10000      /* decided, hole or dropped intervals of one stream */
#define LIMIT_BRANCHES         16         /* siblings of one stream: copies of one device */
#define LIMIT_QUARANTINE_BYTES (16 << 20) /* kept in quarantine */
#define LIMIT_ANSWERS          1000       /* requests that wrote, kept with their answers ... */
#define LIMIT_ANSWERS_MS       (7 * INT64_C(86400000)) /* ... for so long */

/* per item */
#define LIMIT_QUARANTINE_ENTRY 65536 /* bytes kept of one payload; the full size is noted */
#define LIMIT_REJECTED_TEXT    65536 /* bytes kept of a rejected record; a longer one is not kept */
#define LIMIT_HISTORY_FIELD    128   /* robot_id, trace_id */
#define LIMIT_STATUS           64    /* status of a command */
#define LIMIT_SUMMARY          16384 /* of a hole; a longer one is not kept */
#define LIMIT_CORRELATION      128   /* correlation data that is echoed; longer is left out */

#define LIMIT_BASE_TEXT 1024 /* bytes of the base that an operation names */

/* per batch: bytes of documents read and written; what is left of it is neither decided nor
 * answered
 */
#define LIMIT_BATCH_WORK (64 << 20)
/* per batch: bytes kept of rejected records, each with the fields; of the others a hash is kept */
#define LIMIT_REJECTED_BATCH (4 << 20)

/* in memory */
#define LIMIT_CACHED_STREAMS   4096       /* stream states kept between transactions */
#define LIMIT_CACHED_INTERVALS (1 << 20)  /* intervals in them, 16 bytes each */
#define LIMIT_OUT_MESSAGES     4096       /* answers waiting for the link: the oldest is dropped */
#define LIMIT_OUT_BYTES        (16 << 20) /* and that goes on resending until one arrives */
#define LIMIT_EVENT_KEYS       1024       /* (device, kind) pairs whose rate is watched */
#define LIMIT_PLANS            32         /* field lists whose mapping is remembered */
#define LIMIT_INSERTS          8          /* prepared inserts per sensor type */
#define LIMIT_WRITTEN          1024       /* (user, table, author) of one transaction to tell of */
#define LIMIT_NOTIFIES         10000      /* notify messages after one transaction */

/* of the configuration */
#define LIMIT_TABLES 64 /* of records, all named in every welcome */

/* when nothing else is to be done */
#define LIMIT_PURGE_SLICE   200    /* tombstones removed in one transaction */
#define LIMIT_PURGE_REST_MS 1000   /* between two slices */
#define LIMIT_PURGE_LOOK_MS 600000 /* until it is looked again when there were fewer */

/* events to operators, per device and kind */
#define LIMIT_EVENT_BURST   10    /* at once */
#define LIMIT_EVENT_REST_MS 10000 /* then one in so long; the others are counted */

/* the alarm for two copies of one device */
#define LIMIT_CLONE_WINDOW_MS 86400000

#endif
