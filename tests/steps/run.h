/* One run: a stage, a victim at one point, a judgement. */
#ifndef CF_TESTS_STEPS_RUN_H
#define CF_TESTS_STEPS_RUN_H

#include "operations.h"
#include "stepper.h"

enum outcome {
    RUN_WHOLE,  /* judged: board->blame says how */
    RUN_MISSED, /* the victim did not come to the point that way */
    RUN_DIED,   /* something in it died or hung */
};

/* Go through the whole operation; *trace is filled. */
enum outcome run_trace(const struct operation *operation, struct trace *trace);
/* To the nth point or instruction of it, and judge. */
enum outcome run_point(const struct operation *operation, enum fate fate, const struct trace *trace,
                       unsigned n, enum way way);

/* After each run, and at the end: files that should not be there.  How many. */
unsigned run_litter(void);

#endif
