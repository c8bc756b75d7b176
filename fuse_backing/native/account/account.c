#include "account_state.h"

#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define FIRST_OFFSET_WIDTH (64 * 1024)
#define FIRST_TIME_WIDTH 1000000000 /* a second */

struct account *account_new(size_t capacity) {
    struct account *account = calloc(1, sizeof *account);
    struct timespec now;

    if (account == NULL)
        return NULL;
    pthread_mutex_init(&account->lock, NULL);
    account->capacity = capacity;
    account->ring = calloc(capacity, sizeof *account->ring);
    account->notify = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    account->by_time.width = FIRST_TIME_WIDTH;
    account->first_free = NO_FILE;
    for (size_t i = 0; i < NAME_PLACES; i++)
        account->named[i] = NO_FILE;
    clock_gettime(CLOCK_REALTIME, &now);
    account->started = now.tv_sec * 1000000000LL + now.tv_nsec;
    if (account->ring == NULL || account->notify < 0) {
        account_free(account);
        return NULL;
    }
    return account;
}

void account_free(struct account *account) {
    if (account->notify >= 0)
        close(account->notify);
    for (uint32_t i = 0; i < account->nr_files; i++) {
        free(account->files[i]->by_offset);
        free(account->files[i]->name);
        free(account->files[i]);
    }
    free(account->files);
    free(account->ring);
    pthread_mutex_destroy(&account->lock);
    free(account);
}

uint32_t account_added(struct account *account) {
    struct account_file_sums *file;

    if (account->nr_files == account->room && account->nr_files < ACCOUNT_MOST_FILES) {
        uint32_t room = account->room ? 2 * account->room : 16;
        struct account_file_sums **files = realloc(account->files, room * sizeof *files);

        if (files == NULL)
            return NO_FILE;
        account->files = files;
        account->room = room;
    }
    file = account->nr_files < account->room ? calloc(1, sizeof *file) : NULL;
    if (file == NULL)
        return NO_FILE;
    file->next = NO_FILE;
    account->files[account->nr_files] = file;
    return account->nr_files++;
}

uint32_t account_file(struct account *account) {
    uint32_t index;

    pthread_mutex_lock(&account->lock);
    index = account_added(account);
    pthread_mutex_unlock(&account->lock);
    return index;
}

static void add_totals(struct account_totals *totals, const struct account_event *event) {
    totals->events++;
    totals->freed += event->freed;
    if (event->fault != 0)
        totals->faults++;
    if (event->error != 0) {
        totals->errors++;
        return;
    }
    totals->allocated += event->allocated;
    if (event->operation == ACCOUNT_PUNCH)
        totals->punched += event->length;
    else if (event->operation == ACCOUNT_ZERO)
        totals->zeroed += event->length;
}

/* Make room for `value` by doubling the width until it falls into a bucket. */
static void widen(struct account_histogram *histogram, uint64_t value) {
    while (value / histogram->width >= ACCOUNT_BUCKETS) {
        for (size_t i = 0; i < ACCOUNT_BUCKETS / 2; i++) {
            struct account_bucket *pair = &histogram->buckets[2 * i];

            histogram->buckets[i] = (struct account_bucket){pair[0].events + pair[1].events,
                                                            pair[0].bytes + pair[1].bytes,
                                                            pair[0].freed + pair[1].freed};
        }
        memset(&histogram->buckets[ACCOUNT_BUCKETS / 2], 0, ACCOUNT_BUCKETS / 2 * sizeof *histogram->buckets);
        histogram->width *= 2;
    }
}

/* Spread a range over the buckets it covers. The freed bytes are known for the whole range only, so each bucket gets a
 * share in proportion to length. The last bucket gets the rounding error, so the sum is exact. The event counts in the
 * bucket where it begins. */
static void add_range(struct account_histogram *histogram, uint64_t offset, uint64_t length, uint64_t freed) {
    uint64_t position = offset, end, left = freed;

    if (length == 0 || offset > INT64_MAX || length > INT64_MAX - offset) /* beyond the largest file */
        return;
    end = offset + length;
    widen(histogram, end - 1);
    histogram->buckets[offset / histogram->width].events++;
    while (position < end) {
        uint64_t bucket = position / histogram->width, stop = (bucket + 1) * histogram->width;
        uint64_t piece = (stop < end ? stop : end) - position;
        uint64_t share = position + piece == end ? left : (uint64_t)((double)freed * ((double)piece / (double)length));

        if (share > left)
            share = left;
        histogram->buckets[bucket].bytes += piece;
        histogram->buckets[bucket].freed += share;
        left -= share;
        position += piece;
    }
}

static void add_moment(struct account_histogram *histogram, uint64_t moment, const struct account_event *event) {
    struct account_bucket *bucket;

    widen(histogram, moment);
    bucket = &histogram->buckets[moment / histogram->width];
    bucket->events++;
    bucket->bytes += event->length;
    bucket->freed += event->freed;
}

/* Return the histogram of a file, made with its first event; NULL without memory or room. */
static struct account_histogram *offsets_of(struct account *account, struct account_file_sums *file) {
    if (file->by_offset == NULL && account->nr_histograms < ACCOUNT_MOST_HISTOGRAMS) {
        file->by_offset = calloc(1, sizeof *file->by_offset);
        if (file->by_offset != NULL) {
            file->by_offset->width = FIRST_OFFSET_WIDTH;
            account->nr_histograms++;
        }
    }
    return file->by_offset;
}

uint64_t account_record(struct account *account, struct account_event *event) {
    bool ranged = event->operation == ACCOUNT_PUNCH || event->operation == ACCOUNT_ZERO ||
                  event->operation == ACCOUNT_TRUNCATE;
    bool drawn = event->error == 0 && (ranged || event->operation == ACCOUNT_RELEASE), wake;

    pthread_mutex_lock(&account->lock);
    event->sequence = account->totals.events + 1;
    account->ring[event->sequence % account->capacity] = *event;
    add_totals(&account->totals, event);
    if (drawn)
        add_moment(&account->by_time, event->time > account->started ? (uint64_t)(event->time - account->started) : 0,
                   event);
    if (event->file < account->nr_files) {
        struct account_file_sums *file = account->files[event->file];

        add_totals(&file->totals, event);
        if (drawn && ranged && offsets_of(account, file) != NULL)
            add_range(file->by_offset, event->offset, event->length, event->freed);
    }
    wake = account->armed;
    account->armed = false;
    pthread_mutex_unlock(&account->lock);
    if (wake)
        eventfd_write(account->notify, 1);
    return event->sequence;
}

uint64_t account_last(struct account *account) {
    uint64_t last;

    pthread_mutex_lock(&account->lock);
    last = account->totals.events;
    pthread_mutex_unlock(&account->lock);
    return last;
}

static uint64_t first(const struct account *account) {
    return account->totals.events > account->capacity ? account->totals.events - account->capacity + 1 : 1;
}

uint64_t account_first(struct account *account) {
    uint64_t sequence;

    pthread_mutex_lock(&account->lock);
    sequence = first(account);
    pthread_mutex_unlock(&account->lock);
    return sequence;
}

size_t account_events(struct account *account, uint64_t from, struct account_event *events, size_t most) {
    size_t count = 0;

    pthread_mutex_lock(&account->lock);
    if (from < first(account))
        from = first(account);
    while (count < most && from <= account->totals.events)
        events[count++] = account->ring[from++ % account->capacity];
    pthread_mutex_unlock(&account->lock);
    return count;
}

struct account_totals account_sum(struct account *account) {
    struct account_totals totals;

    pthread_mutex_lock(&account->lock);
    totals = account->totals;
    pthread_mutex_unlock(&account->lock);
    return totals;
}

bool account_file_sum(struct account *account, uint32_t file, struct account_totals *totals) {
    bool known;

    pthread_mutex_lock(&account->lock);
    known = file < account->nr_files;
    if (known)
        *totals = account->files[file]->totals;
    pthread_mutex_unlock(&account->lock);
    return known;
}

bool account_by_offset(struct account *account, uint32_t file, struct account_histogram *histogram) {
    bool known;

    pthread_mutex_lock(&account->lock);
    known = file < account->nr_files;
    if (known && account->files[file]->by_offset != NULL)
        *histogram = *account->files[file]->by_offset;
    else
        *histogram = (struct account_histogram){.width = FIRST_OFFSET_WIDTH};
    pthread_mutex_unlock(&account->lock);
    return known;
}

void account_by_time(struct account *account, struct account_histogram *histogram, int64_t *started) {
    pthread_mutex_lock(&account->lock);
    *histogram = account->by_time;
    *started = account->started;
    pthread_mutex_unlock(&account->lock);
}

int account_notify_fd(struct account *account) {
    return account->notify;
}

void account_arm(struct account *account) {
    pthread_mutex_lock(&account->lock);
    account->armed = true;
    pthread_mutex_unlock(&account->lock);
}
