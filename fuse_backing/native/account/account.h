/* An account keeps the ledger's numbers: a ring of the last events (punches, zero ranges, truncations, releases
 * and injected faults), and totals and histograms of all events.
 *
 * It is in C so that recording an event costs well under a microsecond and needs no Python lock: the thread that
 * serves punches must not wait for an interpreter. Python reads the account on demand. All functions are
 * thread-safe; sizes are bytes, times are nanoseconds.
 *
 * Owned by: the creator of the account frees it, which closes its eventfd. In Python the object Account does this
 * (binding/account_type.c) with its last reference. A channel borrows the account, and so do threads that record.
 * Reads return copies.
 */
#ifndef FUSE_BACKING_ACCOUNT_H
#define FUSE_BACKING_ACCOUNT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Writes, reads and fsyncs are recorded only if a planned fault strikes them. */
enum account_operation {
    ACCOUNT_PUNCH = 0,
    ACCOUNT_ZERO = 1,
    ACCOUNT_WRITE = 2,
    ACCOUNT_READ = 3,
    ACCOUNT_FSYNC = 4,
    ACCOUNT_TRUNCATE = 5,
    ACCOUNT_RELEASE = 6,
    ACCOUNT_OPERATIONS
};

/* Memory is bounded: this many files, and a histogram by offset for the first ones that have an event. */
#define ACCOUNT_MOST_FILES 16384
#define ACCOUNT_MOST_HISTOGRAMS 1024

struct account_event {
    uint64_t sequence; /* from 1, without gaps */
    int64_t time;      /* since the epoch */
    uint32_t file;     /* index from account_file */
    uint32_t operation;
    int32_t mode;
    int32_t error;
    uint32_t fault; /* 0, or the caller's number for the kind of injected fault */
    uint64_t offset, length, allocated, freed;
    int64_t duration;
};

struct account_totals {
    uint64_t events, punched, zeroed, allocated, freed, errors, faults;
};

/* A histogram doubles the width of its buckets when a value falls beyond the last one, so its size is fixed. */
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

/* The name under which an account that has all its names records further files. */
#define ACCOUNT_OTHER_FILES "(other files)"

/* Add a file without a name and return its index, or UINT32_MAX without memory or room. */
uint32_t account_file(struct account *account);

/* Return the index of the file with a name; the first function adds it. UINT32_MAX without memory or such a file. */
uint32_t account_index(struct account *account, const char *name);
uint32_t account_find(struct account *account, const char *name);
/* Return the index, which stays the file's until account_end_use. The index of a file without events is then free for
 * another name. */
uint32_t account_begin_use(struct account *account, const char *name);
void account_end_use(struct account *account, uint32_t index);
/* Return a copy of a file's name, which the caller frees; NULL without one. */
char *account_name(struct account *account, uint32_t index);
uint32_t account_nr_files(struct account *account); /* indices are below this number */

/* Record an event: set its sequence number and return it. */
uint64_t account_record(struct account *account, struct account_event *event);

uint64_t account_last(struct account *account);
uint64_t account_first(struct account *account); /* the oldest event kept */

/* Copy up to `most` events from sequence number `from` on; return their number. */
size_t account_events(struct account *account, uint64_t from, struct account_event *events, size_t most);

struct account_totals account_sum(struct account *account);
bool account_file_sum(struct account *account, uint32_t file, struct account_totals *totals);

/* Histograms of successful punches, zero ranges and truncations: of one file by offset (empty if it has no histogram),
 * and of all files by time since the account was made. The latter contains releases, which have no offset. */
bool account_by_offset(struct account *account, uint32_t file, struct account_histogram *histogram);
void account_by_time(struct account *account, struct account_histogram *histogram, int64_t *started);

/* A descriptor (eventfd(2)) that becomes readable with the next event after account_arm. The account owns it: only
 * account_free closes it. */
int account_notify_fd(struct account *account);
void account_arm(struct account *account);

#endif
