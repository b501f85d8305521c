/* Who starts, kills, stops and continues the tortured, and watches that none hangs. */
#ifndef TORTURE_CONTROL_H
#define TORTURE_CONTROL_H

#include "worker.h"

/* Once, before all: signals, and to be told of orphans. */
void control_prepare(void);
bool control_interrupted(void);

/* Torture for ns, end all, and look what is left. */
void control_run(const struct plan *plan, int64_t ns);

#endif
