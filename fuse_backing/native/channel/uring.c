#include "uring_state.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

/* Return the number of possible processors, which the kernel has a queue for each; 0 if it is not known. */
static unsigned nr_possible(void) {
    FILE *file = fopen("/sys/devices/system/cpu/possible", "re");
    unsigned first, last, count = 0;

    if (file == NULL)
        return 0;
    while (fscanf(file, "%u", &first) == 1) {
        int mark = fgetc(file);

        last = first;
        if (mark == '-' && fscanf(file, "%u", &last) == 1)
            mark = fgetc(file);
        count += last - first + 1;
        if (mark != ',')
            break;
    }
    fclose(file);
    return count;
}

static bool worker_ready(struct uring *uring, unsigned number, unsigned reader) {
    struct uring_worker *worker = &uring->workers[number];

    worker->uring = uring;
    worker->first_queue = number;
    worker->reader.channel = uring->channel;
    worker->reader.number = reader;
    worker->reader.worker = worker;
    worker->reader.device = worker->reader.reading = -1;
    pthread_mutex_init(&worker->lock, NULL);
    worker->wake = eventfd(0, EFD_CLOEXEC);
    return worker->wake >= 0;
}

struct uring *uring_new(struct channel *channel, unsigned first_reader) {
    unsigned count = nr_possible();
    struct uring *uring;
    bool ready = true;

    if (count == 0 || count > MOST_ENTRIES) {
        errno = E2BIG;
        return NULL;
    }
    uring = calloc(1, sizeof *uring);
    if (uring == NULL)
        return NULL;
    pthread_mutex_init(&uring->lock, NULL);
    pthread_cond_init(&uring->changed, NULL);
    uring->channel = channel;
    uring->nr_queues = count;
    uring->most_entries = MOST_ENTRIES / count < MOST_OF_QUEUE ? MOST_ENTRIES / count : MOST_OF_QUEUE;
    uring->queues = calloc(count, sizeof *uring->queues);
    for (unsigned i = 0; i < count && uring->queues != NULL; i++)
        uring->queues[i].number = i;
    for (unsigned i = 0; i < count && i < MOST_WORKERS; i++)
        ready = worker_ready(uring, uring->nr_workers++, first_reader + i) && ready;
    if (!ready || uring->queues == NULL) {
        uring_free(uring);
        errno = ENOMEM;
        return NULL;
    }
    return uring;
}

unsigned uring_workers(const struct uring *uring) {
    return uring->nr_workers;
}

int uring_start(struct uring *uring) {
    int error = 0;

    for (unsigned i = 0; i < uring->nr_workers && error == 0; i++) {
        error = pthread_create(&uring->workers[i].thread, NULL, uring_work, &uring->workers[i]);
        uring->workers[i].running = error == 0;
    }
    return error;
}

int uring_prepared(struct uring *uring) {
    int error;

    pthread_mutex_lock(&uring->lock);
    while (uring->prepared < uring->nr_workers && uring->error == 0 && uring->phase == URING_PREPARES)
        pthread_cond_wait(&uring->changed, &uring->lock);
    error = uring->error;
    pthread_mutex_unlock(&uring->lock);
    return error;
}

static void enter(struct uring *uring, enum uring_phase phase, int error) {
    pthread_mutex_lock(&uring->lock);
    if (uring->phase < phase)
        uring->phase = phase;
    if (uring->error == 0)
        uring->error = error;
    pthread_cond_broadcast(&uring->changed);
    pthread_mutex_unlock(&uring->lock);
}

void uring_begin(struct uring *uring) {
    enter(uring, URING_WORKS, 0);
}

void uring_refuse(struct uring *uring, int error) {
    enter(uring, URING_ENDS, error);
}

void uring_fail(struct uring *uring, int error) {
    enter(uring, URING_PREPARES, error);
}

int uring_state(struct uring *uring) {
    int error;

    pthread_mutex_lock(&uring->lock);
    error = uring->error;
    if (error == 0 && uring->phase == URING_PREPARES)
        error = EAGAIN;
    pthread_mutex_unlock(&uring->lock);
    return error;
}

void uring_end(struct uring *uring) {
    enter(uring, URING_ENDS, 0);
    for (unsigned i = 0; i < uring->nr_workers; i++) {
        struct uring_worker *worker = &uring->workers[i];

        if (!worker->running)
            continue;
        pthread_mutex_lock(&worker->lock);
        worker->ends = true;
        pthread_mutex_unlock(&worker->lock);
        eventfd_write(worker->wake, 1);
        pthread_join(worker->thread, NULL);
        worker->running = false;
    }
}

static void *memory_of(struct uring_entry *entry) {
    return (char *)entry - ENTRY_PLACE;
}

/* The kernel cancels the commands of a closed ring later, and may write to an entry until then. */
static void free_entries(struct uring_worker *worker) {
    while (worker->entries != NULL) {
        struct uring_entry *entry = worker->entries;

        worker->entries = entry->older;
        if (entry->with_kernel)
            madvise(memory_of(entry), ENTRY_SIZE, MADV_DONTNEED);
        else
            munmap(memory_of(entry), ENTRY_SIZE);
    }
}

void uring_free(struct uring *uring) {
    for (unsigned i = 0; i < uring->nr_workers; i++) {
        free_entries(&uring->workers[i]);
        free(uring->workers[i].reader.answer);
        pthread_mutex_destroy(&uring->workers[i].lock);
        if (uring->workers[i].wake >= 0)
            close(uring->workers[i].wake);
    }
    pthread_cond_destroy(&uring->changed);
    pthread_mutex_destroy(&uring->lock);
    free(uring->queues);
    free(uring);
}
