/* The victim under ptrace: from its start to one point of its operation.
 *
 * A point lies behind an instruction that another process could notice: one that changed a byte
 * of the segment, or a system call.  Between two points nothing changes but the victim's own
 * memory and registers, which are gone with it; so a kill at any instruction between them is the
 * kill at the first.
 */
#ifndef CF_TESTS_STEPS_STEPPER_H
#define CF_TESTS_STEPS_STEPPER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define POINTS 1000u /* at most, of an operation */

/* The instruction before a point: where it is, and how often it was run by then. */
struct point {
    uint64_t rip;
    uint32_t runs;
};

/* All points of an operation, found by going through it instruction by instruction.  Point 0
 * is its beginning. */
struct trace {
    uint64_t instructions;
    unsigned points;
    struct point point[POINTS];
};

/* Whether this machine and its rules let us; else why not. */
const char *stepper_refused(void);

/* In the victim: stand until the tracer lets it go on. */
void stepper_stand(void);

/* In the tracer: wait until it stands for the first time; it ends with the tracer from now on. */
bool stepper_met(pid_t victim);

/* Let it go on until it stands again.  False: it died. */
bool stepper_let_go(pid_t victim);

/* From where the victim stands before its operation to its end. */
bool stepper_trace(pid_t victim, const char *path, struct trace *trace);

/* How to come to the nth of something. */
enum way {
    BY_BREAKPOINT,  /* point n: straight to its instruction */
    BY_POINTS,      /* point n: instruction by instruction until the nth change */
    BY_INSTRUCTIONS /* behind instruction n, point or not */
};

/* 1: it stands there.  0: that did not lead there.  -1: it died. */
int stepper_to(pid_t victim, const char *path, const struct trace *trace, unsigned n, enum way way);

#endif
