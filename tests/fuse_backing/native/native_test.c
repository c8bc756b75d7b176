/* This program tests the C core under a sanitizer, without a kernel: the channel's /dev/fuse is one end of a socket
 * pair. A test can replace the host's answers to ioctl(2), fallocate(2), pwrite(2) and to a new io_uring, and delay a
 * read(2) (ld --wrap). The argument is a directory on a file system with FIEMAP. The exit status is 0 if every check is
 * true. */
#include <signal.h>

#include "native_test.h"

int main(int count, char **arguments) {
    CHECK(count == 2);
    directory = arguments[1];
    signal(SIGPIPE, SIG_IGN);
    test_the_account();
    test_a_punch();
    test_the_channel();
    test_the_rings_of_a_channel();
    test_the_latencies();
    test_the_names();
    test_the_names_of_a_channel();
    test_the_order();
    test_a_ring();
    test_the_plane();
    test_taken_requests();
    test_the_channel_under_pressure();
    test_the_end_of_a_channel();
    return 0;
}
