/* The parts of the account share this header, and nothing else includes it. account.h describes the account. */
#ifndef FUSE_BACKING_ACCOUNT_STATE_H
#define FUSE_BACKING_ACCOUNT_STATE_H

#include <pthread.h>

#include "account.h"

#define NAME_PLACES 4096

struct account_file_sums {
    struct account_totals totals;
    struct account_histogram *by_offset; /* NULL before its first event, or beyond ACCOUNT_MOST_HISTOGRAMS */
    char *name;                          /* NULL without one, and for a free index */
    uint32_t uses;
    uint32_t next; /* index of another file with the same place in the table, or of a free one; NO_FILE at the end */
};

#define NO_FILE UINT32_MAX

struct account {
    pthread_mutex_t lock;
    size_t capacity;
    struct account_event *ring;
    struct account_totals totals;
    struct account_histogram by_time;
    int64_t started;
    struct account_file_sums **files;
    uint32_t nr_files, room, nr_histograms;
    uint32_t named[NAME_PLACES], first_free; /* indices */
    int notify;
    bool armed;
};

/* Add a file without a name, with the lock held; NO_FILE without memory or room. */
uint32_t account_added(struct account *account);

#endif
