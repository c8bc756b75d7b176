/* The ledger's numbers: every punch, zero range, truncation and injected fault in a ring, totals and histograms that
 * lose nothing.
 *
 * Kept in C so that recording an event costs well under a microsecond and needs no Python lock: the thread
 * that serves punches must not wait for an interpreter. Python reads it when somebody asks. All functions
 * are thread-safe; sizes are bytes, times are nanoseconds.
 *
 * Owned by: who made the account frees it, which closes its eventfd. In Python that is the object Account
 * (binding/account_type.c), with its last reference. A channel borrows the account, and so do threads that record.
 * What is read from it is copied.
 */
#ifndef FUSE_BACKING_ACCOUNT_H
#define FUSE_BACKING_ACCOUNT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Writes, reads and fsyncs are recorded only where a planned fault struck them. */
enum account_operation {
    ACCOUNT_PUNCH = 0,
    ACCOUNT_ZERO = 1,
    ACCOUNT_WRITE = 2,
    ACCOUNT_READ = 3,
    ACCOUNT_FSYNC = 4,
    ACCOUNT_TRUNCATE = 5,
    ACCOUNT_OPERATIONS
};

/* Memory is bounded: so many files, and a histogram by offset for the first so many of them that have an event. */
#define ACCOUNT_MOST_FILES 16384
#define ACCOUNT_MOST_HISTOGRAMS 1024

struct account_event {
    uint64_t sequence; /* from 1, without gaps */
    int64_t time;      /* since the epoch */
    uint32_t file;     /* index of a name given to account_file */
    uint32_t operation;
    int32_t mode;
    int32_t error;
    uint32_t fault; /* 0, or the caller's number of the kind of fault that was injected */
    uint64_t offset, length, allocated, freed;
    int64_t duration;
};

struct account_totals {
    uint64_t events, punched, zeroed, allocated, freed, errors, faults;
};

/* A histogram whose buckets double in width when a value falls beyond the last, so it never outgrows its room. */
#define ACCOUNT_BUCKETS 256

struct account_bucket {
    uint64_t events, bytes, freed;
};

struct account_histogram {
    uint64_t width; /* of a bucket */
    struct account_bucket buckets[ACCOUNT_BUCKETS];
};

struct account;

struct account *account_new(size_t capacity);
void account_free(struct account *account);

/* Add a file and return its index, or UINT32_MAX without memory or room. The caller keeps the names. */
uint32_t account_file(struct account *account);

/* Record an event: fills in its sequence, and returns it. */
uint64_t account_record(struct account *account, struct account_event *event);

uint64_t account_last(struct account *account);
uint64_t account_first(struct account *account); /* the oldest event kept */

/* Copy up to `most` events from sequence `from` on; returns how many. */
size_t account_events(struct account *account, uint64_t from, struct account_event *events, size_t most);

struct account_totals account_sum(struct account *account);
bool account_file_sum(struct account *account, uint32_t file, struct account_totals *totals);

/* Histograms of successful punches, zero ranges and truncations: of a file by offset (empty where there is none), of
 * everything by time since the account was made. */
bool account_by_offset(struct account *account, uint32_t file, struct account_histogram *histogram);
void account_by_time(struct account *account, struct account_histogram *histogram, int64_t *started);

/* A descriptor that becomes readable (eventfd(2)) with the next event after it was armed. The account's: it is
 * closed by account_free and by nobody else. */
int account_notify_fd(struct account *account);
void account_arm(struct account *account);

#endif
