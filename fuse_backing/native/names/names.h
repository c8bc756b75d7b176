/* The names have the files that the kernel knows, and serve its requests about names and attributes.
 *
 * A file is identified by the host's device and inode number and, where the host has file handles, by its handle, which
 * contains a generation. The table then keeps few descriptors: it opens a file by its handle again. Without handles
 * each known file is held open with O_PATH. So its host inode is not reused while the kernel remembers its number, and
 * the file can be reached after a rename or unlink.
 *
 * Every name is looked up relative to a descriptor of its directory, follows no symbolic link and enters no other file
 * system, so no request leaves the tree.
 *
 * All functions are thread-safe. A lock protects the tables and is not held during the host's operations on names. The
 * kernel keeps each file that a request names until the request has its answer, and changes one directory at a time.
 *
 * Owned by:
 *   the directory   The opener keeps its descriptor until after names_free.
 *   nodes           The names own them. A node that the kernel has forgotten exists as long as another node needs it
 *                   for its path.
 *   handles         A handle of an open file is the host's descriptor. names_serve opens it and closes it at RELEASE,
 *                   and names_free closes the rest. So it is with handles of directories.
 *   the door        The channel; it stays valid until names_set_door is called again.
 *   notes           The receiver owns the descriptor of a note, and the path until its function returns.
 */
#ifndef FUSE_BACKING_NAMES_H
#define FUSE_BACKING_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "account/account.h"

#define NAMES_ROOT 1
#define NAMES_MOST_DESCRIPTORS 1024 /* that are kept for files which can be opened again */

struct names;

/* The numbers of notes are beyond all opcodes. */
enum names_note {
    NAMES_NOTE_RELEASED = 256, /* the kernel has forgotten a removed file that has blocks */
    NAMES_NOTE_MOUNTED = 257,  /* another file system is mounted in the tree */
    NAMES_NOTE_REFUSED = 258,  /* the kernel refuses a file as a backing file */
};

/* The calls of the channel that the names need. channel.h explains each. */
struct names_door {
    void *channel;
    int (*gate)(void *channel);
    int (*announce)(void *channel, int handle, int gate, uint32_t file, uint64_t unit);
    void (*forget)(void *channel, int handle);
    int (*backing_open)(void *channel, int fd);
    void (*backing_close)(void *channel, int id);
    /* Leave something to Python that has no answer. Only a release has a descriptor, the others have -1. */
    void (*note)(void *channel, enum names_note note, int fd, const char *path);
};

/* Make the names of the tree below an open directory. NULL with errno. */
struct names *names_new(int directory, bool use_handles, unsigned most_descriptors);
void names_free(struct names *names);

/* Set or remove (NULL) the channel, and the account that has the paths of open files. */
void names_set_door(struct names *names, const struct names_door *door, struct account *account);
/* Set how files are opened from now on: with passthrough, and with the bytes that the host allocates at once (0: Python
 * measures punches). */
void names_set_opening(struct names *names, bool passthrough, uint64_t unit);
/* Set how long the kernel may keep entries and attributes without asking again, in nanoseconds. It is 0 at first, but the
 * kernel may always keep attributes until the next tick or two of its clock. */
void names_set_times(struct names *names, uint64_t nanoseconds);

enum names_outcome {
    NAMES_LEFT,     /* the request is not served here, or Python must do its part first: see names_resume */
    NAMES_ANSWERED, /* with the error, or with the content */
    NAMES_SILENT,   /* the request has no answer */
};

struct names_answer {
    int error;
    size_t size;
    char *content;   /* the caller's room; it does not overlap the request */
    size_t capacity; /* bytes, at least NAMES_LEAST_CAPACITY */
};

#define NAMES_LEAST_CAPACITY (128 << 10)

/* Return whether requests of an opcode are served here, or by Python and then here. */
bool names_serve_opcode(uint32_t opcode);
/* Serve a whole request of the protocol. */
enum names_outcome names_serve(struct names *names, const void *request, size_t size, struct names_answer *answer);
/* Serve a request that was left, after Python has done its part: the truncation of a file. */
enum names_outcome names_resume(struct names *names, const void *request, size_t size, struct names_answer *answer);

/* Find the entry of a known directory and add it to the table, without counting a lookup. Return 0 or an errno. */
int names_find(struct names *names, uint64_t directory, const char *name, uint64_t *number, struct stat *status);
/* Return an O_PATH descriptor of a known file, which the caller closes; -1 with errno: ESTALE. */
int names_descriptor(struct names *names, uint64_t number);
/* Return the number of the file of an open handle, 0 if the handle is not open. */
uint64_t names_of_handle(struct names *names, uint64_t handle);
/* Return the gate of a file that was open, -1 if it has none. */
int names_gate(struct names *names, uint64_t number);
/* Return the path of the last known link, which the caller frees; NULL with errno. */
char *names_path(struct names *names, uint64_t number);
bool names_has_handles(const struct names *names);
size_t names_count(struct names *names);            /* known files, without the root */
size_t names_open_descriptors(struct names *names); /* that the table may close at any time */

#endif
