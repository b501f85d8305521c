/* This thread's last failure: facts first, text only when somebody asks for it. */
#ifndef CF_FACE_ERROR_H
#define CF_FACE_ERROR_H

#include <cachify/client.h>

/* Every room reports through cachify_report (client.h).  This one is for the commonest
 * answer of all, LOCKED, and its kin TIMEOUT and DEADLOCK: it keeps the facts only, for
 * to format them each time would cost more than to find them.  Returns status. */
cachify_status_t cf_report_busy(cachify_status_t status, const char *key, uint32_t key_len,
                                int64_t waited_ms, const cachify_info_t *holder);

/* The status of the last report; never OK. */
cachify_status_t cf_last_failure(void);

#endif
