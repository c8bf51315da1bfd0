// SPDX-License-Identifier: Apache-2.0
//
// The echo server of a good libuv program: one receive buffer for all connections, `uv_try_write`
// first, and a queued write with the reading stopped for what the socket did not take.
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

static char buffer[128 * 1024]; // As the references: what is compared is the loops.

static void check(const char *call, int status) {
    if (status >= 0) return;
    fprintf(stderr, "%s: %s\n", call, uv_strerror(status));
    exit(1);
}

/// What a socket did not take at once, with its request in one allocation.
struct rest {
    uv_write_t request;
    char bytes[];
};

static void freed(uv_handle_t *handle) { free(handle); }

static void lend_buffer(uv_handle_t *handle, size_t suggested, uv_buf_t *lent) {
    (void)handle, (void)suggested;
    *lent = uv_buf_init(buffer, sizeof buffer);
}

static void received(uv_stream_t *stream, ssize_t count, const uv_buf_t *lent);

static void written(uv_write_t *request, int status) {
    uv_stream_t *stream = request->handle;
    free(request);
    if (uv_is_closing((uv_handle_t *)stream)) return;
    if (status < 0)
        uv_close((uv_handle_t *)stream, freed);
    else
        uv_read_start(stream, lend_buffer, received);
}

static void received(uv_stream_t *stream, ssize_t count, const uv_buf_t *lent) {
    if (count == 0) return; // EAGAIN.
    if (count < 0) return uv_close((uv_handle_t *)stream, freed);
    uv_buf_t bytes = uv_buf_init(lent->base, (unsigned)count);
    int sent = uv_try_write(stream, &bytes, 1);
    if (sent == count) return;
    if (sent < 0 && sent != UV_EAGAIN) return uv_close((uv_handle_t *)stream, freed);
    size_t start = sent < 0 ? 0 : (size_t)sent, left = (size_t)count - start;
    struct rest *rest = malloc(sizeof *rest + left);
    if (rest == NULL) check("malloc", UV_ENOMEM);
    memcpy(rest->bytes, lent->base + start, left);
    bytes = uv_buf_init(rest->bytes, (unsigned)left);
    uv_read_stop(stream);
    check("uv_write", uv_write(&rest->request, stream, &bytes, 1, written));
}

static void connected(uv_stream_t *listener, int status) {
    check("accept", status);
    uv_tcp_t *stream = malloc(sizeof *stream);
    if (stream == NULL) check("malloc", UV_ENOMEM);
    check("uv_tcp_init", uv_tcp_init(listener->loop, stream));
    if (uv_accept(listener, (uv_stream_t *)stream) < 0)
        return uv_close((uv_handle_t *)stream, freed);
    uv_tcp_nodelay(stream, 1);
    uv_read_start((uv_stream_t *)stream, lend_buffer, received);
}

static void terminated(uv_signal_t *signal, int number) {
    (void)number;
    uv_stop(signal->loop);
}

int main(int argument_count, char **arguments) {
    if (argument_count != 3) return fprintf(stderr, "usage: %s HOST PORT\n", arguments[0]), 2;
    uv_loop_t *loop = uv_default_loop();
    uv_tcp_t listener;
    uv_signal_t signal;
    struct sockaddr_in address;
    check("HOST", uv_ip4_addr(arguments[1], atoi(arguments[2]), &address));
    check("uv_tcp_init", uv_tcp_init(loop, &listener));
    check("bind", uv_tcp_bind(&listener, (const struct sockaddr *)&address, 0));
    check("listen", uv_listen((uv_stream_t *)&listener, 4096, connected));
    check("uv_signal_init", uv_signal_init(loop, &signal));
    check("uv_signal_start", uv_signal_start(&signal, terminated, SIGTERM));

    int size = sizeof address;
    check("getsockname", uv_tcp_getsockname(&listener, (struct sockaddr *)&address, &size));
    printf("listening on %s:%d backend=libuv loops=1\n", arguments[1], ntohs(address.sin_port));
    fflush(stdout);
    uv_run(loop, UV_RUN_DEFAULT);
    return 0;
}
