/* The structures of the FUSE protocol that the channel reads and writes: include/uapi/linux/fuse.h of Linux 6.14 and
 * later. They are copied here, since the headers of older distributions lack passthrough and io_uring.
 *
 * Owned by: nobody; this header has only layouts. */
#ifndef FUSE_BACKING_PROTOCOL_H
#define FUSE_BACKING_PROTOCOL_H

#include <stdint.h>
#include <sys/ioctl.h>

enum {
    PROTOCOL_LOOKUP = 1,
    PROTOCOL_FORGET = 2,
    PROTOCOL_GETATTR = 3,
    PROTOCOL_SETATTR = 4,
    PROTOCOL_READLINK = 5,
    PROTOCOL_SYMLINK = 6,
    PROTOCOL_MKNOD = 8,
    PROTOCOL_MKDIR = 9,
    PROTOCOL_UNLINK = 10,
    PROTOCOL_RMDIR = 11,
    PROTOCOL_RENAME = 12,
    PROTOCOL_LINK = 13,
    PROTOCOL_OPEN = 14,
    PROTOCOL_READ = 15,
    PROTOCOL_WRITE = 16,
    PROTOCOL_STATFS = 17,
    PROTOCOL_RELEASE = 18,
    PROTOCOL_FSYNC = 20,
    PROTOCOL_SETXATTR = 21,
    PROTOCOL_GETXATTR = 22,
    PROTOCOL_LISTXATTR = 23,
    PROTOCOL_REMOVEXATTR = 24,
    PROTOCOL_FLUSH = 25,
    PROTOCOL_INIT = 26,
    PROTOCOL_OPENDIR = 27,
    PROTOCOL_READDIR = 28,
    PROTOCOL_RELEASEDIR = 29,
    PROTOCOL_FSYNCDIR = 30,
    PROTOCOL_ACCESS = 34,
    PROTOCOL_CREATE = 35,
    PROTOCOL_INTERRUPT = 36,
    PROTOCOL_DESTROY = 38,
    PROTOCOL_NOTIFY_REPLY = 41,
    PROTOCOL_BATCH_FORGET = 42,
    PROTOCOL_FALLOCATE = 43,
    PROTOCOL_READDIRPLUS = 44,
    PROTOCOL_RENAME2 = 45,
    PROTOCOL_LSEEK = 46,
    PROTOCOL_COPY_FILE_RANGE = 47,
    PROTOCOL_TMPFILE = 51,
    PROTOCOL_COPY_FILE_RANGE_64 = 53, /* Linux 6.18 */
};

enum { PROTOCOL_URING_REGISTER = 1, PROTOCOL_URING_COMMIT_AND_FETCH = 2 }; /* the commands of an entry of io_uring */

#define PROTOCOL_DONT_MASK (1u << 6)
#define PROTOCOL_DO_READDIRPLUS (1u << 13)
#define PROTOCOL_READDIRPLUS_AUTO (1u << 14)
#define PROTOCOL_WRITEBACK_CACHE (1u << 16)
#define PROTOCOL_HANDLE_KILLPRIV (1u << 19)
#define PROTOCOL_HANDLE_KILLPRIV_V2 (1u << 28)
#define PROTOCOL_SETXATTR_EXT (1u << 29)
#define PROTOCOL_INIT_EXT (1u << 30)
#define PROTOCOL_INIT2_PASSTHROUGH (1u << (37 - 32))
#define PROTOCOL_INIT2_OVER_IO_URING (1u << (41 - 32))
#define PROTOCOL_FOPEN_DIRECT_IO (1u << 0)
#define PROTOCOL_FOPEN_KEEP_CACHE (1u << 1)
#define PROTOCOL_FOPEN_CACHE_DIR (1u << 3)
#define PROTOCOL_FOPEN_NOFLUSH (1u << 5)
#define PROTOCOL_FOPEN_PASSTHROUGH (1u << 7)
#define PROTOCOL_ENTRY_OUT_SIZE 128
#define PROTOCOL_SETATTR_MODE (1u << 0)
#define PROTOCOL_SETATTR_UID (1u << 1)
#define PROTOCOL_SETATTR_GID (1u << 2)
#define PROTOCOL_SETATTR_SIZE (1u << 3)
#define PROTOCOL_SETATTR_ATIME (1u << 4)
#define PROTOCOL_SETATTR_MTIME (1u << 5)
#define PROTOCOL_SETATTR_FH (1u << 6)
#define PROTOCOL_SETATTR_ATIME_NOW (1u << 7)
#define PROTOCOL_SETATTR_MTIME_NOW (1u << 8)
#define PROTOCOL_SETATTR_CTIME (1u << 10)
#define PROTOCOL_WRITE_KILL_PRIVILEGES (1u << 2)
#define PROTOCOL_FSYNC_DATA (1u << 0)

struct protocol_in_header {
    uint32_t len, opcode;
    uint64_t unique, nodeid;
    uint32_t uid, gid, pid;
    uint16_t total_extlen, padding;
};

struct protocol_out_header {
    uint32_t len;
    int32_t error;
    uint64_t unique;
};

struct protocol_init_in {
    uint32_t major, minor, max_readahead, flags, flags2;
};

struct protocol_init_out {
    uint32_t major, minor, max_readahead, flags;
    uint16_t max_background, congestion_threshold;
    uint32_t max_write, time_gran;
    uint16_t max_pages, map_alignment;
    uint32_t flags2, max_stack_depth;
    uint32_t unused[6];
};

struct protocol_open_out {
    uint64_t fh;
    uint32_t open_flags;
    int32_t backing_id;
};

struct protocol_fallocate_in {
    uint64_t fh, offset, length;
    uint32_t mode, padding;
};

struct protocol_setattr_in {
    uint32_t valid, padding;
    uint64_t fh, size, lock_owner, atime, mtime, ctime;
    uint32_t atimensec, mtimensec, ctimensec, mode, unused4, uid, gid, unused5;
};

struct protocol_attr {
    uint64_t ino, size, blocks, atime, mtime, ctime;
    uint32_t atimensec, mtimensec, ctimensec, mode, nlink, uid, gid, rdev, blksize, flags;
};

struct protocol_entry_out {
    uint64_t nodeid, generation, entry_valid, attr_valid;
    uint32_t entry_valid_nsec, attr_valid_nsec;
    struct protocol_attr attr;
};

struct protocol_attr_out {
    uint64_t attr_valid;
    uint32_t attr_valid_nsec, padding;
    struct protocol_attr attr;
};

struct protocol_forget_one {
    uint64_t nodeid, nlookup;
};

struct protocol_batch_forget_in { /* `count` structures protocol_forget_one follow */
    uint32_t count, padding;
};

struct protocol_mknod_in { /* the name follows */
    uint32_t mode, rdev, umask, padding;
};

struct protocol_mkdir_in { /* the name follows */
    uint32_t mode, umask;
};

struct protocol_rename_in { /* both names follow */
    uint64_t newdir;
};

struct protocol_rename2_in { /* both names follow */
    uint64_t newdir;
    uint32_t flags, padding;
};

struct protocol_link_in { /* the name follows */
    uint64_t oldnodeid;
};

struct protocol_open_in {
    uint32_t flags, open_flags;
};

struct protocol_create_in { /* the name follows */
    uint32_t flags, mode, umask, open_flags;
};

struct protocol_release_in {
    uint64_t fh;
    uint32_t flags, release_flags;
    uint64_t lock_owner;
};

struct protocol_getxattr_in { /* the name follows, if there is one */
    uint32_t size, padding;
};

struct protocol_getxattr_out {
    uint32_t size, padding;
};

struct protocol_setxattr_in { /* the name and the value follow; SETXATTR_EXT would add two fields */
    uint32_t size, flags;
};

struct protocol_dirent { /* the name follows; an entry is padded to 8 bytes */
    uint64_t ino, off;
    uint32_t namelen, type;
};

struct protocol_read_in {
    uint64_t fh, offset;
    uint32_t size, read_flags;
    uint64_t lock_owner;
    uint32_t flags, padding;
};

struct protocol_write_in { /* the data follows */
    uint64_t fh, offset;
    uint32_t size, write_flags;
    uint64_t lock_owner;
    uint32_t flags, padding;
};

struct protocol_write_out {
    uint32_t size, padding;
};

struct protocol_fsync_in {
    uint64_t fh;
    uint32_t fsync_flags, padding;
};

struct protocol_lseek_in {
    uint64_t fh, offset;
    uint32_t whence, padding;
};

struct protocol_lseek_out {
    uint64_t offset;
};

struct protocol_copy_in {
    uint64_t fh_in, offset_in, nodeid_out, fh_out, offset_out, length, flags;
};

struct protocol_copy_out { /* COPY_FILE_RANGE has struct protocol_write_out instead */
    uint64_t copied;
};

struct protocol_statfs_out {
    uint64_t blocks, bfree, bavail, files, ffree;
    uint32_t bsize, namelen, frsize, padding;
    uint32_t spare[6];
};

/* The headers of an entry of io_uring. A request has its struct protocol_in_header first, then the structure of its
 * opcode; an answer has its struct protocol_out_header first. All that follows is in the payload. */
struct protocol_uring_headers {
    char first[128], opcode[128];
    uint64_t flags, commit_id;
    uint32_t payload_size, padding;
    uint64_t reserved;
};

struct protocol_uring_command { /* in the submission, from its byte 48 on */
    uint64_t flags, commit_id;
    uint16_t queue;
    uint8_t padding[6];
};

struct protocol_backing_map {
    int32_t fd;
    uint32_t flags;
    uint64_t padding;
};

_Static_assert(sizeof(struct protocol_in_header) == 40, "fuse_in_header has 40 bytes in the kernel");
_Static_assert(sizeof(struct protocol_out_header) == 16, "fuse_out_header has 16 bytes in the kernel");
_Static_assert(sizeof(struct protocol_init_out) == 64, "fuse_init_out has 64 bytes in the kernel");
_Static_assert(sizeof(struct protocol_setattr_in) == 88, "fuse_setattr_in has 88 bytes in the kernel");
_Static_assert(sizeof(struct protocol_attr) == 88, "fuse_attr has 88 bytes in the kernel");
_Static_assert(sizeof(struct protocol_entry_out) == PROTOCOL_ENTRY_OUT_SIZE, "fuse_entry_out has 128 bytes in the kernel");
_Static_assert(sizeof(struct protocol_attr_out) == 104, "fuse_attr_out has 104 bytes in the kernel");
_Static_assert(sizeof(struct protocol_dirent) == 24, "fuse_dirent has 24 bytes in the kernel");
_Static_assert(sizeof(struct protocol_open_out) == 16, "fuse_open_out has 16 bytes in the kernel");
_Static_assert(sizeof(struct protocol_fallocate_in) == 32, "fuse_fallocate_in has 32 bytes in the kernel");
_Static_assert(sizeof(struct protocol_read_in) == 40, "fuse_read_in has 40 bytes in the kernel");
_Static_assert(sizeof(struct protocol_copy_in) == 56, "fuse_copy_file_range_in has 56 bytes in the kernel");
_Static_assert(sizeof(struct protocol_write_in) == 40, "fuse_write_in has 40 bytes in the kernel");

_Static_assert(sizeof(struct protocol_uring_headers) == 288, "fuse_uring_req_header has 288 bytes in the kernel");
_Static_assert(sizeof(struct protocol_uring_command) == 24, "fuse_uring_cmd_req has 24 bytes in the kernel");
_Static_assert(sizeof(struct protocol_statfs_out) == 80, "fuse_statfs_out has 80 bytes in the kernel");

#define PROTOCOL_DEVICE_CLONE _IOR(229, 0, uint32_t)
#define PROTOCOL_BACKING_OPEN _IOW(229, 1, struct protocol_backing_map)
#define PROTOCOL_BACKING_CLOSE _IOW(229, 2, uint32_t)

#endif
