/* A table has the mappings of one device that the plane knows: for each virtual block, its data block.
 *
 * An entry is 0 where nothing is known: Python is asked then, and fills it. One thread at a time writes a table (Python's
 * lock separates the writers), and any number of readers look up entries meanwhile. The entries are atomic, so a reader
 * finds either the old entry or the new one. Nothing separates a reader from a writer beyond that: the gate of the plane
 * does (plane.h).
 *
 * Owned by:
 *   a table      its device; table_free frees it with all pages, when no reader uses it any more.
 *   the pages    Each belongs to one table. The pool of pages bounds their number over all tables. A page that a table
 *                has dropped goes back to the pool when every reader has left the plane once since then.
 */
#ifndef FUSE_BACKING_PLANE_TABLE_H
#define FUSE_BACKING_PLANE_TABLE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TABLE_PAGE_ENTRIES 4096 /* 16 KiB */
#define TABLE_UNKNOWN 0u
#define TABLE_UNMAPPED 1u                 /* reads as zeros; a write asks Python */
#define TABLE_MOST_DATA_BLOCKS 0x7ffffffeu /* a larger data block does not fit into an entry */

/* Return the entry of a mapped block. `writable` is true if a write there changes no mapping. */
static inline uint32_t table_entry(uint32_t data_block, bool writable) {
    return (data_block + 1) << 1 | (uint32_t)writable;
}

static inline bool table_is_mapped(uint32_t entry) {
    return entry > TABLE_UNMAPPED;
}

static inline uint32_t table_data_block(uint32_t entry) {
    return (entry >> 1) - 1;
}

static inline bool table_is_writable(uint32_t entry) {
    return table_is_mapped(entry) && (entry & 1);
}

struct table_page {
    atomic_uint_least32_t entries[TABLE_PAGE_ENTRIES];
};

struct table {
    uint64_t blocks;                       /* virtual blocks of the device */
    size_t nr_pages;                       /* places for pages */
    _Atomic(struct table_page *) *pages;
};

/* Return a table for `blocks` virtual blocks, in which nothing is known; NULL without memory. */
struct table *table_new(uint64_t blocks);
void table_free(struct table *table); /* its pages must be dropped before */

/* Return the entry of a block, TABLE_UNKNOWN beyond the end. Any thread may call it. */
static inline uint32_t table_look(const struct table *table, uint64_t block) {
    const struct table_page *page;

    if (block >= table->blocks)
        return TABLE_UNKNOWN;
    page = atomic_load_explicit(&table->pages[block / TABLE_PAGE_ENTRIES], memory_order_acquire);
    if (page == NULL)
        return TABLE_UNKNOWN;
    return atomic_load_explicit(&page->entries[block % TABLE_PAGE_ENTRIES], memory_order_acquire);
}

#endif
