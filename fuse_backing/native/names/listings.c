/* Open directories. A list has the host's order and positions, so a position stays valid while the directory changes. */
#include "names_state.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CHUNK (64 << 10) /* bytes that one getdents64(2) may return */
#define SETTLED 100000000 /* nanoseconds: the times of a host are at least as exact */

struct host_entry { /* getdents64(2) */
    uint64_t number;
    int64_t next;
    unsigned short size;
    unsigned char kind;
    char name[];
};

static struct name_listing *listing_of(struct names *names, uint64_t handle) {
    struct name_listing *listing = NULL;

    pthread_mutex_lock(&names->lock);
    if (handle > 0 && handle <= names->nr_listings)
        listing = names->listings[handle - 1];
    pthread_mutex_unlock(&names->lock);
    return listing;
}

static void free_listing(struct name_listing *listing) {
    close(listing->fd);
    pthread_mutex_destroy(&listing->lock);
    free(listing->chunk);
    free(listing);
}

/* Return the handle of a new listing, 0 without memory. */
static uint64_t added(struct names *names, struct name_listing *listing) {
    uint64_t handle = 0;

    pthread_mutex_lock(&names->lock);
    for (size_t i = 0; i < names->nr_listings && handle == 0; i++)
        if (names->listings[i] == NULL)
            handle = i + 1;
    if (handle == 0) {
        size_t room = 2 * names->nr_listings + 16;
        struct name_listing **listings = realloc(names->listings, room * sizeof *listings);

        if (listings != NULL) {
            memset(listings + names->nr_listings, 0, (room - names->nr_listings) * sizeof *listings);
            handle = names->nr_listings + 1;
            names->listings = listings;
            names->nr_listings = room;
        }
    }
    if (handle != 0)
        names->listings[handle - 1] = listing;
    pthread_mutex_unlock(&names->lock);
    return handle;
}

/* Return the flags with which a directory is opened. The kernel may use a list that it has cached if the directory has
 * not changed since; the time of its last change shows that, unless another change may have the same recent time. */
static uint32_t flags_of(struct names *names, struct name_node *node, const struct stat *status) {
    const struct timespec *changed = &status->st_ctim;
    struct timespec now;
    int64_t age;
    bool same;

    if (atomic_load(&names->has_mounts))
        return 0;
    clock_gettime(CLOCK_REALTIME, &now);
    age = (now.tv_sec - changed->tv_sec) * 1000000000LL + now.tv_nsec - changed->tv_nsec;
    pthread_mutex_lock(&names->lock);
    same = node->listed.tv_sec == changed->tv_sec && node->listed.tv_nsec == changed->tv_nsec;
    node->listed = age < SETTLED ? (struct timespec){0, 0} : *changed;
    pthread_mutex_unlock(&names->lock);
    if (age < SETTLED)
        return 0;
    return PROTOCOL_FOPEN_CACHE_DIR | (same ? PROTOCOL_FOPEN_KEEP_CACHE : 0);
}

static int opened(struct names_request *request, struct name_node *node) {
    struct protocol_open_out *out = (void *)request->answer->content;
    struct name_listing *listing;
    struct stat status;
    int fd = openat(node->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return errno;
    names_watch_mounts(request->names);
    listing = calloc(1, sizeof *listing);
    if (listing == NULL || fstat(fd, &status) != 0) {
        free(listing);
        close(fd);
        return ENOMEM;
    }
    pthread_mutex_init(&listing->lock, NULL);
    listing->node = node;
    listing->fd = fd;
    *out = (struct protocol_open_out){.fh = added(request->names, listing),
                                      .open_flags = flags_of(request->names, node, &status)};
    if (out->fh == 0) {
        free_listing(listing);
        return ENOMEM;
    }
    request->answer->size = sizeof *out;
    return 0;
}

enum names_outcome names_serve_opendir(struct names_request *request) {
    struct name_node *node = names_take(request->names, request->header->nodeid);

    if (node == NULL)
        return names_answer_error(request, errno);
    request->answer->error = opened(request, node);
    names_put(request->names, node);
    return NAMES_ANSWERED;
}

/* Return the entry at a position, NULL with errno, which is 0 at the end. */
static const struct host_entry *entry_at(struct name_listing *listing, off_t position) {
    ssize_t got;

    if (listing->chunk == NULL && (listing->chunk = malloc(CHUNK)) == NULL)
        return NULL;
    if (position != listing->position || position == 0) {
        if (lseek(listing->fd, position, SEEK_SET) < 0)
            return NULL;
        listing->position = position;
        listing->at = listing->have = 0;
    }
    if (listing->at == listing->have) {
        got = syscall(SYS_getdents64, listing->fd, listing->chunk, CHUNK);
        listing->at = 0;
        listing->have = got > 0 ? (size_t)got : 0;
        errno = got < 0 ? errno : 0;
        if (got <= 0)
            return NULL;
    }
    return (const struct host_entry *)(const void *)(listing->chunk + listing->at);
}

static bool is_dots(const char *name) {
    return name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'));
}

/* Return the number that the kernel has for an entry, or the host's. */
static uint64_t number_of(struct names *names, const struct name_listing *listing, const struct host_entry *entry) {
    const struct name_node *node = listing->node;
    uint64_t number = entry->number;

    if (!is_dots(entry->name))
        return number;
    pthread_mutex_lock(&names->lock);
    number = entry->name[1] == '.' && node->links != NULL ? node->links->parent->number : node->number;
    pthread_mutex_unlock(&names->lock);
    return number;
}

/* Add an entry to the answer; false if it has no room. */
static bool put_entry(struct names_request *request, struct name_listing *listing, const struct host_entry *entry,
                      size_t most) {
    struct names *names = request->names;
    struct names_answer *answer = request->answer;
    bool plus = request->header->opcode == PROTOCOL_READDIRPLUS;
    size_t length = strlen(entry->name), before = plus ? sizeof(struct protocol_entry_out) : 0;
    size_t whole = (before + sizeof(struct protocol_dirent) + length + 7) / 8 * 8;
    char *place = answer->content + answer->size;
    struct protocol_dirent *out = (void *)(place + before);
    struct name_node *node;
    struct stat status;

    if (answer->size + whole > most)
        return false;
    memset(place, 0, whole);
    *out = (struct protocol_dirent){number_of(names, listing, entry), (uint64_t)entry->next, (uint32_t)length,
                                    entry->kind};
    memcpy(out + 1, entry->name, length);
    if (!is_dots(entry->name) && plus) {
        if (names_look_up(names, listing->node, entry->name, false, &node, &status) != 0)
            return true; /* removed since, or on another file system */
        names_fill_entry(names, (void *)place, node, &status);
        out->ino = node->number;
        out->type = node->kind >> 12;
        names_put(names, node);
    } else if (names_is_mountpoint(names, listing->fd, entry->name)) {
        return true;
    }
    answer->size += whole;
    return true;
}

static int listed(struct names_request *request, struct name_listing *listing, off_t position, size_t most) {
    const struct host_entry *entry;

    while ((entry = entry_at(listing, position)) != NULL) {
        if (!put_entry(request, listing, entry, most))
            break;
        position = listing->position = entry->next;
        listing->at += entry->size;
    }
    return entry == NULL && request->answer->size == 0 ? errno : 0;
}

enum names_outcome names_serve_readdir(struct names_request *request) {
    const struct protocol_read_in *in = (const void *)request->body;
    struct names_answer *answer = request->answer;
    struct name_listing *listing = request->size < sizeof *in ? NULL : listing_of(request->names, in->fh);
    struct name_node *node = listing == NULL ? NULL : names_take(request->names, request->header->nodeid);

    if (listing == NULL || node != listing->node) {
        if (node != NULL)
            names_put(request->names, node);
        return names_answer_error(request, EBADF);
    }
    pthread_mutex_lock(&listing->lock);
    answer->error =
        listed(request, listing, (off_t)in->offset, in->size < answer->capacity ? in->size : answer->capacity);
    pthread_mutex_unlock(&listing->lock);
    names_put(request->names, node);
    return NAMES_ANSWERED;
}

enum names_outcome names_serve_releasedir(struct names_request *request) {
    const struct protocol_release_in *in = (const void *)request->body;
    struct names *names = request->names;
    struct name_listing *listing = NULL;

    pthread_mutex_lock(&names->lock);
    if (request->size >= sizeof *in && in->fh > 0 && in->fh <= names->nr_listings) {
        listing = names->listings[in->fh - 1];
        names->listings[in->fh - 1] = NULL;
    }
    pthread_mutex_unlock(&names->lock);
    if (listing != NULL)
        free_listing(listing);
    return names_answer_error(request, 0);
}

enum names_outcome names_serve_fsyncdir(struct names_request *request) {
    const struct protocol_fsync_in *in = (const void *)request->body;
    struct name_listing *listing = request->size < sizeof *in ? NULL : listing_of(request->names, in->fh);

    if (listing == NULL)
        return names_answer_error(request, EBADF);
    return names_answer_error(request, fsync(listing->fd) == 0 ? 0 : errno);
}

void names_close_listings(struct names *names) {
    for (size_t i = 0; i < names->nr_listings; i++)
        if (names->listings[i] != NULL)
            free_listing(names->listings[i]);
    free(names->listings);
    names->listings = NULL;
    names->nr_listings = 0;
}
