/* Files that tests make in /dev/shm, and the proof that none is left there. */
#ifndef CF_TESTS_LITTER_H
#define CF_TESTS_LITTER_H

/* Once, in the process that runs the suite. */
void litter_begin(void);

/* At the end of a test: removes what it made; fails if there are files that it did not
 * ask for, except the link that all processes of one boot agree on (PATH.BOOT). */
void litter_check(void);

/* Removes whatever this run left; how many files it were. */
unsigned litter_sweep(void);

#endif
