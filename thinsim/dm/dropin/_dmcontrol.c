/* This library replaces /dev/mapper/control in programs that use libdevmapper, for a kernel without device-mapper.
 * Opening the device connects to the emulated device-mapper's socket; each ioctl becomes a request frame and a reply
 * frame (thinsim/dm/daemon/ioctl/control_device.py). The drop-in dmsetup preloads it (ld.so(8), LD_PRELOAD).
 * THINSIM_DM_CONTROL names the socket. THINSIM_DM_START names the program that starts the daemon if it is not running.
 *
 * Other files, other ioctls and other descriptors work as before. */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/dm-ioctl.h>
#include <pthread.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define DIRECTORY "/dev/mapper/"
#define CONTROL DIRECTORY "control"
#define UDEV "/run/udev/control"
#define MAX_DATA (1u << 20)
#define MISC_MAJOR 10
#define CONTROL_MINOR 236 /* MAPPER_CTRL_MINOR, include/linux/miscdevice.h */
#define LOOP_MAJOR 7      /* mapped devices are loop devices here, Documentation/admin-guide/devices.txt */

static int control = -1;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* The drop-in runs the real program by its path; its messages shall have the name without the directory. */
__attribute__((constructor)) static void take_name(int count, char **words) {
    char *slash = count > 0 && getenv("THINSIM_DM_CONTROL") != NULL ? strrchr(words[0], '/') : NULL;

    if (slash != NULL)
        words[0] = slash + 1;
}

static void *next(const char *name) {
    void *function = dlsym(RTLD_NEXT, name);

    if (function == NULL) {
        fprintf(stderr, "dmcontrol: the C library has no %s\n", name);
        abort();
    }
    return function;
}

static bool is_control(const char *path) {
    return strcmp(path, CONTROL) == 0 && getenv("THINSIM_DM_CONTROL") != NULL;
}

extern char **environ;

/* Run the program that starts the daemon; it reports its own errors. */
static bool start_daemon(void) {
    char *program = getenv("THINSIM_DM_START"), *arguments[] = {program, NULL};
    char **environment;
    size_t count = 0, kept = 0;
    int status = -1;
    pid_t child;

    while (environ[count] != NULL)
        count++;
    environment = calloc(count + 1, sizeof *environment);
    if (program == NULL || *program == '\0' || environment == NULL)
        return false;
    for (size_t i = 0; i < count; i++)
        if (strncmp(environ[i], "LD_PRELOAD=", 11) != 0)
            environment[kept++] = environ[i];
    if (posix_spawn(&child, program, NULL, NULL, arguments, environment) == 0)
        while (waitpid(child, &status, 0) < 0 && errno == EINTR)
            ;
    free(environment);
    return status == 0;
}

static int try_control(void) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *path = getenv("THINSIM_DM_CONTROL");
    int fd;

    if (strlen(path) >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    strcpy(address.sun_path, path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) < 0) {
        int error = errno;

        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

static int open_control(void) {
    int fd = try_control();

    if (fd < 0 && (errno == ENOENT || errno == ECONNREFUSED))
        fd = start_daemon() ? try_control() : -1;
    if (fd < 0 && (errno == ENOENT || errno == ECONNREFUSED))
        errno = ENODEV;

    if (fd >= 0) {
        pthread_mutex_lock(&lock);
        control = fd;
        pthread_mutex_unlock(&lock);
    }
    return fd;
}

static bool whole(int fd, void *buffer, size_t size, bool out) {
    char *position = buffer;

    while (size > 0) {
        ssize_t done = out ? send(fd, position, size, MSG_NOSIGNAL) : recv(fd, position, size, 0);

        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0) {
            errno = EIO;
            return false;
        }
        position += done;
        size -= (size_t)done;
    }
    return true;
}

static int forward(int fd, unsigned command, struct dm_ioctl *request) {
    struct {
        uint32_t command, length;
    } head = {command, request->data_size};
    struct {
        int32_t error;
        uint32_t length;
    } answer;
    uint32_t room = request->data_size;
    int result = -1;

    if (room < sizeof *request - sizeof request->data || room > MAX_DATA) {
        errno = EINVAL;
        return -1;
    }
    pthread_mutex_lock(&lock);
    if (whole(fd, &head, sizeof head, true) && whole(fd, request, room, true) &&
        whole(fd, &answer, sizeof answer, false)) {
        if (answer.error != 0)
            errno = answer.error;
        else if (answer.length > room)
            errno = EIO;
        else if (whole(fd, request, answer.length, false))
            result = 0;
    }
    pthread_mutex_unlock(&lock);
    return result;
}

/* A mapped device appears in sysfs with its first table. A loop device always exists, with size 0 until then. */
static bool is_of_no_table(const char *path) {
    FILE *(*open_it)(const char *, const char *) = next("fopen64");
    unsigned minor;
    char name[64], text[2] = "";
    FILE *size;

    if (getenv("THINSIM_DM_CONTROL") == NULL ||
        sscanf(path, "/sys/dev/block/7:%u/bdi/read_ahead_kb", &minor) != 1)
        return false;
    snprintf(name, sizeof name, "/sys/dev/block/7:%u/size", minor);
    size = open_it(name, "r");
    if (size == NULL)
        return false;
    if (fread(text, 1, sizeof text, size) == 0)
        text[0] = '\0';
    fclose(size);
    return text[0] == '0';
}

static void describe_control(struct stat64 *status) {
    memset(status, 0, sizeof *status);
    status->st_mode = S_IFCHR | 0600;
    status->st_nlink = 1;
    status->st_rdev = makedev(MISC_MAJOR, CONTROL_MINOR);
}

/* ---- functions that libdevmapper calls ------------------------------------------------------------- */

int open64(const char *path, int flags, ...) {
    int (*original)(const char *, int, ...) = next("open64");
    mode_t mode = 0;

    if (is_control(path))
        return open_control();
    if (is_of_no_table(path)) {
        errno = ENOENT;
        return -1;
    }
    if (flags & (O_CREAT | O_TMPFILE)) {
        va_list arguments;

        va_start(arguments, flags);
        mode = va_arg(arguments, mode_t);
        va_end(arguments);
    }
    return original(path, flags, mode);
}

int ioctl(int fd, unsigned long request, ...) {
    int (*original)(int, unsigned long, ...) = next("ioctl");
    va_list arguments;
    void *argument;

    va_start(arguments, request);
    argument = va_arg(arguments, void *);
    va_end(arguments);
    if (fd >= 0 && fd == control && _IOC_TYPE(request) == DM_IOCTL)
        return forward(fd, _IOC_NR(request), argument);
    return original(fd, request, argument);
}

int stat64(const char *path, struct stat64 *status) {
    int (*original)(const char *, struct stat64 *) = next("stat64");

    if (is_control(path)) {
        describe_control(status);
        return 0;
    }
    return original(path, status);
}

int lstat64(const char *path, struct stat64 *status) {
    int (*original)(const char *, struct stat64 *) = next("lstat64");

    if (is_control(path)) {
        describe_control(status);
        return 0;
    }
    return original(path, status);
}

/* The daemon that has the device creates and removes its link in /dev/mapper. With several daemons, libdevmapper
 * would take the links of the others for left-over ones and remove them (mknodes). */
int unlink(const char *path) {
    int (*original)(const char *) = next("unlink");
    struct stat64 status;
    int (*look)(const char *, struct stat64 *) = next("lstat64");

    if (strncmp(path, DIRECTORY, strlen(DIRECTORY)) == 0 &&
        getenv("THINSIM_DM_CONTROL") != NULL && look(path, &status) == 0 && S_ISLNK(status.st_mode))
        return 0;
    return original(path);
}

/* udev knows nothing of these devices: libdevmapper, through libudev, must not wait for it. */
int access(const char *path, int mode) {
    int (*original)(const char *, int) = next("access");

    if (strcmp(path, UDEV) == 0 && getenv("THINSIM_DM_CONTROL") != NULL) {
        errno = ENOENT;
        return -1;
    }
    return original(path, mode);
}

/* libdevmapper reads the majors of mapped devices from /proc/devices. */
FILE *fopen64(const char *path, const char *mode) {
    FILE *(*original)(const char *, const char *) = next("fopen64");
    FILE *real, *changed;
    char line[256];

    if (strcmp(path, "/proc/devices") != 0 || getenv("THINSIM_DM_CONTROL") == NULL)
        return original(path, mode);
    real = original(path, mode);
    changed = tmpfile64();
    if (real == NULL || changed == NULL)
        return real;
    while (fgets(line, sizeof line, real) != NULL) {
        int major;
        char name[64];

        if (sscanf(line, "%d %63s", &major, name) == 2 && major == LOOP_MAJOR && strcmp(name, "loop") == 0)
            fprintf(changed, "%3d device-mapper\n", major);
        else
            fputs(line, changed);
    }
    fclose(real);
    rewind(changed);
    return changed;
}
