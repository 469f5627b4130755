/* A wall clock that stands where the file STANDING_CLOCK says, until it says otherwise: nanoseconds since 1970, written twice.
 *
 * Preloaded into the agent by tests/src/standing.rs. libfaketime does more, but parses a text at each call, in all threads at
 * once and without a lock: one stamp in some thousands is then the real time.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static _Atomic int64_t *said;

__attribute__((constructor)) static void open_clock(void) {
    const char *path = getenv("STANDING_CLOCK");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *there = file < 0 ? MAP_FAILED : mmap(NULL, 2 * sizeof *said, PROT_READ, MAP_SHARED, file, 0);
    if (there == MAP_FAILED) abort();
    close(file);
    said = there;
}

int clock_gettime(clockid_t clock, struct timespec *time) {
    if (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE) return (int)syscall(SYS_clock_gettime, clock, time);
    int64_t now, again;
    do {
        now = atomic_load(&said[0]);
        again = atomic_load(&said[1]);
    } while (now != again);
    time->tv_sec = now / 1000000000;
    time->tv_nsec = now % 1000000000;
    return 0;
}
