/* A wall clock that is off by as many nanoseconds as the file CHAOS_CLOCK says (int64).
 *
 * Preloaded into a process. Deadlines of the wall clock that are given to the C library go back by
 * the same, as they would be kept by a kernel whose clock is off; those of the monotonic clock,
 * which counts from the machine's start, are left alone.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000LL
#define LONG_AGO 1000000000LL /* 2001: no machine has been up for so many seconds */

static const volatile int64_t *off;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("CHAOS_CLOCK");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *page = mmap(NULL, sizeof *off, PROT_READ, MAP_SHARED, file, 0);
    close(file);
    if (page != MAP_FAILED) off = page;
}

static struct timespec moved(struct timespec at, int64_t by) {
    int64_t total = at.tv_sec * SECOND + at.tv_nsec + by;
    return (struct timespec){total / SECOND, total % SECOND};
}

static void now(struct timespec *at) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    real(CLOCK_REALTIME, at);
    if (off) *at = moved(*at, *off);
}

int clock_gettime(clockid_t clock, struct timespec *at) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int failed = real(clock, at);
    if (!failed && off && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        *at = moved(*at, *off);
    return failed;
}

int timespec_get(struct timespec *at, int base) {
    if (base != TIME_UTC) return 0;
    now(at);
    return base;
}

int gettimeofday(struct timeval *restrict at, void *restrict zone) {
    struct timespec found;
    (void)zone;
    now(&found);
    at->tv_sec = found.tv_sec;
    at->tv_usec = found.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *at) {
    struct timespec found;
    now(&found);
    if (at) *at = found.tv_sec;
    return found.tv_sec;
}

static struct timespec real_deadline(const struct timespec *until) {
    return off && until->tv_sec > LONG_AGO ? moved(*until, -*off) : *until;
}

int pthread_cond_timedwait(pthread_cond_t *restrict cond, pthread_mutex_t *restrict mutex,
                           const struct timespec *restrict until) {
    static int (*real)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
    /* The old symbol is another condition variable: ask for the version of glibc 2.3.2. */
    if (!real) real = dlvsym(RTLD_NEXT, "pthread_cond_timedwait", "GLIBC_2.3.2");
    if (!real) real = dlsym(RTLD_NEXT, "pthread_cond_timedwait");
    struct timespec deadline = real_deadline(until);
    return real(cond, mutex, &deadline);
}

int cnd_timedwait(cnd_t *restrict cond, mtx_t *restrict mutex,
                  const struct timespec *restrict until) {
    static int (*real)(cnd_t *, mtx_t *, const struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "cnd_timedwait");
    struct timespec deadline = real_deadline(until);
    return real(cond, mutex, &deadline);
}
