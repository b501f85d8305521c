/* Reporting from inside the library: cachify_report, with a result that compilers and
 * analysers can see is not OK. */
#ifndef CF_GROUND_REPORT_H
#define CF_GROUND_REPORT_H

#include <cachify/client.h>

#define cf_report(status, ...) ((void)cachify_report(status, __VA_ARGS__), (status))

#endif
