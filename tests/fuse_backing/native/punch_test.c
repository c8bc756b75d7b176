/* These tests check that a punch claims only the freed bytes that it measured. */
#include <errno.h>
#include <unistd.h>

#include "punch/punch.h"
#include "native_test.h"

static void test_a_punch_is_measured(void) {
    int fd = file_with(16);
    struct punch_result result;

    CHECK(punch_measured(fd, PUNCH, BLOCK + 1, 4 * BLOCK, BLOCK, &result) == 0);
    CHECK(result.error == 0 && result.allocated == 4 * BLOCK && result.freed == 3 * BLOCK);
    CHECK(punch_measured(fd, PUNCH, BLOCK + 1, 4 * BLOCK, BLOCK, &result) == 0 && result.freed == 0);
    close(fd);
}

static void test_what_was_not_measured_is_not_claimed(void) {
    int fd = file_with(16);
    struct punch_result result;

    fail_fiemap_after = 2; /* the second one comes after the punch */
    CHECK(punch_measured(fd, PUNCH, 0, 4 * BLOCK, BLOCK, &result) == 0);
    CHECK(fail_fiemap_after == 0 && result.error == 0 && result.allocated == 4 * BLOCK && result.freed == 0);
    fail_fiemap_after = 1;
    CHECK(punch_measured(fd, PUNCH, 8 * BLOCK, 4 * BLOCK, BLOCK, &result) == EIO);
    CHECK(lseek(fd, 8 * BLOCK, SEEK_DATA) == 8 * BLOCK); /* nothing was done */
    close(fd);
}

void test_a_punch(void) {
    test_a_punch_is_measured();
    test_what_was_not_measured_is_not_claimed();
}
