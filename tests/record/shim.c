/* Stands between a process and the system calls that write files below one folder: writes down each call, and makes some of them fail.

   SHIM_UNDER   only files whose path begins so
   SHIM_TRACE   file that gets one line a call: call, path, second path or offset, data in hex
   SHIM_FAULT   one of, for files that end in .jsonl, counted from 1:
                kill:N    ends the process by SIGKILL inside the Nth write, when a part of it is written
                short     every write takes at most 7 bytes
                enospc:K  one write of every K is refused with ENOSPC, half of them after a part was taken
                eintr:K   one write of every K is interrupted before anything is written
                eio:N     the Nth fdatasync, and each after it, fails with EIO
*/
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int trace_fd = -2;
static long writes, syncs;

static const char *under(void) { const char *u = getenv("SHIM_UNDER"); return u ? u : "/nowhere"; }
static int ours(const char *path) { return path && strncmp(path, under(), strlen(under())) == 0; }

static int path_of(int fd, char *out, size_t size) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = syscall(SYS_readlink, link, out, size - 1);
    out[n < 0 ? 0 : n] = 0;
    return ours(out);
}

static void tell(const char *call, const char *path, const char *more, const void *data, size_t size) {
    if (trace_fd == -2) {
        const char *name = getenv("SHIM_TRACE");
        trace_fd = name ? syscall(SYS_openat, AT_FDCWD, name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
    }
    if (trace_fd < 0) return;
    size_t head = strlen(call) + strlen(path) + strlen(more) + 4, at;
    char *line = malloc(head + 2 * size + 1);
    at = sprintf(line, "%s\t%s\t%s\t", call, path, more);
    for (size_t i = 0; i < size; i++) at += sprintf(line + at, "%02x", ((const unsigned char *)data)[i]);
    line[at++] = '\n';
    syscall(SYS_write, trace_fd, line, at);
    free(line);
}

static long fault(const char *name) {
    const char *f = getenv("SHIM_FAULT");
    size_t n = strlen(name);
    if (!f || strncmp(f, name, n)) return 0;
    return f[n] == ':' ? atol(f + n + 1) : 1;
}

static int is_segment(const char *path) { size_t n = strlen(path); return n > 6 && !strcmp(path + n - 6, ".jsonl"); }

static ssize_t put(int fd, const char *path, const void *data, size_t size) {
    char offset[32];
    snprintf(offset, sizeof offset, "%lld", (long long)syscall(SYS_lseek, fd, 0, SEEK_CUR));
    ssize_t done = syscall(SYS_write, fd, data, size);
    if (done > 0) tell("write", path, offset, data, done);
    return done;
}

ssize_t write(int fd, const void *data, size_t size) {
    char path[4096];
    if (fd == 1 && getenv("SHIM_TRACE")) tell("said", "", "", data, size);
    if (!path_of(fd, path, sizeof path)) return syscall(SYS_write, fd, data, size);
    if (!is_segment(path)) return put(fd, path, data, size);
    writes++;
    long n;
    if ((n = fault("kill")) && writes == n) {
        if (size > 1) put(fd, path, data, 1 + (size_t)rand() % (size - 1));
        syscall(SYS_kill, getpid(), SIGKILL);
    }
    if ((n = fault("enospc")) && writes % n == 0) {
        if (writes / n % 2 && size > 1) return put(fd, path, data, size / 2);
        errno = ENOSPC;
        return -1;
    }
    if ((n = fault("enospc")) && writes % n == 1 && writes > 1 && writes / n % 2) { errno = ENOSPC; return -1; }
    if ((n = fault("eintr")) && writes % n == 0) { errno = EINTR; return -1; }
    if (fault("short") && size > 7) size = 7;
    return put(fd, path, data, size);
}

static ssize_t put_at(int fd, const void *data, size_t size, off_t at) {
    char path[4096], offset[32];
    ssize_t done = syscall(SYS_pwrite64, fd, data, size, at);
    if (done > 0 && path_of(fd, path, sizeof path)) {
        snprintf(offset, sizeof offset, "%lld", (long long)at);
        tell("write", path, offset, data, done);
    }
    return done;
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t at) { return put_at(fd, data, size, at); }
ssize_t pwrite64(int fd, const void *data, size_t size, off_t at) { return put_at(fd, data, size, at); }

static int sync_it(int fd, int number) {
    char path[4096];
    if (path_of(fd, path, sizeof path)) {
        long n = fault("eio");
        if (n && is_segment(path) && ++syncs >= n) { errno = EIO; return -1; }
        int done = syscall(number, fd);
        if (!done) tell("sync", path, "", "", 0);
        return done;
    }
    return syscall(number, fd);
}

int fsync(int fd) { return sync_it(fd, SYS_fsync); }
int fdatasync(int fd) { return sync_it(fd, SYS_fdatasync); }

static int open_it(const char *path, int flags, mode_t mode) {
    struct stat before;
    int fresh = ours(path) && (flags & O_CREAT) && stat(path, &before) != 0;
    int fd = syscall(SYS_openat, AT_FDCWD, path, flags, mode);
    if (fd >= 0 && fresh) tell("create", path, "", "", 0);
    else if (fd >= 0 && ours(path) && (flags & O_TRUNC)) tell("truncate", path, "0", "", 0);
    return fd;
}

int open(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = va_arg(rest, mode_t);
    va_end(rest);
    return open_it(path, flags, mode);
}

int open64(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = va_arg(rest, mode_t);
    va_end(rest);
    return open_it(path, flags | O_LARGEFILE, mode);
}

int rename(const char *from, const char *to) {
    int done = syscall(SYS_rename, from, to);
    if (!done && ours(from)) tell("rename", from, to, "", 0);
    return done;
}

int link(const char *from, const char *to) {
    int done = syscall(SYS_link, from, to);
    if (!done && ours(from)) tell("link", from, to, "", 0);
    return done;
}

int unlink(const char *path) {
    int done = syscall(SYS_unlink, path);
    if (!done && ours(path)) tell("unlink", path, "", "", 0);
    return done;
}

int mkdir(const char *path, mode_t mode) {
    int done = syscall(SYS_mkdir, path, mode);
    if (!done && ours(path)) tell("mkdir", path, "", "", 0);
    return done;
}

static int cut_it(int fd, off_t size) {
    char path[4096], length[32];
    int done = syscall(SYS_ftruncate, fd, size);
    if (!done && path_of(fd, path, sizeof path)) {
        snprintf(length, sizeof length, "%lld", (long long)size);
        tell("truncate", path, length, "", 0);
    }
    return done;
}

int ftruncate(int fd, off_t size) { return cut_it(fd, size); }
int ftruncate64(int fd, off_t size) { return cut_it(fd, size); }
