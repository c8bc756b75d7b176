/* The tests of the C core share these functions and settings. */
#pragma once
#include <linux/falloc.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#define CHECK(what)                                                          \
    do {                                                                     \
        if (!(what)) {                                                       \
            fprintf(stderr, "%s:%d: false: %s\n", __FILE__, __LINE__, #what); \
            exit(1);                                                         \
        }                                                                    \
    } while (0)

#define BLOCK 4096
#define PUNCH (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)

extern const char *directory; /* on a file system with FIEMAP */

extern atomic_int fail_fiemap_after; /* the FIEMAP call that fails, counted down; 0: none */
extern atomic_int fallocate_errno;   /* the errno of every fallocate; 0: none */
extern atomic_int pwrite_short;      /* the offset at which a pwrite ends; 0: none */
extern atomic_int pwrite_errno;      /* the errno of a pwrite from that offset on; 0: none */
extern atomic_int ring_errno;        /* the errno of every new io_uring; 0: none */

/* While `hold_reads` is set, a read waits before its system call until a thread has been sent a signal. `held` is true
 * while a read waits. */
extern atomic_bool hold_reads, held;

/* Make a file without a name that has this many blocks of data. */
int file_with(size_t blocks);

void test_the_account(void);
void test_a_punch(void);
void test_the_channel(void);
void test_the_rings_of_a_channel(void);
void test_the_latencies(void);
void test_the_names(void);
void test_the_names_of_a_channel(void);
void test_the_order(void);
void test_the_plane(void);
void test_a_ring(void);
void test_taken_requests(void);
void test_the_channel_under_pressure(void);
void test_the_end_of_a_channel(void);
