/* The parts of the names share this header, and nothing else includes it. names.h describes the names.
 *
 *   table.c      known files by number and by identity, from their first look-up until the kernel forgets them
 *   links.c      the known links of a file, and its path
 *   places.c     descriptors of files, and how names are opened
 *   names.c      start and end, and which function serves a request
 *   finding.c    LOOKUP, FORGET, GETATTR and READLINK
 *   listings.c   open directories
 *   making.c     new entries
 *   nameless.c   new files without a name
 *   removing.c   UNLINK, RMDIR and RENAME
 *   changing.c   SETATTR and extended attributes
 *   opening.c    open files
 *   mounts.c     whether other file systems are mounted in the tree
 */
#ifndef FUSE_BACKING_NAMES_STATE_H
#define FUSE_BACKING_NAMES_STATE_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>
#include <time.h>

#include "names.h"
#include "protocol/protocol.h"

#define LARGEST_HANDLE 128 /* MAX_HANDLE_SZ */
#define LONGEST_NAME 255

struct name_node;

struct name_link {
    struct name_link *next;
    struct name_node *parent;
    char name[];
};

/* The state of a file that is or was open. */
struct opened_node {
    struct name_node *next, *previous; /* open files */
    int gate, backing;
    uint32_t account;
    unsigned nr_handles, room;
    int *handles;
};

struct name_node {
    struct name_node *next_number, *next_identity; /* with the same places in the tables */
    struct name_node *older, *newer;               /* files whose descriptor may be closed */
    uint64_t number, host_number, device, lookups;
    struct name_link *links;    /* the known ones, the last known one first; none for the root */
    struct opened_node *opened; /* NULL before the first open */
    struct timespec listed;     /* the last change of a directory whose list the kernel may have cached, or 0 */
    uint32_t kind;              /* one of S_IF* */
    uint32_t pins;              /* reasons why the descriptor must stay open */
    uint32_t children;          /* links whose directory this is */
    int fd;                     /* O_PATH, or -1 */
    bool known, cached;         /* it is in the tables; its descriptor may be closed */
    uint8_t handle_kind, handle_size;
    unsigned char handle[];
};

struct file_identity {
    struct stat status;
    uint8_t handle_kind, handle_size; /* 0 without handles */
    unsigned char handle[LARGEST_HANDLE];
};

struct name_listing {
    pthread_mutex_t lock;
    struct name_node *node;
    int fd;
    off_t position; /* the one of the entry at `at` */
    size_t at, have;
    char *chunk;
};

struct names {
    int directory;
    dev_t device;
    uint64_t mount; /* the directory's, 0 if the kernel does not show it (before Linux 5.8) */
    bool has_handles, has_openat2;
    unsigned most_descriptors;
    atomic_uint_fast64_t unit, valid; /* see names_set_opening and names_set_times */
    atomic_bool passthrough;
    struct account *account;
    struct names_door door; /* its channel is NULL without one */
    int mountinfo;          /* /proc/self/mountinfo, -1 without it */
    atomic_bool has_mounts, looked;
    pthread_mutex_t making; /* held while files are made with the umask of the process */

    pthread_mutex_t lock; /* protects everything below, and the nodes */
    struct name_node *root, **by_number, **by_identity;
    size_t nr_places, count;
    struct name_node *oldest, *newest;
    unsigned nr_cached;
    uint64_t next_own_number;
    struct name_node *open_nodes;
    struct name_node **handles; /* by handle */
    size_t nr_handles;
    int *free_gates;
    size_t nr_free_gates, room_free_gates;
    struct name_listing **listings; /* by handle - 1 */
    size_t nr_listings;
};

/* A request that is being served; `body` follows its header. */
struct names_request {
    struct names *names;
    const struct protocol_in_header *header;
    const char *body;
    size_t size; /* bytes that the body has */
    struct names_answer *answer;
    bool resumed; /* Python has done its part */
};

/* table.c: all with the lock held */
struct name_node *names_known(struct names *names, uint64_t number);
struct name_node *names_same(struct names *names, const struct file_identity *identity);
/* The same for a file whose descriptor is open: no handle is compared. */
struct name_node *names_same_open(struct names *names, const struct file_identity *identity);
struct name_node *names_added(struct names *names, const struct file_identity *identity, int fd);
/* Remove a node that the kernel has forgotten; return its descriptor, which the caller closes, or -1. */
int names_taken_out(struct names *names, struct name_node *node);
void names_free_if_unused(struct names *names, struct name_node *node);

/* links.c: all with the lock held. The first three return whether the path has changed; -1 without memory. */
int names_link(struct names *names, struct name_node *node, struct name_node *parent, const char *name, unsigned links);
bool names_unlink(struct names *names, struct name_node *node, struct name_node *parent, const char *name);
int names_move(struct names *names, struct name_node *node, struct name_node *parent, const char *name,
               struct name_node *new_parent, const char *new_name);
void names_free_links(struct names *names, struct name_node *node, struct name_link *kept);
char *names_path_of(const struct name_node *node);

/* places.c */
bool names_is_name(const char *name);
int names_open_entry(struct names *names, int directory, const char *name); /* -1 with errno */
int names_identify(struct names *names, int fd, struct file_identity *identity); /* 0 or an errno */
bool names_handles_work(int directory);
bool names_openat2_works(int directory);
/* Let the descriptor of a node be closed if it is not pinned, or keep it; both with the lock held. */
void names_cache(struct names *names, struct name_node *node);
void names_uncache(struct names *names, struct name_node *node);
/* Return the node of a number with its descriptor open until names_put; NULL with errno. */
struct name_node *names_take(struct names *names, uint64_t number);
/* Keep the descriptor of a node open until names_put; with the lock held. 0 or an errno. */
int names_pin(struct names *names, struct name_node *node);
void names_put(struct names *names, struct name_node *node);
uint64_t names_mount_of(int directory); /* 0 if it is not known */
/* Find the entry of a directory whose descriptor is open; the caller puts the node. With `create` a file that is not
 * known is added to the table; without, *node is NULL then. 0 or an errno. */
int names_find_entry(struct names *names, struct name_node *parent, const char *name, bool create,
                     struct name_node **node, struct stat *status);
void names_proc_path(char path[32], int fd);
/* Open the file of a node, whose descriptor is open, with other flags; -1 with errno. */
int names_reopen(struct names *names, const struct name_node *node, int flags);

/* finding.c */
/* Find an entry, record its link, and count a lookup; the caller puts the node. 0 or an errno. */
int names_look_up(struct names *names, struct name_node *parent, const char *name, bool used, struct name_node **node,
                  struct stat *status);
void names_subtract_lookups(struct names *names, uint64_t number, uint64_t count);
void names_fill_entry(struct names *names, struct protocol_entry_out *out, const struct name_node *node,
                      const struct stat *status);
enum names_outcome names_answer_error(struct names_request *request, int error); /* 0 or an errno */
enum names_outcome names_answer_entry(struct names_request *request, const struct name_node *node,
                                      const struct stat *status);
enum names_outcome names_answer_attributes(struct names_request *request, const struct name_node *node);
enum names_outcome names_serve_lookup(struct names_request *request);
enum names_outcome names_serve_forget(struct names_request *request);
enum names_outcome names_serve_getattr(struct names_request *request);
enum names_outcome names_serve_readlink(struct names_request *request);
/* Return the string at `offset` of the body, and set `offset` behind it; NULL if it is not whole. */
const char *names_string(const struct names_request *request, size_t *offset);

/* listings.c */
enum names_outcome names_serve_opendir(struct names_request *request);
enum names_outcome names_serve_readdir(struct names_request *request);
enum names_outcome names_serve_releasedir(struct names_request *request);
enum names_outcome names_serve_fsyncdir(struct names_request *request);
void names_close_listings(struct names *names);

/* making.c */
enum names_outcome names_serve_mknod(struct names_request *request);
enum names_outcome names_serve_mkdir(struct names_request *request);
enum names_outcome names_serve_symlink(struct names_request *request);
enum names_outcome names_serve_link(struct names_request *request);
enum names_outcome names_serve_create(struct names_request *request);

/* Call a function that makes a file, as the caller of a request does: with its group and a umask. The function returns
 * 0, or -1 with errno. 0 or an errno. */
int names_make_as_caller(struct names_request *request, mode_t mask, int (*function)(void *what), void *what);
/* Let the caller own a new file, which is open as `fd`, and update its status. 0 or an errno. */
int names_own(const struct names_request *request, int fd, struct stat *status);

/* nameless.c */
enum names_outcome names_serve_tmpfile(struct names_request *request);

/* removing.c */
enum names_outcome names_serve_unlink(struct names_request *request);
enum names_outcome names_serve_rename(struct names_request *request);

/* changing.c */
enum names_outcome names_serve_setattr(struct names_request *request);
enum names_outcome names_serve_setxattr(struct names_request *request);
enum names_outcome names_serve_getxattr(struct names_request *request);
enum names_outcome names_serve_removexattr(struct names_request *request);

/* opening.c */
enum names_outcome names_serve_open(struct names_request *request);
enum names_outcome names_serve_release(struct names_request *request);
/* Register a descriptor as a handle of a node, whose descriptor is open, and fill the answer; on failure close it. */
int names_opened(struct names *names, struct name_node *node, int fd, struct protocol_open_out *out);
/* Record later events of the file, or of all files below the directory, under its new path; with the lock held. */
void names_moved(struct names *names, struct name_node *node);
void names_forget_opened(struct names *names, struct name_node *node); /* with the lock held */
void names_close_handles(struct names *names);
int names_host_flags(uint32_t flags);

/* mounts.c */
void names_watch_mounts(struct names *names);
bool names_is_mountpoint(struct names *names, int directory, const char *name);

#endif
