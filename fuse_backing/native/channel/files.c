/* The channel's table of open files: the files whose punches and data it may serve, and the gate of each. */
#include "channel_state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

void *channel_grown(void *array, size_t have, size_t want, size_t size) {
    char *larger = realloc(array, want * size);

    if (larger != NULL)
        memset(larger + have * size, 0, (want - have) * size);
    return larger;
}

int channel_announce(struct channel *channel, int handle, int gate, uint32_t file, uint64_t unit) {
    int error = 0;

    if (handle < 0 || gate < 0 || channel->account == NULL)
        return EINVAL;
    pthread_mutex_lock(&channel->lock);
    if ((size_t)handle >= channel->nr_files) {
        size_t want = (size_t)handle + 64;
        struct announced_file *files = channel_grown(channel->files, channel->nr_files, want, sizeof *files);

        if (files != NULL) {
            channel->files = files;
            channel->nr_files = want;
        } else {
            error = ENOMEM;
        }
    }
    if (error == 0 && (size_t)gate < channel->nr_gates)
        channel->files[handle] = (struct announced_file){true, channel->gates[gate], file, unit};
    else if (error == 0)
        error = EINVAL;
    pthread_mutex_unlock(&channel->lock);
    return error;
}

void channel_forget(struct channel *channel, int handle) {
    struct gate *gate = NULL;

    pthread_mutex_lock(&channel->lock);
    if (handle >= 0 && (size_t)handle < channel->nr_files && channel->files[handle].announced) {
        gate = channel->files[handle].gate;
        memset(&channel->files[handle], 0, sizeof *channel->files);
    }
    pthread_mutex_unlock(&channel->lock);
    if (gate != NULL) { /* a running punch still uses the descriptor: wait for it */
        pthread_mutex_lock(&gate->lock);
        pthread_mutex_unlock(&gate->lock);
    }
}

int channel_gate(struct channel *channel) {
    struct gate *gate = calloc(1, sizeof *gate), **gates = NULL;
    int number = -1;

    if (gate == NULL)
        return -1;
    pthread_mutex_init(&gate->lock, NULL);
    pthread_mutex_lock(&channel->lock);
    gates = channel_grown(channel->gates, channel->nr_gates, channel->nr_gates + 1, sizeof *gates);
    if (gates != NULL) {
        channel->gates = gates;
        gates[channel->nr_gates] = gate;
        number = (int)channel->nr_gates++;
    }
    pthread_mutex_unlock(&channel->lock);
    if (number < 0) {
        pthread_mutex_destroy(&gate->lock);
        free(gate);
    }
    return number;
}

static struct gate *find_gate(struct channel *channel, int number) {
    struct gate *gate = NULL;

    pthread_mutex_lock(&channel->lock);
    if (number >= 0 && (size_t)number < channel->nr_gates)
        gate = channel->gates[number];
    pthread_mutex_unlock(&channel->lock);
    return gate;
}

void channel_enter(struct channel *channel, int number) {
    struct gate *gate = find_gate(channel, number);

    if (gate != NULL) {
        pthread_mutex_lock(&gate->lock);
        gate->entered++;
        pthread_mutex_unlock(&gate->lock);
    }
}

void channel_leave(struct channel *channel, int number) {
    struct gate *gate = find_gate(channel, number);

    if (gate != NULL) {
        pthread_mutex_lock(&gate->lock);
        gate->entered--;
        pthread_mutex_unlock(&gate->lock);
    }
}

int channel_backing_open(struct channel *channel, int fd) {
    struct protocol_backing_map map = {.fd = fd};

    return ioctl(channel->readers[0].device, PROTOCOL_BACKING_OPEN, &map);
}

void channel_backing_close(struct channel *channel, int id) {
    uint32_t number = (uint32_t)id;

    ioctl(channel->readers[0].device, PROTOCOL_BACKING_CLOSE, &number);
}
