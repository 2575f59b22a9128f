/* Makes every sync call succeed without doing anything. Preloaded into the daemon, it shows whether the
 * power-cut test would notice a daemon that does not sync. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

int fsync(int fd) { (void)fd; return 0; }
int fdatasync(int fd) { (void)fd; return 0; }
int syncfs(int fd) { (void)fd; return 0; }
void sync(void) {}
int msync(void *at, size_t length, int flags) { (void)at; (void)length; (void)flags; return 0; }
int sync_file_range(int fd, off64_t from, off64_t length, unsigned flags) {
    (void)fd; (void)from; (void)length; (void)flags;
    return 0;
}

/* O_SYNC contains O_DSYNC. */
static int unsynced(int flags) { return flags & ~(O_SYNC | O_DSYNC); }

#define MODE(mode, flags)                        \
    mode_t mode = 0;                             \
    if ((flags) & (O_CREAT | __O_TMPFILE)) {     \
        va_list more;                            \
        va_start(more, flags);                   \
        mode = (mode_t)va_arg(more, unsigned);   \
        va_end(more);                            \
    }

#define OPEN(name)                                                        \
    int name(const char *path, int flags, ...) {                          \
        MODE(mode, flags)                                                 \
        int (*next)(const char *, int, ...) = dlsym(RTLD_NEXT, #name);    \
        return next(path, unsynced(flags), mode);                         \
    }

#define OPENAT(name)                                                           \
    int name(int folder, const char *path, int flags, ...) {                   \
        MODE(mode, flags)                                                      \
        int (*next)(int, const char *, int, ...) = dlsym(RTLD_NEXT, #name);    \
        return next(folder, path, unsynced(flags), mode);                      \
    }

OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)

#define PWRITEV2(name, offset_t)                                                                \
    ssize_t name(int fd, const struct iovec *parts, int count, offset_t offset, int flags) {    \
        ssize_t (*next)(int, const struct iovec *, int, offset_t, int) = dlsym(RTLD_NEXT, #name); \
        return next(fd, parts, count, offset, flags & ~(RWF_SYNC | RWF_DSYNC));                 \
    }

PWRITEV2(pwritev2, off_t)
PWRITEV2(pwritev64v2, off64_t)
